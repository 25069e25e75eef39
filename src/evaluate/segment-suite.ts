/** A segmentation head measured on images with masks that it was not taught with. */
import { SeenSet } from '../corpus/seen.js';
import { imageId, numbersIn, Segmenter, type SegmentHead } from '../tasks/segment/index.js';
import { spacing } from '../volume/affine.js';
import type { Volume } from '../volume/volume.js';
import { EvaluateError } from './error.js';
import { bootstrap, type Measured } from './intervals.js';
import { lesionWise, type LesionRule, type LesionScores } from './lesion-wise.js';
import { dice, hausdorff95, surfaceDistances, type MaskPair } from './overlap.js';
import type { Matched, Structure } from './structures.js';
import { surfaceDice } from './surfels.js';

/** An image with its mask; both are read when it is its turn. */
export interface MaskedCase {
  readonly patientId: string;
  readonly image: () => Promise<Volume>;
  /** In the image's RAS order the number of each voxel's label, and the labels that the mask would show. */
  readonly masked: (image: Volume) => Promise<Masked>;
  /** Where regions are scored lesion by lesion as well: by which rule. */
  readonly lesions?: LesionRule;
}

export interface Masked {
  /** In RAS order. */
  readonly volume: Volume;
  readonly numbers: Uint8Array;
  /** Numbers of labels that were looked for in this image; all unless said. */
  readonly known?: ReadonlySet<number>;
}

const SCORES = ['dice', 'nsd', 'hd95'] as const;
const LESION_SCORES = ['lesionDice', 'lesionHd95'] as const;
export type OverlapScores = Readonly<Record<(typeof SCORES)[number], number>>;
type Score = (typeof SCORES | typeof LESION_SCORES)[number];

/** The scores of one image by structure; null where neither mask nor head has it, or nobody looked for it. */
export interface CaseScores {
  readonly patientId: string;
  readonly scores: readonly (OverlapScores | null)[];
  /** Of the regions alone, lesion by lesion; null where nobody asks. */
  readonly lesions: readonly (LesionScores | null)[];
}

export interface SuiteSettings {
  readonly toleranceMm: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

/**
 * Refuses images that the head was taught with, told by their voxels and place.
 * @throws EvaluateError saying how many.
 */
export async function checkNotTaught(head: SegmentHead, cases: readonly MaskedCase[]): Promise<void> {
  const seen = SeenSet.parse(head.model.provenance.seen);
  if (seen.size === 0) return;
  let taught = 0;
  for (const { image } of cases) if (seen.has(imageId(await image()))) taught++;
  if (taught > 0)
    throw new EvaluateError(
      `evaluate: a head must be measured on images that it was not taught with, but ${taught} of ${cases.length} are ` +
        'among what it has learnt from; leave these out, or fit the head without them',
    );
}

/**
 * Segments every image and compares it with its mask, in the matched labels and then the regions.
 * @returns what was measured before `signal` fired.
 */
export async function scoreCases(
  head: SegmentHead,
  cases: readonly MaskedCase[],
  { labels, regions }: Matched,
  { toleranceMm, threads, signal, onProgress }: SuiteSettings,
): Promise<CaseScores[]> {
  const segmenter = await Segmenter.open(head, threads === undefined ? {} : { threads });
  const rows: CaseScores[] = [];
  try {
    for (const { patientId, image, masked, lesions: rule } of cases) {
      const { volume, numbers, known } = await masked(await image());
      const found = await segmenter.segment(volume, signal ? { signal } : {});
      if (signal?.aborted) break;
      const predicted = numbersIn(found, head.labels);
      const isKnown = ({ truth }: Structure): boolean => !known || truth.every((n) => known.has(n));
      const maps = { truth: numbers, predicted, volume };
      const scores = [...labels, ...regions].map((structure) =>
        isKnown(structure) ? overlapScores(pairOf(structure, maps), toleranceMm) : null,
      );
      const lesions = regions.map((structure) =>
        rule && isKnown(structure) ? lesionWise(pairOf(structure, maps), rule) : null,
      );
      rows.push({ patientId, scores, lesions });
      onProgress?.(rows.length);
    }
  } finally {
    await segmenter.close();
  }
  return rows;
}

function pairOf(
  { truth, predicted }: Structure,
  maps: { truth: Uint8Array; predicted: Uint8Array; volume: Volume },
): MaskPair {
  const mask = (map: Uint8Array, numbers: readonly number[]): Uint8Array =>
    map.map((n) => (numbers.includes(n) ? 1 : 0));
  const { shape, affine } = maps.volume;
  return {
    truth: mask(maps.truth, truth),
    predicted: mask(maps.predicted, predicted),
    shape,
    spacingMm: spacing(affine),
  };
}

/**
 * Dice, surface Dice by area and the 95th percentile of surface distances. Null where both masks are empty. Where one is,
 * the distance is the image's diagonal, as BraTS counts it (373 mm on its grid): infinity would leave no mean.
 */
export function overlapScores(pair: MaskPair, toleranceMm: number): OverlapScores | null {
  const overlap = dice(pair);
  if (Number.isNaN(overlap)) return null;
  const hd95 = hausdorff95(surfaceDistances(pair));
  const { shape, spacingMm } = pair;
  const diagonal = Math.hypot(...shape.map((n, d) => n * spacingMm[d as 0]));
  return {
    dice: overlap,
    nsd: surfaceDice(pair, toleranceMm),
    hd95: hd95 === Infinity ? diagonal : hd95,
  };
}

/**
 * Means over images of every structure ("dice.liver"), after them the mean over labels ("dice"), each with an interval
 * over patients. What no image has is left out.
 */
export function overlapMetrics(
  rows: readonly CaseScores[],
  { labels, regions }: Pick<Matched, 'labels' | 'regions'>,
  options: { readonly rounds?: number; readonly seed?: number } = {},
): Record<string, Measured> {
  const metrics: Record<string, Measured> = {};
  const scoreOf = (row: CaseScores, kind: Score, structure: number): number | undefined =>
    kind === 'lesionDice' || kind === 'lesionHd95'
      ? row.lesions[structure - labels.length]?.[kind]
      : row.scores[structure]?.[kind];
  const measure = (name: string, kind: Score, structures: readonly number[]): void => {
    const having = rows.filter((row) => structures.some((s) => scoreOf(row, kind, s) !== undefined));
    if (having.length === 0) return;
    metrics[name] = bootstrap(
      having.map(({ patientId }) => patientId),
      (drawn) =>
        mean(
          structures.flatMap((s) => {
            const values = drawn.flatMap((n) => scoreOf(having[n]!, kind, s) ?? []);
            return values.length === 0 ? [] : [mean(values)];
          }),
        ),
      options,
    );
  };
  for (const kind of SCORES) measure(kind, kind, [...labels.keys()]);
  [...labels, ...regions].forEach(({ name }, s) => {
    for (const kind of [...SCORES, ...LESION_SCORES]) measure(`${kind}.${name}`, kind, [s]);
  });
  return metrics;
}

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
