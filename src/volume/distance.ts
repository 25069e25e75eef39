/** Exact Euclidean distances on a voxel grid. */
import type { Vec3 } from './volume.js';

/**
 * Distance in mm of every voxel centre to the nearest voxel that is set in `mask`, by lower envelopes of parabolas
 * along each axis in turn (Felzenszwalb & Huttenlocher 2012). Infinity everywhere when nothing is set.
 *
 * @param mask [ni, nj, nk], i fastest; non-zero is set. @param spacingMm of voxel centres along i, j, k.
 */
export function distanceMm(mask: ArrayLike<number>, shape: Vec3, spacingMm: Vec3): Float64Array {
  const [ni, nj, nk] = shape;
  const squared = Float64Array.from({ length: ni * nj * nk }, (_, n) => (mask[n] ? 0 : Infinity));
  const longest = Math.max(ni, nj, nk);
  const work = {
    line: new Float64Array(longest),
    vertex: new Int32Array(longest),
    from: new Float64Array(longest + 1),
  };
  const strides = [1, ni, ni * nj] as const;
  for (const axis of [0, 1, 2] as const) {
    const [u, v] = ([0, 1, 2] as const).filter((other) => other !== axis) as [0 | 1 | 2, 0 | 1 | 2];
    for (let b = 0; b < shape[v]; b++)
      for (let a = 0; a < shape[u]; a++)
        along(squared, a * strides[u] + b * strides[v], strides[axis], shape[axis], spacingMm[axis], work);
  }
  return squared.map(Math.sqrt);
}

/** One line: the least of parabolas that stand on its samples. */
function along(
  squared: Float64Array,
  start: number,
  stride: number,
  length: number,
  step: number,
  { line, vertex, from }: { line: Float64Array; vertex: Int32Array; from: Float64Array },
): void {
  let last = -1;
  for (let q = 0; q < length; q++) {
    const height = squared[start + q * stride]!;
    line[q] = height;
    if (height === Infinity) continue;
    let meet = -Infinity;
    while (last >= 0) {
      const p = vertex[last]!;
      meet = (height - line[p]!) / (2 * step * step * (q - p)) + (q + p) / 2;
      if (meet > from[last]!) break;
      last--;
    }
    last++;
    vertex[last] = q;
    from[last] = last === 0 ? -Infinity : meet;
  }
  if (last < 0) return;
  let at = 0;
  for (let q = 0; q < length; q++) {
    while (at < last && from[at + 1]! < q) at++;
    const p = vertex[at]!;
    squared[start + q * stride] = (step * (q - p)) ** 2 + line[p]!;
  }
}
