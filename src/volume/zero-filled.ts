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
  const { zeros, measured } = countZeros(volume);
  if (zeros < LEAST_SHARE * measured || zeros === measured) return null;
  const zero = zerosOf(volume);
  const regions = isNoisyAtBorder(zero) ? solidRegions(volume, zero) : null;
  const slices = lostSlices(zero);
  if (regions === null && slices.length === 0) return null;
  const filled = regions ?? new Bits(volume.shape);
  const { perSlice } = zero;
  for (const k of slices)
    for (let at = k * perSlice; at < (k + 1) * perSlice; at++) filled.words[at]! |= zero.words[at]!;
  return filled.toBytes();
}

/** A bit a voxel: rows along i are whole words of 32 bits, so that 32 voxels are compared at a time. */
class Bits {
  readonly words: Int32Array;
  /** Words of a row and of a slice. */
  readonly perRow: number;
  readonly perSlice: number;
  /** Bits of the last word of a row that are voxels. */
  readonly last: number;

  constructor(
    readonly shape: Vec3,
    words?: Int32Array,
  ) {
    const [ni, nj, nk] = shape;
    this.perRow = Math.ceil(ni / 32);
    this.perSlice = this.perRow * nj;
    this.words = words ?? new Int32Array(this.perSlice * nk);
    this.last = ni % 32 === 0 ? -1 : (1 << (ni % 32)) - 1;
  }

  copy(): Bits {
    return new Bits(this.shape, this.words.slice());
  }

  /** Bits that are set, from word `from` up to but without `to`. */
  count(from = 0, to = this.words.length): number {
    let sum = 0;
    for (let at = from; at < to; at++) sum += ones(this.words[at]!);
    return sum;
  }

  /** `row` counts through all slices. */
  has(i: number, row: number): boolean {
    return ((this.words[row * this.perRow + (i >>> 5)]! >>> (i & 31)) & 1) === 1;
  }

  /** A byte a voxel. */
  toBytes(): Uint8Array {
    const [ni, nj, nk] = this.shape;
    const bytes = new Uint8Array(ni * nj * nk);
    for (let row = 0, n = 0; row < nj * nk; row++)
      for (let i = 0; i < ni; i += 32) {
        const word = this.words[row * this.perRow + (i >>> 5)]!;
        const end = n + Math.min(32, ni - i);
        if (word === -1) bytes.fill(1, n, end);
        else if (word !== 0) for (let bit = 0; n + bit < end; bit++) bytes[n + bit] = (word >>> bit) & 1;
        n = end;
      }
    return bytes;
  }
}

/** Bits that are set in a word of 32. */
function ones(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function countZeros({ data, valid }: Volume): { zeros: number; measured: number } {
  let zeros = 0;
  let measured = data.length;
  if (valid === null) for (let n = 0; n < data.length; n++) zeros += data[n] === 0 ? 1 : 0;
  else
    for (let n = 0; n < data.length; n++) {
      if (valid[n] === 0) measured--;
      else if (data[n] === 0) zeros++;
    }
  return { zeros, measured };
}

/** The measured voxels that are 0. */
function zerosOf({ data, valid, shape }: Volume): Bits {
  const zero = new Bits(shape);
  const [ni, nj, nk] = shape;
  for (let row = 0, n = 0, at = 0; row < nj * nk; row++)
    for (let i = 0; i < ni; i += 32) {
      const end = Math.min(32, ni - i);
      let word = 0;
      for (let bit = 0; bit < end; bit++, n++) if (data[n] === 0 && valid?.[n] !== 0) word |= 1 << bit;
      zero.words[at++] = word;
    }
  return zero;
}

function isNoisyAtBorder(zero: Bits): boolean {
  const [ni, nj, nk] = zero.shape;
  let all = 0;
  let zeros = 0;
  for (let row = 0; row < nj * nk; row++) {
    const j = row % nj;
    // Rows at the top and the bottom whole, of the others both ends.
    const step = j === 0 || j === nj - 1 ? 1 : Math.max(1, ni - 1);
    for (let i = 0; i < ni; i += step) {
      all++;
      if (zero.has(i, row)) zeros++;
    }
  }
  return all - zeros >= LEAST_NOISY_BORDER * all;
}

function solidRegions({ data, valid, shape, affine }: Volume, zero: Bits): Bits | null {
  const mask = zero.copy();
  const { words, perRow, perSlice } = mask;
  erodeRows(mask);
  spread(words, perRow, shape[1], true);
  spread(words, perSlice, shape[2], true);
  if (mask.count() === 0) return null;
  dilateRows(mask);
  spread(words, perRow, shape[1], false);
  spread(words, perSlice, shape[2], false);
  for (let at = 0; at < words.length; at++) words[at]! &= zero.words[at]!;
  const size = mask.count();
  const voxel = spacing(affine).reduce((product, mm) => product * mm, 1);
  if (size < LEAST_VOXELS || size * voxel < LEAST_MM3) return null;

  const dim = 0.1 * highest(data, valid);
  const lone = zero.count() - size;
  let dims = 0;
  const [ni, nj, nk] = shape;
  for (let row = 0, n = 0, at = 0; row < nj * nk; row++)
    for (let i = 0; i < ni; i += 32) {
      const word = words[at++]!;
      const end = Math.min(32, ni - i);
      for (let bit = 0; bit < end && word !== -1; bit++) {
        if (((word >>> bit) & 1) === 1 || Math.abs(data[n + bit]!) > dim) continue;
        if (valid === null || valid[n + bit] !== 0) dims++;
      }
      n += end;
    }
  return lone > MOST_ZERO_NOISE * dims ? null : mask;
}

/** The 99th percentile of what is not 0, of every n-th voxel so that a hundred thousand are looked at. */
function highest(data: Volume['data'], valid: Uint8Array | null): number {
  const step = Math.max(1, Math.floor(data.length / 1e5));
  const values = new Float64Array(Math.ceil(data.length / step));
  let count = 0;
  for (let n = 0; n < data.length; n += step)
    if (data[n] !== 0 && valid?.[n] !== 0) values[count++] = Math.abs(data[n]!);
  return values.subarray(0, count).sort()[Math.floor(0.99 * count)] ?? 0;
}

/** Leaves the bits whose neighbours along i are set. What is outside the image counts as set. */
function erodeRows({ words, perRow, last }: Bits): void {
  for (let first = 0; first < words.length; first += perRow) {
    let before = -1;
    words[first + perRow - 1]! |= ~last;
    for (let at = first; at < first + perRow; at++) {
      const here = words[at]!;
      const after = at + 1 < first + perRow ? words[at + 1]! : -1;
      words[at] = here & ((here << 1) | (before >>> 31)) & ((here >>> 1) | (after << 31));
      before = here;
    }
    words[first + perRow - 1]! &= last;
  }
}

/** Sets the bits that have a neighbour along i. */
function dilateRows({ words, perRow, last }: Bits): void {
  for (let first = 0; first < words.length; first += perRow) {
    let before = 0;
    for (let at = first; at < first + perRow; at++) {
      const here = words[at]!;
      const after = at + 1 < first + perRow ? words[at + 1]! : 0;
      words[at] = here | (here << 1) | (before >>> 31) | (here >>> 1) | (after << 31);
      before = here;
    }
    words[first + perRow - 1]! &= last;
  }
}

/**
 * As erodeRows or dilateRows, along the axis whose neighbours are `stride` words apart, of `length`; outside the image
 * nothing counts.
 */
function spread(words: Int32Array, stride: number, length: number, erode: boolean): void {
  const outside = erode ? -1 : 0;
  // Words that are side by side in memory advance together.
  const before = new Int32Array(stride);
  for (let first = 0; first < words.length; first += stride * length) {
    before.fill(outside);
    for (let n = 0, row = first; n < length; n++, row += stride) {
      const isLast = n + 1 === length;
      for (let i = 0; i < stride; i++) {
        const at = row + i;
        const here = words[at]!;
        const after = isLast ? outside : words[at + stride]!;
        words[at] = erode ? here & before[i]! & after : here | before[i]! | after;
        before[i] = here;
      }
    }
  }
}

/** All-zero slices along k between two full ones. */
function lostSlices(zero: Bits): number[] {
  const [ni, nj, nk] = zero.shape;
  const share = Array.from({ length: nk }, (_, k) => {
    const zeros = zero.count(k * zero.perSlice, (k + 1) * zero.perSlice);
    return 1 - zeros / (ni * nj);
  });
  const full = share.map((values) => values > FULL_SLICE);
  return share.flatMap((values, k) =>
    values === 0 && full.slice(0, k).includes(true) && full.slice(k + 1).includes(true) ? [k] : [],
  );
}
