/** Opens the images of a file or folder as they are, without a corpus: for embed, describe and search by image. */
import { createHash, type Hash } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileFormat } from '../corpus/file-names.js';
import { storeAt } from '../corpus/store.js';
import {
  loadVoxels,
  openVoxels,
  plainSeries,
  type PlainDicomSeries,
  type VoxelReader,
  type VoxelSource,
} from '../corpus/voxel-source.js';
import { openImage, writeSlabs } from '../corpus/voxels.js';
import { walk } from '../corpus/walk.js';
import { openBytes } from '../formats/bytes.js';
import { groupSeries, isDicom, readDicomHeader, type DicomInstance } from '../formats/dicom/index.js';
import { isLarge } from '../train/loader.js';
import { Streamed } from '../volume/streamed.js';
import { Prepared, type Scanned } from '../volume/tokens.js';
import type { Volume, VoxelArray } from '../volume/volume.js';
import { TaskError } from './error.js';

export interface OpenedImage {
  /** From the content alone: the same voxels in the same place have the same id, wherever the file lies. */
  readonly id: string;
  readonly volume: Volume;
  /** Where it was read from, of a DICOM series. */
  readonly dicom?: PlainDicomSeries;
}

/** Headers read at a time. */
const PARALLEL = 16;

/**
 * Every MR series in a DICOM file, folder (searched with its subfolders) or archive, and the first frame of NIfTI, NRRD,
 * MetaImage and MGH images. Images come one at a time, so that only one volume is held; one that cannot be read is
 * told to `warn` and passed over.
 * @throws TaskError when `path` holds no image that can be read, with the reason of the first file that was not.
 */
export async function* openImages(path: string, warn: Warn = () => undefined): AsyncGenerator<OpenedImage> {
  yield* each(path, warn, async (source) => {
    const volume = await loadVoxels(source);
    return { id: idOf(volume), volume, ...(source.kind === 'dicom' && { dicom: source.series }) };
  });
}

/** An image ready to be cut. */
export interface ScannedImage {
  readonly id: string;
  readonly image: Scanned;
}

/**
 * As {@link openImages}, but images whose voxels are large for `memory` bytes are read box by box. For that they are
 * unpacked slab by slab into a folder for temporary files that only this user can read; it is removed when the next
 * image is asked for.
 */
export async function* openScannedImages(
  path: string,
  memory: number,
  warn: Warn = () => undefined,
): AsyncGenerator<ScannedImage> {
  const staged: string[] = [];
  const clean = async (): Promise<void> => {
    for (const folder of staged.splice(0)) await rm(folder, { recursive: true, force: true });
  };
  try {
    for await (const one of each(path, warn, async (source): Promise<ScannedImage> => {
      await clean();
      const reader = await openVoxels(source);
      try {
        if (!isLarge(reader.bytes, memory)) {
          const volume = await loadVoxels(source);
          return { id: idOf(volume), image: new Prepared(volume) };
        }
        const folder = await mkdtemp(join(tmpdir(), 'precess-'));
        staged.push(folder);
        return await stage(reader, join(folder, 'image'), memory);
      } finally {
        await reader.close();
      }
    }))
      yield one;
  } finally {
    await clean();
  }
}

/** Unpacks an image, slab by slab, and opens what was unpacked. */
async function stage(reader: VoxelReader, path: string, memory: number): Promise<ScannedImage> {
  const { shape, affine, slope, intercept } = reader;
  const hash = hashOf(reader);
  const { store, key } = storeAt(path);
  await writeSlabs(store, key, {
    shape,
    affine,
    slope,
    intercept,
    async readSlices(k0, k1) {
      const slab = await reader.readSlices(k0, k1);
      hash.update(bytesOf(slab.data));
      return slab;
    },
  });
  return { id: named(hash), image: await Streamed.open(await openImage(store, key), memory) };
}

type Warn = (message: string) => void;

/** Opens the images of a path one after another. */
async function* each<T>(
  path: string,
  warn: Warn,
  open: (source: VoxelSource) => Promise<T>,
): AsyncGenerator<T> {
  if (!(await stat(path).catch(() => null)))
    throw new TaskError(`image: ${path} does not exist; give a DICOM folder, a DICOM file or a NIfTI file`);
  const reasons: string[] = [];
  const leaveOut = (file: string, why: string): void => {
    reasons.push(`${file}: ${why}`);
    warn(`image: ${file} is passed over: ${why}`);
  };
  let found = 0;
  for (const { file, source } of await sourcesOf(path, leaveOut)) {
    let one: T;
    try {
      one = await open(source);
    } catch (error) {
      leaveOut(file, messageOf(error));
      continue;
    }
    found++;
    yield one;
  }
  if (found === 0)
    throw new TaskError(
      `image: ${path} holds no MR image that can be read${reasons.length === 0 ? '' : ` (${reasons[0]!})`}; ` +
        'give a DICOM folder, a DICOM file or a NIfTI file',
    );
}

/** Series first, then single files. */
async function sourcesOf(
  path: string,
  leaveOut: (file: string, why: string) => void,
): Promise<{ file: string; source: VoxelSource }[]> {
  const others: string[] = [];
  const images: { file: string; source: VoxelSource }[] = [];
  for await (const file of walk([path], '', (one) => leaveOut(one.path, one.reason))) {
    const format = fileFormat(file.path);
    if (format === null) others.push(file.path);
    // Of a pair, the header stands for both files.
    else if (!/\.img(\.gz)?$/i.test(file.path))
      images.push({ file: file.path, source: { kind: 'file', format, path: file.path, frame: 0 } });
  }
  const instances: DicomInstance[] = [];
  for (let at = 0; at < others.length; at += PARALLEL)
    await Promise.all(
      others.slice(at, at + PARALLEL).map(async (file) => {
        try {
          if (isDicom(await firstBytes(file))) instances.push(await readDicomHeader(file));
        } catch (error) {
          leaveOut(file, messageOf(error));
        }
      }),
    );
  const { series, skipped } = groupSeries(instances);
  for (const one of skipped) leaveOut(one.path, one.reason);
  const dicom = series.map((one): { file: string; source: VoxelSource } => ({
    file: one.header.path,
    source: { kind: 'dicom', series: plainSeries(one) },
  }));
  return [...dicom, ...images];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const bytesOf = ({ buffer, byteOffset, byteLength }: VoxelArray): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const hashOf = ({ shape, affine }: Pick<Volume, 'shape' | 'affine'>): Hash =>
  createHash('sha256').update(JSON.stringify([shape, affine]));

const named = (hash: Hash): string => `im-${hash.digest('hex').slice(0, 24)}`;

function idOf(volume: Volume): string {
  return named(hashOf(volume).update(bytesOf(volume.data)));
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const source = await openBytes(path);
  try {
    return await source.read(0, Math.min(256, source.size));
  } finally {
    await source.close();
  }
}
