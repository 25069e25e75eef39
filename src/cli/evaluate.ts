/** `precess evaluate`: scores of a model on a corpus, with intervals, and a page that shows them. */
import { rename, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Corpus } from '../corpus/corpus.js';
import type { Series } from '../corpus/series.js';
import {
  DATASET_NAMES,
  LABEL_SET_NAMES,
  MASK_SET_NAMES,
  PARTS,
  type DatasetName,
  type LabelSetName,
} from '../evaluate/datasets/names.js';
import { published } from '../evaluate/datasets/published.js';
import type { Suite } from '../evaluate/suites.js';
import type { Encoder, OpenOptions } from '../models/encoder.js';
import type { Volume } from '../volume/volume.js';
import type { Evaluation, Question } from './evaluate-measure.js';
import type { SegmentOptions } from './evaluate-segment.js';
import { CliError, decimal, interruption, log, oneOf, printJson, UsageError, wholeNumber } from './shared.js';

const SUITE_NAMES = [
  'contrast',
  'plane',
  'body-part',
  'retrieval',
  'image-retrieval',
  'labels',
] as const satisfies readonly Suite[];

const SEGMENT_SUITES = ['segment', ...MASK_SET_NAMES] as const;

interface Options extends SegmentOptions {
  readonly model: string;
  readonly against?: string;
  readonly corpus?: string;
  readonly where?: string;
  readonly target?: string;
  readonly method: 'logistic' | 'knn';
  readonly folds: number;
  readonly maxTokens: number;
  readonly report?: string;
  readonly robustness?: boolean;
  readonly textEncoder?: string;
}

export function registerEvaluate(program: Command): void {
  program
    .command('evaluate')
    .description('Measure a model, or a segmentation head: every score with a 95 % interval over patients.')
    .argument(
      '<suite>',
      `of a model: ${SUITE_NAMES.join(', ')}, or a public data set: ${LABEL_SET_NAMES.join(', ')}; ` +
        `of a head: ${SEGMENT_SUITES.join(', ')}`,
    )
    .option('--model <model>', 'run folder or model file')
    .option('--against <model>', 'another model, asked the same: differences with intervals and tests')
    .option('--corpus <dir>', 'the corpus')
    .option('--data <dir>', 'the folder of a public data set, as published')
    .option('--where <sql>', `only series that match, e.g. "source = 'so-…'"`)
    .option(
      '--labels <file>',
      'for the suite labels: CSV or TSV as "precess fit classify" takes it; for segment: JSON file of what the values of ' +
        'masks are, as "precess fit segment" takes it (default: as the head was taught)',
    )
    .option('--target <columns>', 'for the suite labels: the column, or several')
    .option('--head <dir>', 'the head to measure: a folder made by "precess fit segment"')
    .option(
      '--images <path>',
      'for segment: folder of images, or CSV file with the columns image, mask and perhaps patient',
    )
    .option('--masks <dir>', 'for segment: folder of masks with the names of the images')
    .option(
      '--channel <name>',
      'image of a case to segment (default: brats flair, else t1ce, t2, t1; acdc cine; totalsegmentator-mri mri; ' +
        'ljubljana-ms flair, else t1, t1ce, t2)',
    )
    .option(
      '--part <name>',
      `part of the published split to segment: ${PARTS.join(', ')} (default: test; all where there is none)`,
      oneOf('--part', PARTS),
    )
    .option(
      '--tolerance <mm>',
      'how far apart surfaces agree, for nsd (default: 3 for totalsegmentator-mri, as its authors; else 2)',
      decimal('--tolerance', 0, 100),
    )
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
    .option('--robustness', 'also measure on images made worse in six ways, at four strengths each')
    .option('--report <file>', 'also write an HTML page with curves, a map, and slices of cases')
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option(
      '--text-encoder <dir>',
      'folder of the text encoder that the model was aligned with (default: the copy beside the model)',
    )
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess evaluate contrast --model runs/pretrain --corpus corpus --report contrast.html\n' +
        '  precess evaluate picai --model runs/pretrain --data downloads/picai --report picai.html\n' +
        '  precess evaluate brats --head heads/tumour --data downloads/brats --channel t1ce\n' +
        '  precess evaluate segment --head heads/brain --images scans --masks labels\n\n' +
        'The classifying suites fit a head on the frozen encoder and ask it about patients that it has not seen.\n' +
        'Segmentations are measured by dice, nsd (surface within the tolerance, by area) and hd95 (mm) of each label.\n\n' +
        `Public data sets, their published metric and [published split]:\n${DATASET_NAMES.map(listed).join('')}`,
    )
    .action(evaluate);
}

function listed(name: DatasetName): string {
  const { metric, splits } = published(name);
  const split = splits.length > 0 ? splits.join(', ') : 'none published';
  return `  ${name.padEnd(20)} ${metric ?? 'none published'} [${split}]\n`;
}

async function evaluate(name: string, options: Options): Promise<void> {
  const suite = oneOf('SUITE', [...SUITE_NAMES, 'segment', ...DATASET_NAMES] as const)(name);
  const ofHead = SEGMENT_SUITES.find((one) => one === suite);
  checkOptions(suite, options, ofHead !== undefined);
  if (ofHead !== undefined) return (await import('./evaluate-segment.js')).evaluateSegment(ofHead, options);
  await evaluateModel(suite as Suite | LabelSetName, options);
}

/** Options that the measurement of the other kind takes. */
const OF_HEADS = ['head', 'images', 'masks', 'channel', 'part', 'tolerance'] as const;
const OF_MODELS = [
  'model',
  'against',
  'corpus',
  'where',
  'target',
  'report',
  'robustness',
  'textEncoder',
] as const;

/** @throws UsageError for an option that the suite does not take, or a model that is not given. */
function checkOptions(suite: string, options: Options, ofHead: boolean): void {
  const other = (ofHead ? OF_MODELS : OF_HEADS).find((key) => options[key] !== undefined);
  if (other !== undefined) {
    const option = other === 'textEncoder' ? 'text-encoder' : other;
    throw new UsageError(
      ofHead
        ? `evaluate ${suite} measures a head, which has its model: it takes no --${option}`
        : `evaluate ${suite} measures a model: it takes no --${option}`,
    );
  }
  if (!ofHead && (options as Partial<Options>).model === undefined)
    throw new UsageError(`evaluate ${suite} measures a model: give a run folder or model file with --model`);
}

async function evaluateModel(suite: Suite | LabelSetName, options: Options): Promise<void> {
  if ((suite === 'labels') !== (options.labels !== undefined))
    throw new UsageError('--labels goes with the suite labels, and the suite labels needs it');
  const { Encoder: encoders } = await import('../models/encoder.js');
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  const asked = await ask(suite, options);
  const open: Encoder[] = [];
  try {
    for (const model of [options.model, ...(options.against === undefined ? [] : [options.against])])
      open.push(await encoders.open(model, encoderOptions(options)));
    const evaluation = await measure(asked.question, asked.volumeOf, open, options, stop.signal);
    await publish(evaluation, open[0]!, options, asked.question);
  } finally {
    stop.done();
    asked.close();
    for (const encoder of open) await encoder.close();
  }
}

interface Asked {
  readonly question: Question;
  readonly volumeOf: (id: string) => Promise<Volume>;
  readonly close: () => void;
}

/** What is asked: of a corpus, or of a public data set where it lies. */
async function ask(suite: Suite | LabelSetName, options: Options): Promise<Asked> {
  const inCorpus = SUITE_NAMES.find((one) => one === suite);
  if (inCorpus === undefined) {
    if (options.data === undefined || options.corpus !== undefined)
      throw new UsageError(`${suite} is a public data set: give its folder with --data, and no --corpus`);
    const { datasetQuestion } = await import('./evaluate-dataset.js');
    const close = (): void => undefined;
    return { ...(await datasetQuestion(suite as LabelSetName, options.data, options.target)), close };
  }
  if (options.corpus === undefined || options.data !== undefined)
    throw new UsageError(`the suite ${suite} asks of a corpus: give it with --corpus, and no --data`);
  const { Corpus: opener, requireUse } = await import('../corpus/index.js');
  const corpus = await opener.open(options.corpus);
  try {
    const all = await corpus.list(options.where === undefined ? {} : { where: options.where });
    const series = requireUse(all, 'evaluate', { doing: 'evaluate', warn: log });
    if (series.length === 0)
      throw new CliError(
        'evaluate: the corpus must hold series that match, got none; see "precess corpus ls"',
      );
    const question = await questionOf(inCorpus, series, corpus, options);
    return { question, volumeOf: (id) => corpus.volume(id), close: () => corpus.close() };
  } catch (error) {
    corpus.close();
    throw error;
  }
}

const encoderOptions = ({ threads, textEncoder }: Options): OpenOptions => ({
  ...(threads !== undefined && { threads }),
  ...(textEncoder !== undefined && { textEncoder }),
});

async function questionOf(
  suite: Suite,
  series: readonly Series[],
  corpus: Corpus,
  { labels, target }: Options,
): Promise<Question> {
  if (suite === 'retrieval')
    return { kind: 'texts', suite, series: series.filter(({ text }) => text !== ''), notes: [] };
  if (suite === 'image-retrieval') return { kind: 'images', suite, series, notes: [] };
  if (suite !== 'labels') {
    const { fieldTarget } = await import('../evaluate/suites.js');
    return { kind: 'head', suite, ...fieldTarget(suite, series) };
  }
  const [{ readLabels }, { readPseudonyms }] = await Promise.all([
    import('../tasks/classify/index.js'),
    import('../corpus/pseudonym.js'),
  ]);
  const labelled = await readLabels(labels!, series, await readPseudonyms(corpus.dir), {
    ...(target !== undefined && { target: target.split(',').map((part) => part.trim()) }),
  });
  if (labelled.unmatched.length > 0)
    log(`evaluate: ${labelled.unmatched.length} rows of ${labels!} match no series`);
  return { kind: 'head', suite, ...labelled, notes: [] };
}

async function measure(
  question: Question,
  volumeOf: (id: string) => Promise<Volume>,
  [encoder, other]: readonly Encoder[],
  options: Options,
  signal: AbortSignal,
): Promise<Evaluation> {
  const [{ checkCopies, checkMetText, common, curves, encode, judgeOf, withThumbprints }, { subgroups }] =
    await Promise.all([import('./evaluate-measure.js'), import('../evaluate/subgroups.js')]);
  checkMetText(question, encoder!, '--model');
  if (other) checkMetText(question, other, '--against');
  const { maxTokens } = options;
  const watched = withThumbprints(volumeOf);
  let encoded = await encode(question, encoder!, watched.volumeOf, { maxTokens, signal });
  checkCopies(question, watched.thumbprints);
  let against: Evaluation['against'];
  if (other) {
    const label = 'encoding series with the other model';
    const its = await encode(question, other, volumeOf, { maxTokens, signal, label });
    const both = common(encoded, its);
    encoded = both[0];
    const result = (await judgeOf(question, other, both[1], options))(both[1]);
    against = { result, differences: {} };
  }
  const judge = await judgeOf(question, encoder!, encoded, options);
  const result = judge(encoded);
  if (against) {
    const { compare } = await import('../evaluate/compare.js');
    against = { ...against, differences: compare(result.judged, against.result.judged, options) };
  }
  const exhibits =
    options.report === undefined
      ? undefined
      : await (
          await import('./evaluate-exhibits.js')
        ).exhibitsOf(question, result, encoded, encoder!, volumeOf, options.seed);
  return {
    result,
    ...(exhibits && { exhibits }),
    ...(against && { against }),
    subgroups: subgroups(result.judged, question.series, options),
    ...(options.robustness && {
      robustness: await curves(question, encoder!, volumeOf, judge, result, {
        maxTokens,
        signal,
        seed: options.seed,
      }),
    }),
  };
}

async function publish(
  evaluation: Evaluation,
  encoder: Encoder,
  options: Options,
  question: Question,
): Promise<void> {
  const { result, against, subgroups, robustness } = evaluation;
  for (const note of result.notes) log(`evaluate: left out: ${note}`);
  if (options.report !== undefined) {
    const { evaluationReport } = await import('./evaluate-report.js');
    await writeFile(`${options.report}.partial`, evaluationReport(evaluation, encoder.model));
    await rename(`${options.report}.partial`, options.report);
    log(`evaluate: report in ${options.report}`);
  }
  const { judged, ...document } = result;
  if (options.json)
    printJson({
      ...document,
      ...publishedOf(question),
      ...(judged.kind === 'outcomes' && { classes: judged.target.names }),
      ...(against && { against: { metrics: against.result.metrics, differences: against.differences } }),
      subgroups,
      ...(robustness && { robustness }),
    });
  else print(evaluation);
}

/** Of a public data set: what it is scored by and split as, and whether that split was used. */
function publishedOf(question: Question): object {
  const name = DATASET_NAMES.find((one) => one === question.suite);
  if (name === undefined || question.kind !== 'head') return {};
  const { metric, scored, splits } = published(name);
  return { published: { metric, scored, splits, splitUsed: question.split !== undefined } };
}

function print({ result, against, subgroups, robustness }: Evaluation): void {
  const { suite, metrics, labels = [], series, patients } = result;
  const line = (text: string): boolean => process.stdout.write(`${text}\n`);
  const span = ([low, high]: readonly [number, number]): string => `[${low.toFixed(3)}, ${high.toFixed(3)}]`;
  line(`${suite}: ${series} series of ${patients} patients, 95 % intervals over patients`);
  for (const [name, { value, ci95, n }] of Object.entries(metrics))
    line(`${name.padEnd(22)} ${value.toFixed(3)}  ${span(ci95)}  n = ${n}`);
  for (const { name, metrics: of } of labels)
    for (const [metric, { value, ci95, n }] of Object.entries(of))
      line(`${`${name} ${metric}`.padEnd(22)} ${value.toFixed(3)}  ${span(ci95)}  n = ${n}`);
  if (against) line('less the other model:');
  for (const [name, { difference, ci95, p, test }] of Object.entries(against?.differences ?? {}))
    line(`${name.padEnd(22)} ${difference.toFixed(3)}  ${span(ci95)}  p = ${p.toPrecision(2)} (${test})`);
  const main = Object.keys(metrics)[0]!;
  for (const { by, groups } of subgroups)
    for (const { name, n, metrics: of, tooSmall } of groups) {
      const one = of?.[main];
      line(
        `${main} by ${by}: ${name}  ${one ? `${one.value.toFixed(3)}  ${span(one.ci95)}` : (tooSmall ?? 'no score')}  n = ${n}`,
      );
    }
  for (const { name, unit, points } of robustness ?? [])
    line(
      `${main} by ${name} (${unit}): ${points.map(({ label, metrics: of }) => `${label} ${of[main]?.value.toFixed(3) ?? '-'}`).join(', ')}`,
    );
}
