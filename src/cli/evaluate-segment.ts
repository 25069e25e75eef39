/** `precess evaluate` of a segmentation head: on a public set with masks, or on a user's own images. */
import type { MaskSetName, Part, Region } from '../evaluate/datasets/index.js';
import type { Measured } from '../evaluate/intervals.js';
import type { MaskedCase } from '../evaluate/segment-suite.js';
import type { Matched } from '../evaluate/structures.js';
import type { SegmentHead } from '../tasks/segment/index.js';
import { Interrupted, interruption, log, printJson, progress, UsageError } from './shared.js';

/** Where nothing else is said, for a user's own images. */
const TOLERANCE_MM = 2;
/** Percentiles of a resampled handful are too narrow. */
const FEW_PATIENTS = 10;

export interface SegmentOptions {
  readonly head?: string;
  readonly data?: string;
  readonly images?: string;
  readonly masks?: string;
  readonly labels?: string;
  readonly channel?: string;
  readonly part?: Part;
  readonly tolerance?: number;
  readonly seed: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly json?: boolean;
}

export type SegmentSuite = 'segment' | MaskSetName;

/** What a head is measured on. */
interface Asked {
  readonly cases: readonly MaskedCase[];
  /** Of the labels in masks, the background first. */
  readonly names: readonly string[];
  readonly regions: readonly Region[];
  readonly toleranceMm: number;
  readonly channel?: string;
  readonly part?: Part;
}

/** @throws UsageError, EvaluateError, TaskError; Interrupted after Ctrl-C. */
export async function evaluateSegment(suite: SegmentSuite, options: SegmentOptions): Promise<void> {
  checkUsage(suite, options);
  const [{ readSegmentHead }, { matchLabels }, measuring] = await Promise.all([
    import('../tasks/segment/index.js'),
    import('../evaluate/structures.js'),
    import('../evaluate/segment-suite.js'),
  ]);
  const head = await readSegmentHead(options.head!);
  const asked = suite === 'segment' ? await ownImages(head, options) : await publicSet(suite, options);
  const matched = matchLabels(asked.names, head.labels.names, asked.regions);
  await measuring.checkNotTaught(head, asked.cases);
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  const bar = progress('images', asked.cases.length);
  const rows = await measuring
    .scoreCases(head, asked.cases, matched, {
      toleranceMm: asked.toleranceMm,
      signal: stop.signal,
      onProgress: (done) => bar.update(done),
      ...(options.threads !== undefined && { threads: options.threads }),
    })
    .finally(() => {
      bar.stop();
      stop.done();
    });
  if (stop.signal.aborted) throw new Interrupted('evaluate: stopped; nothing was written');
  const metrics = measuring.overlapMetrics(rows, matched, options);
  const patients = new Set(rows.map(({ patientId }) => patientId)).size;
  const notes = notesOn(matched, metrics, patients);
  for (const note of notes) log(`evaluate: ${note}`);
  const { toleranceMm, channel, part } = asked;
  const document = {
    suite,
    metrics,
    series: rows.length,
    patients,
    toleranceMm,
    ...(channel !== undefined && { channel }),
    ...(part !== undefined && { part }),
    notes,
  };
  if (options.json) printJson(document);
  else print(document);
}

function checkUsage(suite: SegmentSuite, options: SegmentOptions): void {
  const { head, data, images, masks, labels, channel, part } = options;
  if (head === undefined)
    throw new UsageError(
      `evaluate ${suite} measures a head: give one from "precess fit segment" with --head`,
    );
  if (suite === 'segment') {
    if (images === undefined || [data, channel, part].some((one) => one !== undefined))
      throw new UsageError(
        'evaluate segment measures on your own images: give --images with --masks or a CSV file, and no --data, ' +
          '--channel or --part',
      );
    return;
  }
  if (data === undefined || [images, masks, labels].some((one) => one !== undefined))
    throw new UsageError(
      `${suite} is a public data set: give its folder with --data, and no --images, --masks or --labels`,
    );
}

async function publicSet(suite: MaskSetName, { data, ...options }: SegmentOptions): Promise<Asked> {
  const [{ datasetNamed }, masked] = await Promise.all([
    import('../evaluate/datasets/index.js'),
    import('../evaluate/masked-cases.js'),
  ]);
  const set = datasetNamed(suite);
  const all = await set.read(data!);
  const hasSplit = all.some(({ split }) => split !== null);
  const part = hasSplit ? (options.part ?? 'test') : 'all';
  const asked = masked.casesOf(all, part);
  const channel = masked.channelOf(asked, set.channels, options.channel);
  const cases = asked.filter(({ images }) => images[channel] !== undefined);
  log(
    `evaluate: ${set.title}: ${cases.length} of ${all.length} cases (${hasSplit ? part : 'no split is published'}), ${channel}`,
  );
  if (cases.length < asked.length)
    log(`evaluate: left out: ${asked.length - cases.length} cases without ${channel}`);
  const names = masked.namesOf(cases);
  return {
    cases: cases.map((one) => masked.publicCase(one, channel, names)),
    names,
    regions: set.regions,
    toleranceMm: options.tolerance ?? set.toleranceMm,
    channel,
    part,
  };
}

async function ownImages(head: SegmentHead, options: SegmentOptions): Promise<Asked> {
  const [{ pairsOf, readLabelTable }, { ownCase }] = await Promise.all([
    import('../tasks/segment/index.js'),
    import('../evaluate/masked-cases.js'),
  ]);
  const files = await pairsOf(options.images!, options.masks, 'evaluate segment');
  const table = options.labels === undefined ? head.labels : await readLabelTable(options.labels);
  return {
    cases: files.map((one) => ownCase(one, table)),
    names: table.names,
    regions: [],
    toleranceMm: options.tolerance ?? TOLERANCE_MM,
  };
}

function notesOn(
  { labels, regions, onlyInMasks, onlyInHead }: Matched,
  metrics: Readonly<Record<string, Measured>>,
  patients: number,
): string[] {
  const unseen = [...labels, ...regions].filter(({ name }) => metrics[`dice.${name}`] === undefined);
  return [
    ...(onlyInMasks.length > 0 ? [`not measured, as the head lacks it: ${onlyInMasks.join(', ')}`] : []),
    ...(onlyInHead.length > 0 ? [`not measured, as the masks lack it: ${onlyInHead.join(', ')}`] : []),
    ...(unseen.length > 0
      ? [`in no mask and no segmentation: ${unseen.map(({ name }) => name).join(', ')}`]
      : []),
    ...(patients < FEW_PATIENTS
      ? [`of ${patients} patients, fewer than ${FEW_PATIENTS}: intervals of so few are too narrow`]
      : []),
  ];
}

function print(document: {
  readonly suite: string;
  readonly metrics: Readonly<Record<string, Measured>>;
  readonly series: number;
  readonly patients: number;
  readonly toleranceMm: number;
}): void {
  const { suite, metrics, series, patients, toleranceMm } = document;
  const line = (text: string): boolean => process.stdout.write(`${text}\n`);
  line(
    `${suite}: ${series} images of ${patients} patients, 95 % intervals over patients, nsd within ${toleranceMm} mm, hd95 in mm`,
  );
  for (const [name, { value, ci95, n }] of Object.entries(metrics))
    line(`${name.padEnd(32)} ${value.toFixed(3)}  [${ci95[0].toFixed(3)}, ${ci95[1].toFixed(3)}]  n = ${n}`);
}
