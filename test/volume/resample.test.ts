import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { affineFrom, apply, invert, scalingAffine, spacing } from '../../src/volume/affine.js';
import { reorient } from '../../src/volume/orientation.js';
import { gridWithSpacing, resample } from '../../src/volume/resample.js';
import { type Affine, type Vec3, type Volume, VolumeError } from '../../src/volume/volume.js';
import { rotation, validAt, volumeOf, voxelAt } from './geometry.js';

/** A volume whose value is the same linear function of the place in mm, whatever its grid. */
const ramp = (shape: Vec3, affine: Affine): Volume =>
  volumeOf(shape, affine, (i, j, k) => {
    const [x, y, z] = apply(affine, [i, j, k]);
    return 100 + 2 * x - 3 * y + 0.5 * z;
  });
const rampAt = ([x, y, z]: Vec3): number => 100 + 2 * x - 3 * y + 0.5 * z;

function eachVoxel(shape: Vec3, visit: (ijk: Vec3) => void): void {
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++) for (let i = 0; i < shape[0]; i++) visit([i, j, k]);
}

describe('resample', () => {
  it('is the identity on its own grid, rescaled', () => {
    const volume: Volume = {
      data: Int16Array.from({ length: 60 }, (_, n) => n * n - 500),
      shape: [3, 4, 5],
      affine: scalingAffine([1.5, 2, 3], [4, 5, 6]),
      slope: 0.5,
      intercept: -7,
      valid: null,
    };
    const out = resample(volume, { affine: volume.affine, shape: volume.shape });
    expect([...out.data]).toEqual(Array.from(volume.data, (v) => v * 0.5 - 7));
    expect([out.slope, out.intercept, out.valid]).toEqual([1, 0, null]);
  });

  it('is linear between centres', () => {
    const volume = volumeOf([2, 1, 1], scalingAffine([4, 1, 1]), (i) => 10 + 20 * i);
    const out = resample(volume, { affine: scalingAffine([1, 1, 1]), shape: [5, 1, 1] });
    expect([...out.data]).toEqual([10, 15, 20, 25, 30]);
  });

  it('reproduces a linear ramp exactly on a finer grid and under rotation', () => {
    const affine = scalingAffine([2, 3, 4], [-10, 5, 8]);
    const volume = ramp([12, 10, 8], affine);
    const finer = resample(volume, { spacingMm: [0.7, 1.1, 1.3] });
    let checked = 0;
    const toVoxel = invert(affine);
    eachVoxel(finer.shape, (ijk) => {
      const mm = apply(finer.affine, ijk);
      // Beyond the last centres the edge value is repeated, so only the inside is linear.
      if (!apply(toVoxel, mm).every((v, axis) => v >= 0 && v <= volume.shape[axis]! - 1)) return;
      expect(voxelAt(finer, ijk)).toBeCloseTo(rampAt(mm), 3);
      checked++;
    });
    expect(checked).toBeGreaterThan(5000);

    const [x, y, z] = rotation(0.3, -0.2, 0.5);
    const cube = ramp([20, 20, 20], scalingAffine([2, 2, 2], [-19, -19, -19]));
    const turned = resample(cube, { affine: affineFrom(x, y, z, [1, 2, -3]), shape: [6, 6, 6] });
    eachVoxel(turned.shape, (ijk) =>
      expect(voxelAt(turned, ijk)).toBeCloseTo(rampAt(apply(turned.affine, ijk)), 3),
    );
  });

  it('averages whole boxes where the grid is coarser: the mean, by hand', () => {
    const volume = volumeOf([4, 2, 2], scalingAffine([1, 1, 1]), (i, j, k) => i + 10 * j + 100 * k);
    const out = resample(volume, { spacingMm: 2 });
    expect(out.shape).toEqual([2, 1, 1]);
    expect([...out.data]).toEqual([0.5 + 5 + 50, 2.5 + 5 + 50]);
    expect(apply(out.affine, [0, 0, 0])).toEqual([0.5, 0.5, 0.5]);
    // A box of 1.5 voxels takes half of a voxel: (0·1 + 1·0.5) / 1.5 and (1·0.5 + 2·1) / 1.5.
    const line = volumeOf([3, 1, 1], scalingAffine([1, 1, 1]), (i) => i);
    const fractions = resample(line, { spacingMm: [1.5, 1, 1] });
    expect([...fractions.data].map((v) => v.toFixed(5))).toEqual(['0.33333', '1.66667']);
  });

  it('keeps a constant, and the mean of any image over whole boxes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 4095 }), { minLength: 216, maxLength: 216 }),
        fc.constantFrom(2, 3, 6),
        (values, factor) => {
          const volume = { ...ramp([6, 6, 6], scalingAffine([1, 1, 1])), data: Float32Array.from(values) };
          const out = resample(volume, { spacingMm: factor });
          const mean = (data: ArrayLike<number>): number =>
            Array.from(data).reduce((sum, value) => sum + value, 0) / data.length;
          expect(mean(out.data)).toBeCloseTo(mean(volume.data), 2);
          const flat = resample(
            { ...volume, data: new Float32Array(216).fill(7) },
            { spacingMm: factor * 0.37 },
          );
          flat.data.forEach((value) => expect(value).toBeCloseTo(7, 5));
        },
      ),
      { numRuns: 20 },
    );
  });

  it('does not depend on the order in which the source stores its axes', () => {
    const volume = volumeOf(
      [7, 6, 5],
      scalingAffine([1, 2, 3]),
      (i, j, k) => Math.sin(i + 2 * j + 3 * k) * 100,
    );
    const grid = { affine: scalingAffine([1.7, 1.7, 1.7], [0.4, 0.1, 0.2]), shape: [4, 6, 7] as Vec3 };
    const expected = resample(volume, grid);
    for (const codes of ['LPS', 'SAR', 'PIR']) {
      const out = resample(reorient(volume, codes), grid);
      out.data.forEach((value, n) => expect(value).toBeCloseTo(expected.data[n]!, 3));
    }
  });

  it('uses measured voxels only, and says where most were not', () => {
    const volume = volumeOf(
      [8, 1, 1],
      scalingAffine([1, 1, 1]),
      (i) => (i === 1 ? 1e6 : i >= 4 ? 1e6 : 5),
      (i) => i !== 1 && i < 4,
    );
    const halves = resample(volume, { spacingMm: [2, 1, 1] });
    // One of two measured: exactly half is enough. None of two: not.
    expect([...halves.data]).toEqual([5, 5, 0, 0]);
    expect([...halves.valid!]).toEqual([1, 1, 0, 0]);
    const thirds = resample(volume, { affine: scalingAffine([3, 1, 1], [4, 0, 0]), shape: [2, 1, 1] });
    // Voxels 3, 4 and 5 of which only 3 was measured.
    expect([...thirds.valid!]).toEqual([0, 0]);
  });

  it('takes non-finite values for unmeasured', () => {
    const volume = volumeOf([4, 1, 1], scalingAffine([1, 1, 1]), (i) => (i === 0 ? NaN : 3));
    const out = resample(volume, { spacingMm: [2, 1, 1] });
    expect([...out.data]).toEqual([3, 3]);
    expect(resample(volume, { affine: volume.affine, shape: volume.shape }).valid).toEqual(
      Uint8Array.of(0, 1, 1, 1),
    );
  });

  it('marks what lies outside the field of view, corners included, and nothing inside it', () => {
    const volume = ramp([4, 4, 4], scalingAffine([2, 2, 2]));
    const out = resample(volume, { affine: scalingAffine([1, 1, 1], [-2, -2, -2]), shape: [12, 12, 12] });
    eachVoxel(out.shape, (ijk) => {
      const inside = apply(out.affine, ijk).every((mm) => mm >= -1 && mm <= 7);
      expect(validAt(out, ijk)).toBe(inside);
      if (!inside) expect(voxelAt(out, ijk)).toBe(0);
    });
  });

  it('keeps axes, centre and field of view when only a spacing is given', () => {
    fc.assert(
      fc.property(
        fc.tuple(
          fc.integer({ min: 1, max: 40 }),
          fc.integer({ min: 1, max: 40 }),
          fc.integer({ min: 1, max: 40 }),
        ),
        fc.double({ min: 0.3, max: 12, noNaN: true }),
        (shape, mm) => {
          const [x, y, z] = rotation(0.4, 0.1, -0.7);
          const affine = affineFrom(
            x.map((v) => v * 0.9) as unknown as Vec3,
            y.map((v) => v * 1.3) as unknown as Vec3,
            z.map((v) => v * 5) as unknown as Vec3,
            [3, -4, 5],
          );
          const grid = gridWithSpacing({ affine, shape }, mm);
          spacing(grid.affine).forEach((value) => expect(value).toBeCloseTo(mm, 6));
          const centre = (s: Vec3): Vec3 => s.map((n) => (n - 1) / 2) as unknown as Vec3;
          apply(grid.affine, centre(grid.shape)).forEach((value, axis) =>
            expect(value).toBeCloseTo(apply(affine, centre(shape))[axis]!, 6),
          );
          grid.shape.forEach((n, axis) =>
            expect(Math.abs(n * mm - shape[axis]! * [0.9, 1.3, 5][axis]!)).toBeLessThanOrEqual(
              Math.max(mm / 2, mm - shape[axis]! * [0.9, 1.3, 5][axis]!) + 1e-6,
            ),
          );
        },
      ),
    );
  });

  it('refuses grids that are none', () => {
    const volume = ramp([2, 2, 2], scalingAffine([1, 1, 1]));
    for (const spacingMm of [0, -1, NaN, Infinity])
      expect(() => resample(volume, { spacingMm })).toThrow(VolumeError);
    expect(() => resample(volume, { affine: volume.affine, shape: [2, 0, 2] })).toThrow(/whole numbers/);
    const flat = { ...volume, affine: scalingAffine([1, 1, 0]) };
    expect(() => resample(flat, { affine: volume.affine, shape: [2, 2, 2] })).toThrow(/check the header/);
  });
});
