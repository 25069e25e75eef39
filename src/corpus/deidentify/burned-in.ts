/** Finds writing in the pixels of an image: names and dates that a workstation or a secondary capture burnt in. */
import type { Volume } from '../../volume/volume.js';

/** What the header says about burnt-in text; '' or empty where it does not. */
export interface BurnedInHeader {
  /** (0028,0301) "YES" or "NO". */
  readonly burnedInAnnotation?: string;
  /** (0008,0064) "SD", "DF", "WSD", …: the image was scanned or drawn by a workstation. */
  readonly conversionType?: string;
  readonly sopClassUid?: string;
  /** (0008,0008) */
  readonly imageType?: readonly string[];
}

/** Secondary Capture Image Storage and its multi-frame kin (PS3.4 annex B.5). */
const SECONDARY_CAPTURE = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.7(\.\d)?$/;
/** Image Type values that workstations give to screens, and to images with writing on them. */
const SCREEN = /^(SCREEN ?SAVE|SCREENSHOT|SCREENCAP|CAPTURE|SECONDARY CAPTURE|REPORT|SAVE ?STATE|POSDISP)/i;

/**
 * Why a series must be looked at before it is used: its header says that text is burnt in or that it is a screen, or its
 * slices hold rows of letters. null where nothing speaks for it. A header that denies it ("NO") is not believed: the
 * pixels are looked at all the same.
 */
export function burnedIn(volume: Volume, header: BurnedInHeader = {}): string | null {
  if (/^YES$/i.test(header.burnedInAnnotation ?? '')) return 'its header says that text is burnt in';
  if (SECONDARY_CAPTURE.test(header.sopClassUid ?? '')) return 'it is a secondary capture';
  if (/^(DV|DI|DF|WSD|SD|SI|DRW|SYN)$/i.test(header.conversionType ?? ''))
    return 'its header says that it was captured by a workstation';
  if (header.imageType?.some((value) => SCREEN.test(value)) === true)
    return 'its image type is that of a screen';
  return hasText(volume) ? SEEN : null;
}

const SEEN = 'its slices seem to hold text';

/** As `burnedIn` of some slices of a larger volume, looked at as they are. */
export function burnedIntoSlices(slices: Volume): string | null {
  return hasTextAcross(slices, 2) ? SEEN : null;
}

/** Slices that are looked at: writing is on all of them or on the first. */
const MOST_SLICES = 24;
/** Of the range of a slice: letters are white, and no brighter voxel is beside them. */
const WHITE = 0.95;
const DARK = 0.6;
/** Letters in a row that make a line of text, by themselves or where the neighbouring slices have the same. */
const LETTERS = { alone: 5, repeated: 4 };

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
  pixels: number[];
}

/** Slices across each axis: in a file whose axes were put into another order the writing is across another one. */
function hasText(volume: Volume): boolean {
  return ([2, 1, 0] as const).some((axis) => hasTextAcross(volume, axis));
}

/** Columns and rows of the slices across an axis. */
const IN_SLICE = [
  [1, 2],
  [0, 2],
  [0, 1],
] as const;

type Voxels = Volume['data'];

/** One slice across an axis, columns fastest. */
function sliceOf(data: Voxels, shape: Volume['shape'], axis: 0 | 1 | 2, k: number): Voxels {
  const strides = [1, shape[0], shape[0] * shape[1]] as const;
  if (axis === 2) return data.subarray(k * strides[2], (k + 1) * strides[2]);
  const [first, second] = IN_SLICE[axis];
  const [ni, nj] = [shape[first], shape[second]];
  const make = data.constructor as new (n: number) => Voxels;
  const slice = new make(ni * nj);
  let n = 0;
  for (let j = 0; j < nj; j++) {
    const row = k * strides[axis] + j * strides[second];
    if (axis === 1) {
      slice.set(data.subarray(row, row + ni), j * ni);
      continue;
    }
    for (let i = 0; i < ni; i++) slice[n++] = data[row + i * strides[first]]!;
  }
  return slice;
}

function hasTextAcross({ data, shape, valid }: Volume, axis: 0 | 1 | 2): boolean {
  const [ni, nj, nk] = [shape[IN_SLICE[axis][0]], shape[IN_SLICE[axis][1]], shape[axis]];
  if (ni < 24 || nj < 24) return false;
  const step = Math.max(1, Math.floor(nk / MOST_SLICES));
  const blank = new Uint8Array(ni * nj);
  for (let k = 0; k < nk; k += step) {
    const slice = sliceOf(data, shape, axis, k);
    const mask = valid === null ? null : sliceOf(valid, shape, axis, k);
    // The slice that should hold the same writing: the next one, of the last one that before.
    const other = k + 1 < nk ? k + 1 : k - 1;
    let neighbour: Voxels | null = null;
    for (const white of whites(slice, mask)) {
      const letters = boxesOf(white.pixels, blank, ni).filter((box) =>
        isLetter(box, slice, ni, nj, white.dark),
      );
      for (const line of [...linesOf(letters), ...linesOf(letters.map(turned))]) {
        if (line.length >= LETTERS.alone) return true;
        if (line.length < LETTERS.repeated || other < 0) continue;
        neighbour ??= sliceOf(data, shape, axis, other);
        if (isRepeated(line, slice, neighbour)) return true;
      }
    }
  }
  return false;
}

interface White {
  /** In rising order. */
  readonly pixels: readonly number[];
  /** Values below this are no part of a letter or of its blur. */
  readonly dark: number;
}

/** Pixels that writing may consist of: the brightest of the slice, and those of the one value that is most frequent. */
function whites(slice: Voxels, valid: Voxels | null): White[] {
  const tally = slice.BYTES_PER_ELEMENT > 2 ? tallyOfMany(slice, valid) : tallyOfFew(slice, valid);
  const { min, max, value, count, bright } = tally;
  const isSome = (pixels: number): boolean => pixels >= 20 && pixels <= slice.length * 0.1;
  const found: White[] = [];
  if (isSome(bright)) {
    const pixels: number[] = [];
    const bar = barOf(min, max);
    for (let n = 0; n < slice.length; n++) if (slice[n]! >= bar) pixels.push(n);
    found.push({ pixels, dark: min + DARK * (max - min) });
  }
  if (count >= DRAWN && isSome(count)) {
    const pixels: number[] = [];
    for (let n = slice.indexOf(value); n !== -1; n = slice.indexOf(value, n + 1)) pixels.push(n);
    found.push({ pixels, dark: min + DARK * (value - min) });
  }
  return found;
}

/** One value for so many pixels is drawn rather than measured. */
const DRAWN = 60;

const barOf = (min: number, max: number): number => min + WHITE * (max - min);
/** The most frequent value is looked for above this: most pixels are air. */
const leastOf = (min: number, max: number): number => min + 0.3 * (max - min);

interface Tally {
  /** The least and the greatest finite value that was measured. */
  readonly min: number;
  readonly max: number;
  /** The value that most pixels have, of equally frequent ones the one that is complete first; where it may be drawn. */
  readonly value: number;
  /** How many have it. */
  readonly count: number;
  /** How many pixels are as bright as writing. */
  readonly bright: number;
}

const NOTHING: Tally = { min: 0, max: 0, value: NaN, count: 0, bright: 0 };

/** The least and the greatest finite value that was measured; the least is greater where there is none. */
function rangeOf(slice: Voxels, valid: Voxels | null): [number, number] {
  let [min, max] = [Infinity, -Infinity];
  for (let n = 0; n < slice.length; n++) {
    const value = slice[n]!;
    if (!Number.isFinite(value) || valid?.[n] === 0) continue;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}

/** One for every value of 16 bits; zeros whenever no slice is counted. */
const counts = new Int32Array(65536);

/** Of voxels of 8 or 16 bits: each is read once where all were measured. */
function tallyOfFew(slice: Voxels, valid: Voxels | null): Tally {
  const offset = slice instanceof Int8Array || slice instanceof Int16Array ? 32768 : 0;
  let [low, high] = [65535, 0];
  for (let n = 0; n < slice.length; n++) {
    const at = slice[n]! + offset;
    counts[at]!++;
    if (at < low) low = at;
    if (at > high) high = at;
  }
  const [min, max] = valid === null ? [low - offset, high - offset] : rangeOf(slice, valid);
  let [value, count, bright] = [NaN, 0, 0];
  if (max > min) {
    const first = Math.floor(leastOf(min, max)) + offset + 1;
    const last = max + offset;
    for (let at = first; at <= last; at++) if (counts[at]! > count) count = counts[at]!;
    for (let at = Math.ceil(barOf(min, max)) + offset; at <= high; at++) bright += counts[at]!;
    let end = Infinity;
    for (let at = first; at <= last && count >= DRAWN; at++) {
      if (counts[at] !== count) continue;
      const complete = slice.lastIndexOf(at - offset);
      if (complete < end) [value, end] = [at - offset, complete];
    }
  }
  counts.fill(0, low, high + 1);
  return max > min ? { min, max, value, count, bright } : NOTHING;
}

/** Of any voxels. */
function tallyOfMany(slice: Voxels, valid: Voxels | null): Tally {
  const [min, max] = rangeOf(slice, valid);
  if (!(max > min)) return NOTHING;
  const [least, bar] = [leastOf(min, max), barOf(min, max)];
  let [value, count, bright] = [NaN, 0, 0];
  const times = new Map<number, number>();
  for (let n = 0; n < slice.length; n++) {
    const one = slice[n]!;
    if (one >= bar) bright++;
    if (!(one > least && one <= max)) continue;
    const pixels = (times.get(one) ?? 0) + 1;
    times.set(one, pixels);
    if (pixels > count) [value, count] = [one, pixels];
  }
  return { min, max, value, count, bright };
}

const MOST_BOXES = 4000;

/** Connected components of pixels, diagonals included. `mask` holds zeros, as many as the slice has pixels, and does after. */
function boxesOf(all: readonly number[], mask: Uint8Array, ni: number): Box[] {
  const nj = mask.length / ni;
  const boxes: Box[] = [];
  for (const n of all) mask[n] = 1;
  for (const start of all) {
    if (mask[start] === 0) continue;
    const pixels = [start];
    mask[start] = 0;
    const box: Box = { left: ni, right: -1, top: nj, bottom: -1, pixels };
    for (let at = 0; at < pixels.length; at++) {
      const i = pixels[at]! % ni;
      const j = (pixels[at]! - i) / ni;
      box.left = Math.min(box.left, i);
      box.right = Math.max(box.right, i);
      box.top = Math.min(box.top, j);
      box.bottom = Math.max(box.bottom, j);
      for (let y = Math.max(0, j - 1); y <= Math.min(nj - 1, j + 1); y++)
        for (let x = Math.max(0, i - 1); x <= Math.min(ni - 1, i + 1); x++) {
          const n = x + ni * y;
          if (mask[n] === 0) continue;
          mask[n] = 0;
          pixels.push(n);
        }
    }
    boxes.push(box);
    if (boxes.length <= MOST_BOXES) continue;
    mask.fill(0);
    return [];
  }
  return boxes;
}

const width = (box: Box): number => box.right - box.left + 1;
const height = (box: Box): number => box.bottom - box.top + 1;

/** Of the size of a letter, made of strokes, and with nothing between white and dark around it. */
function isLetter(box: Box, slice: Voxels, ni: number, nj: number, dark: number): boolean {
  const [w, h] = [width(box), height(box)];
  const long = Math.max(w, h);
  if (long < 5 || long > Math.min(64, nj / 4, ni / 4) || Math.min(w, h) * 8 < long) return false;
  const filled = box.pixels.length / (w * h);
  if (filled > 0.9 && w > 2 && h > 2) return false;
  if (filled < 0.15) return false;
  const own = new Set(box.pixels);
  let [around, sharp] = [0, 0];
  for (let j = Math.max(0, box.top - 1); j <= Math.min(nj - 1, box.bottom + 1); j++)
    for (let i = Math.max(0, box.left - 1); i <= Math.min(ni - 1, box.right + 1); i++) {
      const n = i + ni * j;
      if (own.has(n)) continue;
      around++;
      if (slice[n]! < dark) sharp++;
    }
  return sharp >= 0.75 * around;
}

/** Rows and columns exchanged: text in volumes whose axes were. */
function turned(box: Box): Box {
  return { left: box.top, right: box.bottom, top: box.left, bottom: box.right, pixels: box.pixels };
}

/** Letters of one height on one base, a letter's width apart at most. */
function linesOf(letters: readonly Box[]): Box[][] {
  const sorted = [...letters].filter((box) => height(box) >= 5).sort((a, b) => a.left - b.left);
  const lines: Box[][] = [];
  for (const box of sorted) {
    const h = height(box);
    const line = lines.find((one) => {
      const last = one.at(-1)!;
      return (
        Math.abs(last.bottom - box.bottom) <= Math.max(1, Math.round(h * 0.1)) &&
        Math.abs(height(last) - h) <= Math.max(1, Math.round(h * 0.1)) &&
        box.left > last.right - 1 &&
        box.left - last.right <= 1.8 * h
      );
    });
    if (line === undefined) lines.push([box]);
    else line.push(box);
  }
  return lines;
}

/** Whether the neighbouring slice has the same pixels: anatomy moves on, writing does not. */
function isRepeated(line: readonly Box[], slice: Voxels, neighbour: Voxels): boolean {
  const pixels = line.flatMap((box) => box.pixels);
  const same = pixels.filter((n) => Math.abs(neighbour[n]! - slice[n]!) <= 0.01 * Math.abs(slice[n]!));
  return same.length >= 0.95 * pixels.length;
}
