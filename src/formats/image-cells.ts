/** The cells of an image that lie in one file or several, compressed or written out, read in rising order. */
import { Transform, type TransformCallback } from 'node:stream';
import { createUnzip } from 'node:zlib';
import type { VoxelArray } from '../volume/volume.js';
import { type ByteSource, openBytes } from './bytes.js';
import { cellBytes, type CellType, cellsOf } from './cells.js';
import { ForwardReader } from './forward.js';

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

/** All cells of an image, in the order of the file. */
export interface Cells {
  /** Of the header, for messages. */
  readonly path: string;
  readonly type: CellType;
  readonly littleEndian: boolean;
  readonly parts: readonly Part[];
  /** The format's error: `rule` follows the name of the operation. */
  readonly fail: (rule: string, cause?: unknown) => Error;
}

/** Inflated bytes of one deflated byte at most (zlib's technical notes), with room for short streams. */
const MOST_PER_BYTE = 1032;
const SHORT_STREAM = 1024;
/** No number is written with more characters. */
const LONGEST_WORD = 1000;

/** Compares what the header declares with the bytes that are there, before anything is allocated. */
export async function checkPart(part: Part, { type, fail }: Cells): Promise<void> {
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

async function openPart(path: string, fail: Cells['fail']): Promise<ByteSource> {
  try {
    return await openBytes(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw fail(`the voxels must be in ${path}, which is not there; put it beside its header`, error);
  }
}

/**
 * Reads cells anywhere: raw ones by their place in the file, others forwards, so that what lies before the last ones
 * means starting again. One file is open at a time.
 */
export class CellStream {
  private opened: { readonly part: Part; readonly reader: PartReader } | null = null;

  constructor(private readonly cells: Cells) {}

  /**
   * `count` cells from cell `from` on, over all parts, in a new array.
   *
   * @throws the format's error when a part ends before, is damaged, or holds an integer beyond ±2^53.
   */
  async read(from: number, count: number): Promise<VoxelArray> {
    const { type, littleEndian, path, parts, fail } = this.cells;
    const size = cellBytes(type);
    const target = new Uint8Array(count * size);
    let start = 0;
    let done = 0;
    for (const part of parts) {
      const bytes = part.count * size;
      const offset = from * size + done - start;
      if (offset < bytes && done < target.length) {
        const piece = target.subarray(done, done + bytes - offset);
        const reader = await this.readerOf(part);
        if ((await reader.readInto(offset, piece)) < piece.length)
          throw fail(`${part.path} ends before its last voxel; it is cut off, copy it again`);
        done += piece.length;
      }
      start += bytes;
    }
    return cellsOf(target, type, littleEndian, (value) =>
      fail(`${type} voxels of ${path} must be within ±2^53, got ${value}; convert it to float64`),
    );
  }

  private async readerOf(part: Part): Promise<PartReader> {
    if (this.opened?.part === part) return this.opened.reader;
    await this.close();
    const source = await openPart(part.path, this.cells.fail);
    const reader = readerOf(source, part, this.cells);
    this.opened = { part, reader };
    return reader;
  }

  async close(): Promise<void> {
    const { opened } = this;
    this.opened = null;
    await opened?.reader.close();
  }
}

/** Offsets count bytes of cells from the start of the part. */
interface PartReader {
  readInto(offset: number, target: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

function readerOf(source: ByteSource, part: Part, cells: Cells): PartReader {
  const { size } = source;
  const { encoding, skip, path } = part;
  const start = part.start ?? size - part.count * cellBytes(cells.type);
  if (encoding === 'raw')
    return {
      readInto: (offset, target) => source.readInto(start + offset, target),
      close: () => source.close(),
    };
  const unpack = {
    deflate: (): Transform => createUnzip(),
    text: (): Transform => new Numbers(cells),
    hex: (): Transform => new HexDigits(cells),
  }[encoding];
  const damaged = (cause: unknown): Error =>
    cells.fail(`the compressed voxels of ${path} are damaged or cut off; copy it again`, cause);
  const reader = new ForwardReader(source, start, size - start, unpack, damaged);
  return {
    readInto: (offset, target) => reader.readInto(skip + offset, target),
    async close() {
      await reader.close();
      await source.close();
    },
  };
}

/** Text in, the bytes of cells out: `bytesOf` gets as much as has come whole, `end` says that nothing follows. */
abstract class TextCells extends Transform {
  protected rest = '';

  constructor(protected readonly cells: Cells) {
    super();
  }

  protected abstract bytesOf(text: string, end: boolean): Uint8Array;

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    this.give(chunk.toString('latin1'), false, done);
  }

  override _flush(done: TransformCallback): void {
    this.give('', true, done);
  }

  private give(more: string, end: boolean, done: TransformCallback): void {
    try {
      const bytes = this.bytesOf(this.rest + more, end);
      done(null, bytes.length > 0 ? bytes : undefined);
    } catch (error) {
      done(error as Error);
    }
  }
}

/** Numbers written out, as cells in the file's byte order. */
class Numbers extends TextCells {
  protected override bytesOf(text: string, end: boolean): Uint8Array {
    const { type, littleEndian } = this.cells;
    // The last word may go on.
    let whole = text.length;
    while (!end && whole > 0 && !/[\s,]/.test(text[whole - 1]!)) whole--;
    this.rest = text.slice(whole);
    if (this.rest.length > LONGEST_WORD) throw this.wrong(this.rest);
    const words = text
      .slice(0, whole)
      .split(/[\s,]+/)
      .filter(Boolean);
    const size = cellBytes(type);
    const out = new Uint8Array(words.length * size);
    const view = new DataView(out.buffer);
    words.forEach((word, n) => {
      const value = Number(
        word.replace(/^([+-]?)(inf|infinity)$/i, '$1Infinity').replace(/^[+-]?nan$/i, 'NaN'),
      );
      if (Number.isNaN(value) && !/nan/i.test(word)) throw this.wrong(word);
      put(view, n * size, value, type, littleEndian);
    });
    return out;
  }

  private wrong(word: string): Error {
    const { path, fail } = this.cells;
    return fail(
      `the voxels of ${path} must be numbers, got ${JSON.stringify(word.slice(0, 20))}; copy it again`,
    );
  }
}

/** Two digits a byte, with space between any of them. */
class HexDigits extends TextCells {
  protected override bytesOf(text: string): Uint8Array {
    const digits = text.replace(/\s/g, '');
    const whole = digits.length - (digits.length % 2);
    this.rest = digits.slice(whole);
    const bytes = Buffer.from(digits.slice(0, whole), 'hex');
    // Decoding stops at what is no digit.
    if (bytes.length * 2 === whole) return bytes;
    const { path, fail } = this.cells;
    const wrong = digits.slice(bytes.length * 2, bytes.length * 2 + 2);
    throw fail(
      `the voxels of ${path} must be hexadecimal digits, got ${JSON.stringify(wrong)}; copy it again`,
    );
  }
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
