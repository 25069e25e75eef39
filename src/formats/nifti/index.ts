/** NIfTI-1 and NIfTI-2: bytes to volumes and back. */
import { writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import type { Volume } from '../../volume/volume.js';
import { readBytes } from '../bytes.js';
import { clearNonFinite } from '../cells.js';
import { voxelsOf } from './datatypes.js';
import { NiftiError } from './error.js';
import { type NiftiHeader, readHeader } from './header.js';
import { writeNifti, type WriteOptions } from './write.js';

export { NiftiError } from './error.js';
export type { NiftiHeader } from './header.js';
export { type NiftiSlabs, openNiftiSlabs } from './slabs.js';
export { writeNifti, type WriteOptions } from './write.js';

export interface NiftiImage {
  readonly header: NiftiHeader;
  /** How many 3D frames the file has: 1 for a 3D image, the product of the dimensions above the third for others. */
  readonly frames: number;
  /**
   * Frame `t`, counted in file order. Voxels that are NaN or infinite are 0 and marked in `valid`. Every call
   * makes a new volume.
   */
  frame(t: number): Volume;
}

/**
 * Reads a NIfTI image, gzipped or not. `imageBytes` is the content of the .img of a .hdr/.img pair.
 *
 * @param name names the file in errors.
 * @throws NiftiError naming the file, the rule that it broke and what to do.
 */
export function readNifti(bytes: Uint8Array, name: string, imageBytes?: Uint8Array): NiftiImage {
  const headerBytes = inflate(bytes, name);
  const header = readHeader(headerBytes, name);
  if (!header.singleFile && imageBytes === undefined)
    throw new NiftiError(
      `read NIfTI: ${name} is the header of a pair; give the .img file as well (readNiftiFile finds it by its name)`,
    );
  const voxels = header.singleFile ? headerBytes : inflate(imageBytes!, name);
  const [ni, nj, nk] = header.shape;
  const perFrame = ni * nj * nk;
  const needed = header.voxelOffset + perFrame * header.frames * header.datatype.size;
  if (voxels.length < needed)
    throw new NiftiError(
      `read NIfTI: ${name} must hold ${needed} bytes for its ${header.dims.join('×')} ${header.datatype.name} voxels, ` +
        `got ${voxels.length}; it is truncated, copy the file again`,
    );
  return {
    header,
    frames: header.frames,
    frame: (t) => {
      if (!Number.isInteger(t) || t < 0 || t >= header.frames)
        throw new NiftiError(`read NIfTI: ${name} has frames 0 to ${header.frames - 1}, got ${t}`);
      const { datatype, littleEndian, voxelOffset, shape, affine, slope, intercept } = header;
      const offset = voxelOffset + t * perFrame * datatype.size;
      const data = voxelsOf(voxels, offset, perFrame, datatype, littleEndian, name);
      return { data, shape, affine, slope, intercept, valid: clearNonFinite(data) };
    },
  };
}

/**
 * Reads a .nii, .nii.gz, or either file of a .hdr/.img pair (gzipped or not), at a path as openBytes takes it.
 *
 * @throws NiftiError as readNifti, and when one file of a pair is missing.
 */
export async function readNiftiFile(path: string): Promise<NiftiImage> {
  const pair = /^(.*)\.(hdr|img)(\.gz)?$/i.exec(path);
  if (pair === null) return readNifti(await readBytes(path), path);
  const [, stem, extension, gz] = pair as unknown as [string, string, string, string | undefined];
  const upper = extension === extension.toUpperCase();
  const beside = async (ending: string): Promise<Uint8Array> => {
    const cased = upper ? ending.toUpperCase() : ending;
    // Either file of a pair may be gzipped without the other.
    for (const compressed of gz === undefined ? ['', '.gz'] : ['.gz', '']) {
      try {
        return await readBytes(`${stem}.${cased}${compressed}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    throw new NiftiError(`read NIfTI: ${path} is half of a pair; put ${stem}.${cased} beside it`);
  };
  return readNifti(await beside('hdr'), path, await beside('img'));
}

/** Writes `volume` to `path`, gzipped when the path ends in .gz. */
export async function writeNiftiFile(
  path: string,
  volume: Volume,
  options: WriteOptions = {},
): Promise<void> {
  await writeFile(path, writeNifti(volume, { gzip: path.toLowerCase().endsWith('.gz'), ...options }));
}

function inflate(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new NiftiError(
      `read NIfTI: ${name} must be whole gzip data; it is damaged or cut off, copy it again`,
      {
        cause: error,
      },
    );
  }
}
