/** What a scanner might have done differently, done to an image that is already there. */
import type { Random } from '../volume/random.js';
import type { IntensityStats } from '../volume/intensity.js';
import { sampleBlock, type Pyramid } from '../volume/sampling.js';
import type { Placed, TokenSet } from '../volume/tokens.js';
import type { Augmentation } from './views.js';

/** An axis of the array: i, j or k. */
export type Axis = 0 | 1 | 2;

/** Distance of voxel centres along an axis of a pyramid's grid, mm. */
function spacingOf({ toVoxel: m }: Pyramid, axis: Axis): number {
  // A step along one axis is a column of the inverse; for a rigid grid its length is that of the row, turned over.
  return 1 / Math.hypot(m[axis * 4]!, m[axis * 4 + 1]!, m[axis * 4 + 2]!);
}

/**
 * The same image in slices `thicknessMm` thick along an axis: means over whole voxels, which are then read by linear
 * interpolation like any slice. What has not been measured takes no part. Slices that are already as thick stay.
 */
export function thickSlices(pyramid: Pyramid, axis: Axis, thicknessMm: number): Pyramid {
  const factor = Math.min(pyramid.shape[axis], Math.round(thicknessMm / spacingOf(pyramid, axis)));
  if (factor < 2) return pyramid;
  const from = pyramid.shape;
  const shape = [...from] as [number, number, number];
  shape[axis] = Math.ceil(from[axis] / factor);
  const values = new Float32Array(shape[0] * shape[1] * shape[2]);
  const weight = new Float32Array(values.length);
  const stride = [1, shape[0], shape[0] * shape[1]];
  let n = 0;
  for (let k = 0; k < from[2]; k++)
    for (let j = 0; j < from[1]; j++)
      for (let i = 0; i < from[0]; i++, n++) {
        const at = [i, j, k];
        at[axis] = Math.floor(at[axis]! / factor);
        const to = at[0]! * stride[0]! + at[1]! * stride[1]! + at[2]! * stride[2]!;
        const w = pyramid.weight ? pyramid.weight[n]! : 1;
        values[to]! += w * pyramid.values[n]!;
        weight[to]! += w;
      }
  let partial = false;
  for (let t = 0; t < values.length; t++) {
    if (weight[t]! > 0) values[t]! /= weight[t]!;
    weight[t]! /= factor;
    if (weight[t]! < 1) partial = true;
  }
  const toVoxel = Float64Array.from(pyramid.toVoxel);
  for (let c = 0; c < 4; c++) toVoxel[axis * 4 + c]! /= factor;
  // The centre of the first slice is that of its first `factor` voxels.
  toVoxel[axis * 4 + 3]! -= (factor - 1) / (2 * factor);
  return { values, weight: partial ? weight : null, shape, toVoxel };
}

export interface Ghost {
  /** The phase-encoding axis. */
  readonly axis: Axis;
  /** The ghosts lie a `parts`-th of the field of view away, on both sides. */
  readonly parts: number;
  /** Their share of the signal. */
  readonly strength: number;
}

/** How far the copies lie from what they show, RAS+ mm. */
export function ghostShift(
  { affine, shape }: Placed['volume'],
  { axis, parts }: Pick<Ghost, 'axis' | 'parts'>,
): [number, number, number] {
  const along = (row: 0 | 1 | 2): number => (affine[row][axis] * shape[axis]) / parts;
  return [along(0), along(1), along(2)];
}

/**
 * Adds the ghosts of periodic motion: copies of the image shifted along the phase-encoding axis (Haacke & Patrick
 * 1986), here their mean magnitude on top. Beyond the field of view there is nothing to be copied. What lies a shift
 * before and a shift after the view is read from one pyramid each.
 */
export function addGhost(
  view: TokenSet,
  image: Placed,
  pyramids: readonly [before: Pyramid, after: Pyramid],
  ghost: Ghost,
): void {
  const shift = ghostShift(image.volume, ghost);
  const size = view.samples ** 3;
  const step = view.patchMm / view.samples;
  const first = step / 2 - view.patchMm / 2;
  const copy = new Float32Array(size);
  const seen = new Uint8Array(size);
  const { low, high } = image.stats;
  // A sample is 2 (v - low) / (high - low) - 1.
  const scale = ghost.strength / (high - low);
  for (let t = 0; t < view.count; t++)
    for (const side of [-1, 1]) {
      const at = (d: 0 | 1 | 2): number => view.positions[t * 3 + d]! + first + side * shift[d];
      const pyramid = pyramids[side < 0 ? 0 : 1];
      sampleBlock(pyramid, at(0), at(1), at(2), step, view.samples, copy, seen, 0);
      for (let s = 0; s < size; s++)
        if (seen[s] === 1 && view.measured[t * size + s] === 1)
          view.patches[t * size + s]! += scale * copy[s]!;
    }
}

/** Above this many standard deviations Rician noise is Gaussian to a percent (Gudbjartsson & Patz 1995). */
const GAUSSIAN_FROM = 5;

/**
 * Bias field, gamma, inversion and Rician noise, on measured samples only. Signal is counted from the image's zero:
 * where the 5th percentile lies above it, gain and noise act on what is below as well.
 */
export function alterIntensity(
  view: TokenSet,
  { low, high }: Pick<IntensityStats, 'low' | 'high'>,
  augmentation: Augmentation,
  random: Random,
): void {
  const gamma = Math.exp(random.uniform(-augmentation.gamma, augmentation.gamma));
  const inverted = random.chance(augmentation.inversion);
  const b = augmentation.bias / 100;
  const slope = [random.uniform(-b, b), random.uniform(-b, b), random.uniform(-b, b)];
  const sigma = random.uniform(0, augmentation.noise) / 2;
  const zero = Math.max(0, low / (high - low));
  const size = view.samples ** 3;
  const mean = [0, 0, 0];
  for (let n = 0; n < view.count; n++)
    for (let d = 0; d < 3; d++) mean[d]! += view.positions[n * 3 + d]! / view.count;
  for (let n = 0; n < view.count; n++) {
    let gain = 1;
    for (let d = 0; d < 3; d++) gain += slope[d]! * (view.positions[n * 3 + d]! - mean[d]!);
    gain = Math.min(1.8, Math.max(0.4, gain));
    for (let s = n * size; s < (n + 1) * size; s++) {
      if (view.measured[s] === 0) continue;
      // 0 to 1 between the percentiles; gamma acts there, what lies beyond stays in order.
      let u = ((view.patches[s]! + 1) / 2 + zero) * gain - zero;
      if (u > 0 && u < 1) u = u ** gamma;
      if (inverted) u = 1 - u;
      if (sigma > 0) u = noisy(u + zero, sigma, random) - zero;
      view.patches[s] = 2 * u - 1;
    }
  }
}

/** Magnitude of a signal with noise of `sigma` in its real and imaginary part (Rician). */
export function noisy(signal: number, sigma: number, random: Random): number {
  const real = signal + sigma * random.normal();
  return signal > GAUSSIAN_FROM * sigma ? real : Math.hypot(real, sigma * random.normal());
}
