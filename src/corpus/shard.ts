/** Writes one array of an image as a single shard, chunk after chunk, in the memory of a few slices. */
import type { Vec3, VoxelArray } from '../volume/volume.js';
import type { CorpusStore, StoreWriter } from './store.js';
import { arrayMetadata, bloscEncoder, chunkCounts, chunkShape, crc32c, dtypeOf } from './zarr.js';

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

export class ShardWriter {
  readonly chunk: Vec3;
  private readonly counts: Vec3;
  private readonly index: bigint[] = [];
  private offset = 0n;
  private file: StoreWriter | null = null;
  private encode: ((bytes: Uint8Array) => Promise<Uint8Array>) | null = null;
  private metadata: unknown = null;
  /** value → the packed chunk that holds nothing else. */
  private readonly ofOneValue = new Map<number, Uint8Array>();

  constructor(
    private readonly store: CorpusStore,
    private readonly key: string,
    private readonly shape: Vec3,
  ) {
    this.chunk = chunkShape(shape);
    this.counts = chunkCounts(shape);
  }

  /** The next `chunk[2]` slices, fewer at the end of the image. */
  async write(data: VoxelArray): Promise<void> {
    const [ni, nj] = this.shape;
    const [ci, cj, ck] = this.chunk;
    const size = data.BYTES_PER_ELEMENT;
    this.metadata ??= arrayMetadata(this.shape, dtypeOf(data), size);
    this.encode ??= await bloscEncoder(size);
    this.file ??= await this.store.writer(`${this.key}/c/0/0/0`);
    const slices = data.length / (ni * nj);
    const cells = new (data.constructor as new (n: number) => VoxelArray)(ci * cj * ck);
    for (let b = 0; b < this.counts[1]; b++)
      for (let a = 0; a < this.counts[0]; a++) {
        const [i0, j0] = [a * ci, b * cj];
        const [wide, high] = [Math.min(ci, ni - i0), Math.min(cj, nj - j0)];
        // What a chunk has beyond the image is the fill value.
        if (wide < ci || high < cj || slices < ck) cells.fill(0);
        for (let k = 0; k < slices; k++)
          for (let j = 0; j < high; j++) {
            const from = i0 + ni * (j0 + j + nj * k);
            cells.set(data.subarray(from, from + wide), ci * (j + cj * k));
          }
        const packed = await this.pack(cells);
        this.index.push(this.offset, BigInt(packed.length));
        this.offset += BigInt(packed.length);
        await this.file.write(packed);
      }
  }

  /** Masks and images that were masked have many chunks of one value, which come out the same. */
  private async pack(cells: VoxelArray): Promise<Uint8Array> {
    const value = oneValueOf(cells);
    const known = value === null ? undefined : this.ofOneValue.get(value);
    if (known !== undefined) return known;
    const packed = await this.encode!(new Uint8Array(cells.buffer));
    if (value !== null) this.ofOneValue.set(value, packed);
    return packed;
  }

  /** Ends the shard with its index and writes the metadata. */
  async close(): Promise<void> {
    const index = new Uint8Array(BigUint64Array.from(this.index).buffer);
    const end = new Uint8Array(index.length + 4);
    end.set(index);
    new DataView(end.buffer).setUint32(index.length, crc32c(index), true);
    await this.file!.write(end);
    await this.file!.close();
    this.file = null;
    await this.store.write(`${this.key}/zarr.json`, json(this.metadata));
  }

  async abort(): Promise<void> {
    await this.file?.abort();
    this.file = null;
  }
}

/** The value of all cells; null where they differ. A zero below 0 is 0 to a map, but other bytes: neither counts. */
function oneValueOf(cells: VoxelArray): number | null {
  const value = cells[0]!;
  if (Number.isNaN(value) || Object.is(value, -0)) return null;
  for (let n = 1; n < cells.length; n++) if (!Object.is(cells[n], value)) return null;
  return value;
}
