/** Ridge regression on frozen features, for numbers such as age. */
import { TaskError } from '../error.js';
import { standardisation } from './logistic.js';

export interface RidgeModel {
  readonly mean: Float64Array;
  readonly scale: Float64Array;
  /** [dim] on standardised features. */
  readonly weights: Float64Array;
  /** The mean of the targets. */
  readonly bias: number;
}

/**
 * Least squares with `l2` · cases · |weights|² on standardised features (scikit-learn's alpha is l2 · cases), in closed
 * form over cases or features, whichever are fewer (Hoerl & Kennard 1970).
 */
export function fitRidge(
  features: readonly ArrayLike<number>[],
  targets: ArrayLike<number>,
  l2: number,
): RidgeModel {
  const count = features.length;
  if (count < 2) throw new TaskError(`fit: there must be at least two cases, got ${count}`);
  const { mean, scale } = standardisation(features);
  const dim = mean.length;
  const x = features.map((row) => Float64Array.from(mean, (m, d) => (row[d]! - m) * scale[d]!));
  const bias = Array.from(targets).reduce((sum, target) => sum + target, 0) / count;
  const y = Float64Array.from(targets, (target) => target - bias);
  const weights = new Float64Array(dim);
  if (dim <= count) {
    const columns = Array.from({ length: dim }, (_, d) => x.map((row) => row[d]!));
    const solved = solveRegularised(
      columns,
      columns.map((column) => dot(column, y)),
      l2 * count,
    );
    weights.set(solved);
  } else {
    const alpha = solveRegularised(x, y, l2 * count);
    x.forEach((row, n) => row.forEach((value, d) => (weights[d]! += alpha[n]! * value)));
  }
  return { mean, scale, weights, bias };
}

export function predictRidge(
  { mean, scale, weights, bias }: RidgeModel,
  features: ArrayLike<number>,
): number {
  let sum = bias;
  for (let d = 0; d < weights.length; d++) sum += weights[d]! * (features[d]! - mean[d]!) * scale[d]!;
  return sum;
}

/** Solves (V Vᵀ + ridge I) a = b for the rows v of V, by Cholesky. */
function solveRegularised(
  rows: readonly ArrayLike<number>[],
  b: ArrayLike<number>,
  ridge: number,
): Float64Array {
  const n = rows.length;
  const lower = Array.from({ length: n }, () => new Float64Array(n));
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = dot(rows[i]!, rows[j]!) + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= lower[i]![k]! * lower[j]![k]!;
      if (i === j && !(sum > 0))
        throw new TaskError(
          'fit: the features must not depend on each other exactly; raise the regularisation',
        );
      lower[i]![j] = i === j ? Math.sqrt(sum) : sum / lower[j]![j]!;
    }
  const out = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) out[i]! -= lower[i]![k]! * out[k]!;
    out[i]! /= lower[i]![i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) out[i]! -= lower[k]![i]! * out[k]!;
    out[i]! /= lower[i]![i]!;
  }
  return out;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
