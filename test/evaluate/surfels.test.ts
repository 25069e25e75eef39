/** Surface overlap by area against DeepMind's library and closed forms, and HD95 against MONAI. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hausdorff95, surfaceDistances, type MaskPair } from '../../src/evaluate/overlap.js';
import { surfaceDice, surfelAreas } from '../../src/evaluate/surfels.js';
import type { Vec3 } from '../../src/volume/volume.js';

interface Reference {
  areas: { spacingMm: [number, number, number]; areas: number[] }[];
  masks: {
    name: string;
    shape: [number, number, number];
    spacingMm: [number, number, number];
    truth: string;
    predicted: string;
    nsd: Record<string, number>;
    hd95: number;
  }[];
}

/** Made by surface-distance 0.1 and MONAI: test/fixtures/evaluate/make_surfels.py. */
const reference = JSON.parse(
  readFileSync(new URL('../fixtures/evaluate/surfels.json', import.meta.url), 'utf8'),
) as Reference;

const pairOf = ({ truth, predicted, shape, spacingMm }: Reference['masks'][number]): MaskPair => ({
  truth: Array.from(truth, Number),
  predicted: Array.from(predicted, Number),
  shape,
  spacingMm,
});

/** A mask of `shape` voxels that is set where `inside` says. */
const mask = ([ni, nj, nk]: Vec3, inside: (i: number, j: number, k: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: ni * nj * nk }, (_, n) =>
    Number(inside(n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj)))),
  );

describe('surfelAreas', () => {
  it.each(reference.areas)(
    'has the areas of the published table at $spacingMm mm',
    ({ spacingMm, areas }) => {
      const worst = Math.max(...surfelAreas(spacingMm).map((mm2, code) => Math.abs(mm2 - areas[code]!)));
      expect(worst).toBeLessThan(1e-12);
    },
  );

  it('is the same for what is set and for what is not, and follows from geometry where it is flat', () => {
    const [a, b, c] = [0.7, 1.3, 2.9];
    const areas = surfelAreas([a, b, c]);
    for (let code = 0; code < 256; code++) expect(areas[code]).toBeCloseTo(areas[255 - code]!, 12);
    expect(areas[0]).toBe(0);
    // One corner: a triangle through the middles of three edges. Half of the cube: a rectangle.
    expect(areas[1]).toBeCloseTo(Math.hypot(a * b, b * c, a * c) / 8, 12);
    expect(areas[0b00001111]).toBeCloseTo(a * b, 12);
    expect(areas[0b01010101]).toBeCloseTo(b * c, 12);
    // An edge of two corners along i: a rectangle across the corner of j and k.
    expect(areas[0b11]).toBeCloseTo((a * Math.hypot(b, c)) / 2, 12);
    // Two opposite corners touch nothing of each other.
    expect(areas[0b10000001]).toBeCloseTo(2 * areas[1]!, 12);
  });
});

describe('surfaceDice', () => {
  it.each(reference.masks)('agrees with the published library on $name', (one) => {
    for (const [tolerance, expected] of Object.entries(one.nsd))
      expect(surfaceDice(pairOf(one), Number(tolerance))).toBeCloseTo(expected, 9);
  });

  it('grows with the tolerance, from the faces that two boxes have in common to all', () => {
    // Two boxes with one face in common; the opposite faces are 4 voxels of 2 mm apart.
    const shape: Vec3 = [16, 12, 12];
    const box = (to: number): Uint8Array =>
      mask(shape, (i, j, k) => i >= 2 && i < to && j >= 2 && j < 10 && k >= 2 && k < 10);
    const pair = { truth: box(8), predicted: box(12), shape, spacingMm: [2, 1, 1] as Vec3 };
    expect(surfaceDice({ ...pair, predicted: pair.truth }, 0)).toBe(1);
    const share = surfaceDice(pair, 1);
    expect(share).toBeGreaterThan(0.5);
    expect(share).toBeLessThan(1);
    expect(surfaceDice(pair, 8)).toBe(1);
  });

  it('says what an empty mask means, and does not ask how large the image around is', () => {
    const [shape, spacingMm] = [[3, 1, 1] as const, [1, 1, 1] as const];
    expect(surfaceDice({ truth: [1, 0, 0], predicted: [0, 0, 0], shape, spacingMm }, 2)).toBe(0);
    expect(surfaceDice({ truth: [0, 0, 0], predicted: [0, 0, 0], shape, spacingMm }, 2)).toBeNaN();
    const at = (side: number): MaskPair => ({
      truth: mask([side, side, side], (i, j, k) => Math.hypot(i - 6, j - 6, k - 6) < 3.2),
      predicted: mask([side, side, side], (i, j, k) => Math.hypot(i - 7, j - 6, k - 6) < 3.2),
      shape: [side, side, side],
      spacingMm: [1, 1, 1],
    });
    expect(surfaceDice(at(12), 0.5)).toBe(surfaceDice(at(30), 0.5));
    expect(hausdorff95(surfaceDistances(at(12)))).toBe(hausdorff95(surfaceDistances(at(30))));
    expect(() => surfaceDice({ truth: [1], predicted: [1], shape, spacingMm }, 1)).toThrow(/3×1×1/);
  });
});

describe('hausdorff95', () => {
  it.each(reference.masks)('agrees with MONAI on $name', (one) => {
    expect(Math.abs(hausdorff95(surfaceDistances(pairOf(one))) - one.hd95)).toBeLessThan(1e-6);
  });
});
