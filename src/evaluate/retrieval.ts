/** Retrieval scores: how high the right answer stands among all candidates, beside what chance would give. */

export interface Retrieval {
  /** Share of queries with a right candidate among the first k, by k. */
  readonly recall: Readonly<Record<number, number>>;
  /** What a random order would reach, by k. */
  readonly chance: Readonly<Record<number, number>>;
  /** Median rank (1 is best) of the first right candidate. */
  readonly medianRank: number;
  /** That rank for every query. */
  readonly ranks: readonly number[];
  readonly queries: number;
  readonly candidates: number;
}

/**
 * Ranks candidates for every query by the dot product of unit vectors. `relevant(q, c)` says what is right: several
 * candidates may be (texts that say the same). A tie counts against the query, so that a model that gives one vector
 * to everything scores nothing.
 * @throws RangeError for a query without any right candidate.
 */
export function retrieval(
  queries: readonly Float32Array[],
  candidates: readonly Float32Array[],
  relevant: (query: number, candidate: number) => boolean,
  ks: readonly number[] = [1, 5, 10],
): Retrieval {
  const n = candidates.length;
  const ranks: number[] = [];
  const chance: Record<number, number> = Object.fromEntries(ks.map((k) => [k, 0]));
  queries.forEach((query, q) => {
    const scores = candidates.map((c) => dot(query, c));
    const right = scores.map((_, c) => relevant(q, c));
    const positives = right.filter(Boolean).length;
    if (positives === 0) throw new RangeError(`retrieval: query ${q} has no right candidate`);
    const best = Math.max(...scores.filter((_, c) => right[c]));
    ranks.push(1 + scores.filter((s, c) => !right[c] && s >= best).length);
    for (const k of ks) chance[k]! += chanceRecall(n, positives, k) / queries.length;
  });
  const sorted = [...ranks].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return {
    recall: Object.fromEntries(ks.map((k) => [k, ranks.filter((r) => r <= k).length / ranks.length])),
    chance,
    medianRank: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    ranks,
    queries: queries.length,
    candidates: n,
  };
}

/** Probability that `k` of `n` candidates drawn without replacement hold at least one of `positives`. */
export function chanceRecall(n: number, positives: number, k: number): number {
  let none = 1;
  for (let i = 0; i < Math.min(k, n); i++) none *= Math.max(0, n - positives - i) / (n - i);
  return 1 - none;
}

const dot = (a: Float32Array, b: Float32Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
