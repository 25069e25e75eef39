/** Principal axes of many cases, as far as a few of them go. */
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
 * directions and a Jacobi eigensolver in the subspace; the same for the same cases.
 */
export function principalAxes(rows: readonly Float64Array[], count: number): Principal {
  const dim = rows[0]?.length ?? 0;
  const random = new Random(1, dim);
  const size = Math.min(count + SPARE, dim);
  let basis = orthonormal(
    Array.from({ length: size }, () => Float64Array.from({ length: dim }, () => random.normal())),
  );
  for (let round = 0; round < ROUNDS; round++) basis = orthonormal(timesCovariance(rows, basis));
  const along = rows.map((row) => basis.map((axis) => dot(row, axis)));
  const gram = basis.map((_, a) =>
    Float64Array.from(basis, (_, b) => along.reduce((sum, row) => sum + row[a]! * row[b]!, 0) / rows.length),
  );
  const { values, vectors } = symmetricEigen(gram);
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
  const kept = order.filter((n) => values[n]! > 1e-10 * values[order[0]!]!).slice(0, count);
  return {
    axes: kept.map((n) => {
      const axis = new Float64Array(dim);
      basis.forEach((row, b) => {
        const share = vectors[b]![n]!;
        for (let d = 0; d < dim; d++) axis[d]! += share * row[d]!;
      });
      return axis;
    }),
    variances: Float64Array.from(kept, (n) => values[n]!),
  };
}

/** Xᵀ X basis, row by row. */
function timesCovariance(rows: readonly Float64Array[], basis: readonly Float64Array[]): Float64Array[] {
  const out = basis.map((axis) => new Float64Array(axis.length));
  for (const row of rows)
    basis.forEach((axis, b) => {
      const share = dot(row, axis);
      const sum = out[b]!;
      for (let d = 0; d < row.length; d++) sum[d]! += share * row[d]!;
    });
  return out;
}

/** Gram and Schmidt, twice, so that rounding leaves nothing; what depends on those before is dropped. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const out: Float64Array[] = [];
  for (const given of vectors) {
    const vector = given.slice();
    const before = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++)
      for (const other of out) {
        const share = dot(vector, other);
        for (let d = 0; d < vector.length; d++) vector[d]! -= share * other[d]!;
      }
    const length = Math.sqrt(dot(vector, vector));
    if (length > 1e-9 * before) out.push(vector.map((x) => x / length));
  }
  return out;
}

/** Jacobi's rotations; `vectors[i][n]` is component i of eigenvector n. */
export function symmetricEigen(matrix: readonly Float64Array[]): {
  values: Float64Array;
  vectors: Float64Array[];
} {
  const n = matrix.length;
  const a = matrix.map((row) => row.slice());
  const vectors = a.map((_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  const total = a.reduce((sum, row) => sum + dot(row, row), 0);
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += a[p]![q]! ** 2;
    if (off <= 1e-22 * total) break;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (a[p]![q]! ** 2 <= 1e-26 * total) continue;
        const theta = (a[q]![q]! - a[p]![p]!) / (2 * a[p]![q]!);
        const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        rotate(a, vectors, p, q, c, t * c);
      }
  }
  return { values: Float64Array.from(a, (row, i) => row[i]!), vectors };
}

function rotate(
  a: readonly Float64Array[],
  vectors: readonly Float64Array[],
  p: number,
  q: number,
  c: number,
  s: number,
): void {
  for (const row of a) {
    const [x, y] = [row[p]!, row[q]!];
    row[p] = c * x - s * y;
    row[q] = s * x + c * y;
  }
  const [up, uq] = [a[p]!, a[q]!];
  for (let k = 0; k < up.length; k++) {
    const [x, y] = [up[k]!, uq[k]!];
    up[k] = c * x - s * y;
    uq[k] = s * x + c * y;
  }
  for (const row of vectors) {
    const [x, y] = [row[p]!, row[q]!];
    row[p] = c * x - s * y;
    row[q] = s * x + c * y;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
