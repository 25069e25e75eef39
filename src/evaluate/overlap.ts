/** How well a segmentation agrees with the truth: overlap, and distances between surfaces. */
import { distanceMm } from '../volume/distance.js';
import type { Vec3 } from '../volume/volume.js';
import { EvaluateError } from './error.js';
import { quantile } from './intervals.js';

/** Two binary masks on one grid of [ni, nj, nk] voxels, i fastest; non-zero is inside. */
export interface MaskPair {
  readonly truth: ArrayLike<number>;
  readonly predicted: ArrayLike<number>;
  readonly shape: Vec3;
  readonly spacingMm: Vec3;
}

/** Dice (1945): 2 |A and B| / (|A| + |B|); NaN where both are empty, which says nothing about a model. */
export function dice({ truth, predicted }: Pick<MaskPair, 'truth' | 'predicted'>): number {
  if (truth.length !== predicted.length)
    throw new EvaluateError(
      `Dice: both masks must be on one grid, got ${truth.length} and ${predicted.length} voxels; resample one first`,
    );
  let [both, total] = [0, 0];
  for (let n = 0; n < truth.length; n++) {
    const [a, b] = [truth[n] ? 1 : 0, predicted[n] ? 1 : 0];
    both += a & b;
    total += a + b;
  }
  return (2 * both) / total;
}

/**
 * Both masks cut to the box around what either has set; of nothing, where both are empty. No distance between them
 * changes, and a small structure in a large image is measured in little time.
 * @throws EvaluateError when a mask is not of the shape said.
 */
export function cropped({ truth, predicted, shape, spacingMm }: MaskPair): MaskPair {
  const [ni, nj, nk] = shape;
  if (truth.length !== ni * nj * nk || predicted.length !== ni * nj * nk)
    throw new EvaluateError(
      `surface distance: both masks must have ${shape.join('×')} voxels, got ${truth.length} and ${predicted.length}`,
    );
  const [low, high] = [[...shape], [-1, -1, -1]];
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        if (!truth[n] && !predicted[n]) continue;
        [i, j, k].forEach((at, d) => {
          low[d] = Math.min(low[d]!, at);
          high[d] = Math.max(high[d]!, at);
        });
      }
  const size = high.map((to, d) => Math.max(0, to - low[d]! + 1)) as unknown as Vec3;
  const cut = (mask: ArrayLike<number>): Uint8Array => {
    const out = new Uint8Array(size[0] * size[1] * size[2]);
    for (let k = 0, n = 0; k < size[2]; k++)
      for (let j = 0; j < size[1]; j++)
        for (let i = 0; i < size[0]; i++, n++)
          out[n] = mask[i + low[0]! + ni * (j + low[1]! + nj * (k + low[2]!))] ? 1 : 0;
    return out;
  };
  return { truth: cut(truth), predicted: cut(predicted), shape: size, spacingMm };
}

export interface SurfaceDistances {
  /** From every surface voxel of the truth to the nearest of the prediction, in mm. */
  readonly toPredicted: Float64Array;
  /** From every surface voxel of the prediction to the nearest of the truth. */
  readonly toTruth: Float64Array;
}

/**
 * Distances between the surfaces. A surface voxel is one inside that shares a face with one outside or with the edge
 * of the image. With one mask empty, distances to it are Infinity.
 */
export function surfaceDistances(pair: MaskPair): SurfaceDistances {
  const { truth, predicted, shape, spacingMm } = cropped(pair);
  const [a, b] = [surface(truth, shape), surface(predicted, shape)];
  const from = (here: Uint8Array, there: Uint8Array): Float64Array => {
    const distances = distanceMm(there, shape, spacingMm);
    return distances.filter((_, n) => here[n] === 1);
  };
  return { toPredicted: from(a, b), toTruth: from(b, a) };
}

/**
 * The larger of the two directions' 95th percentiles of surface distance, in mm. NaN where both masks are empty,
 * Infinity where one is.
 */
export function hausdorff95({ toPredicted, toTruth }: SurfaceDistances): number {
  if (toPredicted.length === 0 && toTruth.length === 0) return NaN;
  if (toPredicted.length === 0 || toTruth.length === 0) return Infinity;
  return Math.max(...[toPredicted, toTruth].map((distances) => quantile(distances.toSorted(), 0.95)));
}

/**
 * Normalised surface distance as MONAI counts it: the share of both surfaces' voxels, each counting as one, that lie
 * within `toleranceMm` of the other. NaN where both masks are empty, 0 where one is. What reports call `nsd` weighs
 * surfaces by their area instead: surfels.ts.
 */
export function normalisedSurfaceDistance(
  { toPredicted, toTruth }: SurfaceDistances,
  toleranceMm: number,
): number {
  const within = (distances: Float64Array): number => distances.filter((mm) => mm <= toleranceMm).length;
  return (within(toPredicted) + within(toTruth)) / (toPredicted.length + toTruth.length);
}

function surface(mask: ArrayLike<number>, [ni, nj, nk]: Vec3): Uint8Array {
  const out = new Uint8Array(ni * nj * nk);
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        if (!mask[n]) continue;
        const inside =
          i > 0 &&
          i < ni - 1 &&
          j > 0 &&
          j < nj - 1 &&
          k > 0 &&
          k < nk - 1 &&
          mask[n - 1] &&
          mask[n + 1] &&
          mask[n - ni] &&
          mask[n + ni] &&
          mask[n - ni * nj] &&
          mask[n + ni * nj];
        out[n] = inside ? 0 : 1;
      }
  return out;
}

/**
 * Dice of every label of two maps of label numbers, from one pass over them; NaN for a label that neither has.
 * @param labels how many there are, 0 among them.
 */
export function diceByLabel(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  labels: number,
): Float64Array {
  if (truth.length !== predicted.length)
    throw new EvaluateError(
      `Dice: both maps must be on one grid, got ${truth.length} and ${predicted.length} voxels; resample one first`,
    );
  const both = new Float64Array(labels);
  const total = new Float64Array(labels);
  for (let n = 0; n < truth.length; n++) {
    const [a, b] = [truth[n]!, predicted[n]!];
    total[a]!++;
    total[b]!++;
    if (a === b) both[a]!++;
  }
  return both.map((n, l) => (2 * n) / total[l]!);
}
