/** One anatomy on other grids: what a scanner, an exporter or a transfer may do to an image without changing the patient. */
import { reorient } from '../../src/volume/orientation.js';
import { resample } from '../../src/volume/resample.js';
import { Random } from '../../src/volume/random.js';
import { apply, spacing } from '../../src/volume/affine.js';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';

/** The volume sampled anew, 1.3 times finer in plane and 0.8 times as coarse across, as another protocol would. */
export function otherSpacing(volume: Volume): Volume {
  const [i, j, k] = spacing(volume.affine);
  return resample(volume, { spacingMm: [i * 1.3, j * 1.3, k * 0.8] });
}

/** The same voxels with axes stored in another order and direction. */
export const otherAxes = (volume: Volume): Volume => reorient(volume, 'PSL');

/** The volume in the middle of a larger array of zeros, as exporters pad to a power of two. */
export function padded(volume: Volume): Volume {
  const before: Vec3 = [17, 5, 3];
  const shape = volume.shape.map((n, d) => n + before[d]! * 2) as unknown as Vec3;
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  const valid = new Uint8Array(data.length).fill(1);
  let from = 0;
  for (let k = 0; k < volume.shape[2]; k++)
    for (let j = 0; j < volume.shape[1]; j++) {
      const to = before[0] + shape[0] * (j + before[1] + shape[1] * (k + before[2]));
      for (let i = 0; i < volume.shape[0]; i++, from++) {
        data[to + i] = volume.data[from]! * volume.slope + volume.intercept;
        if (volume.valid) valid[to + i] = volume.valid[from]!;
      }
    }
  const origin = apply(volume.affine, [-before[0], -before[1], -before[2]]);
  const affine = volume.affine.map((row, r) =>
    r < 3 ? [row[0], row[1], row[2], origin[r as 0]] : row,
  ) as unknown as Affine;
  return { data, shape, affine, slope: 1, intercept: 0, valid };
}

/** The volume with a quarter of its slices (along the axis of widest spacing) not measured. */
export function withoutSlices(volume: Volume, seed: number): Volume {
  const mm = spacing(volume.affine);
  const axis = mm.indexOf(Math.max(...mm)) as 0 | 1 | 2;
  const slices = volume.shape[axis];
  const lost = new Set(new Random(seed).sample(slices, Math.round(slices / 4)));
  const valid = volume.valid ? volume.valid.slice() : new Uint8Array(volume.data.length).fill(1);
  const data = volume.data.slice();
  let n = 0;
  for (let k = 0; k < volume.shape[2]; k++)
    for (let j = 0; j < volume.shape[1]; j++)
      for (let i = 0; i < volume.shape[0]; i++, n++)
        if (lost.has([i, j, k][axis]!)) {
          valid[n] = 0;
          data[n] = 0;
        }
  return { ...volume, data, valid };
}
