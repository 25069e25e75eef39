/** Retrieval scores: how high the right answer stands among all candidates, beside what chance would give. */
import { meanAveragePrecision } from './ranking.js';

export interface Retrieval {
  /** Share of queries with a right candidate among the first k, by k. */
  readonly recall: Readonly<Record<number, number>>;
  /** What a random order would reach, by k. */
  readonly chance: Readonly<Record<number, number>>;
  /** Mean over queries of the average precision of the whole ranking. */
  readonly map: number;
  /** What random orders would reach in the mean. */
  readonly chanceMap: number;
  /** Average precision of every query. */
  readonly averagePrecisions: readonly number[];
  /** Median rank (1 is best) of the first right candidate. */
  readonly medianRank: number;
  /** That rank for every query. */
  readonly ranks: readonly number[];
  readonly queries: number;
  readonly candidates: number;
}

/**
 * Ranks candidates for every query by the dot product of unit vectors. `relevant(q, c)` says what is right: several
 * candidates may be (texts that say the same). A tie counts against the query in ranks and recall, so that a model that
 * gives one vector to everything scores nothing; average precision takes tied candidates together, as
 * {@link averagePrecision} says. `among(q, c)` says which candidates a query has; all unless given.
 * @throws RangeError for a query without any right candidate.
 */
export function retrieval(
  queries: readonly Float32Array[],
  candidates: readonly Float32Array[],
  relevant: (query: number, candidate: number) => boolean,
  ks: readonly number[] = [1, 5, 10],
  among: (query: number, candidate: number) => boolean = () => true,
): Retrieval {
  const ranks: number[] = [];
  const averagePrecisions: number[] = [];
  let chanceMap = 0;
  const chance: Record<number, number> = Object.fromEntries(ks.map((k) => [k, 0]));
  queries.forEach((query, q) => {
    const own = candidates.map((_, c) => c).filter((c) => among(q, c));
    const n = own.length;
    const scores = own.map((c) => dot(query, candidates[c]!));
    const right = own.map((c) => relevant(q, c));
    const positives = right.filter(Boolean).length;
    if (positives === 0) throw new RangeError(`retrieval: query ${q} has no right candidate`);
    const best = Math.max(...scores.filter((_, c) => right[c]));
    ranks.push(1 + scores.filter((s, c) => !right[c] && s >= best).length);
    const labels = right.map(Number);
    averagePrecisions.push(meanAveragePrecision([{ labels, scores }]));
    chanceMap += chanceAveragePrecision(n, positives) / queries.length;
    for (const k of ks) chance[k]! += chanceRecall(n, positives, k) / queries.length;
  });
  const sorted = [...ranks].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return {
    recall: Object.fromEntries(ks.map((k) => [k, ranks.filter((r) => r <= k).length / ranks.length])),
    chance,
    map: averagePrecisions.reduce((sum, one) => sum + one, 0) / averagePrecisions.length,
    chanceMap,
    averagePrecisions,
    medianRank: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    ranks,
    queries: queries.length,
    candidates: candidates.length,
  };
}

/** Probability that `k` of `n` candidates drawn without replacement hold at least one of `positives`. */
export function chanceRecall(n: number, positives: number, k: number): number {
  let none = 1;
  for (let i = 0; i < Math.min(k, n); i++) none *= Math.max(0, n - positives - i) / (n - i);
  return 1 - none;
}

/**
 * Mean average precision of `n` candidates in a random order of which `positives` are right. The one at rank k is right
 * with probability p/n, and then (p-1)/(n-1) of the k-1 before it are: the sum over k is (H + (p-1)/(n-1) (n-H)) / n,
 * with H = 1 + 1/2 + … + 1/n.
 */
export function chanceAveragePrecision(n: number, positives: number): number {
  if (n === 1) return 1;
  let harmonic = 0;
  for (let k = 1; k <= n; k++) harmonic += 1 / k;
  return (harmonic + ((positives - 1) / (n - 1)) * (n - harmonic)) / n;
}

const dot = (a: Float32Array, b: Float32Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
