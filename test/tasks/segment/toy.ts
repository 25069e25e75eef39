/** A small anatomy to learn: a ball and a box in a body. */
import { writeNiftiFile } from '../../../src/formats/nifti/index.js';
import { newModel } from '../../../src/models/new-model.js';
import { modelConfig } from '../../../src/models/sizes.js';
import type { LabelTissues } from '../../../src/simulate/index.js';
import { labelTable } from '../../../src/tasks/segment/labels.js';
import { scalingAffine } from '../../../src/volume/affine.js';
import type { Vec3, Volume } from '../../../src/volume/volume.js';

export const TOY_TISSUES: LabelTissues = new Map([
  [1, 'muscle'],
  [2, 'urine'],
  [3, 'spleen'],
]);
export const TOY_TABLE = labelTable({ ball: [2], box: [3] });

/** 40³ voxels of 3 mm: a body with a ball of water on one side and a box of spleen on the other, at places of their own. */
export function toyMap(seed: number): Volume {
  const side = 40;
  const data = new Uint8Array(side ** 3);
  const move = [seed % 3, (seed >> 1) % 3, (seed >> 2) % 3];
  for (let k = 0, n = 0; k < side; k++)
    for (let j = 0; j < side; j++)
      for (let i = 0; i < side; i++, n++) {
        const inBody = Math.hypot(i - 19.5, j - 19.5, (k - 19.5) * 0.9) < 18;
        const inBall = Math.hypot(i - 12 - move[0]!, j - 20 - move[1]!, k - 20 - move[2]!) < 6;
        const inBox =
          Math.abs(i - 27 + move[1]!) < 5 && Math.abs(j - 20) < 7 && Math.abs(k - 19 - move[0]!) < 7;
        data[n] = inBall ? 2 : inBox ? 3 : inBody ? 1 : 0;
      }
  return {
    data,
    shape: [side, side, side],
    affine: scalingAffine([3, 3, 3], [-60, -50, -40]),
    slope: 1,
    intercept: 0,
    valid: null,
  };
}

/** An untrained encoder of two layers. */
export const toyEncoder = () => newModel({ ...modelConfig('nano'), layers: 2 }, 1);

export async function writeToyMaps(dir: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await writeNiftiFile(`${dir}/map${n}.nii.gz`, toyMap(n));
}

export const WORKING = { finestMm: 3, isotropic: false } as const;

/** How images are made of the toy maps where nothing depends on their contrast. */
export const TOY_SYNTHESIS = {
  tissues: TOY_TISSUES,
  table: TOY_TABLE,
  spacingMm: [3, 4],
  working: WORKING,
  contrasts: ['any'],
} as const;

/** A volume of one value a voxel, in cubes of `mm`. */
export const volumeOf = (
  shape: Vec3,
  value: (i: number, j: number, k: number) => number,
  mm = 2,
): Volume => ({
  data: Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, n) =>
    value(n % shape[0], Math.floor(n / shape[0]) % shape[1], Math.floor(n / (shape[0] * shape[1]))),
  ),
  shape,
  affine: scalingAffine([mm, mm, mm]),
  slope: 1,
  intercept: 0,
  valid: null,
});
