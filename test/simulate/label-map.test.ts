/** Simulation from the label maps of the real data. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import {
  type Acquisition,
  FREESURFER_TISSUES,
  nullingTime,
  simulateFromLabels,
  TISSUES,
  TOTALSEGMENTATOR_TISSUES,
} from '../../src/simulate/index.js';
import { inverseOf } from '../../src/volume/sampling.js';
import type { Volume } from '../../src/volume/volume.js';
import { dataDir, skipped } from '../data.js';

const folder = join(dataDir() ?? '', 'label-maps');
const missing = skipped(
  dataDir() === null || !existsSync(folder),
  'the label maps of the real data are not here',
);

/** Median over the voxels whose centre, and whose neighbours along its slice, have the label. */
function medianOf(image: Volume, labels: Volume, wanted: readonly number[]): number {
  const m = inverseOf(labels.affine);
  const [si, sj, sk] = labels.shape;
  const [ni, nj] = image.shape;
  const found: number[] = [];
  const labelAt = (i: number, j: number, k: number): number => {
    const p = image.affine.slice(0, 3).map((r) => r[0] * i + r[1] * j + r[2] * k + r[3]);
    const [u, v, w] = [0, 1, 2].map((r) =>
      Math.round(m[r * 4]! * p[0]! + m[r * 4 + 1]! * p[1]! + m[r * 4 + 2]! * p[2]! + m[r * 4 + 3]!),
    ) as [number, number, number];
    if (u < 0 || v < 0 || w < 0 || u >= si || v >= sj || w >= sk) return 0;
    return labels.data[u + si * (v + sj * w)]!;
  };
  image.data.forEach((value, n) => {
    const [i, j, k] = [n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj))];
    if ([-0.4, 0, 0.4].every((d) => wanted.includes(labelAt(i, j, k + d)))) found.push(value);
  });
  expect(found.length).toBeGreaterThan(20);
  return found.sort((a, b) => a - b)[found.length >> 1]!;
}

describe.skipIf(missing)('a head of FreeSurfer labels', () => {
  it('has dark fluid on FLAIR and bright fluid on T2, in the space of the map', async () => {
    const labels = (await readNiftiFile(join(folder, 'brain-synthseg', 'training_seg_01.nii.gz'))).frame(0);
    const base: Acquisition = {
      plane: 'axial',
      shape: [96, 112, 24],
      spacing: [2, 2, 5],
      thickness: 4.5,
      centre: [0, 20, 20],
      sequence: { kind: 'turbo spin echo', tr: 5000, te: 100 },
      tesla: 3,
      noise: 0.01,
      bias: 0.1,
    };
    const t2 = simulateFromLabels(labels, FREESURFER_TISSUES, base).volume;
    const ti = nullingTime(TISSUES.csf.t1[1], 9000);
    const flair = simulateFromLabels(labels, FREESURFER_TISSUES, {
      ...base,
      sequence: { kind: 'inversion recovery', tr: 9000, te: 110, ti },
    }).volume;
    const [white, ventricle] = [
      [2, 41],
      [4, 43],
    ] as const;
    expect(medianOf(t2, labels, ventricle)).toBeGreaterThan(2 * medianOf(t2, labels, white));
    expect(medianOf(flair, labels, ventricle)).toBeLessThan(0.35 * medianOf(flair, labels, white));
  });
});

describe.skipIf(missing)('a trunk of TotalSegmentator labels', () => {
  it('has a spleen brighter than the liver on T2 and darker on T1', async () => {
    const labels = (await readNiftiFile(join(folder, 'body-totalseg', 'example_seg.nii.gz'))).frame(0);
    const [ni, nj, nk] = labels.shape;
    const centre = labels.affine
      .slice(0, 3)
      .map((r) => (r[0] * (ni - 1) + r[1] * (nj - 1) + r[2] * (nk - 1)) / 2 + r[3]) as [
      number,
      number,
      number,
    ];
    const base: Acquisition = {
      plane: 'axial',
      shape: [122, 101, 14],
      spacing: [3, 3, 6],
      thickness: 5,
      centre,
      sequence: { kind: 'turbo spin echo', tr: 4000, te: 90 },
      tesla: 1.5,
      noise: 0.01,
      bias: 0,
    };
    const t2 = simulateFromLabels(labels, TOTALSEGMENTATOR_TISSUES, base).volume;
    const t1 = simulateFromLabels(labels, TOTALSEGMENTATOR_TISSUES, {
      ...base,
      sequence: { kind: 'gradient echo', tr: 150, te: 2.3, flip: 70 },
    }).volume;
    expect(medianOf(t2, labels, [1])).toBeGreaterThan(1.5 * medianOf(t2, labels, [5]));
    expect(medianOf(t1, labels, [1])).toBeLessThan(0.9 * medianOf(t1, labels, [5]));
  });
});
