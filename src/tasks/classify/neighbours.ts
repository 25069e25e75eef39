/** k nearest neighbours on frozen features. */

/**
 * Share of each class among the `k` references with the largest cosine to the query, each counting exp(cosine / 0.07)
 * as in the weighted vote of Wu et al. 2018.
 * @param references unit vectors with their classes.
 */
export function neighbourVote(
  references: readonly { readonly vector: ArrayLike<number>; readonly label: number }[],
  query: ArrayLike<number>,
  classes: number,
  k: number,
): Float64Array {
  const near = references
    .map(({ vector, label }) => {
      let cosine = 0;
      for (let d = 0; d < vector.length; d++) cosine += vector[d]! * query[d]!;
      return { label, cosine };
    })
    .sort((a, b) => b.cosine - a.cosine)
    .slice(0, k);
  const votes = new Float64Array(classes);
  const most = near[0]?.cosine ?? 0;
  for (const { label, cosine } of near) votes[label]! += Math.exp((cosine - most) / TEMPERATURE);
  const total = votes.reduce((sum, vote) => sum + vote, 0);
  return votes.map((vote) => vote / total);
}

const TEMPERATURE = 0.07;
