/** Scores of a ranking: areas under curves, and the points of the curves themselves. */
import { EvaluateError } from './error.js';

/** One point of a curve, and the score from which on everything counts as positive. */
export interface CurvePoint {
  readonly x: number;
  readonly y: number;
  readonly threshold: number;
}

/**
 * Area under the receiver operating characteristic: the probability that a positive scores above a negative, a tie
 * counting half (Hanley & McNeil 1982, the Mann-Whitney statistic).
 *
 * @param labels 1 positive, 0 negative. @param scores any finite numbers, larger is more positive.
 * @throws EvaluateError when there is only one class or the lengths differ.
 */
export function auroc(labels: ArrayLike<number>, scores: ArrayLike<number>): number {
  const { positives, negatives } = bothClasses('AUROC', labels, scores);
  const order = sortedBy(scores);
  let rankSum = 0;
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && scores[order[to]!] === scores[order[from]!]) to++;
    const midrank = (from + 1 + to) / 2;
    for (let at = from; at < to; at++) if (labels[order[at]!] === 1) rankSum += midrank;
    from = to;
  }
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/**
 * Average precision: the sum over thresholds of precision times the rise in recall, tied scores taken together (the
 * area under the precision-recall curve without interpolation; Davis & Goadrich 2006 say why not to interpolate).
 * @throws EvaluateError when there is only one class or the lengths differ.
 */
export function averagePrecision(labels: ArrayLike<number>, scores: ArrayLike<number>): number {
  const { positives } = bothClasses('AUPRC', labels, scores);
  let [hits, seen, area] = [0, 0, 0];
  for (const { labels: here } of descending(labels, scores)) {
    const rise = here.filter((label) => label === 1).length;
    hits += rise;
    seen += here.length;
    area += rise * (hits / seen);
  }
  return area / positives;
}

/** Points (1 - specificity, sensitivity) from (0, 0) to (1, 1). @throws EvaluateError as {@link auroc}. */
export function rocCurve(labels: ArrayLike<number>, scores: ArrayLike<number>): CurvePoint[] {
  const { positives, negatives } = bothClasses('ROC', labels, scores);
  const points: CurvePoint[] = [{ x: 0, y: 0, threshold: Infinity }];
  let [hits, alarms] = [0, 0];
  for (const { score, labels: here } of descending(labels, scores)) {
    const right = here.filter((label) => label === 1).length;
    hits += right;
    alarms += here.length - right;
    points.push({ x: alarms / negatives, y: hits / positives, threshold: score });
  }
  return points;
}

/**
 * Mean over queries of the average precision of each query's ranking; queries without a right answer are left out.
 * NaN where no query has one.
 */
export function meanAveragePrecision(
  queries: readonly { readonly labels: ArrayLike<number>; readonly scores: ArrayLike<number> }[],
): number {
  const values = queries
    .filter(({ labels }) => Array.from(labels).some((label) => label === 1))
    .map(({ labels, scores }) =>
      Array.from(labels).every((label) => label === 1) ? 1 : averagePrecision(labels, scores),
    );
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Indices by rising score. */
function sortedBy(scores: ArrayLike<number>): number[] {
  return Array.from(scores, (_, n) => n).sort((a, b) => scores[a]! - scores[b]!);
}

/** Groups of equal scores, the largest score first. */
function descending(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
): { score: number; labels: number[] }[] {
  const groups: { score: number; labels: number[] }[] = [];
  for (const n of sortedBy(scores).reverse()) {
    const last = groups[groups.length - 1];
    if (last !== undefined && last.score === scores[n]) last.labels.push(labels[n]!);
    else groups.push({ score: scores[n]!, labels: [labels[n]!] });
  }
  return groups;
}

function bothClasses(
  name: string,
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
): { positives: number; negatives: number } {
  sameLength(name, labels, scores);
  let [positives, negatives] = [0, 0];
  for (let n = 0; n < labels.length; n++) {
    if (labels[n] === 1) positives++;
    else if (labels[n] === 0) negatives++;
    else throw new EvaluateError(`${name}: labels must be 0 or 1, got ${String(labels[n])}`);
    if (!Number.isFinite(scores[n]))
      throw new EvaluateError(`${name}: scores must be finite, got ${String(scores[n])}`);
  }
  if (positives === 0 || negatives === 0)
    throw new EvaluateError(
      `${name}: there must be both classes, got ${positives} positive and ${negatives} negative; add cases of the other class`,
    );
  return { positives, negatives };
}

/** @throws EvaluateError when two lists that belong together differ in length. */
export function sameLength(name: string, a: ArrayLike<unknown>, b: ArrayLike<unknown>): void {
  if (a.length !== b.length)
    throw new EvaluateError(
      `${name}: every case must have one label and one score, got ${a.length} and ${b.length}`,
    );
}
