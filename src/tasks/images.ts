/** Opens the images of a file or folder as they are, without a corpus: for embed, describe and search by image. */
import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  groupSeries,
  isDicom,
  loadSeries,
  readDicomHeader,
  type DicomInstance,
} from '../formats/dicom/index.js';
import { readNiftiFile } from '../formats/nifti/index.js';
import type { Volume } from '../volume/volume.js';
import { TaskError } from './error.js';

export interface OpenedImage {
  /** From the content alone: the same voxels in the same place have the same id, wherever the file lies. */
  readonly id: string;
  readonly volume: Volume;
}

/** Headers read at a time. */
const PARALLEL = 16;

/**
 * Every MR series in a DICOM file or folder (searched with its subfolders), or the first frame of a NIfTI image.
 * Series come one at a time, so that only one volume is held.
 * @throws TaskError when `path` holds no image that can be read, with the reason of the first file that was not.
 */
export async function* openImages(path: string): AsyncGenerator<OpenedImage> {
  const info = await stat(path).catch(() => null);
  if (!info)
    throw new TaskError(`image: ${path} does not exist; give a DICOM folder, a DICOM file or a NIfTI file`);
  const files = info.isDirectory() ? await filesUnder(path) : [path];
  const nifti = files.filter((file) => /\.(nii|nii\.gz|hdr)$/i.test(file));
  const instances: DicomInstance[] = [];
  let reason: string | null = null;
  const others = files.filter((file) => !nifti.includes(file));
  for (let at = 0; at < others.length; at += PARALLEL)
    await Promise.all(
      others.slice(at, at + PARALLEL).map(async (file) => {
        try {
          if (isDicom(await firstBytes(file))) instances.push(await readDicomHeader(file));
        } catch (error) {
          reason ??= error instanceof Error ? error.message : String(error);
        }
      }),
    );
  const { series, skipped } = groupSeries(instances);
  reason ??= skipped[0] ? `${skipped[0].path}: ${skipped[0].reason}` : null;
  let found = 0;
  for (const one of series) {
    found++;
    yield opened(await loadSeries(one));
  }
  for (const file of nifti) {
    found++;
    yield opened((await readNiftiFile(file)).frame(0));
  }
  if (found === 0)
    throw new TaskError(
      `image: ${path} holds no MR image that can be read${reason === null ? '' : ` (${reason})`}; ` +
        'give a DICOM folder, a DICOM file or a NIfTI file',
    );
}

function opened(volume: Volume): OpenedImage {
  const { data, affine, shape } = volume;
  const hash = createHash('sha256')
    .update(JSON.stringify([shape, affine]))
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return { id: `im-${hash.digest('hex').slice(0, 24)}`, volume };
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function firstBytes(file: string): Promise<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    const bytes = new Uint8Array(256);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
