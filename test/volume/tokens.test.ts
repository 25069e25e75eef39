import { describe, expect, it } from 'vitest';
import { percentile, intensityStats } from '../../src/volume/intensity.js';
import { Random } from '../../src/volume/random.js';
import { buildPyramid, sampleBlock } from '../../src/volume/sampling.js';
import { Prepared, tokenize, type TokenSet } from '../../src/volume/tokens.js';
import { VolumeError, type Affine, type Volume } from '../../src/volume/volume.js';

type Field = (x: number, y: number, z: number) => number;

/** A volume whose voxel at (x, y, z) mm holds `field(x, y, z)`. */
function volumeOf(
  shape: [number, number, number],
  affine: Affine,
  field: Field,
  valid: Uint8Array | null = null,
): Volume {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  let n = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) {
        const at = affine.map((r) => r[0] * i + r[1] * j + r[2] * k + r[3]);
        data[n] = field(at[0]!, at[1]!, at[2]!);
      }
  return { data, shape, affine, slope: 1, intercept: 0, valid };
}

const grid = (spacing: [number, number, number], origin: [number, number, number]): Affine => [
  [spacing[0], 0, 0, origin[0]],
  [0, spacing[1], 0, origin[1]],
  [0, 0, spacing[2], origin[2]],
  [0, 0, 0, 1],
];

/** A ball of radius 60 mm with a smooth inside, in air. */
const ball: Field = (x, y, z) =>
  Math.hypot(x, y, z) < 60 ? 100 + 30 * Math.sin(x / 15) + 20 * Math.cos(y / 20) + 10 * Math.sin(z / 12) : 0;

const cube = (): Volume => volumeOf([80, 80, 80], grid([2, 2, 2], [-79, -79, -79]), ball);

function byPlace(set: TokenSet): Map<string, Float32Array> {
  const size = set.samples ** 3;
  const key = (n: number): string =>
    [0, 1, 2].map((d) => Math.round(set.positions[n * 3 + d]! * 10) / 10).join(' ');
  return new Map(
    Array.from({ length: set.count }, (_, n) => [key(n), set.patches.subarray(n * size, (n + 1) * size)]),
  );
}

describe('sampleBlock', () => {
  it('reproduces a linear ramp exactly between coarse voxels, oblique axes included', () => {
    const s = Math.SQRT1_2;
    const affine: Affine = [
      [3 * s, -3 * s, 0, 5],
      [3 * s, 3 * s, 0, -40],
      [0, 0, 4, -20],
      [0, 0, 0, 1],
    ];
    const ramp: Field = (x, y, z) => 2 * x - 3 * y + 0.5 * z + 7;
    const p = buildPyramid(volumeOf([30, 30, 12], affine, ramp), 1.5);
    const out = new Float32Array(64);
    const ok = new Uint8Array(64);
    expect(sampleBlock(p, 1, 2, 3, 1.5, 4, out, ok, 0)).toBe(64);
    for (let n = 0; n < 64; n++) {
      const expected = ramp(
        1 + (n % 4) * 1.5,
        2 + (Math.floor(n / 4) % 4) * 1.5,
        3 + Math.floor(n / 16) * 1.5,
      );
      expect(out[n]).toBeCloseTo(expected, 3);
    }
  });

  it('averages finer voxels over the sample: a checkerboard becomes its mean', () => {
    let n = 0;
    const v = volumeOf([32, 32, 32], grid([0.5, 0.5, 0.5], [0, 0, 0]), () => 0);
    const data = new Float32Array(32 ** 3);
    for (let k = 0; k < 32; k++)
      for (let j = 0; j < 32; j++) for (let i = 0; i < 32; i++) data[n++] = (i + j + k) % 2;
    const out = new Float32Array(64);
    const ok = new Uint8Array(64);
    expect(sampleBlock(buildPyramid({ ...v, data }, 2), 3, 3, 3, 2, 4, out, ok, 0)).toBe(64);
    for (const value of out) expect(value).toBeCloseTo(0.5, 6);
  });

  it('never uses an unmeasured voxel and marks samples that rest on them', () => {
    const shape: [number, number, number] = [10, 10, 10];
    const valid = new Uint8Array(1000).fill(1);
    const v = volumeOf(shape, grid([2, 2, 2], [0, 0, 0]), () => 5, valid);
    valid.fill(0, 400, 500);
    (v.data as Float32Array).fill(1e9, 400, 500);
    const out = new Float32Array(512);
    const ok = new Uint8Array(512);
    sampleBlock(buildPyramid(v, 2), 0, 0, 0, 2, 8, out, ok, 0);
    for (let n = 0; n < 512; n++) {
      const k = Math.floor(n / 64);
      expect(ok[n]).toBe(k === 4 ? 0 : 1);
      expect(out[n]).toBeCloseTo(k === 4 ? 0 : 5, 5);
    }
  });
});

describe('intensityStats', () => {
  it('takes percentiles as numpy does', () => {
    expect(percentile([1, 2, 3, 4], 0.4)).toBeCloseTo(2.2, 12);
    expect(percentile([5], 0.9)).toBe(5);
  });

  it('finds the body of a ball in air', () => {
    const s = intensityStats(cube());
    for (const c of s.centreMm) expect(Math.abs(c)).toBeLessThan(0.5);
    for (const c of s.foregroundMm[1]) expect(c).toBeGreaterThan(50);
    expect(s.threshold).toBeGreaterThan(5);
    expect(s.threshold).toBeLessThan(40);
  });

  it('refuses an image of one value and an image of no measured voxel', () => {
    const flat = volumeOf([8, 8, 8], grid([2, 2, 2], [0, 0, 0]), () => 3);
    expect(() => intensityStats(flat)).toThrow(VolumeError);
    expect(() => intensityStats({ ...flat, valid: new Uint8Array(512) })).toThrow(/no voxel/);
  });
});

describe('tokenize', () => {
  const options = { patchMm: 16, samples: 8 };

  it('drops air and keeps the ball: as many cubes as the ball has room for', () => {
    const set = tokenize(new Prepared(cube()), options);
    const inBall = (4 / 3) * Math.PI * 60 ** 3;
    // Cubes that touch the surface count too, so there are more than the ball's volume alone would need.
    expect(set.count * 16 ** 3).toBeGreaterThan(inBall);
    expect(set.count * 16 ** 3).toBeLessThan(inBall * 1.7);
    for (let n = 0; n < set.count; n++)
      expect(Math.hypot(...set.positions.subarray(n * 3, n * 3 + 3))).toBeLessThan(60 + 16 * 0.87);
  });

  it('gives the same cubes whatever the axis order and however much air is padded on', () => {
    const plain = cube();
    const reference = byPlace(tokenize(new Prepared(plain), options));
    // Axes stored as (z, -x, y).
    const stored: Affine = [
      [0, -2, 0, 79],
      [0, 0, 2, -79],
      [2, 0, 0, -79],
      [0, 0, 0, 1],
    ];
    const variants = [
      volumeOf([80, 80, 80], stored, ball),
      volumeOf([100, 90, 84], grid([2, 2, 2], [-99, -79, -83]), ball),
    ];
    for (const v of variants) {
      const set = byPlace(tokenize(new Prepared(v), options));
      expect([...set.keys()].sort()).toEqual([...reference.keys()].sort());
      for (const [place, patch] of set) {
        const other = reference.get(place)!;
        for (let n = 0; n < patch.length; n++) expect(Math.abs(patch[n]! - other[n]!)).toBeLessThan(0.02);
      }
    }
  });

  it('tells the measured share of a token and drops tokens below a quarter', () => {
    const valid = new Uint8Array(80 ** 3).fill(1);
    valid.fill(0, 80 * 80 * 40);
    const set = tokenize(new Prepared({ ...cube(), valid }), options);
    for (let n = 0; n < set.count; n++) {
      const [x, y, z] = set.positions.subarray(n * 3, n * 3 + 3) as unknown as [number, number, number];
      const top = z + 8;
      expect(set.valid[n]).toBeGreaterThanOrEqual(0.25);
      // The zero planes outside the ball count as padding, so that only cubes well inside its box are whole.
      if (top < -3 && Math.max(Math.abs(x), Math.abs(y), -z) + 8 < 58) expect(set.valid[n]).toBe(1);
      if (top > 1) expect(set.valid[n]).toBeLessThan(1);
      // The last measured plane is at z = 0 mm: 12 mm of a cube above it would be less than a quarter measured.
      expect(top).toBeLessThan(13.1);
    }
  });

  it('obeys region, limit, order and simulated gaps', () => {
    const p = new Prepared(cube());
    const region = tokenize(p, {
      ...options,
      regionMm: [
        [-20, -20, -20],
        [20, 20, 20],
      ],
    });
    expect(region.count).toBe(27);
    expect(tokenize(p, { ...options, limit: 10 }).count).toBe(10);
    const shuffled = tokenize(p, { ...options, limit: 10, order: (n) => new Random(1).sample(n, n) });
    expect([...shuffled.positions]).not.toEqual([...tokenize(p, { ...options, limit: 10 }).positions]);
    const gapped = tokenize(p, { ...options, gap: (_x, _y, z) => z > 0 });
    for (let n = 0; n < gapped.count; n++) expect(gapped.positions[n * 3 + 2]).toBeLessThan(4.1);
  });

  it('keeps detail at 8 mm and covers more at 32 mm', () => {
    const p = new Prepared(cube());
    const [fine, coarse] = [
      tokenize(p, { patchMm: 8, samples: 8 }),
      tokenize(p, { patchMm: 32, samples: 8 }),
    ];
    expect(fine.count).toBeGreaterThan(coarse.count * 20);
  });
});
