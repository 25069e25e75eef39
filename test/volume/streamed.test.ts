/** Images that are read box by box: the same tokens and views as of the same voxels in memory. */
import { describe, expect, it } from 'vitest';
import { windowBoxes } from '../../src/models/windows.js';
import { drawScanned, drawView, NO_AUGMENTATION } from '../../src/train/views.js';
import { Random } from '../../src/volume/random.js';
import { Streamed, type BoxImage } from '../../src/volume/streamed.js';
import { Prepared, tokenize, tokenizeScanned, type TokenSet } from '../../src/volume/tokens.js';
import { VolumeError, type Affine, type Vec3, type Volume } from '../../src/volume/volume.js';

/** Oblique, with padding on five faces and a hole that was not measured. */
function head(shape: Vec3 = [101, 94, 83]): Volume {
  const [ni, nj, nk] = shape;
  const data = new Int16Array(ni * nj * nk);
  const valid = new Uint8Array(data.length).fill(1);
  let n = 0;
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        if (i < 3 || i > ni - 6 || j > nj - 4 || k < 2 || k > nk - 3) continue;
        const [x, y, z] = [i / ni - 0.5, j / nj - 0.5, k / nk - 0.5];
        const noise = (i * 7 + j * 13 + k * 5) % 9;
        data[n] = x * x + y * y + z * z < 0.22 ? 400 + 90 * Math.sin(9 * x + 6 * y) + 40 * z + noise : noise;
        if (i > 50 && i < 60 && k > 30 && k < 50) valid[n] = data[n] = 0;
      }
  const [c, s] = [Math.cos(0.3), Math.sin(0.3)];
  const affine: Affine = [
    [1.1 * c, -s, 0, -40],
    [1.1 * s, c, 0.1, -60],
    [0, -0.1, 1.9, -80],
    [0, 0, 0, 1],
  ];
  return { data, shape, affine, slope: 0.5, intercept: 3, valid };
}

/** The boxes of a volume; `largest` is the most voxels that anybody asked for. */
function boxesOf(volume: Volume): { image: BoxImage; asked: { largest: number; reads: number } } {
  const asked = { largest: 0, reads: 0 };
  const { affine, slope, intercept, shape: whole } = volume;
  const read = (start: Vec3, shape: Vec3): Promise<Volume> => {
    const size = shape[0] * shape[1] * shape[2];
    asked.largest = Math.max(asked.largest, size);
    asked.reads++;
    const data = new Int16Array(size);
    const valid = volume.valid && new Uint8Array(size);
    let n = 0;
    for (let k = 0; k < shape[2]; k++)
      for (let j = 0; j < shape[1]; j++)
        for (let i = 0; i < shape[0]; i++, n++) {
          const at = start[0] + i + whole[0] * (start[1] + j + whole[1] * (start[2] + k));
          if (start.some((s, d) => s < 0 || s + shape[d as 0] > whole[d as 0])) throw new Error('outside');
          data[n] = volume.data[at]!;
          if (valid) valid[n] = volume.valid[at]!;
        }
    const origin = affine.map((row) => row[0] * start[0] + row[1] * start[1] + row[2] * start[2] + row[3]);
    const moved = affine.map((row, r) => (r < 3 ? [row[0], row[1], row[2], origin[r]!] : row));
    return Promise.resolve({ data, shape, affine: moved as unknown as Affine, slope, intercept, valid });
  };
  return {
    image: {
      shape: whole,
      affine,
      slope,
      intercept,
      bytes: volume.data.byteLength,
      chunk: [20, 33, 64],
      read,
    },
    asked,
  };
}

function expectSame(a: TokenSet, b: TokenSet): void {
  expect(a.count).toBe(b.count);
  expect(a.count).toBeGreaterThan(0);
  const apart = (x: Float32Array | Uint8Array, y: Float32Array | Uint8Array): number =>
    (x as Float32Array).reduce((most, v, n) => Math.max(most, Math.abs(v - y[n]!)), 0);
  expect(apart(a.positions, b.positions)).toBeLessThan(1e-4);
  expect(apart(a.valid, b.valid)).toBe(0);
  expect(apart(a.measured, b.measured)).toBe(0);
  expect(apart(a.patches, b.patches)).toBeLessThan(2e-5);
}

/** Half of the copy at 2 mm fits. */
const MEMORY = 8 * 8 * 25 * 47 * 80;

describe('an image that is read box by box', () => {
  it('has the padding and the statistics of the whole', async () => {
    for (const volume of [head(), { ...head(), valid: null }, head([40, 70, 33])]) {
      const { image, asked } = boxesOf(volume);
      const streamed = await Streamed.open(image, MEMORY);
      const prepared = new Prepared(volume);
      expect(streamed.volume.shape).toEqual(prepared.volume.shape);
      expect(streamed.volume.affine).toEqual(prepared.volume.affine);
      const { stats } = prepared;
      expect(streamed.stats.threshold).toBeCloseTo(stats.threshold, 3);
      expect(streamed.stats.low).toBeCloseTo(stats.low, 3);
      expect(streamed.stats.high).toBeCloseTo(stats.high, 3);
      expect(streamed.stats.centreMm).toEqual(stats.centreMm);
      expect(streamed.stats.foregroundMm).toEqual(stats.foregroundMm);
      // Of a block of 64 the factors may leave some planes over.
      expect(asked.largest).toBeLessThanOrEqual(66 ** 3);
    }
  });

  it('refuses what holds nothing, as a whole does', async () => {
    const { image } = boxesOf({ ...head([20, 20, 20]), data: new Int16Array(8000), valid: null });
    await expect(Streamed.open(image, MEMORY)).rejects.toThrow(VolumeError);
  });

  it('gives the same tokens in the same order, layer by layer, without keeping what does not fit', async () => {
    const tissue = head();
    tissue.data.forEach((_, n) => (tissue.data[n] = 200 + ((n * 7) % 90)));
    // Of the second, tissue reaches to the faces of the array.
    for (const [samples, volume] of [
      [8, head()],
      [12, tissue],
    ] as const) {
      const streamed = await Streamed.open(boxesOf(volume).image, MEMORY);
      const prepared = new Prepared(volume);
      expect(streamed.layers(16, samples).length).toBeGreaterThan(1);
      expectSame(
        await tokenizeScanned(streamed, { patchMm: 16, samples }),
        tokenize(prepared, { patchMm: 16, samples }),
      );
      expectSame(
        await tokenizeScanned(streamed, { patchMm: 16, samples, limit: 70 }),
        tokenize(prepared, { patchMm: 16, samples, limit: 70 }),
      );
      expect(streamed.bytes).toBe(0);
    }
  });

  it('keeps the copies that fit, and lets them go', async () => {
    const { image, asked } = boxesOf(head());
    const streamed = await Streamed.open(image, MEMORY);
    await tokenizeScanned(streamed, { patchMm: 32, samples: 8 });
    expect(streamed.bytes).toBeGreaterThan(0);
    const { reads } = asked;
    await tokenizeScanned(streamed, { patchMm: 32, samples: 8 });
    expect(asked.reads).toBe(reads);
    streamed.release();
    expect(streamed.bytes).toBe(0);
    await tokenizeScanned(streamed, { patchMm: 32, samples: 8 });
    expect(asked.reads).toBeGreaterThan(reads);
  });

  it('gives the same views, whatever a scanner might have done', async () => {
    const volume = head();
    const streamed = await Streamed.open(boxesOf(volume).image, MEMORY);
    const prepared = new Prepared(volume);
    const spec = { tokens: 60, patchMm: [[16, 1]] as const, extent: [0.3, 0.7] as const };
    for (const augmentation of [
      NO_AUGMENTATION,
      { ...NO_AUGMENTATION, thickSlices: 1 },
      { ...NO_AUGMENTATION, ghost: 1, missingSlices: 1 },
      { ...NO_AUGMENTATION, ghost: 1, thickSlices: 1, gamma: 0.3 },
    ])
      for (let seed = 0; seed < 6; seed++)
        expectSame(
          await drawScanned(streamed, 8, spec, augmentation, new Random(seed)),
          drawView(prepared, 8, spec, augmentation, new Random(seed)),
        );
    // No copy at 2 mm was kept: the views were read by their boxes.
    expect(streamed.bytes).toBe(0);
  });

  it('makes a box smaller about its middle where memory has no room for it', async () => {
    const streamed = await Streamed.open(boxesOf(head()).image, MEMORY / 3);
    const [low, high] = streamed.fitting(2, [
      [-30, -20, -60],
      [30, 40, 60],
    ]);
    [0, 10, 0].forEach((middle, d) => {
      expect((low[d]! + high[d]!) / 2).toBeCloseTo(middle, 6);
      expect(high[d]! - low[d]!).toBeLessThan([60, 60, 120][d]!);
    });
    const { count } = await drawScanned(
      streamed,
      8,
      { tokens: 60, patchMm: [[16, 1]], extent: [0.9, 1] },
      NO_AUGMENTATION,
      new Random(1),
    );
    expect(count).toBeGreaterThan(7);
  });
});

describe('windows', () => {
  it('hold at most so many cells, cover every cell, and overlap by a quarter', () => {
    const prepared = new Prepared(head());
    const boxes = windowBoxes(prepared, 16, 50);
    expect(boxes.length).toBeGreaterThan(3);
    const whole = tokenize(prepared, { patchMm: 16, samples: 4 });
    const key = (set: TokenSet, n: number): string =>
      [0, 1, 2].map((d) => set.positions[n * 3 + d]!.toFixed(2)).join();
    const seen = new Map<string, number>();
    for (const regionMm of boxes) {
      const set = tokenize(prepared, { patchMm: 16, samples: 4, regionMm });
      expect(set.count).toBeLessThanOrEqual(50);
      for (let n = 0; n < set.count; n++) seen.set(key(set, n), (seen.get(key(set, n)) ?? 0) + 1);
      const cells = [0, 1, 2].map((d) => Math.round((regionMm[1][d]! - regionMm[0][d]!) / 16));
      expect(cells[0]! * cells[1]! * cells[2]!).toBeLessThanOrEqual(50);
    }
    expect([...seen.keys()].sort()).toEqual(
      Array.from({ length: whole.count }, (_, n) => key(whole, n)).sort(),
    );
    const starts = [...new Set(boxes.map(([low]) => low[2]!.toFixed(3)))].map(Number).sort((a, b) => a - b);
    const side = boxes[0]![1][2]! - boxes[0]![0][2]!;
    starts.slice(1).forEach((start, n) => expect(start - starts[n]!).toBeLessThanOrEqual(0.76 * side));
  });
});
