/** One image under one name, whichever way its array runs. */
import { createHash } from 'node:crypto';
import { axisMap } from '../volume/orientation.js';
import { type Vec3, type Volume, VolumeError } from '../volume/volume.js';

/**
 * SHA-256 of the values of an image (stored × slope + intercept, as float32; NaN where nothing was measured) in the order
 * of axes that is nearest to RAS, and of its shape in that order. Images that differ in the order or direction of their
 * axes, in the type of their voxels or in their place only have the same.
 */
export function canonicalDigest(volume: Volume): string {
  const { data, valid, slope, intercept, shape } = volume;
  const { size, stride, first } = rasOrder(volume);
  const hash = createHash('sha256').update(`${size.join(' ')}\n`);
  const plane = new Float32Array(size[0] * size[1]);
  const bytes = new Uint8Array(plane.buffer);
  const mask = valid !== null && valid.length === shape[0] * shape[1] * shape[2] ? valid : null;
  for (let z = 0; z < size[2]; z++) {
    let to = 0;
    for (let y = 0; y < size[1]; y++) {
      let from = first + y * stride[1] + z * stride[2];
      for (let x = 0; x < size[0]; x++) {
        plane[to++] = mask !== null && mask[from] === 0 ? NaN : data[from]! * slope + intercept;
        from += stride[0];
      }
    }
    hash.update(bytes);
  }
  return hash.digest('hex');
}

/** Shape and steps through the array from left to right, back to front and below to above. */
function rasOrder({ affine, shape }: Volume): { size: Vec3; stride: Vec3; first: number } {
  const steps = [1, shape[0], shape[0] * shape[1]] as const;
  let map: ReturnType<typeof axisMap>;
  try {
    map = axisMap(affine);
  } catch (error) {
    // Axes that do not span space have no direction; they are reported as such.
    if (error instanceof VolumeError) return { size: shape, stride: [...steps], first: 0 };
    throw error;
  }
  const { axes, signs } = map;
  const old = ([0, 1, 2] as const).map((ras) => axes.indexOf(ras)) as [0 | 1 | 2, 0 | 1 | 2, 0 | 1 | 2];
  const pick = (of: (axis: 0 | 1 | 2) => number): Vec3 => [of(old[0]), of(old[1]), of(old[2])];
  return {
    size: pick((axis) => shape[axis]),
    stride: pick((axis) => signs[axis] * steps[axis]),
    first: old.reduce<number>(
      (sum, axis) => sum + (signs[axis] < 0 ? (shape[axis] - 1) * steps[axis] : 0),
      0,
    ),
  };
}
