/** Padding is not anatomy: planes of one value at the faces of an array were put there, not measured. */
import { apply } from './affine.js';
import type { Affine, Vec3, Volume } from './volume.js';

/**
 * The volume without the outer planes that hold one single value (zero padding to a power of two, cropped and masked
 * borders); the volume itself where there are none. What is left lies where it lay: only array and affine change.
 * A volume of one value throughout keeps its last plane.
 */
export function trimPadding(volume: Volume): Volume {
  const from: [number, number, number] = [0, 0, 0];
  const to: [number, number, number] = [...volume.shape];
  for (const axis of [2, 1, 0] as const) {
    while (to[axis] - from[axis] > 1 && isConstant(volume, from, to, axis, from[axis])) from[axis]++;
    while (to[axis] - from[axis] > 1 && isConstant(volume, from, to, axis, to[axis] - 1)) to[axis]--;
  }
  const shape = to.map((end, d) => end - from[d]!) as unknown as Vec3;
  if (shape.every((n, d) => n === volume.shape[d])) return volume;
  const { slope, intercept } = volume;
  return {
    data: cut(volume.data, volume.shape, from, shape),
    shape,
    affine: startingAt(volume.affine, from),
    slope,
    intercept,
    valid: volume.valid && cut(volume.valid, volume.shape, from, shape),
  };
}

/** The affine of the array that starts at voxel `from` of another. */
export function startingAt(affine: Affine, from: Vec3): Affine {
  const origin = apply(affine, from);
  return affine.map((row, r) =>
    r < 3 ? [row[0], row[1], row[2], origin[r as 0]] : row,
  ) as unknown as Affine;
}

/** Whether the measured voxels of plane `at` across `axis`, within the box, all have one value. */
export function isConstant(
  { data, shape, valid }: Pick<Volume, 'data' | 'shape' | 'valid'>,
  from: Vec3,
  to: Vec3,
  axis: 0 | 1 | 2,
  at: number,
): boolean {
  const low = [...from];
  const high = [...to];
  low[axis] = at;
  high[axis] = at + 1;
  let value: number | null = null;
  for (let k = low[2]!; k < high[2]!; k++)
    for (let j = low[1]!; j < high[1]!; j++) {
      const row = shape[0] * (j + shape[1] * k);
      for (let n = row + low[0]!; n < row + high[0]!; n++) {
        if (valid?.[n] === 0) continue;
        value ??= data[n]!;
        if (data[n] !== value) return false;
      }
    }
  return true;
}

function cut<T extends Volume['data']>(data: T, whole: Vec3, from: Vec3, shape: Vec3): T {
  const out = data.slice(0, shape[0] * shape[1] * shape[2]) as T;
  let at = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++, at += shape[0]) {
      const row = from[0] + whole[0] * (j + from[1] + whole[1] * (k + from[2]));
      out.set(data.subarray(row, row + shape[0]), at);
    }
  return out;
}
