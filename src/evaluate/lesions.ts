/** Lesions found in detection maps, scored as PI-CAI does: average precision of lesions, AUROC of cases, and their mean. */
import type { Vec3 } from '../volume/volume.js';
import { components } from './components.js';
import { EvaluateError } from './error.js';
import { auroc } from './ranking.js';

/** One case: arrays of `shape`, i fastest. */
export interface DetectionCase {
  readonly shape: Vec3;
  /** Lesions that do not touch, each with its confidence in all of its voxels; 0 elsewhere. */
  readonly detections: ArrayLike<number>;
  /** Not 0 in a true lesion; lesions that touch are one. */
  readonly truth: ArrayLike<number>;
}

/** A true lesion or an alarm, and the confidence with which it was found (0: missed). */
export interface Found {
  readonly lesion: boolean;
  readonly confidence: number;
}

/** A candidate that overlaps a lesion by less (intersection over union) does not find it. */
export const LEAST_OVERLAP = 0.1;
/** Subsets of the lesions of a case are tried one by one. */
const MOST_LESIONS = 16;

/**
 * True lesions and false alarms of one case by the rule of PI-CAI (DIAGNijmegen/picai_eval): candidates and lesions are
 * 26-connected components; one candidate finds one lesion where their intersection over union is at least
 * {@link LEAST_OVERLAP}, paired so that 1 + overlap, summed over the pairs, is largest. A candidate that overlaps a lesion
 * enough but found none (a lesion in two pieces) is left out; any other is a false alarm.
 * @throws EvaluateError for arrays of another length, negative confidences, a candidate of several confidences (a map of
 * probabilities), or more than 16 lesions in the case.
 */
export function findLesions({ shape, detections, truth }: DetectionCase): Found[] {
  const voxels = shape[0] * shape[1] * shape[2];
  if (detections.length !== voxels || truth.length !== voxels)
    throw new EvaluateError(
      `lesions: both maps must have ${voxels} voxels (${shape.join('×')}), got ${detections.length} and ${truth.length}`,
    );
  const candidates = components(detections, shape);
  const lesions = components(truth, shape);
  if (lesions.length > MOST_LESIONS)
    throw new EvaluateError(
      `lesions: a case must have at most ${MOST_LESIONS} lesions, got ${lesions.length}; check its mask`,
    );
  const confidences = candidates.map((candidate) => confidenceOf(candidate, detections));
  const overlaps = candidates.map((candidate) => lesions.map((lesion) => overlap(candidate, lesion)));
  const pairs = pairUp(overlaps, lesions.length);
  const alarms = candidates.flatMap((_, c): Found[] =>
    overlaps[c]!.some((of) => of >= LEAST_OVERLAP) ? [] : [{ lesion: false, confidence: confidences[c]! }],
  );
  const found = lesions.map((_, n): Found => {
    const by = pairs.indexOf(n);
    return { lesion: true, confidence: by < 0 ? 0 : confidences[by]! };
  });
  return [...found, ...alarms];
}

/**
 * Average precision over the lesions of all cases: the sum over confidences above 0 of precision times the rise in recall;
 * a missed lesion keeps recall below 1. @throws EvaluateError without a lesion.
 */
export function lesionAveragePrecision(found: readonly Found[]): number {
  const lesions = found.filter(({ lesion }) => lesion).length;
  if (lesions === 0)
    throw new EvaluateError('lesions: there must be a lesion in some case, got none; add cases with lesions');
  const thresholds = [...new Set(found.map(({ confidence }) => confidence))].filter((one) => one > 0);
  let [area, before] = [0, 0];
  for (const threshold of thresholds.sort((a, b) => b - a)) {
    const seen = found.filter(({ confidence }) => confidence >= threshold);
    const hits = seen.filter(({ lesion }) => lesion).length;
    area += ((hits - before) / lesions) * (hits / seen.length);
    before = hits;
  }
  return area;
}

/**
 * PI-CAI's ranking: the mean of the average precision of lesions and of the AUROC of cases, a case scoring as its most
 * confident candidate. @throws EvaluateError as its parts.
 */
export function picaiScore(cases: readonly DetectionCase[]): { ap: number; auroc: number; score: number } {
  const ap = lesionAveragePrecision(cases.flatMap(findLesions));
  const labels = cases.map(({ truth }) => Number(Array.from(truth).some((value) => value !== 0)));
  const highest = cases.map(({ detections }) =>
    Array.from(detections).reduce((most, value) => Math.max(most, value), 0),
  );
  const area = auroc(labels, highest);
  return { ap, auroc: area, score: (ap + area) / 2 };
}

function confidenceOf(candidate: readonly number[], detections: ArrayLike<number>): number {
  const confidence = detections[candidate[0]!]!;
  if (!(confidence > 0))
    throw new EvaluateError(`lesions: confidences must not be negative, got ${confidence}`);
  if (candidate.some((voxel) => detections[voxel] !== confidence))
    throw new EvaluateError(
      'lesions: a candidate must have one confidence in all of its voxels; make candidates of the map of probabilities first',
    );
  return confidence;
}

/** Intersection over union. */
function overlap(a: readonly number[], b: readonly number[]): number {
  const inB = new Set(b);
  const both = a.filter((voxel) => inB.has(voxel)).length;
  return both / (a.length + b.length - both);
}

/**
 * The lesion of each candidate (-1: none), so that 1 + overlap is largest in sum: candidate by candidate, the best for
 * every set of lesions that are taken.
 */
function pairUp(overlaps: readonly (readonly number[])[], lesions: number): number[] {
  interface Best {
    readonly sum: number;
    readonly pairs: readonly number[];
  }
  let best = new Map<number, Best>([[0, { sum: 0, pairs: [] }]]);
  for (const of of overlaps) {
    const next = new Map<number, Best>();
    const offer = (taken: number, { sum, pairs }: Best, gain: number, lesion: number): void => {
      if (sum + gain > (next.get(taken)?.sum ?? -1))
        next.set(taken, { sum: sum + gain, pairs: [...pairs, lesion] });
    };
    for (const [taken, one] of best) {
      offer(taken, one, 0, -1);
      for (let n = 0; n < lesions; n++)
        if ((taken & (1 << n)) === 0 && of[n]! >= LEAST_OVERLAP) offer(taken | (1 << n), one, 1 + of[n]!, n);
    }
    best = next;
  }
  let winner: Best = { sum: -1, pairs: [] };
  for (const one of best.values()) if (one.sum > winner.sum) winner = one;
  return [...winner.pairs];
}
