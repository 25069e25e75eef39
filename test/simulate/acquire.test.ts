/** Acquisition of small label volumes whose voxel values can be worked out by hand. */
import { describe, expect, it } from 'vitest';
import { type Acquisition, addRicianNoise, type Plane, stackAffine } from '../../src/simulate/acquire.js';
import { simulateFromLabels } from '../../src/simulate/label-map.js';
import { SimulationError } from '../../src/simulate/anatomy.js';
import { type Tissue, TISSUES } from '../../src/simulate/tissue.js';
import { inverseOf } from '../../src/volume/sampling.js';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';

/** No mottle, so that equal tissue is equal signal. */
const plain = (change: Partial<Tissue>): Tissue => ({ ...TISSUES.muscle, mottle: 0, ...change });

const SPACE: Acquisition = {
  plane: 'axial',
  shape: [24, 20, 9],
  spacing: [2, 2, 6],
  thickness: 6,
  centre: [0, 0, 0],
  sequence: { kind: 'turbo spin echo', tr: 4000, te: 20 },
  tesla: 1.5,
  noise: 0,
  bias: 0,
};

/** 1 mm label volume around the origin; label by RAS position. */
function labels(side: number, labelAt: (x: number, y: number, z: number) => number): Volume {
  const data = new Uint8Array(side ** 3);
  const first = -(side - 1) / 2;
  for (let k = 0, n = 0; k < side; k++) {
    for (let j = 0; j < side; j++) {
      for (let i = 0; i < side; i++, n++) data[n] = labelAt(first + i, first + j, first + k);
    }
  }
  const row = (a: number): [number, number, number, number] => [
    Number(a === 0),
    Number(a === 1),
    Number(a === 2),
    first,
  ];
  return {
    data,
    shape: [side, side, side],
    affine: [row(0), row(1), row(2), [0, 0, 0, 1]],
    slope: 1,
    intercept: 0,
    valid: null,
  };
}

const at = (v: Volume, i: number, j: number, k: number): number =>
  v.data[i + v.shape[0] * (j + v.shape[1] * k)]!;

describe('thick slices', () => {
  it('average over their thickness: a boundary a third of the way up gives a third of the difference', () => {
    // Slice k = 4 covers z from -3 to 3 mm; tissue 1 lies below z = -1.
    const map = labels(60, (_x, _y, z) => (z < -1 ? 1 : 2));
    const tissues = new Map([
      [1, plain({ pd: 1 })],
      [2, plain({ pd: 0.25 })],
    ]);
    const { volume } = simulateFromLabels(map, tissues, { ...SPACE, samples: 60 });
    const [below, here, above] = [3, 4, 5].map((k) => at(volume, 12, 10, k)) as [number, number, number];
    // Tissue values vary by a few percent from person to person: take the ratio from the pure slices.
    expect((here - above) / (below - above)).toBeCloseTo(1 / 3, 2);
  });

  it('leave out what lies in the gap between them', () => {
    // Slices of 2 mm every 6 mm: a plate at z = 2.5 to 3.5 mm lies in the gap between slices 4 and 5.
    const map = labels(60, (_x, _y, z) => (z > 2 && z < 4 ? 2 : 1));
    const tissues = new Map([
      [1, plain({ pd: 0.5 })],
      [2, plain({ pd: 1 })],
    ]);
    const gapped = simulateFromLabels(map, tissues, { ...SPACE, thickness: 2 }).volume;
    const full = simulateFromLabels(map, tissues, { ...SPACE, samples: 24 }).volume;
    expect(at(gapped, 12, 10, 4)).toBe(at(gapped, 12, 10, 3));
    expect(at(full, 12, 10, 4)).toBeGreaterThan(1.05 * at(full, 12, 10, 3));
  });
});

describe('an image', () => {
  it.each([2, 3, 4, 6])('lies where its affine says, of %i points a voxel', (samples) => {
    // Voxels of half a millimetre.
    const ball = labels(80, (x, y, z) => Number(Math.hypot(x / 2 - 3.5, y / 2 + 2.5, z / 2 - 1.5) < 12));
    const fine = ball.affine.map((row, a) => (a < 3 ? row.map((v) => v / 2) : row)) as unknown as Affine;
    const map = { ...ball, affine: fine };
    for (const plane of ['axial', 'coronal', 'sagittal'] as const) {
      // Not a multiple of the map's voxels, so that these are met everywhere in them.
      const spacing: Vec3 = [1.93, 1.93, 1.93];
      const acquisition = { ...SPACE, plane, spacing, shape: [25, 25, 25] as Vec3 };
      const { volume } = simulateFromLabels(map, new Map([[1, plain({})]]), {
        ...acquisition,
        thickness: 1.93,
        samples,
      });
      const { data, affine, shape } = volume;
      const middle = [0, 0, 0];
      let total = 0;
      for (let n = 0; n < data.length; n++) {
        const voxel = [
          n % shape[0],
          Math.floor(n / shape[0]) % shape[1],
          Math.floor(n / (shape[0] * shape[1])),
        ];
        total += data[n]!;
        for (const a of [0, 1, 2] as const)
          middle[a]! +=
            data[n]! *
            (affine[a][0] * voxel[0]! + affine[a][1] * voxel[1]! + affine[a][2] * voxel[2]! + affine[a][3]);
      }
      [3.5, -2.5, 1.5].forEach((mm, a) =>
        expect(Math.abs(middle[a]! / total - mm), plane).toBeLessThan(0.07),
      );
    }
  });
});

describe('noise', () => {
  it('is Rayleigh in air: mean sigma sqrt(pi/2), variance sigma² (2 - pi/2)', () => {
    const image = new Float32Array(200_000);
    addRicianNoise(image, 3, 7);
    const mean = image.reduce((sum, v) => sum + v, 0) / image.length;
    const variance = image.reduce((sum, v) => sum + (v - mean) ** 2, 0) / image.length;
    expect(mean).toBeCloseTo(3 * Math.sqrt(Math.PI / 2), 1);
    expect(Math.abs(variance / (9 * (2 - Math.PI / 2)) - 1)).toBeLessThan(0.02);
  });

  it('is normal where the signal is strong, around sqrt(S² + sigma²)', () => {
    const image = new Float32Array(200_000).fill(50);
    addRicianNoise(image, 2, 8);
    const mean = image.reduce((sum, v) => sum + v, 0) / image.length;
    const sd = Math.sqrt(image.reduce((sum, v) => sum + (v - mean) ** 2, 0) / image.length);
    expect(mean).toBeCloseTo(Math.sqrt(2504) - 0.04, 1);
    expect(Math.abs(sd / 2 - 1)).toBeLessThan(0.02);
  });

  it('of a simulated series has the sigma that it says', () => {
    const map = labels(40, (x, y) => (x * x + y * y < 100 ? 1 : 0));
    const acquisition = { ...SPACE, shape: [80, 80, 9] as Vec3, noise: 0.04 };
    const { volume, sigma } = simulateFromLabels(map, new Map([[1, plain({})]]), acquisition);
    let [sum, count] = [0, 0];
    for (let j = 0; j < 20; j++) for (let i = 0; i < 80; i++, count++) sum += at(volume, i, j, 4);
    expect(sum / count / sigma).toBeCloseTo(Math.sqrt(Math.PI / 2), 1);
  });
});

describe('diffusion', () => {
  it('gives back the ADC from two b-values within 2 percent, noise included', () => {
    const map = labels(60, () => 1);
    const acquisition: Acquisition = {
      ...SPACE,
      sequence: { kind: 'diffusion', tr: 5000, te: 60, b: 800 },
      adcMap: true,
      noise: 0.01,
    };
    const tissues = new Map([[1, plain({ adc: 1.37, t2: [80, 80] })]]);
    const { volume } = simulateFromLabels(map, tissues, acquisition);
    const sorted = Array.from(volume.data).sort((p, q) => p - q);
    const median = sorted[sorted.length >> 1]!;
    expect(Math.abs(median / 1370 - 1)).toBeLessThan(0.02);
  });
});

describe('geometry', () => {
  it.each<[Plane, Vec3, boolean]>([
    ['axial', [0, 0, 0], false],
    ['coronal', [12, 0, 0], true],
    ['sagittal', [0, 0, -9], false],
    ['axial', [8, -5, 20], true],
  ])('%s, tilted by %j, reversed %s: a ball is found where the affine says', (plane, tilt, reversed) => {
    const ball: Vec3 = [-9, 6, 4];
    const map = labels(80, (x, y, z) => (Math.hypot(x - ball[0], y - ball[1], z - ball[2]) < 5 ? 2 : 1));
    const tissues = new Map([
      [1, plain({ pd: 0.2 })],
      [2, plain({ pd: 1 })],
    ]);
    const acquisition = {
      ...SPACE,
      plane,
      tilt,
      reversed,
      shape: [28, 28, 20] as Vec3,
      spacing: [2, 2, 2.5] as Vec3,
      thickness: 2.5,
      centre: [1, -2, 3] as Vec3,
    };
    const { volume } = simulateFromLabels(map, tissues, acquisition);
    let level = 0;
    for (const v of volume.data) level = Math.max(level, 0.6 * v);
    const sum = [0, 0, 0, 0];
    for (let k = 0; k < 20; k++) {
      for (let j = 0; j < 28; j++) {
        for (let i = 0; i < 28; i++) {
          if (at(volume, i, j, k) < level) continue;
          [i, j, k, 1].forEach((v, n) => (sum[n]! += v));
        }
      }
    }
    const [i, j, k] = [0, 1, 2].map((n) => sum[n]! / sum[3]!) as [number, number, number];
    volume.affine.slice(0, 3).forEach((r, a) => {
      expect(r[0] * i + r[1] * j + r[2] * k + r[3]).toBeCloseTo(ball[a]!, 0);
    });
  });

  it('rows run to the patient left in axial and coronal stacks, to the back in sagittal ones', () => {
    const step = (plane: Plane, axis: number): number[] =>
      stackAffine({ ...SPACE, plane })
        .slice(0, 3)
        .map((r) => r[axis]!);
    expect(step('axial', 0)).toEqual([-2, 0, 0]);
    expect(step('axial', 1)).toEqual([0, -2, 0]);
    expect(step('coronal', 0)).toEqual([-2, 0, 0]);
    expect(step('coronal', 1)).toEqual([0, 0, -2]);
    expect(step('sagittal', 0)).toEqual([0, -2, 0]);
    expect(step('sagittal', 1)).toEqual([0, 0, -2]);
  });

  it('puts the middle of the stack at its centre', () => {
    const affine = stackAffine({ ...SPACE, centre: [5, -7, 11], tilt: [10, 20, 30] });
    const back = inverseOf(affine);
    const voxel = [0, 1, 2].map(
      (r) => back[r * 4]! * 5 + back[r * 4 + 1]! * -7 + back[r * 4 + 2]! * 11 + back[r * 4 + 3]!,
    );
    [11.5, 9.5, 4].forEach((v, n) => expect(voxel[n]).toBeCloseTo(v, 9));
  });
});

describe('missing slices and wrong input', () => {
  const map = labels(60, () => 1);
  const tissues = new Map([[1, plain({})]]);

  it('are marked as not measured and hold nothing', () => {
    const { volume, missingSlices } = simulateFromLabels(map, tissues, { ...SPACE, missing: [5, 2, 5] });
    expect(missingSlices).toEqual([2, 5]);
    const area = 24 * 20;
    for (let k = 0; k < 9; k++) {
      const slice = volume.valid!.subarray(k * area, (k + 1) * area);
      expect(slice.every((v) => v === Number(k !== 2 && k !== 5))).toBe(true);
      expect(volume.data.subarray(k * area, (k + 1) * area).some((v) => v > 0)).toBe(k !== 2 && k !== 5);
    }
  });

  it.each([
    ['the first slice missing', { missing: [0] }],
    ['a slice beyond the last missing', { missing: [9] }],
    ['no rows', { shape: [24, 0, 9] as Vec3 }],
    ['half a slice', { shape: [24, 20, 8.5] as Vec3 }],
    ['a thickness that is no number', { thickness: Number.NaN }],
    ['an ADC map without diffusion', { adcMap: true }],
  ])('is refused: %s', (_name, change) => {
    expect(() => simulateFromLabels(map, tissues, { ...SPACE, ...change })).toThrow(SimulationError);
  });

  it('is refused: a table that fits no label', () => {
    expect(() => simulateFromLabels(map, new Map([[7, 'liver' as const]]), SPACE)).toThrow(/fits the map/);
  });
});
