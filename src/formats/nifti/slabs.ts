/** A frame of a NIfTI file some slices at a time, so that the image need not fit into memory. */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type ByteSource, existsBytes, openBytes } from '../bytes.js';
import { clearNonFinite } from '../cells.js';
import type { ImageSlabs } from '../image-file.js';
import { voxelsOf } from './datatypes.js';
import { NiftiError } from './error.js';
import { readHeader } from './header.js';

/** `bytes` are those of the frame as stored. */
export type NiftiSlabs = ImageSlabs;

const PIECE = 1 << 20;
/** A NIfTI-2 header is 540 bytes long. */
const HEADER_BYTES = 544;

/**
 * Opens frame `frame` of a .nii, .nii.gz, or either file of a pair, at a path as openBytes takes it.
 *
 * @throws NiftiError as readNifti, and while reading where the file ends too early.
 */
export async function openNiftiSlabs(path: string, frame = 0): Promise<NiftiSlabs> {
  const { header: headerPath, voxels: voxelPath } = await partsOf(path);
  const first = await Stream.open(headerPath, path);
  const head = await first.take(0, HEADER_BYTES, false);
  const header = await readOrClose(() => readHeader(head, path), first);
  let stream = first;
  if (!header.singleFile) {
    await first.close();
    stream = await Stream.open(voxelPath, path);
  }
  const { shape, datatype, affine, slope, intercept, littleEndian } = header;
  const area = shape[0] * shape[1];
  const bytes = area * shape[2] * datatype.size;
  const start = header.voxelOffset + frame * bytes;
  return {
    shape,
    affine,
    slope,
    intercept,
    bytes,
    readSlices: async (k0, k1) => {
      const count = area * (k1 - k0);
      const raw = await stream.take(start + k0 * area * datatype.size, count * datatype.size, true);
      const data = voxelsOf(raw, 0, count, datatype, littleEndian, path);
      return { data, valid: clearNonFinite(data) };
    },
    close: () => stream.close(),
  };
}

async function readOrClose<T>(read: () => T, stream: Stream): Promise<T> {
  try {
    return read();
  } catch (error) {
    await stream.close();
    throw error;
  }
}

/** The files of header and voxels: one and the same, or a pair of which either may be gzipped. */
async function partsOf(path: string): Promise<{ header: string; voxels: string }> {
  const pair = /^(.*)\.(hdr|img)(\.gz)?$/i.exec(path);
  if (pair === null) return { header: path, voxels: path };
  const upper = pair[2] === pair[2]!.toUpperCase();
  const find = async (ending: string): Promise<string> => {
    const plain = `${pair[1]!}.${upper ? ending.toUpperCase() : ending}`;
    for (const candidate of [plain, `${plain}.gz`]) if (await existsBytes(candidate)) return candidate;
    throw new NiftiError(`read NIfTI: ${path} is half of a pair; put ${plain} beside it`);
  };
  return { header: await find('hdr'), voxels: await find('img') };
}

/** Bytes of a file, decompressed where they are gzip, read in rising order. */
class Stream {
  private at = 0;
  private left: Uint8Array = new Uint8Array(0);
  /** The first bytes once more: the voxels of a single file may be asked for after its header. */
  private head: Uint8Array = new Uint8Array(0);

  private constructor(
    private readonly source: ByteSource,
    private readonly pieces: AsyncIterator<Uint8Array> | null,
    private readonly name: string,
  ) {}

  static async open(path: string, name: string): Promise<Stream> {
    const source = await openBytes(path);
    try {
      const magic = await source.read(0, 2);
      if (magic[0] !== 0x1f || magic[1] !== 0x8b) return new Stream(source, null, name);
    } catch (error) {
      await source.close();
      throw error;
    }
    const gunzip = createGunzip({ chunkSize: PIECE });
    const compressed = Readable.from(piecesOf(source), { objectMode: false, highWaterMark: PIECE });
    compressed.on('error', (error) => gunzip.destroy(error)).pipe(gunzip);
    return new Stream(source, gunzip[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>, name);
  }

  /** `length` bytes from `offset` on. @throws NiftiError when there are fewer and `all` of them are needed. */
  async take(offset: number, length: number, all: boolean): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    const there =
      this.pieces === null ? await this.source.readInto(offset, out) : await this.fill(offset, out);
    if (all && there < length)
      throw new NiftiError(
        `read NIfTI: ${this.name} must hold ${offset + length} bytes for its voxels, but it ends before; it is ` +
          'truncated, copy the file again',
      );
    return out.subarray(0, there);
  }

  private async fill(offset: number, out: Uint8Array): Promise<number> {
    let done = 0;
    if (offset < this.head.length) {
      const known = this.head.subarray(offset, offset + out.length);
      out.set(known);
      done = known.length;
    }
    while (done < out.length) {
      const skip = Math.min(this.left.length, Math.max(0, offset + done - this.at));
      this.left = this.left.subarray(skip);
      this.at += skip;
      if (this.left.length === 0) {
        const next = await this.next();
        if (next === null) break;
        this.left = next;
        if (this.at === 0) this.head = next.slice(0, HEADER_BYTES);
        continue;
      }
      const part = this.left.subarray(0, out.length - done);
      out.set(part, done);
      done += part.length;
      this.left = this.left.subarray(part.length);
      this.at += part.length;
    }
    return done;
  }

  private async next(): Promise<Uint8Array | null> {
    try {
      const next = await this.pieces!.next();
      return next.done === true ? null : next.value;
    } catch (error) {
      throw new NiftiError(
        `read NIfTI: ${this.name} must be whole gzip data; it is damaged or cut off, copy it again`,
        { cause: error },
      );
    }
  }

  async close(): Promise<void> {
    await this.pieces?.return?.();
    await this.source.close();
  }
}

async function* piecesOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += PIECE) yield await source.read(at, PIECE);
}
