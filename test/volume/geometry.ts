/** Small helpers that several geometry tests share. */
import type { Vec3, Volume } from '../../src/volume/volume.js';

/** The columns of Rz(c)·Ry(b)·Rx(a), angles in radians. */
export function rotation(a: number, b: number, c: number): readonly [Vec3, Vec3, Vec3] {
  const [ca, sa, cb, sb, cc, sc] = [
    Math.cos(a),
    Math.sin(a),
    Math.cos(b),
    Math.sin(b),
    Math.cos(c),
    Math.sin(c),
  ];
  return [
    [cc * cb, sc * cb, -sb],
    [cc * sb * sa - sc * ca, sc * sb * sa + cc * ca, cb * sa],
    [cc * sb * ca + sc * sa, sc * sb * ca - cc * sa, cb * ca],
  ];
}

export function voxelAt(volume: Volume, [i, j, k]: Vec3): number {
  return volume.data[i + volume.shape[0] * (j + volume.shape[1] * k)]! * volume.slope + volume.intercept;
}

export function validAt(volume: Volume, [i, j, k]: Vec3): boolean {
  return volume.valid === null || volume.valid[i + volume.shape[0] * (j + volume.shape[1] * k)] === 1;
}

/** A float32 volume whose voxel (i, j, k) is `f(i, j, k)`. */
export function volumeOf(
  shape: Vec3,
  affine: Volume['affine'],
  f: (i: number, j: number, k: number) => number,
  valid?: (i: number, j: number, k: number) => boolean,
): Volume {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  const mask = new Uint8Array(data.length);
  let n = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) {
        data[n] = f(i, j, k);
        mask[n] = valid?.(i, j, k) === false ? 0 : 1;
      }
  return { data, shape, affine, slope: 1, intercept: 0, valid: valid === undefined ? null : mask };
}
