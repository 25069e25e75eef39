/** `precess fit classify`: a head on the frozen encoder from a table of labels. */
import type { Command } from 'commander';
import type { Measured } from '../evaluate/intervals.js';
import { registerFitSegment } from './fit-segment.js';
import { checkUnlabeled, readUnlabeled } from './fit-unlabeled.js';
import {
  CliError,
  decimal,
  Interrupted,
  interruption,
  log,
  oneOf,
  printJson,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

const KINDS = ['classes', 'ordinal', 'labels', 'number'] as const;
const FEATURES = ['summary', 'all'] as const;
const METHODS = ['logistic', 'knn', 'attentive', 'lora', 'full'] as const;

interface Options {
  readonly corpus: string;
  readonly model: string;
  readonly labels: string;
  readonly out: string;
  readonly target?: string;
  readonly kind?: (typeof KINDS)[number];
  readonly order?: string;
  readonly method: (typeof METHODS)[number];
  readonly features?: (typeof FEATURES)[number];
  readonly unlabeled?: string;
  readonly unlabeledRights?: string;
  readonly steps?: number;
  readonly folds: number;
  readonly seed: number;
  readonly where?: string;
  readonly patchMm: number;
  readonly maxTokens: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Volumes kept for fine-tuning, which reads them at every step. */
const HELD_BYTES = 2 ** 31;

export function registerFit(program: Command): void {
  const fit = program.command('fit').description('Fit a head on the frozen encoder from a few labels.');
  fit
    .command('classify')
    .description(
      'Learn classes, ordered classes, several labels or numbers from a CSV file, cross-validated by patient.',
    )
    .requiredOption('--corpus <dir>', 'the corpus with the labelled series')
    .requiredOption('--model <model>', 'run folder or model file: the encoder')
    .requiredOption('--labels <file>', 'CSV or TSV with a column series, study or patient and the target')
    .requiredOption('--out <dir>', 'folder for the head and its encoder')
    .option('--target <columns>', 'column to be told; several, separated by commas, are yes-or-no labels')
    .option('--kind <kind>', `${KINDS.join(', ')}; told from the values unless given`, oneOf('--kind', KINDS))
    .option('--order <classes>', 'classes of an ordinal target from low to high, separated by commas')
    .option(
      '--method <name>',
      'logistic (linear probe) or knn; attentive (learned pooling of tokens), lora or full (fine-tuning) are trained',
      oneOf('--method', METHODS),
      'logistic',
    )
    .option(
      '--features <what>',
      "what logistic and knn read: the encoder's summary (default), or all (with --unlabeled): its tokens' spread and intensities too",
      oneOf('--features', FEATURES),
    )
    .option('--steps <n>', 'steps of a method that is trained', wholeNumber('--steps', 1))
    .option(
      '--unlabeled <dir>',
      'learn from series without labels too: the same corpus, another one, or a folder of images',
    )
    .option(
      '--unlabeled-rights <rights>',
      'what may be done with the images of such a folder: "LICENCE:train"',
    )
    .option('--folds <n>', 'folds of the cross-validation', wholeNumber('--folds', 2, 100), 5)
    .option('--seed <n>', 'seed of the folds', wholeNumber('--seed', 0), 0)
    .option('--where <sql>', `only series that match, e.g. "contrast = 'T2w'"`)
    .option('--patch-mm <mm>', 'side of a token', decimal('--patch-mm', 1, 256), 16)
    .option(
      '--max-tokens <n>',
      'use larger tokens where a volume needs more',
      wholeNumber('--max-tokens', 1, 4096),
      2048,
    )
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess fit classify --corpus corpus --model runs/align --labels diagnosis.csv --target diagnosis \\\n' +
        `    --where "contrast = 'T1w'" --out heads/diagnosis\n` +
        '  precess fit classify --corpus corpus --model runs/align --labels diagnosis.csv --unlabeled corpus --out heads/d\n\n' +
        "Keys may be the corpus's ids or the archive's own (Patient ID, UIDs, DATASET/sub-01); they are kept nowhere.\n" +
        'The scores are of patients that neither the fit nor its tuning has seen.\n',
    )
    .action(classify);
  registerFitSegment(fit);
}

async function classify(options: Options): Promise<void> {
  const [
    { Corpus, requireUse },
    { readPseudonyms },
    { Encoder },
    { openModel },
    tasks,
    { joinUnits, taskScores },
    { checkApart },
    { provenanceOf, registerWith },
  ] = await Promise.all([
    import('../corpus/index.js'),
    import('../corpus/pseudonym.js'),
    import('../models/encoder.js'),
    import('../models/model-file.js'),
    import('../tasks/classify/index.js'),
    import('../evaluate/task-scores.js'),
    import('../evaluate/leakage.js'),
    import('../train/provenance.js'),
  ]);
  if (options.order !== undefined && options.kind !== 'ordinal' && options.kind !== 'classes')
    throw new UsageError('--order goes with --kind ordinal or classes');
  if (options.unlabeled !== undefined && options.method !== 'logistic')
    throw new UsageError('--unlabeled goes with --method logistic');
  const trained = tasks.TRAINED.find((one) => one === options.method);
  if (options.features !== undefined && trained !== undefined)
    throw new UsageError('--features goes with --method logistic or knn');
  const views =
    options.features === 'all' || (options.features === undefined && options.unlabeled !== undefined);
  if (options.steps !== undefined && trained === undefined)
    throw new UsageError(`--steps goes with --method ${tasks.TRAINED.join(', ')}`);
  const unlabeledIn = await checkUnlabeled(options);
  const model = await openModel(options.model);
  const corpus = await Corpus.open(options.corpus);
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  try {
    const all = await corpus.list(options.where === undefined ? {} : { where: options.where });
    const permitted = requireUse(all, 'train', { doing: 'fit', warn: log });
    const labelled = await tasks.readLabels(options.labels, permitted, await readPseudonyms(corpus.dir), {
      ...(options.target !== undefined && { target: list(options.target) }),
      ...(options.kind !== undefined && { kind: options.kind }),
      ...(options.order !== undefined && { order: list(options.order) }),
    });
    if (labelled.unmatched.length > 0)
      log(
        `fit: ${labelled.unmatched.length} rows of ${options.labels} match no series (lines ` +
          `${labelled.unmatched.slice(0, 5).join(', ')}${labelled.unmatched.length > 5 ? ', …' : ''})`,
      );
    const { patchMm, maxTokens, threads, method, folds, seed } = options;
    checkApart(labelled.series, undefined, undefined, 'fit');
    tasks.checkPatients(
      labelled.series.map(({ patientId }) => patientId),
      labelled.target,
      folds,
    );

    if (unlabeledIn !== null && labelled.target.kind === 'number')
      throw new CliError('fit: --unlabeled goes with classes, ordinal classes and labels, got a number');
    const encoder = await Encoder.open(model, threads === undefined ? {} : { threads });
    const bar = progress('encoding series', labelled.series.length);
    const how = { patchMm, maxTokens, views, signal: stop.signal, warn: log };
    const encode = async () => {
      const features = await tasks
        .featuresOf((id) => corpus.volume(id), encoder, labelled.series, {
          ...how,
          onProgress: (done) => bar.update(done),
        })
        .finally(() => bar.stop());
      if (unlabeledIn === null || stop.signal.aborted) return { features, unlabeled: null };
      const of = { corpus, labelled, encoder };
      return { features, unlabeled: await readUnlabeled(unlabeledIn, options, of, features, how) };
    };
    const { features, unlabeled } = await encode().finally(() => encoder.close());
    if (stop.signal.aborted) throw new Interrupted('fit: stopped; nothing was written');
    const seen = labelled.series.map((_, n) => n).filter((n) => features.has(labelled.series[n]!.id));
    if (seen.length === 0) throw new CliError('fit: no labelled series holds an image that can be encoded');
    const cases = {
      features: seen.map((n) => tasks.vectorOf({ views }, features.get(labelled.series[n]!.id)!)),
      patients: seen.map((n) => labelled.series[n]!.patientId),
      ...(views && { blocks: tasks.viewWidths(encoder.config.embedDim) }),
      ...(unlabeled && {
        unlabelled: unlabeled.cases.map(({ features: of, patient }) => ({
          features: views ? of : of.subarray(0, tasks.viewWidths(encoder.config.embedDim)[0]),
          patient,
        })),
      }),
    };
    const { names, kind } = labelled.target;
    const target = {
      ...labelled.target,
      values: seen.map((n) => labelled.target.values[n]!),
    } as typeof labelled.target;
    log(`fit: ${names.join(', ')} from ${seen.length} series of ${new Set(cases.patients).size} patients`);
    if (unlabeled) log(`fit: and from ${unlabeled.cases.length} series without labels`);
    if (unlabeled?.patientsKnown === false)
      log(
        'fit: whose those are is not known: images (never labels) of patients that are predicted may be among them',
      );
    const byMethod = async () => {
      if (method === 'logistic' || method === 'knn') {
        const { predictions } = tasks.crossPredict(cases, target, { method, folds, seed });
        return { predictions, fitted: { head: tasks.fitHead(cases, target, method, seed), model } };
      }
      const prepared = tasks.holding((id) => corpus.volume(id), HELD_BYTES);
      const steps = progress('training', 1);
      return tasks
        .fitTrained(
          method,
          model,
          {
            features: seen.map((n) => features.get(labelled.series[n]!.id)!),
            patients: cases.patients,
            prepared: (n) => prepared(labelled.series[seen[n]!]!.id),
          },
          target,
          {
            ...{ folds, seed, patchMm, maxTokens, signal: stop.signal },
            ...(threads !== undefined && { threads }),
            ...(options.steps !== undefined && { steps: options.steps }),
            onStep: (done, total, loss) => {
              steps.total(total);
              steps.update(done, `loss ${loss.toFixed(3)}`);
            },
          },
        )
        .catch((error: unknown) => {
          throw stop.signal.aborted ? new Interrupted('fit: stopped; nothing was written') : error;
        })
        .finally(() => steps.stop());
    };
    const { predictions, fitted } = await byMethod();
    const units = seen.map((n) => labelled.units[n]!);
    const outcomes = joinUnits(predictions, target.values, units, cases.patients);
    const metrics = taskScores(target, outcomes, { seed });
    const learnt = { method, seed, kind, names, level: labelled.level };
    const taught = [...seen.map((n) => labelled.series[n]!), ...(unlabeled?.taught ?? [])];
    const provenance = provenanceOf('fit', learnt, taught, model.provenance);
    await registerWith(corpus.dir, provenance, options.out, false, log);
    await tasks.writeHead(options.out, {
      ...{ ...fitted, level: labelled.level, patchMm, maxTokens, ...(views && { views }) },
      model: { ...fitted.model, provenance },
    });

    const document = {
      suite: 'classify',
      metrics,
      kind,
      names,
      level: labelled.level,
      series: seen.length,
      units: outcomes.length,
      patients: new Set(cases.patients).size,
      unmatchedLines: labelled.unmatched,
      features: views ? 'all' : 'summary',
      ...(unlabeled && {
        unlabeled: { series: unlabeled.cases.length, patientsKnown: unlabeled.patientsKnown },
      }),
      head: options.out,
    };
    if (options.json) printJson(document);
    else print(metrics, `${labelled.level} (${outcomes.length})`);
    log(`fit: head in ${options.out}; use it with "precess predict SRC --head ${options.out}"`);
  } finally {
    stop.done();
    corpus.close();
  }
}

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function print(metrics: Readonly<Record<string, Measured>>, per: string): void {
  process.stdout.write(`scores per ${per}, 95 % intervals over patients\n`);
  for (const [name, { value, ci95, n }] of Object.entries(metrics))
    process.stdout.write(
      `${name.padEnd(18)} ${value.toFixed(3)}  [${ci95[0].toFixed(3)}, ${ci95[1].toFixed(3)}]  n = ${n}\n`,
    );
}
