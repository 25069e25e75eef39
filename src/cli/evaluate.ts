/** `precess evaluate`: scores of a model on a corpus, with intervals, and a page that shows them. */
import { rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Corpus } from '../corpus/corpus.js';
import type { Series } from '../corpus/series.js';
import type { Suite, SuiteResult } from '../evaluate/suites.js';
import type { Encoder, Features } from '../models/encoder.js';
import {
  CliError,
  Interrupted,
  interruption,
  log,
  oneOf,
  printJson,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

const SUITE_NAMES = [
  'contrast',
  'plane',
  'body-part',
  'retrieval',
  'labels',
] as const satisfies readonly Suite[];

interface Options {
  readonly model: string;
  readonly corpus: string;
  readonly where?: string;
  readonly labels?: string;
  readonly target?: string;
  readonly method: 'logistic' | 'knn';
  readonly folds: number;
  readonly seed: number;
  readonly rounds: number;
  readonly maxTokens: number;
  readonly report?: string;
  readonly threads?: number;
  readonly textEncoder?: string;
  readonly json?: boolean;
}

export function registerEvaluate(program: Command): void {
  program
    .command('evaluate')
    .description('Measure a model on a corpus: every score with a 95 % interval over patients.')
    .argument('<suite>', SUITE_NAMES.join(', '))
    .requiredOption('--model <model>', 'run folder or model file')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--where <sql>', `only series that match, e.g. "source = 'so-…'"`)
    .option('--labels <file>', 'for the suite labels: CSV or TSV as "precess fit classify" takes it')
    .option('--target <columns>', 'for the suite labels: the column, or several')
    .option('--method <name>', 'logistic or knn', oneOf('--method', ['logistic', 'knn'] as const), 'logistic')
    .option('--folds <n>', 'folds of the cross-validation, by patient', wholeNumber('--folds', 2, 100), 5)
    .option('--seed <n>', 'seed of folds and resamples', wholeNumber('--seed', 0), 0)
    .option('--rounds <n>', 'resamples of patients for the intervals', wholeNumber('--rounds', 100), 1000)
    .option(
      '--max-tokens <n>',
      'use larger tokens where a volume needs more',
      wholeNumber('--max-tokens', 1, 4096),
      512,
    )
    .option('--report <file>', 'also write an HTML page with the curves')
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option(
      '--text-encoder <dir>',
      'folder of the text encoder that the model was aligned with (default: the copy beside the model)',
    )
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess evaluate contrast --model runs/pretrain --corpus corpus --report contrast.html\n\n' +
        'The classifying suites fit a head on the frozen encoder and ask it about patients that it has not seen.\n',
    )
    .action(evaluate);
}

async function evaluate(name: string, options: Options): Promise<void> {
  const suite = oneOf('SUITE', SUITE_NAMES)(name);
  if ((suite === 'labels') !== (options.labels !== undefined))
    throw new UsageError('--labels goes with the suite labels, and the suite labels needs it');
  const [{ Corpus: opener, requireUse }, { Encoder: encoders }] = await Promise.all([
    import('../corpus/index.js'),
    import('../models/encoder.js'),
  ]);
  const { threads, textEncoder } = options;
  const encoder = await encoders.open(options.model, {
    ...(threads !== undefined && { threads }),
    ...(textEncoder !== undefined && { textEncoder }),
  });
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  const corpus = await opener.open(options.corpus).catch(async (error: unknown) => {
    await encoder.close();
    throw error;
  });
  try {
    const all = await corpus.list(options.where === undefined ? {} : { where: options.where });
    const series = requireUse(all, 'evaluate', { doing: 'evaluate', warn: log });
    if (series.length === 0)
      throw new CliError(
        'evaluate: the corpus must hold series that match, got none; see "precess corpus ls"',
      );
    const result = await measure(suite, series, corpus, encoder, options, stop.signal);
    for (const note of result.notes) log(`evaluate: left out: ${note}`);
    if (options.report !== undefined) {
      const { evaluationReport } = await import('./evaluate-report.js');
      await writeFile(`${options.report}.partial`, evaluationReport(result, encoder.model));
      await rename(`${options.report}.partial`, options.report);
      log(`evaluate: report in ${options.report}`);
    }
    const { classes, ...document } = result;
    if (options.json) printJson({ ...document, ...(classes && { classes: classes.names }) });
    else print(result);
  } finally {
    stop.done();
    corpus.close();
    await encoder.close();
  }
}

async function measure(
  suite: Suite,
  series: readonly Series[],
  corpus: Corpus,
  encoder: Encoder,
  options: Options,
  signal: AbortSignal,
): Promise<SuiteResult> {
  const { fieldTarget, headSuite, retrievalSuite } = await import('../evaluate/suites.js');
  const { method, folds, seed, rounds } = options;
  const settings = { method, folds, seed, rounds };
  if (suite === 'retrieval') {
    if (!encoder.hasMetText)
      throw new CliError('evaluate retrieval: the model must have met text; run "precess align" on it first');
    const withText = series.filter(({ text }) => text !== '');
    const images = new Map<string, Float32Array>();
    const { Prepared } = await import('../volume/tokens.js');
    const bar = progress('encoding series', withText.length);
    for (const [n, { id }] of withText.entries()) {
      if (signal.aborted) throw new Interrupted('evaluate: stopped; nothing was written');
      const prepared = new Prepared(await corpus.volume(id));
      images.set(id, await encoder.embed(prepared, { maxTokens: options.maxTokens }));
      bar.update(n + 1);
    }
    bar.stop();
    const texts = await encoder.embedTexts(withText.map(({ text }) => text));
    return retrievalSuite(
      withText,
      withText.map(({ id }) => images.get(id)!),
      texts,
      settings,
    );
  }
  const { readLabels } = await import('../tasks/classify/index.js');
  if (suite === 'labels') {
    const { readPseudonyms } = await import('../corpus/pseudonym.js');
    const labelled = await readLabels(options.labels!, series, await readPseudonyms(corpus.dir), {
      ...(options.target !== undefined && { target: options.target.split(',').map((part) => part.trim()) }),
    });
    if (labelled.unmatched.length > 0)
      log(`evaluate: ${labelled.unmatched.length} rows of ${options.labels!} match no series`);
    const features = await encode(corpus, encoder, labelled.series, options, signal);
    return headSuite('labels', labelled.series, labelled.target, features, settings, labelled.units);
  }
  const asked = fieldTarget(suite, series);
  const features = await encode(corpus, encoder, asked.series, options, signal);
  const result = headSuite(suite, asked.series, asked.target, features, settings);
  return { ...result, notes: [...asked.notes, ...result.notes] };
}

async function encode(
  corpus: Corpus,
  encoder: Encoder,
  series: readonly Series[],
  { maxTokens }: Options,
  signal: AbortSignal,
): Promise<Map<string, Features>> {
  const { featuresOf } = await import('../tasks/classify/index.js');
  const bar = progress('encoding series', series.length);
  const features = await featuresOf((id) => corpus.volume(id), encoder, series, {
    maxTokens,
    signal,
    warn: log,
    onProgress: (done) => bar.update(done),
  }).finally(() => bar.stop());
  if (signal.aborted) throw new Interrupted('evaluate: stopped; nothing was written');
  return features;
}

function print({ suite, metrics, series, patients }: SuiteResult): void {
  process.stdout.write(`${suite}: ${series} series of ${patients} patients, 95 % intervals over patients\n`);
  for (const [name, { value, ci95, n }] of Object.entries(metrics))
    process.stdout.write(
      `${name.padEnd(22)} ${value.toFixed(3)}  [${ci95[0].toFixed(3)}, ${ci95[1].toFixed(3)}]  n = ${n}\n`,
    );
}
