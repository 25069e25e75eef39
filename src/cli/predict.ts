/** `precess predict`: what a fitted head says of images. */
import { rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Features } from '../models/encoder.js';
import type { Prediction } from '../tasks/classify/head.js';
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
    .description('Predict with a head from "precess fit classify": one row a series, as CSV or JSON.')
    .argument('[src]', 'DICOM folder or file, or NIfTI file')
    .requiredOption('--head <dir>', 'folder made by "precess fit classify"')
    .option('--corpus <dir>', 'predict for the series of a corpus instead')
    .option('--where <sql>', 'only series of the corpus that match')
    .option('--out <file>', 'write to a .csv or .json file; CSV on stdout unless given')
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess predict scans/T1 --head heads/diagnosis --json\n' +
        '  precess predict --corpus corpus --head heads/diagnosis --out predictions.csv\n\n' +
        'For research only: a prediction is no diagnosis.\n',
    )
    .action(predict);
}

interface Row {
  readonly id: string;
  /** The decided class, the number, or the labels that are present. */
  readonly value: string | number | readonly string[];
  readonly probabilities?: Readonly<Record<string, number>>;
}

async function predict(src: string | undefined, options: Options): Promise<void> {
  if ((src === undefined) === (options.corpus === undefined))
    throw new UsageError('predict takes either an image or --corpus');
  if (options.where !== undefined && options.corpus === undefined)
    throw new UsageError('--where goes with --corpus');
  if (options.out !== undefined && !/\.(csv|json)$/i.test(options.out))
    throw new UsageError(`--out is a .csv or .json file, got "${options.out}"`);
  const [{ featuresOf, predictHead, readHead, vectorOf }, { Encoder, tokensFor }, { Prepared }] =
    await Promise.all([
      import('../tasks/classify/index.js'),
      import('../models/encoder.js'),
      import('../volume/tokens.js'),
    ]);
  const fitted = await readHead(options.head);
  const { head, patchMm, maxTokens } = fitted;
  const encoder = await Encoder.open(
    fitted.model,
    options.threads === undefined ? {} : { threads: options.threads },
  );
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  const rows: Row[] = [];
  const row = (id: string, features: Features): Row => ({
    id,
    ...say(head.names, predictHead(head, vectorOf(fitted, features)), head.kind),
  });
  try {
    if (src !== undefined) {
      const { openImages } = await import('../tasks/images.js');
      for await (const { id, volume } of openImages(src, log)) {
        const tokens = tokensFor(new Prepared(volume), encoder.config.samples, { patchMm, maxTokens });
        const [features] = await encoder.features([tokens]);
        rows.push(row(id, features!));
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
          signal: stop.signal,
          warn: log,
          onProgress: (done) => bar.update(done),
        }).finally(() => bar.stop());
        for (const { id } of series) {
          const found = features.get(id);
          if (found !== undefined) rows.push(row(id, found));
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

  const document = { kind: head.kind, names: head.names, level: fitted.level, predictions: rows };
  if (options.out !== undefined) {
    const text = /\.json$/i.test(options.out)
      ? `${JSON.stringify(document, null, 2)}\n`
      : csv(rows, head.names);
    await writeFile(`${options.out}.partial`, text);
    await rename(`${options.out}.partial`, options.out);
    log(`predict: ${rows.length} rows in ${options.out}`);
  }
  if (options.json) printJson(document);
  else if (options.out === undefined) process.stdout.write(csv(rows, head.names));
}

function say(names: readonly string[], prediction: Prediction, kind: string): Omit<Row, 'id'> {
  const { value, present } = prediction;
  if (kind === 'number') return { value };
  const probabilities = Object.fromEntries(names.map((name, c) => [name, prediction.probabilities[c]!]));
  return { value: kind === 'labels' ? names.filter((_, c) => present[c]) : names[value]!, probabilities };
}

function csv(rows: readonly Row[], names: readonly string[]): string {
  const cell = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const probabilities = rows.some((row) => row.probabilities !== undefined) ? names : [];
  const lines = [
    ['series', 'value', ...probabilities.map((name) => `p(${name})`)],
    ...rows.map(({ id, value, probabilities: p }) => [
      id,
      typeof value === 'object' ? value.join(' ') : String(value),
      ...probabilities.map((name) => p![name]!.toFixed(6)),
    ]),
  ];
  return lines.map((line) => `${line.map(cell).join(',')}\n`).join('');
}
