/** The one in-memory form of an image: voxels, where they are in the patient, and which of them were measured. */

/** [x, y, z] in RAS+ millimetres, or [i, j, k] in voxels, as the name of the variable says. */
export type Vec3 = readonly [number, number, number];
export type Row4 = readonly [number, number, number, number];
/** Voxel index (i, j, k, 1) to RAS+ millimetres (x, y, z, 1), row-major as in nibabel; the last row is 0 0 0 1. */
export type Affine = readonly [Row4, Row4, Row4, Row4];

export type VoxelArray =
  Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

/**
 * A 3D image. Voxel (i, j, k) is at `data[i + shape[0] * (j + shape[1] * k)]` (i fastest, as in NIfTI) and its
 * value is `data[...] * slope + intercept`.
 */
export interface Volume {
  readonly data: VoxelArray;
  /** [ni, nj, nk]. */
  readonly shape: Vec3;
  readonly affine: Affine;
  readonly slope: number;
  readonly intercept: number;
  /**
   * One byte a voxel in the order of `data`: 1 measured, 0 not (missing slice, padding, non-finite, defaced).
   * `null` says that every voxel was measured. An unmeasured voxel's value means nothing and must not be used.
   */
  readonly valid: Uint8Array | null;
}

/** A rule of geometry or of image content was broken by the input. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}
