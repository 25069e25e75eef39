/** Joins rankings of different kinds. */

/** Softens the lead of the first ranks; the value of the paper. */
const CONSTANT = 60;

/**
 * Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): what stands at rank r (from 1) of a ranking gets 1 / (60 + r),
 * summed over the rankings. Returns the keys with their sums, best first; ties in the order in which they appear.
 */
export function fuse(rankings: readonly (readonly string[])[]): [key: string, score: number][] {
  const scores = new Map<string, number>();
  for (const ranking of rankings)
    ranking.forEach((key, n) => scores.set(key, (scores.get(key) ?? 0) + 1 / (CONSTANT + n + 1)));
  return [...scores].sort(([, a], [, b]) => b - a);
}
