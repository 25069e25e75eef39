/** Principal axes of many cases, as far as a few of them go. */
import { EigenvalueDecomposition, Matrix, QrDecomposition } from 'ml-matrix';
import { Random } from '../../volume/random.js';

export interface Principal {
  /** Unit vectors [dim], of the largest variance first. */
  readonly axes: readonly Float64Array[];
  /** Of the cases along each axis. */
  readonly variances: Float64Array;
}

/** Axes carried along beyond the wanted ones, and rounds of the iteration (Halko, Martinsson & Tropp 2011). */
const SPARE = 8;
const ROUNDS = 3;

/**
 * The first `count` principal axes of centred cases (fewer where they span less), by subspace iteration from random
 * directions; the same for the same cases.
 */
export function principalAxes(rows: readonly Float64Array[], count: number): Principal {
  const dim = rows[0]?.length ?? 0;
  const size = Math.min(count + SPARE, dim);
  if (size === 0) return { axes: [], variances: new Float64Array(0) };
  const random = new Random(1, dim);
  const cases = new Matrix(rows);
  const back = cases.transpose();
  let basis = orthonormal(
    new Matrix(Array.from({ length: dim }, () => Array.from({ length: size }, () => random.normal()))),
  );
  for (let round = 0; round < ROUNDS; round++) basis = orthonormal(back.mmul(cases.mmul(basis)));
  const along = cases.mmul(basis);
  const covariance = along.transpose().mmul(along).div(rows.length);
  const { realEigenvalues: values, eigenvectorMatrix } = new EigenvalueDecomposition(covariance, {
    assumeSymmetric: true,
  });
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
  const kept = order.filter((n) => values[n]! > 1e-10 * values[order[0]!]!).slice(0, count);
  const axes = basis.mmul(eigenvectorMatrix);
  return {
    axes: kept.map((n) => Float64Array.from(axes.getColumn(n))),
    variances: Float64Array.from(kept, (n) => values[n]!),
  };
}

const orthonormal = (matrix: Matrix): Matrix => new QrDecomposition(matrix).orthogonalMatrix;
