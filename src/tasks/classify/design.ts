/** The inner loops of the linear probe: features laid out for them, the loss, and an estimate of its curvature. */

/** Cases that a pass of the loss takes at a time. */
const BLOCK = 4;

export interface Design {
  /** [cases, width] row by row, padded with cases of no weight; the last column is 1, for the bias. */
  readonly x: Float64Array;
  readonly cases: number;
  readonly width: number;
  /** [cases] summing to 1. */
  readonly share: Float64Array;
  /** [width, width] Σ share x xᵀ, the lower half. */
  readonly gram: Float64Array;
  /** Weights (without bias) of the columns as weights of the features. */
  readonly back: (weights: Float64Array) => Float64Array;
}

/**
 * Lays out features. With fewer cases than features they are turned into the cases' span first: a penalised fit has no
 * weight outside of it, and in it lengths and angles are as before, so that the fit is the same (the representer theorem).
 * @param features standardised, [dim] a case. @param weights of the cases; alike unless given.
 */
export function designOf(features: readonly Float64Array[], weights?: ArrayLike<number>): Design {
  const count = features.length;
  const { columns, back } = spanOf(features);
  const width = (columns[0]?.length ?? 0) + 1;
  const cases = Math.ceil(count / BLOCK) * BLOCK;
  const x = new Float64Array(cases * width);
  const share = new Float64Array(cases);
  let total = 0;
  for (let n = 0; n < count; n++) total += weights?.[n] ?? 1;
  columns.forEach((row, n) => {
    x.set(row, n * width);
    x[(n + 1) * width - 1] = 1;
    share[n] = (weights?.[n] ?? 1) / total;
  });
  return { x, cases, width, share, gram: gramOf(x, cases, width, share), back };
}

function spanOf(features: readonly Float64Array[]): {
  columns: readonly Float64Array[];
  back: (weights: Float64Array) => Float64Array;
} {
  const [count, dim] = [features.length, features[0]?.length ?? 0];
  if (count >= dim) return { columns: features, back: (weights) => weights };
  // Pivoted Cholesky of the cases' inner products: features = columns · Q with orthonormal rows of Q.
  const left = Float64Array.from(features, (row) => dot(row, row));
  const enough = 1e-12 * Math.max(...left);
  const columns = features.map(() => new Float64Array(count));
  const pivots: number[] = [];
  while (pivots.length < count) {
    const pivot = left.indexOf(Math.max(...left));
    if (!(left[pivot]! > enough)) break;
    const rank = pivots.length;
    const root = Math.sqrt(left[pivot]!);
    const own = columns[pivot]!;
    for (let n = 0; n < count; n++) {
      // Cases that were pivots lie in the span already.
      if (left[n] === -1) continue;
      const row = columns[n]!;
      let value = dot(features[n]!, features[pivot]!);
      for (let r = 0; r < rank; r++) value -= row[r]! * own[r]!;
      if (n !== pivot) row[rank] = value / root;
      left[n]! -= n === pivot ? 0 : row[rank]! ** 2;
      if (n !== pivot) left[n] = Math.max(0, left[n]!);
    }
    own[rank] = root;
    left[pivot] = -1;
    pivots.push(pivot);
  }
  const rank = pivots.length;
  return {
    columns: columns.map((row) => row.subarray(0, rank)),
    back: (weights) => {
      // Qᵀ weights, where the pivots' features are (lower triangle) · Q.
      const solved = weights.slice();
      const out = new Float64Array(dim);
      for (let r = rank - 1; r >= 0; r--) {
        const row = columns[pivots[r]!]!;
        solved[r]! /= row[r]!;
        for (let c = 0; c < r; c++) solved[c]! -= row[c]! * solved[r]!;
        const feature = features[pivots[r]!]!;
        for (let d = 0; d < dim; d++) out[d]! += solved[r]! * feature[d]!;
      }
      return out;
    },
  };
}

function gramOf(x: Float64Array, cases: number, width: number, share: Float64Array): Float64Array {
  const gram = new Float64Array(width * width);
  for (let n = 0; n < cases; n += BLOCK) {
    const [a, b, c, d] = [n * width, (n + 1) * width, (n + 2) * width, (n + 3) * width];
    for (let i = 0; i < width; i++) {
      const [xa, xb] = [share[n]! * x[a + i]!, share[n + 1]! * x[b + i]!];
      const [xc, xd] = [share[n + 2]! * x[c + i]!, share[n + 3]! * x[d + i]!];
      for (let j = 0, at = i * width; j <= i; j++)
        gram[at + j]! += xa * x[a + j]! + xb * x[b + j]! + xc * x[c + j]! + xd * x[d + j]!;
    }
  }
  return gram;
}

/**
 * Mean cross-entropy with `l2` / 2 |weights|² as a function of [rows, width] parameters, the bias last in each row; rows is
 * the number of classes, or 1 for two of them.
 */
export function lossOver(
  { x, cases, width, share }: Design,
  labels: ArrayLike<number>,
  rows: number,
  l2: number,
): (params: Float64Array, gradient: Float64Array) => number {
  const logits = Array.from({ length: BLOCK }, () => new Float64Array(rows));
  return (params, gradient) => {
    let loss = 0;
    gradient.fill(0);
    for (let n = 0; n < cases; n += BLOCK) {
      blockLogits(x, n * width, params, width, logits);
      for (let b = 0; b < BLOCK; b++) {
        const row = logits[b]!;
        const weight = share[n + b]!;
        if (weight > 0) loss += weight * lossOf(row, labels[n + b]!);
        for (let r = 0; r < rows; r++) row[r] = weight > 0 ? row[r]! * weight : 0;
      }
      const [la, lb, lc, ld] = logits as [Float64Array, Float64Array, Float64Array, Float64Array];
      for (let r = 0; r < rows; r++) {
        const [ga, gb, gc, gd] = [la[r]!, lb[r]!, lc[r]!, ld[r]!];
        let [a, b, c, d] = [n * width, (n + 1) * width, (n + 2) * width, (n + 3) * width];
        for (let g = r * width, end = g + width; g < end; g++)
          gradient[g]! += ga * x[a++]! + gb * x[b++]! + gc * x[c++]! + gd * x[d++]!;
      }
    }
    for (let r = 0; r < rows; r++)
      for (let w = r * width, end = w + width - 1; w < end; w++) {
        loss += (l2 / 2) * params[w]! ** 2;
        gradient[w]! += l2 * params[w]!;
      }
    return loss;
  };
}

/** Logits of {@link BLOCK} cases whose features start at `at`. */
function blockLogits(
  x: Float64Array,
  at: number,
  params: Float64Array,
  width: number,
  logits: readonly Float64Array[],
): void {
  const rows = logits[0]!.length;
  for (let r = 0; r < rows; r++) {
    let [za, zb, zc, zd] = [0, 0, 0, 0];
    let [a, b, c, d] = [at, at + width, at + 2 * width, at + 3 * width];
    for (let w = r * width, end = w + width; w < end; w++) {
      const weight = params[w]!;
      za += weight * x[a++]!;
      zb += weight * x[b++]!;
      zc += weight * x[c++]!;
      zd += weight * x[d++]!;
    }
    logits[0]![r] = za;
    logits[1]![r] = zb;
    logits[2]![r] = zc;
    logits[3]![r] = zd;
  }
}

/** Cross-entropy of one case; its gradient replaces the logits. */
function lossOf(logits: Float64Array, label: number): number {
  if (logits.length === 1) {
    const z = logits[0]!;
    const target = label === 1 ? 1 : 0;
    logits[0] = 1 / (1 + Math.exp(-z)) - target;
    return Math.max(z, 0) - z * target + Math.log1p(Math.exp(-Math.abs(z)));
  }
  let most = -Infinity;
  for (const z of logits) most = Math.max(most, z);
  const own = logits[label]! - most;
  let sum = 0;
  for (let r = 0; r < logits.length; r++) sum += logits[r] = Math.exp(logits[r]! - most);
  for (let r = 0; r < logits.length; r++) logits[r]! /= sum;
  logits[label]! -= 1;
  return Math.log(sum) - own;
}

/** Mean over cases and classes of p (1 - p): how curved the loss is at `params`. */
export function curvatureAt({ x, cases, width, share }: Design, rows: number, params: Float64Array): number {
  const logits = Array.from({ length: BLOCK }, () => new Float64Array(rows));
  let curvature = 0;
  for (let n = 0; n < cases; n += BLOCK) {
    blockLogits(x, n * width, params, width, logits);
    logits.forEach((row, b) => {
      if (share[n + b] === 0) return;
      lossOf(row, -1 % rows || 0);
      row[0]! += rows === 1 ? 0 : 1;
      for (const p of row) curvature += (share[n + b]! * p * (1 - p)) / rows;
    });
  }
  return curvature;
}

/** The Cholesky factor of curvature · gram + l2, row by row; the bias has no penalty. */
export function regularised({ gram, width }: Design, l2: number, curvature: number): Float64Array {
  const lower = new Float64Array(width * width);
  // A loss that is flat where the fit starts still has a shape.
  const weight = Math.max(curvature, 1e-6);
  for (let i = 0; i < width; i++)
    for (let j = 0; j <= i; j++) {
      const [a, b] = [i * width, j * width];
      let sum = weight * gram[a + j]! + (i === j ? (i === width - 1 ? 1e-12 : l2 + 1e-12) : 0);
      for (let k = 0; k < j; k++) sum -= lower[a + k]! * lower[b + k]!;
      lower[a + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / lower[b + j]!;
    }
  return lower;
}

/** Solves L Lᵀ q = q in place, for L from {@link regularised}. */
export function solveCholesky(lower: Float64Array, width: number, q: Float64Array): void {
  for (let i = 0; i < width; i++) {
    let sum = q[i]!;
    for (let k = 0, at = i * width; k < i; k++) sum -= lower[at + k]! * q[k]!;
    q[i] = sum / lower[i * width + i]!;
  }
  for (let i = width - 1; i >= 0; i--) {
    const value = q[i]! / lower[i * width + i]!;
    q[i] = value;
    for (let k = 0, at = i * width; k < i; k++) q[k]! -= lower[at + k]! * value;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
