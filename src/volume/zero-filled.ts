/** Finds regions that hold zeros instead of measurements: defaced heads, padded corners, slices that were lost. */
import { spacing } from './affine.js';
import type { Vec3, Volume } from './volume.js';

/** Fewer zeros than this are nothing: no image without them pays for the search. */
const LEAST_SHARE = 0.002;
const LEAST_MM3 = 1000;
const LEAST_VOXELS = 64;
/** Of the voxels on the faces of the image: where fewer differ from 0, its background was set to 0 as a whole. */
const LEAST_NOISY_BORDER = 0.2;
/** Of the dim voxels outside the regions: where more are 0, noise rounds to 0 by itself. */
const MOST_ZERO_NOISE = 0.1;
/** A slice with more than this share of values is no end of a stack that fades out. */
const FULL_SLICE = 0.05;

/**
 * The voxels that were filled with exact zeros: 1 in a byte a voxel, in the order of `data`; null where there are none.
 * Scanners store noise where they measured air, so that a solid block of zeros in an image with noise elsewhere was
 * written by software. It errs on the side of measured:
 *
 * - a region consists of blocks of 3×3×3 zeros (3×3 in a single slice) and the zeros that touch them, of at least 1 cm³;
 * - at least a fifth of the voxels on the faces of the image differ from 0: else the background was masked as a whole, as
 *   scanners and brain extraction do, and nothing says what was lost;
 * - at most a tenth of the dim voxels elsewhere (up to 10 % of the 99th percentile) are 0: else air rounds to 0.
 *
 * An all-zero slice between two that are not is filled in any image.
 */
export function zeroFilledMask(volume: Volume): Uint8Array | null {
  const { data, valid, shape } = volume;
  let zeros = 0;
  let measured = data.length;
  if (valid === null) for (let n = 0; n < data.length; n++) zeros += data[n] === 0 ? 1 : 0;
  else
    for (let n = 0; n < data.length; n++) {
      if (valid[n] === 0) measured--;
      else if (data[n] === 0) zeros++;
    }
  if (zeros < LEAST_SHARE * measured || zeros === measured) return null;
  const zero = new Uint8Array(data.length);
  for (let n = 0; n < data.length; n++) if (data[n] === 0 && valid?.[n] !== 0) zero[n] = 1;
  const regions = isNoisyAtBorder(zero, shape) ? solidRegions(volume, zero) : null;
  const mask = regions ?? new Uint8Array(data.length);
  const slices = lostSlices(zero, shape);
  const area = shape[0] * shape[1];
  for (const k of slices) {
    for (let n = k * area; n < (k + 1) * area; n++) if (zero[n] === 1) mask[n] = 1;
  }
  return regions === null && slices.length === 0 ? null : mask;
}

function isNoisyAtBorder(zero: Uint8Array, [ni, nj, nk]: Vec3): boolean {
  let all = 0;
  let zeros = 0;
  for (let k = 0; k < nk; k++) {
    for (let j = 0; j < nj; j++) {
      // Rows at the top and the bottom whole, of the others both ends.
      const step = j === 0 || j === nj - 1 ? 1 : Math.max(1, ni - 1);
      for (let i = 0; i < ni; i += step) {
        all++;
        zeros += zero[i + ni * (j + nj * k)]!;
      }
    }
  }
  return all - zeros >= LEAST_NOISY_BORDER * all;
}

function solidRegions(volume: Volume, zero: Uint8Array): Uint8Array | null {
  const { data, shape, affine } = volume;
  const core = zero.slice();
  for (const axis of [0, 1, 2] as const) spread(core, shape, axis, 0);
  if (!core.includes(1)) return null;
  const mask = core;
  for (const axis of [0, 1, 2] as const) spread(mask, shape, axis, 1);
  let size = 0;
  for (let n = 0; n < mask.length; n++) size += mask[n]! &= zero[n]!;
  const voxel = spacing(affine).reduce((product, mm) => product * mm, 1);
  if (size < LEAST_VOXELS || size * voxel < LEAST_MM3) return null;

  const dim = 0.1 * highest(volume, zero);
  let dims = 0;
  let lone = 0;
  for (let n = 0; n < data.length; n++) {
    if (mask[n] === 1 || Math.abs(data[n]!) > dim) continue;
    if (volume.valid !== null && volume.valid[n] === 0) continue;
    dims++;
    lone += zero[n]!;
  }
  return lone > MOST_ZERO_NOISE * dims ? null : mask;
}

/** The 99th percentile of what is not 0, of every n-th voxel so that a hundred thousand are looked at. */
function highest({ data, valid }: Volume, zero: Uint8Array): number {
  const step = Math.max(1, Math.floor(data.length / 1e5));
  const values: number[] = [];
  for (let n = 0; n < data.length; n += step)
    if (zero[n] === 0 && (valid === null || valid[n] === 1)) values.push(Math.abs(data[n]!));
  values.sort((a, b) => a - b);
  return values[Math.floor(0.99 * values.length)] ?? 0;
}

/** Gives `value` to the neighbours along an axis of voxels that have it. Outside the image nothing has a value. */
function spread(voxels: Uint8Array, shape: Vec3, axis: 0 | 1 | 2, value: 0 | 1): void {
  const stride = axis === 0 ? 1 : axis === 1 ? shape[0] : shape[0] * shape[1];
  const length = shape[axis];
  const other = 1 - value;
  // Rows of voxels that are side by side in memory advance together.
  const before = new Uint8Array(stride);
  for (let first = 0; first < voxels.length; first += stride * length) {
    before.fill(other);
    for (let n = 0, row = first; n < length; n++, row += stride) {
      const isLast = n + 1 === length;
      for (let i = 0; i < stride; i++) {
        const at = row + i;
        const here = voxels[at]!;
        if (before[i] === value || (!isLast && voxels[at + stride] === value)) voxels[at] = value;
        before[i] = here;
      }
    }
  }
}

/** All-zero slices along k between two full ones. */
function lostSlices(zero: Uint8Array, [ni, nj, nk]: Vec3): number[] {
  const area = ni * nj;
  const share = Array.from({ length: nk }, (_, k) => {
    let zeros = 0;
    for (let n = k * area; n < (k + 1) * area; n++) zeros += zero[n]!;
    return 1 - zeros / area;
  });
  const full = share.map((values) => values > FULL_SLICE);
  return share.flatMap((values, k) =>
    values === 0 && full.slice(0, k).includes(true) && full.slice(k + 1).includes(true) ? [k] : [],
  );
}
