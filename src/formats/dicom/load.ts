/** Reads the pixels of a series into one volume. */
import type { Volume } from '../../volume/volume.js';
import { openBytes } from '../bytes.js';
import type { ReadFiles } from './decode.js';
import { DicomError } from './error.js';
import type { DicomSeries } from './group.js';
import type { DicomInstance } from './instance.js';
import type { Tile } from './mosaic.js';
import { codingOf } from './syntax.js';

export interface LoadOptions {
  /** Files read at a time, 8 by default. */
  readonly concurrency?: number;
}

type StoredArray =
  Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

/**
 * Loads the volume of `series`: [columns, rows, slice positions] voxels with an affine to RAS+ mm. Stored integers
 * are kept, with the Rescale Slope and Intercept as the volume's; where they differ between slices the rescaled
 * values are stored as float32. Missing positions are zero and marked in `valid`; so are pixels that hold the file's
 * padding value (PS3.3 C.7.5.1.1.2), which no scanner measured, and what is not finite.
 *
 * @throws DicomError when a file changed, is truncated, or its pixels cannot be decoded.
 */
export async function loadSeries(series: DicomSeries, options: LoadOptions = {}): Promise<Volume> {
  const [columns, rows, count] = series.shape;
  const { header, slices } = series;
  const area = columns * rows;
  const sameRescale = slices.every(
    ({ instance: { rescale } }) =>
      rescale.slope === header.rescale.slope && rescale.intercept === header.rescale.intercept,
  );
  const stored = commonType(slices.map((slice) => slice.instance));
  const data = sameRescale && stored !== null ? new stored(area * count) : new Float32Array(area * count);

  let valid = validity(series);
  const opened: Opened = { files: new Map(), mosaics: new Map() };
  await eachLimited(slices, options.concurrency ?? 8, async ({ instance, k }) => {
    const target = data.subarray(k * area, (k + 1) * area);
    const mark = (at: number): void => {
      valid ??= new Uint8Array(area * count).fill(1);
      valid[k * area + at] = 0;
    };
    if (!(target instanceof Float32Array) && isPlain(instance) && instance.tile === null) {
      await readInto(instance, target);
      toValues(instance, target, mark);
      return;
    }
    const pixels = await decodeSlice(instance, area, opened);
    toValues(instance, pixels, mark);
    if (!(target instanceof Float32Array)) target.set(pixels);
    else {
      const { slope, intercept } = sameRescale ? { slope: 1, intercept: 0 } : instance.rescale;
      for (let i = 0; i < area; i++) target[i] = pixels[i]! * slope + intercept;
    }
  });

  const { slope, intercept } = sameRescale ? header.rescale : { slope: 1, intercept: 0 };
  return { data, shape: series.shape, affine: series.affine, slope, intercept, valid };
}

type StoredType = new (length: number) => StoredArray;

/** The array type that holds the stored values of every slice as they are; null when slices differ. */
function commonType(instances: readonly DicomInstance[]): StoredType | null {
  const types = new Set(instances.map((instance) => typeOf(instance)));
  return types.size === 1 ? [...types][0]! : null;
}

function typeOf(instance: DicomInstance): StoredType {
  const { allocated, signed, float } = instance.bits;
  if (float) return allocated === 64 ? Float64Array : Float32Array;
  if (allocated === 8) return signed ? Int8Array : Uint8Array;
  if (allocated === 16) return signed ? Int16Array : Uint16Array;
  return signed ? Int32Array : Uint32Array;
}

/** Pixels that lie in the file as they lie in memory. */
function isPlain(instance: DicomInstance): boolean {
  return codingOf(instance.transferSyntax) === 'native' && !instance.transferSyntax.endsWith('.99');
}

/** What is read once though several slices lie in it; mosaics by path. */
interface Opened {
  readonly files: ReadFiles;
  readonly mosaics: Map<string, Promise<StoredArray>>;
}

async function decodeSlice(instance: DicomInstance, length: number, opened: Opened): Promise<StoredArray> {
  if (instance.tile !== null) return cutTile(instance, instance.tile, opened);
  const pixels = new (typeOf(instance))(length);
  if (isPlain(instance)) await readInto(instance, pixels);
  else {
    // Only compressed files pay for the decoders.
    const { decodeFrame } = await import('./decode.js');
    const bytes = await decodeFrame(instance, pixels.byteLength, opened.files);
    new Uint8Array(pixels.buffer).set(bytes);
  }
  return pixels;
}

async function cutTile(instance: DicomInstance, tile: Tile, opened: Opened): Promise<StoredArray> {
  const { rows, columns } = tile;
  const mosaic =
    opened.mosaics.get(instance.path) ??
    decodeSlice({ ...instance, rows, columns, tile: null }, rows * columns, opened);
  opened.mosaics.set(instance.path, mosaic);
  const image = await mosaic;
  const width = instance.columns!;
  const pixels = new (typeOf(instance))(width * instance.rows!);
  for (let y = 0; y < instance.rows!; y++) {
    const from = (tile.top + y) * columns + tile.left;
    pixels.set(image.subarray(from, from + width), y * width);
  }
  return pixels;
}

/** Reads uncompressed pixels straight into `target`, without a buffer between. */
async function readInto(instance: DicomInstance, target: StoredArray): Promise<void> {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
  const file = await openBytes(instance.path);
  try {
    if ((await file.readInto(instance.pixels!.offset, bytes)) < bytes.length)
      throw new DicomError(
        `read DICOM pixels: ${instance.path} ends before its last row; copy the file again`,
      );
  } finally {
    await file.close();
  }
  if (!instance.littleEndian && target.BYTES_PER_ELEMENT > 1) swapBytes(bytes, target.BYTES_PER_ELEMENT);
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 2) buffer.swap16();
  else if (width === 4) buffer.swap32();
  else buffer.swap64();
}

/**
 * Stored cells to pixel values in place (PS3.5 section 8.1.1): bits outside Bits Stored are no part of the value,
 * signed values are extended from their highest stored bit, and MONOCHROME1 (PS3.3 C.7.6.3.1.2: the smallest value
 * is white) is turned so that larger is brighter, as everywhere else. `mark` is told which pixels are padding.
 */
function toValues(instance: DicomInstance, pixels: StoredArray, mark: (at: number) => void): void {
  const { allocated, stored, high, signed, float } = instance.bits;
  if (!float && stored < allocated && stored > 0 && high < allocated && high >= stored - 1) {
    const left = 31 - high;
    const right = 32 - stored;
    if (signed) for (let i = 0; i < pixels.length; i++) pixels[i] = (pixels[i]! << left) >> right;
    else for (let i = 0; i < pixels.length; i++) pixels[i] = (pixels[i]! << left) >>> right;
  }
  if (float) {
    for (let i = 0; i < pixels.length; i++) {
      if (Number.isFinite(pixels[i])) continue;
      pixels[i] = 0;
      mark(i);
    }
  }
  if (instance.padding !== null) {
    const [first, last] = instance.padding;
    for (let i = 0; i < pixels.length; i++) if (pixels[i]! >= first && pixels[i]! <= last) mark(i);
  }
  if (instance.photometric === 'MONOCHROME1' && !float) {
    const sum = signed ? -1 : 2 ** stored - 1;
    for (let i = 0; i < pixels.length; i++) pixels[i] = sum - pixels[i]!;
  }
}

function validity(series: DicomSeries): Uint8Array | null {
  if (series.missingSlices.length === 0) return null;
  const [columns, rows, count] = series.shape;
  const area = columns * rows;
  const valid = new Uint8Array(area * count).fill(1);
  for (const k of series.missingSlices) valid.fill(0, k * area, (k + 1) * area);
  return valid;
}

/** Runs `work` on every item, `limit` at a time; the first failure is thrown once no work is under way. */
async function eachLimited<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!);
  };
  const results = await Promise.allSettled(Array.from({ length: Math.max(1, limit) }, worker));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
