/** NIfTI datatype codes (nifti1.h, "DT_" and "NIFTI_TYPE_"), and moving values between files and typed arrays. */
import type { VoxelArray } from '../../volume/volume.js';
import { type CellType, cellsOf } from '../cells.js';
import { NiftiError } from './error.js';

export interface Datatype {
  readonly code: number;
  readonly name: CellType;
  /** Bytes a voxel. */
  readonly size: number;
}

const READABLE: readonly Datatype[] = [
  { code: 2, name: 'uint8', size: 1 },
  { code: 4, name: 'int16', size: 2 },
  { code: 8, name: 'int32', size: 4 },
  { code: 16, name: 'float32', size: 4 },
  { code: 64, name: 'float64', size: 8 },
  { code: 256, name: 'int8', size: 1 },
  { code: 512, name: 'uint16', size: 2 },
  { code: 768, name: 'uint32', size: 4 },
  { code: 1024, name: 'int64', size: 8 },
  { code: 1280, name: 'uint64', size: 8 },
];

const UNREADABLE: Readonly<Record<number, string>> = {
  1: 'binary',
  32: 'complex64',
  128: 'RGB24',
  1536: 'float128',
  1792: 'complex128',
  2048: 'complex256',
  2304: 'RGBA32',
};

/** @throws NiftiError for types that hold no real numbers, or none that JavaScript can hold. */
export function datatypeOf(code: number, name: string): Datatype {
  const known = READABLE.find((type) => type.code === code);
  if (known !== undefined) return known;
  const what = UNREADABLE[code] ?? 'unknown';
  throw new NiftiError(
    `read NIfTI: ${name} must hold integers or floats of at most 64 bits, got datatype ${code} (${what}); ` +
      'convert it, for instance to the magnitude as float32',
  );
}

/** The code under which a typed array is written. */
export function codeOf(data: VoxelArray): number {
  if (data instanceof Uint8Array) return 2;
  if (data instanceof Int16Array) return 4;
  if (data instanceof Int32Array) return 8;
  if (data instanceof Float32Array) return 16;
  if (data instanceof Float64Array) return 64;
  if (data instanceof Int8Array) return 256;
  if (data instanceof Uint16Array) return 512;
  return 768;
}

/**
 * `count` voxels that start at byte `offset`, in a new array. 64-bit integers become float64.
 *
 * @throws NiftiError when a 64-bit integer is beyond ±2^53, where float64 has no room for it.
 */
export function voxelsOf(
  bytes: Uint8Array,
  offset: number,
  count: number,
  type: Datatype,
  littleEndian: boolean,
  name: string,
): VoxelArray {
  const copy = new Uint8Array(bytes.subarray(offset, offset + count * type.size));
  return cellsOf(
    copy,
    type.name,
    littleEndian,
    (value) =>
      new NiftiError(
        `read NIfTI: ${type.name} voxels of ${name} must be within ±2^53, got ${value}; convert it to float64`,
      ),
  );
}
