/** Volumes to NIfTI-1 single files. */
import { gzipSync } from 'node:zlib';
import { spacing } from '../../volume/affine.js';
import type { Volume, VoxelArray } from '../../volume/volume.js';
import { codeOf } from './datatypes.js';
import { NiftiError } from './error.js';
import { quaternionFromAffine } from './quaternion.js';

export interface WriteOptions {
  readonly gzip?: boolean;
  /** At most 79 characters of ASCII. */
  readonly description?: string;
}

const HEADER = 348;
const VOXEL_OFFSET = 352;
const MILLIMETRES = 2;
const SCANNER = 1;

/**
 * Encodes a volume as NIfTI-1 (little endian, sform and, where its axes are perpendicular, qform with code 1). The
 * voxel type, slope and intercept are kept; NIfTI has no mask, so a volume with unmeasured voxels is written as
 * floats with NaN in them, which readNifti turns back into the mask.
 *
 * @throws NiftiError when a side is longer than 32767, which NIfTI-1 cannot say.
 */
export function writeNifti(volume: Volume, options: WriteOptions = {}): Uint8Array {
  const { shape, affine, slope, intercept } = volume;
  if (shape.some((side) => side > 32767 || side < 1))
    throw new NiftiError(
      `write NIfTI: sides must be 1 to 32767 voxels, got ${shape.join('×')}; crop the volume`,
    );
  const data = withNaN(volume);
  const out = new Uint8Array(VOXEL_OFFSET + data.byteLength);
  const view = new DataView(out.buffer);
  const i16 = (at: number, value: number): void => view.setInt16(at, value, true);
  const f32 = (at: number, value: number): void => view.setFloat32(at, value, true);

  view.setInt32(0, HEADER, true);
  [3, ...shape, 1, 1, 1, 1].forEach((value, n) => i16(40 + 2 * n, value));
  i16(70, codeOf(data));
  i16(72, data.BYTES_PER_ELEMENT * 8);
  const rotation = quaternionFromAffine(affine);
  [rotation?.qfac ?? 1, ...spacing(affine)].forEach((value, n) => f32(76 + 4 * n, value));
  f32(108, VOXEL_OFFSET);
  f32(112, slope);
  f32(116, intercept);
  view.setUint8(123, MILLIMETRES);
  out.set(Buffer.from((options.description ?? '').slice(0, 79), 'latin1'), 148);
  i16(252, rotation === null ? 0 : SCANNER);
  i16(254, SCANNER);
  rotation?.bcd.forEach((value, n) => f32(256 + 4 * n, value));
  ([0, 1, 2] as const).forEach((n) => f32(268 + 4 * n, affine[n][3]));
  [affine[0], affine[1], affine[2]].flat().forEach((value, n) => f32(280 + 4 * n, value));
  out.set(Buffer.from('n+1\0', 'latin1'), 344);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), VOXEL_OFFSET);
  return options.gzip === true ? gzipSync(out, { level: 6 }) : out;
}

function withNaN(volume: Volume): VoxelArray {
  const { data, valid } = volume;
  if (valid === null) return data;
  const wide = data instanceof Float64Array || data instanceof Int32Array || data instanceof Uint32Array;
  const out = wide ? Float64Array.from(data) : Float32Array.from(data);
  for (let n = 0; n < out.length; n++) if (valid[n] === 0) out[n] = NaN;
  return out;
}
