/** zarrita, its codecs, and the metadata of the images of a corpus: OME-Zarr 0.5, one shard an array. */
import type * as Zarr from 'zarrita';
import { spacing } from '../volume/affine.js';
import type { Affine, Vec3, VoxelArray } from '../volume/volume.js';
import { loadNative, pack, unpack } from './blosc.js';
import { CorpusError } from './error.js';

/** Chunks are near-equal parts of each axis, at most this long: about half a megabyte of 16-bit voxels. */
const CHUNK = 64;

const DTYPES = {
  Int8Array: 'int8',
  Uint8Array: 'uint8',
  Int16Array: 'int16',
  Uint16Array: 'uint16',
  Int32Array: 'int32',
  Uint32Array: 'uint32',
  Float32Array: 'float32',
  Float64Array: 'float64',
} as const;
export type Dtype = (typeof DTYPES)[keyof typeof DTYPES];

export const dtypeOf = (data: VoxelArray): Dtype => DTYPES[data.constructor.name as keyof typeof DTYPES];

/** What the attributes of the group hold beside the OME metadata. */
export interface PrecessAttributes {
  readonly affine: Affine;
  readonly slope: number;
  readonly intercept: number;
  readonly valid: boolean;
}

interface BytesCodec {
  encode(bytes: Uint8Array): Promise<Uint8Array>;
  decode(bytes: Uint8Array): Promise<Uint8Array>;
}

type CodecEntry = Awaited<ReturnType<NonNullable<ReturnType<typeof Zarr.registry.get>>>>;
let library: Promise<typeof Zarr> | null = null;

/** zarrita and its codecs load on first use, so that commands that need no voxels start fast. */
export function loadZarr(): Promise<typeof Zarr> {
  library ??= (async () => {
    const zarr = await import('zarrita');
    registerBlosc(zarr);
    return zarr;
  })();
  return library;
}

/**
 * The Zarr v3 specification names blosc's shuffle by a word; the codec takes the number of c-blosc. Without this the
 * word counts as 0, no shuffle, and chunks are a fifth larger.
 */
function registerBlosc(zarr: typeof Zarr): void {
  const original = zarr.registry.get('blosc');
  if (original === undefined) throw new CorpusError('internal: zarrita has no blosc codec');
  const SHUFFLES: Readonly<Record<string, number>> = { noshuffle: 0, shuffle: 1, bitshuffle: 2 };
  zarr.registry.set('blosc', async () => {
    const [codec, native] = [await original(), await loadNative()];
    const fromConfig: CodecEntry['fromConfig'] = (configuration, meta) => {
      const { shuffle, ...rest } = configuration as { shuffle?: string };
      const usual = codec.fromConfig({ ...rest, shuffle: SHUFFLES[shuffle ?? ''] ?? 0 }, meta) as BytesCodec;
      const decode = (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> =>
        (native && unpack(bytes, native)) ?? usual.decode(bytes);
      return { kind: 'bytes_to_bytes', encode: usual.encode.bind(usual), decode } as never;
    };
    return { fromConfig };
  });
}

const blosc = (size: number): { name: string; configuration: Record<string, unknown> } => ({
  name: 'blosc',
  // Measured on clinical 16-bit images: zstd 1 with shuffle is 15% smaller than lz4 and as fast to read.
  configuration: { cname: 'zstd', clevel: 1, shuffle: 'shuffle', typesize: size, blocksize: 0 },
});

/** Compresses chunks of cells of `size` bytes. */
export async function bloscEncoder(size: number): Promise<(bytes: Uint8Array) => Promise<Uint8Array>> {
  const native = await loadNative();
  if (native !== null) return (bytes) => Promise.resolve(pack(bytes, size, native));
  const zarr = await loadZarr();
  const entry = await zarr.registry.get('blosc')!();
  const codec = entry.fromConfig(blosc(size).configuration, {} as never) as unknown as BytesCodec;
  return (bytes) => codec.encode(bytes);
}

/** Zarr's axes run slowest first: [k, j, i]. */
export const reversed = ([i, j, k]: Vec3): [number, number, number] => [k, j, i];

/** Voxels of as many slices as a chunk is deep: the memory that writing takes. */
const MOST_IN_SLAB = 16 * 1024 * 1024;

/** Sides of the chunks along i, j, k: fewer slices where they are large, so that a row of chunks stays small. */
export function chunkShape(shape: Vec3): [number, number, number] {
  const deep = Math.min(CHUNK, Math.max(1, Math.floor(MOST_IN_SLAB / (shape[0] * shape[1]))));
  const side = (n: number, most: number): number => Math.ceil(n / Math.ceil(n / most));
  return [side(shape[0], CHUNK), side(shape[1], CHUNK), side(shape[2], deep)];
}

/** How many chunks there are along i, j, k. */
export const chunkCounts = (shape: Vec3): [number, number, number] => {
  const chunk = chunkShape(shape);
  return shape.map((n, axis) => Math.ceil(n / chunk[axis]!)) as [number, number, number];
};

/** Zarr v3 array of one shard (sharding_indexed, index at the end): a series is one file, a chunk is read alone. */
export function arrayMetadata(shape: Vec3, dtype: Dtype, size: number): unknown {
  const chunk = chunkShape(shape);
  const counts = chunkCounts(shape);
  const shard = chunk.map((n, axis) => n * counts[axis]!) as unknown as Vec3;
  const little = { name: 'bytes', configuration: { endian: 'little' } };
  return {
    zarr_format: 3,
    node_type: 'array',
    shape: reversed(shape),
    data_type: dtype,
    chunk_grid: { name: 'regular', configuration: { chunk_shape: reversed(shard) } },
    chunk_key_encoding: { name: 'default', configuration: { separator: '/' } },
    fill_value: 0,
    codecs: [
      {
        name: 'sharding_indexed',
        configuration: {
          chunk_shape: reversed(chunk),
          codecs: [little, blosc(size)],
          index_codecs: [little, { name: 'crc32c' }],
          index_location: 'end',
        },
      },
    ],
    attributes: {},
    dimension_names: ['z', 'y', 'x'],
    storage_transformers: [],
  };
}

/** NGFF 0.5, sections axes and multiscales. Its scale has no rotation; the whole affine is in `precess`. */
export function groupMetadata(precess: PrecessAttributes): unknown {
  const axis = (name: string): unknown => ({ name, type: 'space', unit: 'millimeter' });
  const scale = { type: 'scale', scale: reversed(spacing(precess.affine)) };
  const ome = {
    version: '0.5',
    multiscales: [
      {
        axes: [axis('z'), axis('y'), axis('x')],
        datasets: [{ path: '0', coordinateTransformations: [scale] }],
      },
    ],
  };
  return { zarr_format: 3, node_type: 'group', attributes: { ome, precess } };
}

const CRC32C = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
  return n;
});

/** CRC-32C (RFC 3720, appendix B.4), which ends the index of a shard. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC32C[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
