/** Voxels in a corpus: one OME-Zarr 0.5 image a series, in blosc-compressed chunks that can be read alone. */
import type * as Zarr from 'zarrita';
import { apply } from '../volume/affine.js';
import type { BoxImage } from '../volume/streamed.js';
import type { Affine, Vec3, Volume, VoxelArray } from '../volume/volume.js';
import { CorpusError } from './error.js';
import { ShardWriter } from './shard.js';
import { type ByteRange, type CorpusStore, isRemote, storeAt } from './store.js';
import { chunkShape, crc32c, groupMetadata, loadZarr, type PrecessAttributes, reversed } from './zarr.js';

/** An image whose slices are read some at a time, in order. */
export interface Slabs {
  readonly shape: Vec3;
  readonly affine: Affine;
  readonly slope: number;
  readonly intercept: number;
  /** Slices from k0 up to but without k1; `valid` null where all of them were measured. */
  readSlices(k0: number, k1: number): Promise<{ data: VoxelArray; valid: Uint8Array | null }>;
}

/** A volume in memory, slab by slab, without copying. */
export function slabsOf(volume: Volume): Slabs {
  const { shape, affine, slope, intercept, data, valid } = volume;
  const area = shape[0] * shape[1];
  const readSlices: Slabs['readSlices'] = (k0, k1) =>
    Promise.resolve({
      data: data.subarray(k0 * area, k1 * area),
      valid: valid?.subarray(k0 * area, k1 * area) ?? null,
    });
  return { shape, affine, slope, intercept, readSlices };
}

/**
 * Writes an OME-Zarr image under `key`; what is there is removed before. A failure removes what was written, a crash
 * leaves it: nothing may point at the image before this returns, and by then it is on the disk.
 *
 * Layout: group attributes `ome` (multiscales of one level, axes z y x in mm = our k, j, i) and `precess` (affine,
 * slope, intercept); array `0` the stored voxels; array `valid`, only where not every voxel was measured. Each array is
 * one shard.
 */
export async function writeSlabs(store: CorpusStore, key: string, image: Slabs): Promise<void> {
  const { shape, affine, slope, intercept } = image;
  await store.remove(key);
  const voxels = new ShardWriter(store, `${key}/0`, shape);
  const mask = new ShardWriter(store, `${key}/valid`, shape);
  const step = chunkShape(shape)[2];
  const area = shape[0] * shape[1];
  const ones = (slices: number): Uint8Array => new Uint8Array(area * slices).fill(1);
  let masked = false;
  try {
    for (let k = 0; k < shape[2]; k += step) {
      const slices = Math.min(step, shape[2] - k);
      const { data, valid } = await image.readSlices(k, k + slices);
      await voxels.write(data);
      if (!masked && valid?.includes(0)) {
        masked = true;
        // The slabs before this one were measured all over.
        for (let before = 0; before < k; before += step) await mask.write(ones(step));
      }
      if (masked) await mask.write(valid ?? ones(slices));
    }
    await voxels.close();
    if (masked) await mask.close();
    const attributes: PrecessAttributes = { affine, slope, intercept, valid: masked };
    await store.write(`${key}/zarr.json`, Buffer.from(JSON.stringify(groupMetadata(attributes))));
  } catch (error) {
    await voxels.abort().catch(() => undefined);
    await mask.abort().catch(() => undefined);
    await store.remove(key).catch(() => undefined);
    throw error;
  }
}

/** As `writeSlabs`, a volume to a folder. */
export async function writeVoxels(path: string, volume: Volume): Promise<void> {
  const { store, key } = storeAt(path);
  await writeSlabs(store, key, slabsOf(volume));
}

/**
 * Opens an image of which boxes are read: only the chunks that a box touches. What tells where the chunks are is read once.
 *
 * @throws CorpusError, from `read`, when a box does not lie inside the image.
 */
export async function openImage(store: CorpusStore, key: string): Promise<BoxImage> {
  const zarr = await loadZarr();
  const images = new WholeImages(store, key);
  const root = zarr.root(images);
  const group = await zarr.open.v3(root, { kind: 'group' });
  const { affine, slope, intercept, valid } = group.attrs.precess as PrecessAttributes;
  const array = await zarr.open.v3(root.resolve('0'), { kind: 'array' });
  const [nk, nj, ni] = array.shape as [number, number, number];
  const mask = valid ? await zarr.open.v3(root.resolve('valid'), { kind: 'array' }) : null;
  const boxOf = async (
    from: Zarr.Array<Zarr.DataType, WholeImages>,
    box: { start: Vec3; shape: Vec3 },
  ): Promise<VoxelArray> => {
    const slices = reversed(box.start).map((first, axis) =>
      zarr.slice(first, first + reversed(box.shape)[axis]!),
    );
    return (await zarr.get(from, slices)).data as unknown as VoxelArray;
  };
  const bytes = ni * nj * nk * bytesOf(array.dtype);
  return {
    shape: [ni, nj, nk],
    affine,
    slope,
    intercept,
    bytes,
    chunk: chunkShape([ni, nj, nk]),
    async read(start, shape) {
      const box = checkBox([ni, nj, nk], start, shape);
      const isWhole = shape[0] * shape[1] * shape[2] === ni * nj * nk;
      if (isWhole && bytes <= LARGEST_AT_ONCE && isRemote(store.root)) images.ahead(mask === null);
      try {
        const data = await boxOf(array, box);
        const valid = mask && ((await boxOf(mask, box)) as Uint8Array);
        return { data, shape: box.shape, affine: moved(affine, box.start), slope, intercept, valid };
      } finally {
        images.letGo();
      }
    },
  };
}

/** Images up to this size are asked for in one piece where all of them is wanted. */
const LARGEST_AT_ONCE = 128 * 1024 * 1024;

/** Of a voxel of a Zarr type, whose name ends with its bits. */
const bytesOf = (dtype: string): number => Number(/\d+$/.exec(dtype)?.[0] ?? 64) / 8;

/** Reads an image back, or the box of `shape` voxels from voxel `start`, see {@link openImage}. */
export async function readImage(
  store: CorpusStore,
  key: string,
  start?: Vec3,
  shape?: Vec3,
): Promise<Volume> {
  const image = await openImage(store, key);
  return image.read(start ?? [0, 0, 0], shape ?? image.shape);
}

/** As `readImage`, from a folder. */
export async function readVoxels(path: string, start?: Vec3, shape?: Vec3): Promise<Volume> {
  const { store, key } = storeAt(path);
  return readImage(store, key, start, shape);
}

/** Offset of the compressed size, a little-endian uint32, in a chunk (c-blosc, README_CHUNK_FORMAT: cbytes). */
const BLOSC_CBYTES = 12;

/**
 * An image for zarrita, but a chunk that is not there or not whole is an error. Zarr takes a missing one for one of fill
 * values; the images here are written with all their chunks, so that it was lost, and zeros would be invented voxels. The
 * codec decodes a chunk that was cut off without complaint, and zarrita does not verify the index of a shard.
 */
class WholeImages {
  /** Shards on their way, whole: an answer of a service costs more than its bytes. */
  private readonly shards = new Map<string, Promise<Uint8Array | null>>();

  constructor(
    private readonly store: CorpusStore,
    private readonly key: string,
  ) {}

  async get(path: string): Promise<Uint8Array | undefined> {
    const bytes = await this.store.read(this.key + path);
    return isChunk(path) ? wholeChunk(bytes) : (bytes ?? undefined);
  }

  /** Asks for all voxels, because all of them will be read once. */
  ahead(isMeasured: boolean): void {
    for (const array of isMeasured ? ['0'] : ['0', 'valid']) {
      const path = `/${array}/c/0/0/0`;
      const shard = this.store.read(this.key + path);
      shard.catch(() => undefined);
      this.shards.set(path, shard);
    }
  }

  letGo(): void {
    this.shards.clear();
  }

  async getRange(path: string, range: ByteRange): Promise<Uint8Array> {
    const shard = this.shards.get(path);
    const bytes = await (shard === undefined
      ? this.store.readRange(this.key + path, range)
      : shard.then((whole) => whole && part(whole, range)));
    return 'suffixLength' in range ? wholeIndex(bytes, range.suffixLength) : wholeChunk(bytes);
  }
}

const part = (whole: Uint8Array, range: ByteRange): Uint8Array =>
  'suffixLength' in range
    ? whole.slice(Math.max(0, whole.length - range.suffixLength))
    : whole.slice(range.offset, range.offset + range.length);

const isChunk = (path: string): boolean => /\/c\//.test(path);

function wholeChunk(bytes: Uint8Array | null): Uint8Array {
  if (bytes === null) throw new Error('a part of the image is missing');
  const { buffer, byteOffset, length } = bytes;
  const whole =
    length >= BLOSC_CBYTES + 4 &&
    new DataView(buffer, byteOffset, length).getUint32(BLOSC_CBYTES, true) === length;
  if (!whole) throw new Error('a part of the image is cut off or damaged');
  return bytes;
}

function wholeIndex(bytes: Uint8Array | null, length: number): Uint8Array {
  if (bytes === null) throw new Error('a part of the image is missing');
  const crc = (): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(length - 4, true);
  if (bytes.length < length || crc32c(bytes.subarray(0, length - 4)) !== crc())
    throw new Error('the image is cut off or damaged');
  return bytes;
}

function checkBox(image: Vec3, start: Vec3, shape: Vec3): { start: Vec3; shape: Vec3 } {
  const inside = image.every(
    (n, axis) =>
      Number.isInteger(start[axis]) &&
      Number.isInteger(shape[axis]) &&
      start[axis]! >= 0 &&
      shape[axis]! >= 1 &&
      start[axis]! + shape[axis]! <= n,
  );
  if (!inside)
    throw new CorpusError(
      `read region: the box must lie inside the image of ${image.join('×')} voxels, got ${shape.join('×')} from ` +
        `[${start.join(', ')}]; clip it first`,
    );
  return { start, shape };
}

function moved(affine: Affine, start: Vec3): Affine {
  const [x, y, z] = apply(affine, start);
  const [a, b, c, last] = affine;
  return [[a[0], a[1], a[2], x], [b[0], b[1], b[2], y], [c[0], c[1], c[2], z], last];
}
