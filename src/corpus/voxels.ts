/** Voxels on disk: one OME-Zarr 0.5 image a series, in blosc-compressed chunks that can be read alone. */
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type FileSystemStore from '@zarrita/storage/fs';
import type * as Zarr from 'zarrita';
import { apply, spacing } from '../volume/affine.js';
import type { Affine, Vec3, Volume, VoxelArray } from '../volume/volume.js';
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
type Dtype = (typeof DTYPES)[keyof typeof DTYPES];

/** What the attributes of the group hold beside the OME metadata. */
interface PrecessAttributes {
  readonly affine: Affine;
  readonly slope: number;
  readonly intercept: number;
  readonly valid: boolean;
}

interface Libraries {
  readonly zarr: typeof Zarr;
  readonly Store: typeof FileSystemStore;
}
type CodecEntry = Awaited<ReturnType<NonNullable<ReturnType<typeof Zarr.registry.get>>>>;
let libraries: Promise<Libraries> | null = null;

/** zarrita and its codecs load on first use, so that commands that need no voxels start fast. */
async function load(): Promise<Libraries> {
  libraries ??= (async () => {
    const [zarr, { default: Store }] = await Promise.all([import('zarrita'), import('@zarrita/storage/fs')]);
    registerBlosc(zarr);
    return { zarr, Store };
  })();
  return libraries;
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
    const codec = await original();
    const fromConfig: CodecEntry['fromConfig'] = (configuration, meta) => {
      const { shuffle, ...rest } = configuration as { shuffle?: string };
      // eslint-disable-next-line @typescript-eslint/no-unsafe-return -- numcodecs ships no types for this
      return codec.fromConfig({ ...rest, shuffle: SHUFFLES[shuffle ?? ''] ?? 0 }, meta);
    };
    return { fromConfig };
  });
}

const bloscFor = (size: number): Zarr.CodecMetadata[] => [
  { name: 'bytes', configuration: { endian: 'little' } },
  // Measured on clinical 16-bit images: zstd 1 with shuffle is 15% smaller than lz4 and as fast to read.
  {
    name: 'blosc',
    configuration: { cname: 'zstd', clevel: 1, shuffle: 'shuffle', typesize: size, blocksize: 0 },
  },
];

/** Zarr's axes run slowest first: [k, j, i]. */
const reversed = ([i, j, k]: Vec3): [number, number, number] => [k, j, i];

/**
 * Writes `volume` as an OME-Zarr image at `path`, where nothing may be yet. The image appears whole or not at all:
 * it is written beside `path` and renamed.
 *
 * Layout: group attributes `ome` (multiscales of one level, axes z y x in mm = our k, j, i) and `precess` (affine,
 * slope, intercept); array `0` the stored voxels; array `valid`, only where not every voxel was measured.
 */
export async function writeVoxels(path: string, volume: Volume): Promise<void> {
  const { zarr, Store } = await load();
  const fresh = `${path}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  await rm(fresh, { recursive: true, force: true });
  const valid = volume.valid?.includes(0) ? volume.valid : null;
  const attributes: PrecessAttributes = {
    affine: volume.affine,
    slope: volume.slope,
    intercept: volume.intercept,
    valid: valid !== null,
  };
  try {
    const root = zarr.root(new Store(fresh));
    await zarr.create(root, { attributes: { ome: omeMetadata(volume), precess: attributes } });
    await writeArray(zarr, root.resolve('0'), volume.data, volume.shape);
    if (valid !== null) await writeArray(zarr, root.resolve('valid'), valid, volume.shape);
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

async function writeArray(
  zarr: typeof Zarr,
  location: Zarr.Location<FileSystemStore>,
  data: VoxelArray,
  shape: Vec3,
): Promise<void> {
  const dtype: Dtype = DTYPES[data.constructor.name as keyof typeof DTYPES];
  const zyx = reversed(shape);
  const array = await zarr.create(location, {
    shape: zyx,
    chunkShape: zyx.map((n) => Math.ceil(n / Math.ceil(n / CHUNK))),
    dtype,
    codecs: bloscFor(data.BYTES_PER_ELEMENT),
    fillValue: 0,
    dimensionNames: ['z', 'y', 'x'],
  });
  const [, nj, ni] = zyx;
  await zarr.set(array, null, { data: data as never, shape: zyx, stride: [nj * ni, ni, 1] });
}

/** NGFF 0.5, sections axes and multiscales. Its scale has no rotation; the whole affine is in `precess`. */
function omeMetadata(volume: Volume): unknown {
  const axis = (name: string): unknown => ({ name, type: 'space', unit: 'millimeter' });
  return {
    version: '0.5',
    multiscales: [
      {
        axes: [axis('z'), axis('y'), axis('x')],
        datasets: [
          {
            path: '0',
            coordinateTransformations: [{ type: 'scale', scale: reversed(spacing(volume.affine)) }],
          },
        ],
      },
    ],
  };
}

/**
 * Reads an image back, or the box of `shape` voxels from voxel `start`. Only the chunks that the box touches are
 * read. The affine is the box's own.
 *
 * @throws CorpusError when the box does not lie inside the image.
 */
export async function readVoxels(path: string, start?: Vec3, shape?: Vec3): Promise<Volume> {
  const { zarr, Store } = await load();
  const root = zarr.root(complete(new Store(path)));
  const group = await zarr.open.v3(root, { kind: 'group' });
  const { affine, slope, intercept, valid } = group.attrs.precess as PrecessAttributes;
  const array = await zarr.open.v3(root.resolve('0'), { kind: 'array' });
  const [nk, nj, ni] = array.shape as [number, number, number];
  const box = checkBox([ni, nj, nk], start ?? [0, 0, 0], shape ?? [ni, nj, nk]);
  const read = async (from: Zarr.Array<Zarr.DataType, FileSystemStore>): Promise<VoxelArray> => {
    const slices = reversed(box.start).map((first, axis) =>
      zarr.slice(first, first + reversed(box.shape)[axis]!),
    );
    return (await zarr.get(from, slices)).data as unknown as VoxelArray;
  };
  const data = await read(array);
  const mask = valid ? await read(await zarr.open.v3(root.resolve('valid'), { kind: 'array' })) : null;
  return {
    data,
    shape: box.shape,
    affine: moved(affine, box.start),
    slope,
    intercept,
    valid: mask as Uint8Array | null,
  };
}

/** Offset of the compressed size, a little-endian uint32, in a chunk (c-blosc, README_CHUNK_FORMAT: cbytes). */
const BLOSC_CBYTES = 12;

/**
 * The store, but a chunk that is not there or not whole is an error. Zarr takes a missing one for one of fill values;
 * the images here are written with all their chunks, so that it was lost, and zeros would be invented voxels. The codec
 * decodes a chunk that was cut off without complaint.
 */
function complete(store: FileSystemStore): FileSystemStore {
  const get = store.get.bind(store);
  store.get = async (key) => {
    const bytes = await get(key);
    if (!/\/c\//.test(key)) return bytes;
    if (bytes === undefined) throw new Error('a part of the image is missing');
    const { buffer, byteOffset, length } = bytes;
    const whole =
      length >= BLOSC_CBYTES + 4 &&
      new DataView(buffer, byteOffset, length).getUint32(BLOSC_CBYTES, true) === length;
    if (!whole) throw new Error('a part of the image is cut off or damaged');
    return bytes;
  };
  return store;
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
