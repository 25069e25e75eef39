/** What a decoder is shown of an image, and how windows are put together: layout, tokens, ranks, grids, blending. */
import { describe, expect, it } from 'vitest';
import { Blend, finishedNumbers, gaussian, windowStarts } from '../../../src/tasks/segment/blend.js';
import { sceneOf } from '../../../src/tasks/segment/fit.js';
import { ranksOf, resampled, segmentImage, TokenLattice } from '../../../src/tasks/segment/image.js';
import { majorityNumbers, pooledNumbers } from '../../../src/tasks/segment/scene.js';
import { eachInside, orderOf, readOf, windowFeeds } from '../../../src/tasks/segment/window.js';
import { apply, spacing } from '../../../src/volume/affine.js';
import { coarsen } from '../../../src/volume/sampling.js';
import { Random } from '../../../src/volume/random.js';
import type { Affine, Vec3 } from '../../../src/volume/volume.js';
import { volumeOf } from './toy.js';

const AFFINE: Affine = [
  [0.9, 0, 0, 3],
  [0, 1, 0, -7],
  [0, 0, 5, 11],
  [0, 0, 0, 1],
];
describe('windows', () => {
  it('put each voxel where the decoder has it, and nothing where there is no image', () => {
    const image = segmentImage(
      volumeOf([10, 12, 9], (i, j, k) => i + 20 * j + 300 * k),
      { finestMm: 1, isotropic: false },
    );
    const side: Vec3 = [8, 16, 8];
    const start: Vec3 = [5, -2, 3];
    const read = readOf(
      {
        count: 1,
        patchMm: 16,
        samples: 8,
        positions: Float32Array.of(8, 8, 8),
        patches: new Float32Array(512),
        measured: new Uint8Array(512),
        valid: Float32Array.of(1),
      },
      null,
    );
    const feeds = windowFeeds([{ image, read, start }], side, 2, 2);
    const order = orderOf(side);
    expect([...order].sort((a, b) => a - b)).toEqual([...order.keys()]);
    const voxels = feeds['window.voxels'] as Float32Array;
    const half = voxels.length / 2;
    const seen = new Float32Array(half);
    let count = 0;
    eachInside(image, start, side, (inWindow, inImage) => {
      const [i, j, k] = [inWindow % 8, Math.floor(inWindow / 8) % 16, Math.floor(inWindow / 128)];
      expect(inImage).toBe(i + 5 + 10 * (j - 2 + 12 * (k + 3)));
      // [8, d, h, w] with the place in the block first: as PyTorch's reshape of [d, 2, h, 2, w, 2] gives.
      const sub = (k % 2) * 4 + (j % 2) * 2 + (i % 2);
      const at = ((sub * 4 + (k >> 1)) * 8 + (j >> 1)) * 4 + (i >> 1);
      expect(voxels[at]).toBe(image.values[inImage]);
      expect(voxels[half + at]).toBe(image.ranks[inImage]);
      expect(order[inWindow]! & 7).toBe(sub);
      seen[at] = 1;
      count++;
    });
    expect(count).toBe(5 * 12 * 6);
    expect(voxels.every((v, n) => seen[n % half] === 1 || v === 0)).toBe(true);
    const one = windowFeeds([{ image, read, start }], side, 2, 1)['window.voxels'];
    expect(one).toEqual(voxels.subarray(0, half));
    const measured = (feeds['window.measured'] as Float32Array).reduce((sum, one) => sum + one, 0);
    expect(measured * 8).toBeCloseTo(count, 4);
    expect([...(feeds['window.spacing'] as Float32Array)]).toEqual([0, 0, 0]);
  });

  it('read tokens linearly between their centres, and share the weight of those that are not there', () => {
    const positions: number[] = [];
    for (let n = 0; n < 27; n++)
      if (n !== 26) positions.push(16 * (n % 3), 16 * (Math.floor(n / 3) % 3), 16 * Math.floor(n / 9));
    const lattice = new TokenLattice(Float32Array.from(positions), 16);
    const at = (point: Vec3): number[] => {
      const sum = [0, 0, 0, 0];
      lattice.read(point, (token, weight) => {
        for (let d = 0; d < 3; d++) sum[d]! += weight * positions[token * 3 + d]!;
        sum[3]! += weight;
      });
      return sum;
    };
    for (const point of [
      [3, 5, 9],
      [16, 16, 16],
      [31.5, 0, 20],
    ] as Vec3[])
      at(point).forEach((v, d) => expect(v).toBeCloseTo([...point, 1][d]!, 5));
    expect(at([30, 30, 30])[3]).toBeCloseTo(1, 6);
    expect(at([60, 0, 0])[3]).toBe(0);
  });

  it('pool labels by majority, keeping small ones in a tie', () => {
    const source = volumeOf([4, 4, 2], (i) => i, 1);
    const image = { source, shape: [2, 2, 1] as const, factors: [2, 2, 2] as const };
    const numbers = new Uint8Array(32);
    numbers.fill(1, 0, 2); // two of eight
    for (const n of [2, 3, 6, 7]) numbers[n] = 2; // four of eight
    expect([...pooledNumbers(image, numbers)]).toEqual([0, 2, 0, 0]);
  });

  it('have the label that takes most of them, wherever the voxels of the map begin', () => {
    // Of 1 mm: label 1 up to 7 mm along i, label 2 from there to 9 mm, then 3; nothing beyond 12 mm.
    const map = volumeOf([12, 3, 3], (i) => (i < 7 ? 1 : i < 9 ? 2 : 3), 1);
    const numbers = Uint8Array.from(map.data);
    const grid = (mm: number, first: number, count: number): number[] => [
      ...majorityNumbers(
        {
          shape: [count, 1, 1],
          affine: [
            [mm, 0, 0, first],
            [0, 1, 0, 1],
            [0, 0, 1, 1],
            [0, 0, 0, 1],
          ],
        },
        map,
        numbers,
      ),
    ];
    // Voxel n of the map reaches from n - 0.5 to n + 0.5 mm: 2 lies from 6.5 to 8.5 mm.
    expect(grid(1, 0, 12)).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 3]);
    // From -0.5 to 3.5, 7.5, 11.5 and 15.5 mm: half of the third is 3 (8.5 to 11.5), a quarter 2; the fourth is empty.
    expect(grid(4, 1.5, 4)).toEqual([1, 1, 3, 0]);
    // Half 1 and half 2 about 6.5 mm, half 2 and half 3 about 8.5: the voxel of the map that the middle is rounded to decides.
    expect(grid(2, 0.5, 6)).toEqual([1, 1, 1, 2, 3, 3]);
    // Borders of both meet: nothing to decide. Then a voxel and a half of the map in each, as the held-out images have them.
    expect(grid(2, 1.5, 5)).toEqual([1, 1, 1, 2, 3]);
    expect(grid(1.5, 0.25, 8)).toEqual([1, 1, 1, 1, 1, 2, 3, 3]);
  });

  it('are cubes of one size where a head asks for them, in the same place', () => {
    // A ramp in RAS+ mm, so that a voxel's value says where it lies.
    const ramp = { ...volumeOf([30, 24, 9], (i, j, k) => 0.9 * i + 4 * j + 20 * 5 * k), affine: AFFINE };
    const factors: Vec3 = [2 / 0.9, 2 / 1, 2 / 5];
    const { values, weight, shape } = resampled(ramp, factors);
    expect(shape).toEqual([14, 12, 23]);
    expect(weight).toBeNull();
    const grid = coarsen(AFFINE, factors);
    for (const at of [
      [1, 1, 2],
      [7, 5, 11],
      [12, 10, 19],
    ] as Vec3[]) {
      const [x, y, z] = apply(grid, at);
      const value = values[at[0] + 14 * (at[1] + 12 * at[2])]!;
      // A share of a voxel counts as if it lay in the voxel's middle: less than a twentieth of a millimetre here.
      expect(Math.abs(value - (x - 3 + 4 * (y + 7) + 20 * (z - 11)))).toBeLessThan(0.05);
    }
    const image = segmentImage(ramp, { finestMm: 2, isotropic: true });
    expect(image.shape).toEqual(shape);
    spacing(image.affine).forEach((mm) => expect(mm).toBeCloseTo(2, 9));
  });

  it('rank intensities by the share of the body that is darker, whatever bends their curve', () => {
    const random = new Random(5, 1);
    const values = Float32Array.from({ length: 5000 }, (_, n) =>
      n < 1000 ? -2 + random.uniform(0, 1) : Math.exp(random.normal()),
    );
    values[0] = -2;
    const ranks = ranksOf(values, null, -1);
    // Of the 4000 voxels of the body, so many are darker.
    const body = [...values.subarray(1000)].sort((a, b) => a - b);
    for (let n = 1000; n < 5000; n += 61)
      expect(Math.abs(ranks[n]! - body.indexOf(values[n]!) / 4000)).toBeLessThan(1 / 256);
    // Air runs from -1, the darkest voxel, to 0.
    for (let n = 0; n < 1000; n += 61) expect(ranks[n]).toBeCloseTo(values[n]! + 1, 5);
    const bent = ranksOf(
      values.map((value) => (value > -1 ? Math.sqrt(value) - 1 : value)),
      null,
      -1,
    );
    for (let n = 1000; n < 5000; n += 61) expect(Math.abs(bent[n]! - ranks[n]!)).toBeLessThan(1 / 256);
  });

  it('rank what was measured alone, and nothing but air as air', () => {
    const values = Float32Array.of(0, 9, 1, 2, 9, 3);
    const weight = Float32Array.of(1, 0, 0.5, 1, 0, 1);
    const ranks = ranksOf(values, weight, 0.5);
    expect([ranks[1], ranks[4], ranks[0]]).toEqual([0, 0, -1]);
    // Of three voxels of body the darkest and the brightest, as nearly as quantiles of so few can say.
    expect(ranks[2]).toBeGreaterThanOrEqual(0);
    expect(ranks[2]).toBeLessThan(1 / 3);
    expect(ranks[5]).toBeGreaterThan(0.99);
    expect([...ranksOf(Float32Array.of(1, 2, 3), null, 4)].map((r) => r + 0)).toEqual(
      [-1, -2 / 3, -1 / 3].map((r) => expect.closeTo(r, 5) as number),
    );
    expect([...ranksOf(Float32Array.of(2, 2), null, 2)]).toEqual([0, 0]);
  });

  it('leave out what was not measured when they are resampled', () => {
    const volume = volumeOf([4, 1, 3], (i, _, k) => (k === 1 ? 900 : 10 + i));
    const valid = Uint8Array.from({ length: 12 }, (_, n) => (Math.floor(n / 4) === 1 ? 0 : 1));
    const { values, weight, shape } = resampled({ ...volume, valid }, [4 / 3, 1, 0.5]);
    expect(shape).toEqual([3, 1, 6]);
    // 4 voxels to 3: the first takes one voxel and a third of the next.
    expect(values[0]).toBeCloseTo((10 + 11 / 3) / (4 / 3), 5);
    // Slices half a step apart lie at -0.25 (the face), 0.25, 0.75, 1.25, 1.75 and 2.25 of the old ones.
    [1, 0.75, 0.25, 0.25, 0.75, 1].forEach((share, k) => expect(weight![3 * k]).toBeCloseTo(share, 6));
    for (let k = 0; k < 6; k++) expect(values[3 * k]).toBeCloseTo(values[0]!, 4);
  });

  it('take the labels of every voxel that reaches into theirs', () => {
    const source = volumeOf([4, 1, 2], () => 0);
    const numbers = Uint8Array.of(1, 2, 2, 3, 0, 0, 0, 3);
    const image = { source, shape: [3, 1, 4] as const, factors: [4 / 3, 1, 0.5] as const };
    // Of one voxel each the first one met keeps its place.
    expect([...pooledNumbers(image, numbers)]).toEqual([1, 2, 2, 1, 2, 2, 0, 0, 3, 0, 0, 3]);
  });

  it('come from a pool of scenes that moves on as windows are cut', () => {
    const drawn = Array.from({ length: 400 }, (_, step) =>
      [0, 1].map((row) => sceneOf(step, 2, { reuse: 8, pool: 3 }, new Random(1, step, row))),
    );
    drawn.forEach((rows, step) => {
      const first = Math.floor(step / 4);
      for (const scene of rows) expect([first, first + 1, first + 2]).toContain(scene);
    });
    const counts = new Map<number, number>();
    for (const scene of drawn.flat()) counts.set(scene, (counts.get(scene) ?? 0) + 1);
    const inside = [...counts].filter(([scene]) => scene > 3 && scene < 97).map(([, count]) => count);
    expect(inside.reduce((sum, count) => sum + count, 0) / inside.length).toBeCloseTo(8, 0);
  });
});

describe('blending', () => {
  it('covers every voxel, and gives back what each window says where all agree', () => {
    const shape: Vec3 = [21, 9, 30];
    const side: Vec3 = [16, 16, 8];
    const image = segmentImage(
      volumeOf(shape, (i, j, k) => i + j + k),
      { finestMm: 2, isotropic: false },
    );
    const truth = (n: number): number => (n * 7919) % 3;
    const blend = new Blend(image, 3, side);
    const weight = gaussian(side);
    const starts = windowStarts(shape, side, 0.25);
    expect(starts[0]).toEqual([0, -4, 0]);
    expect(starts.at(-1)).toEqual([5, -4, 22]);
    for (const start of starts)
      eachInside(image, start, side, (inWindow, inImage) => {
        const p = new Float32Array(3).fill(0.2 * weight[inWindow]!);
        p[truth(inImage)] = 0.6 * weight[inWindow]!;
        blend.add(inImage, start[2], p);
      });
    const found = finishedNumbers(blend, image);
    expect(found.every((label, n) => label === truth(n))).toBe(true);
  });

  it('puts a border between averaged voxels where the probabilities cross', () => {
    // 80 % of label 1 at 1.5, 10 % at 5.5: 50 % at 1.5 + 4 (0.3 / 0.7) = 3.2.
    const source = volumeOf([8, 1, 1], (i) => i, 1);
    const image = { source, shape: [2, 1, 1] as const, factors: [4, 1, 1] as const };
    const blend = new Blend(image, 2, [8, 8, 8]);
    blend.add(0, 0, Float32Array.of(0.2, 0.8));
    blend.add(1, 0, Float32Array.of(0.9, 0.1));
    expect([...finishedNumbers(blend, image)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  });
});
