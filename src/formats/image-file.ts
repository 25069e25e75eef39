/** What NRRD, MetaImage and MGH files have in common: a grid in space, and cells in one file or several. */
import { createUnzip } from 'node:zlib';
import { determinant, spacing } from '../volume/affine.js';
import type { Affine, Vec3, Volume } from '../volume/volume.js';
import { MemorySource } from './byte-source.js';
import { type ByteSource, openBytes } from './bytes.js';
import { cellBytes, type CellType, cellsOf, clearNonFinite } from './cells.js';
import { ForwardReader } from './forward.js';

/** An image whose header was read. Nothing stays open. */
export interface ImageFile {
  readonly shape: Vec3;
  /** Voxel to RAS+ mm. */
  readonly affine: Affine;
  /** 3D frames: 1 for a 3D image, more for time series, directions and the like. */
  readonly frames: number;
  /** The files that hold it, header first, as openBytes takes them. */
  readonly paths: readonly string[];
  /** Scan parameters that the file holds, in ms and degrees. */
  readonly parameters?: ScanParameters;
  /**
   * Reads frame `t`, counted in file order. Voxels that are NaN or infinite are 0 and marked in `valid`.
   *
   * @throws the format's error when the file changed, is cut off or damaged.
   */
  frame(t: number): Promise<Volume>;
}

/** null where the file does not say. */
export interface ScanParameters {
  readonly repetitionTime: number | null;
  readonly flipAngle: number | null;
  readonly echoTime: number | null;
  readonly inversionTime: number | null;
}

/** A run of cells in a file. */
export interface Part {
  readonly path: string;
  readonly encoding: 'raw' | 'deflate' | 'text' | 'hex';
  /** Where it starts in the file; with 'raw' null says that it ends where the file does. */
  readonly start: number | null;
  /** Inflated bytes before the cells; for 'deflate'. */
  readonly skip: number;
  /** Cells of it. */
  readonly count: number;
}

export interface Grid {
  readonly path: string;
  readonly paths: readonly string[];
  readonly affine: Affine;
  readonly type: CellType;
  readonly littleEndian: boolean;
  /** Lengths of the axes of the file, the fastest first. */
  readonly sizes: readonly number[];
  /** Which of them are i, j and k; the others count frames. */
  readonly spatial: readonly [number, number, number];
  readonly parts: readonly Part[];
  /** The format's error: `rule` follows the name of the operation. */
  readonly fail: (rule: string, cause?: unknown) => Error;
}

const LARGEST_MM = 1000;
/** Inflated bytes of one deflated byte at most (zlib's technical notes), with room for short streams. */
const MOST_PER_BYTE = 1032;
const SHORT_STREAM = 1024;

/** @throws the format's error when the grid is no grid in space, or a part of the cells is not there. */
export async function imageFile(grid: Grid): Promise<ImageFile> {
  const { affine, sizes, spatial, path, fail } = grid;
  const wrong = wrongAffine(affine);
  if (wrong !== null) throw fail(`${path} must have ${wrong}; correct the header`);
  const shape: Vec3 = [sizes[spatial[0]]!, sizes[spatial[1]]!, sizes[spatial[2]]!];
  const perFrame = shape[0] * shape[1] * shape[2];
  const total = sizes.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(total * cellBytes(grid.type)))
    throw fail(`${path} must have a size that can be counted, got ${sizes.join('×')}; the header is damaged`);
  for (const part of grid.parts) await checkPart(part, grid);
  const frames = total / perFrame;
  return {
    shape,
    affine,
    frames,
    paths: grid.paths,
    frame: async (t) => {
      if (!Number.isInteger(t) || t < 0 || t >= frames)
        throw fail(`${path} has frames 0 to ${frames - 1}, got ${t}`);
      const data = await readFrame(grid, t, perFrame);
      return { data, shape, affine, slope: 1, intercept: 0, valid: clearNonFinite(data) };
    },
  };
}

/** What the affine lacks, in words; null where it lacks nothing. */
function wrongAffine(affine: Affine): string | null {
  const values = affine.flat();
  if (!values.every(Number.isFinite)) return `finite axes and origin, got ${values.slice(0, 12).join(' ')}`;
  const sizes = spacing(affine);
  if (sizes.some((mm) => !(mm > 0 && mm <= LARGEST_MM)))
    return `voxel sizes above 0 and at most ${LARGEST_MM} mm, got ${sizes.join(' × ')}`;
  if (Math.abs(determinant(affine)) < 1e-4 * sizes[0] * sizes[1] * sizes[2])
    return `axes that span space, got a determinant of ${determinant(affine)}`;
  return null;
}

/** Compares what the header declares with the bytes that are there, before anything is allocated. */
async function checkPart(part: Part, { type, fail }: Grid): Promise<void> {
  const source = await openPart(part.path, fail);
  await source.close();
  const bytes = part.count * cellBytes(type);
  const there = source.size - (part.start ?? 0);
  const most = {
    raw: there,
    deflate: there * MOST_PER_BYTE + SHORT_STREAM,
    hex: (there / 2) | 0,
    // A digit and a space each.
    text: Math.floor((there + 1) / 2) * cellBytes(type),
  }[part.encoding];
  if (bytes + part.skip > most)
    throw fail(
      `${part.path} must hold ${bytes} bytes of voxels, but has room for ${Math.max(0, most)}; it is cut off, copy it again`,
    );
}

async function openPart(path: string, fail: Grid['fail']): Promise<ByteSource> {
  try {
    return await openBytes(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw fail(`the voxels must be in ${path}, which is not there; put it beside its header`, error);
  }
}

async function readFrame(grid: Grid, t: number, perFrame: number): Promise<Volume['data']> {
  const { sizes, spatial, type, littleEndian, path, fail } = grid;
  const size = cellBytes(type);
  const tooLarge = (value: bigint): Error =>
    fail(`${type} voxels of ${path} must be within ±2^53, got ${value}; convert it to float64`);
  const cells = async (from: number, count: number): Promise<Volume['data']> => {
    const bytes = new Uint8Array(count * size);
    await readCells(grid, from * size, bytes);
    return cellsOf(bytes, type, littleEndian, tooLarge);
  };
  if (spatial.every((axis, n) => axis === n)) return cells(t * perFrame, perFrame);

  // The frame's cells lie apart from one another.
  const strides = sizes.map((_, axis) => sizes.slice(0, axis).reduce((product, n) => product * n, 1));
  let first = 0;
  let left = t;
  sizes.forEach((length, axis) => {
    if (spatial.includes(axis)) return;
    first += (left % length) * strides[axis]!;
    left = Math.floor(left / length);
  });
  const all = await cells(
    0,
    sizes.reduce((product, n) => product * n, 1),
  );
  const data = new (all.constructor as new (length: number) => Volume['data'])(perFrame);
  const [ni, nj, nk] = spatial.map((axis) => sizes[axis]!) as [number, number, number];
  const [si, sj, sk] = spatial.map((axis) => strides[axis]!) as [number, number, number];
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) data[n] = all[first + i * si + j * sj + k * sk]!;
  return data;
}

/** Fills `target` with the bytes of the cells from byte `from` on, over all parts. */
async function readCells(grid: Grid, from: number, target: Uint8Array): Promise<void> {
  let start = 0;
  let done = 0;
  for (const part of grid.parts) {
    const bytes = part.count * cellBytes(grid.type);
    const offset = from + done - start;
    if (offset < bytes && done < target.length) {
      const piece = target.subarray(done, done + bytes - offset);
      await readPart(grid, part, offset, piece);
      done += piece.length;
    }
    start += bytes;
  }
}

async function readPart(grid: Grid, part: Part, offset: number, target: Uint8Array): Promise<void> {
  const source = await openPart(part.path, grid.fail);
  try {
    const there = await (async (): Promise<number> => {
      const { size } = source;
      const start = part.start ?? size - part.count * cellBytes(grid.type);
      if (part.encoding === 'raw') return source.readInto(start + offset, target);
      if (part.encoding !== 'deflate') {
        const text = Buffer.from(await source.read(start, size - start)).toString('latin1');
        const bytes =
          part.encoding === 'hex' ? Buffer.from(text.replace(/\s/g, ''), 'hex') : numbersIn(text, grid);
        return new MemorySource(part.path, bytes).readInto(offset, target);
      }
      const damaged = (cause: unknown): Error =>
        grid.fail(`the compressed voxels of ${part.path} are damaged or cut off; copy it again`, cause);
      const reader = new ForwardReader(source, start, size - start, () => createUnzip(), damaged);
      try {
        return await reader.readInto(part.skip + offset, target);
      } finally {
        await reader.close();
      }
    })();
    if (there < target.length)
      throw grid.fail(`${part.path} ends before its last voxel; it is cut off, copy it again`);
  } finally {
    await source.close();
  }
}

/** Numbers written out, as cells in the file's byte order. */
function numbersIn(text: string, { type, littleEndian, path, fail }: Grid): Uint8Array {
  const words = text.split(/[\s,]+/).filter(Boolean);
  const size = cellBytes(type);
  const out = new Uint8Array(words.length * size);
  const view = new DataView(out.buffer);
  words.forEach((word, n) => {
    const value = Number(
      word.replace(/^([+-]?)(inf|infinity)$/i, '$1Infinity').replace(/^[+-]?nan$/i, 'NaN'),
    );
    if (Number.isNaN(value) && !/nan/i.test(word))
      throw fail(
        `the voxels of ${path} must be numbers, got ${JSON.stringify(word.slice(0, 20))}; copy it again`,
      );
    put(view, n * size, value, type, littleEndian);
  });
  return out;
}

function put(view: DataView, at: number, value: number, type: CellType, le: boolean): void {
  if (type === 'float32') view.setFloat32(at, value, le);
  else if (type === 'float64') view.setFloat64(at, value, le);
  else if (type === 'int64' || type === 'uint64')
    view.setBigInt64(at, BigInt(Number.isFinite(value) ? Math.trunc(value) : 0), le);
  else if (cellBytes(type) === 1) view.setUint8(at, value);
  else if (cellBytes(type) === 2) view.setUint16(at, value, le);
  else view.setUint32(at, value, le);
}
