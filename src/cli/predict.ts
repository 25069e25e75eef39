/** `precess predict`: what a fitted head says of images. */
import { rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Series } from '../corpus/series.js';
import type { FittedHead, Level, Prediction, SeriesFeatures } from '../tasks/classify/index.js';
import type { OpenedImage } from '../tasks/images.js';
import {
  CliError,
  Interrupted,
  interruption,
  log,
  printJson,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

interface Options {
  readonly head: string;
  readonly corpus?: string;
  readonly where?: string;
  readonly out?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

export function registerPredict(program: Command): void {
  program
    .command('predict')
    .description(
      'Predict with a head from "precess fit classify": one row a series, study or patient, as it was fitted; as CSV or JSON.',
    )
    .argument('[src]', 'DICOM folder or file, or NIfTI file')
    .requiredOption('--head <dir>', 'folder made by "precess fit classify"')
    .option('--corpus <dir>', 'predict for the series of a corpus instead')
    .option('--where <sql>', 'only series of the corpus that match')
    .option('--out <file>', 'write to a .csv or .json file, or a DICOM SR (.dcm); CSV on stdout unless given')
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess predict scans/T1 --head heads/diagnosis --json\n' +
        '  precess predict --corpus corpus --head heads/diagnosis --out predictions.csv\n' +
        '  precess predict scans/T1 --head heads/diagnosis --out prediction.dcm\n\n' +
        'Of a corpus, series are joined to the studies or patients that the head was fitted for; give the --where of the fit.\n' +
        'Whose the images of a file or folder are is not known: they have a row a series.\n' +
        'A DICOM SR belongs to the study of the images and names the patient as they do.\n' +
        'For research only: a prediction is no diagnosis.\n',
    )
    .action(predict);
}

interface Row {
  /** Of the series, study or patient. */
  readonly id: string;
  /** Of a study or patient: the ids of its series that were joined. */
  readonly series?: readonly string[];
  /** The decided class, the number, or the labels that are present. */
  readonly value: string | number | readonly string[];
  readonly probabilities?: Readonly<Record<string, number>>;
}

async function predict(src: string | undefined, options: Options): Promise<void> {
  if ((src === undefined) === (options.corpus === undefined))
    throw new UsageError('predict takes either an image or --corpus');
  if (options.where !== undefined && options.corpus === undefined)
    throw new UsageError('--where goes with --corpus');
  if (options.out !== undefined && !/\.(csv|json|dcm)$/i.test(options.out))
    throw new UsageError(`--out is a .csv or .json file, or .dcm for a DICOM SR, got "${options.out}"`);
  const asSr = options.out !== undefined && /\.dcm$/i.test(options.out);
  if (asSr && src === undefined)
    throw new UsageError(
      '--out *.dcm goes with a DICOM image: the series of a corpus have lost their identity',
    );
  const [
    { allViews, featuresOf, joinPredictions, predictHead, readHead, vectorOf },
    { Encoder, tokensFor },
    { Prepared },
  ] = await Promise.all([
    import('../tasks/classify/index.js'),
    import('../models/encoder.js'),
    import('../volume/tokens.js'),
  ]);
  const fitted = await readHead(options.head);
  const { head, patchMm, maxTokens, views = false } = fitted;
  const encoder = await Encoder.open(
    fitted.model,
    options.threads === undefined ? {} : { threads: options.threads },
  );
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  const rows: Row[] = [];
  const documents: Uint8Array[] = [];
  const predicted = (features: SeriesFeatures): Prediction => predictHead(head, vectorOf(fitted, features));
  const row = (id: string, prediction: Prediction): Row => ({
    id,
    ...say(head.names, prediction, head.kind),
  });
  const level = src === undefined ? fitted.level : 'series';
  if (level !== fitted.level)
    log(
      `predict: the head was fitted for a ${fitted.level}; whose the images are is not known, so that each ` +
        'series has a row of its own (with --corpus they are joined)',
    );
  try {
    if (src !== undefined) {
      const { openImages } = await import('../tasks/images.js');
      for await (const { id, volume, dicom } of openImages(src, log)) {
        const tokens = tokensFor(new Prepared(volume), encoder.config.samples, { patchMm, maxTokens });
        const [features] = await encoder.features([tokens]);
        rows.push(row(id, predicted({ ...features!, ...(views && { all: allViews(features!, tokens) }) })));
        if (asSr) documents.push(await document(dicom, rows.at(-1)!, fitted));
      }
    } else {
      const { Corpus, requireUse } = await import('../corpus/index.js');
      const corpus = await Corpus.open(options.corpus!);
      try {
        const all = await corpus.list(options.where === undefined ? {} : { where: options.where });
        const series = requireUse(all, 'evaluate', { doing: 'predict', warn: log });
        if (series.length === 0)
          throw new CliError(
            'predict: the corpus must hold series that match, got none; see "precess corpus ls"',
          );
        const bar = progress('encoding series', series.length);
        const features = await featuresOf((id) => corpus.volume(id), encoder, series, {
          patchMm,
          maxTokens,
          views,
          signal: stop.signal,
          warn: log,
          onProgress: (done) => bar.update(done),
        }).finally(() => bar.stop());
        for (const [id, own] of unitsOf(series, level, features)) {
          const joined = joinPredictions(own.map((one) => predicted(features.get(one)!)));
          const { id: unit, ...rest } = row(id, joined);
          rows.push({ id: unit, ...(level !== 'series' && { series: own }), ...rest });
        }
      } finally {
        corpus.close();
      }
      if (stop.signal.aborted) throw new Interrupted('predict: stopped; nothing was written');
    }
  } finally {
    stop.done();
    await encoder.close();
  }

  const result = {
    kind: head.kind,
    names: head.names,
    level: fitted.level,
    rows: level,
    predictions: rows,
  };
  if (options.out !== undefined) {
    const text = /\.json$/i.test(options.out)
      ? `${JSON.stringify(result, null, 2)}\n`
      : csv(rows, head.names, level);
    if (!asSr) await writeWhole(options.out, text);
    // Several series have a document each: NAME-1.dcm, NAME-2.dcm, …
    for (const [n, bytes] of documents.entries()) {
      const number = documents.length === 1 ? '' : `-${n + 1}`;
      await writeWhole(options.out.replace(/\.dcm$/i, `${number}.dcm`), bytes);
    }
    log(`predict: ${rows.length} ${asSr ? 'documents' : 'rows'} in ${options.out}`);
  }
  if (options.json) printJson(result);
  else if (options.out === undefined) process.stdout.write(csv(rows, head.names, level));
}

async function writeWhole(path: string, data: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.partial`, data);
  await rename(`${path}.partial`, path);
}

/** The row as DICOM SR. @throws CliError for an image that was no DICOM. */
async function document(
  dicom: OpenedImage['dicom'],
  { value, probabilities }: Row,
  { model }: FittedHead,
): Promise<Uint8Array> {
  if (dicom === undefined)
    throw new CliError(
      'predict: a DICOM SR belongs to a DICOM study, but the image is another kind of file; use --out *.json',
    );
  const { encodePrediction } = await import('../formats/dicom/index.js');
  return encodePrediction(dicom, {
    algorithm: 'Precess classification head',
    version: model.provenance.runs.at(-1)?.id ?? 'unknown',
    decision: Array.isArray(value) ? value.join(', ') || 'none' : String(value),
    probabilities: probabilities ?? {},
    time: new Date(),
  });
}

function say(names: readonly string[], prediction: Prediction, kind: string): Omit<Row, 'id'> {
  const { value, present } = prediction;
  if (kind === 'number') return { value };
  const probabilities = Object.fromEntries(names.map((name, c) => [name, prediction.probabilities[c]!]));
  return { value: kind === 'labels' ? names.filter((_, c) => present[c]) : names[value]!, probabilities };
}

/** Ids of the series with features by what they are joined to, in the order of the corpus. */
function unitsOf(
  series: readonly Series[],
  level: Level,
  features: ReadonlyMap<string, SeriesFeatures>,
): Map<string, string[]> {
  const idOf = { series: 'id', study: 'studyId', patient: 'patientId' } as const;
  const units = new Map<string, string[]>();
  for (const one of series) {
    if (!features.has(one.id)) continue;
    const unit = one[idOf[level]];
    units.set(unit, [...(units.get(unit) ?? []), one.id]);
  }
  return units;
}

/** The first column is named by what a row is about; the last one of studies and patients has their series. */
function csv(rows: readonly Row[], names: readonly string[], level: Level): string {
  const cell = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const probabilities = rows.some((row) => row.probabilities !== undefined) ? names : [];
  const lines = [
    [level, 'value', ...probabilities.map((name) => `p(${name})`), ...(level === 'series' ? [] : ['series'])],
    ...rows.map(({ id, value, probabilities: p, series }) => [
      id,
      typeof value === 'object' ? value.join(' ') : String(value),
      ...probabilities.map((name) => p![name]!.toFixed(6)),
      ...(series === undefined ? [] : [series.join(' ')]),
    ]),
  ];
  return lines.map((line) => `${line.map(cell).join(',')}\n`).join('');
}
