import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  affineFrom,
  apply,
  column,
  cross,
  determinant,
  directions,
  IDENTITY,
  invert,
  multiply,
  scalingAffine,
  spacing,
} from '../../src/volume/affine.js';
import { type Affine, type Vec3, VolumeError } from '../../src/volume/volume.js';
import { rotation } from './geometry.js';

const close = (actual: readonly number[], expected: readonly number[], digits = 9): void =>
  expected.forEach((value, n) => expect(actual[n]).toBeCloseTo(value, digits));

const coordinate = fc.double({ min: -200, max: 200, noNaN: true });
const size = fc.double({ min: 0.1, max: 10, noNaN: true });
const angle = fc.double({ min: -3, max: 3, noNaN: true });
const point = fc.tuple(coordinate, coordinate, coordinate);
const affines = fc
  .tuple(angle, angle, angle, size, size, size, point, fc.boolean())
  .map(([a, b, c, x, y, z, at, flipped]) => {
    const [i, j, k] = rotation(a, b, c);
    const scale = (v: Vec3, mm: number): Vec3 => [v[0] * mm, v[1] * mm, v[2] * mm];
    return affineFrom(scale(i, x), scale(j, y), scale(k, flipped ? -z : z), at);
  });

describe('affine', () => {
  it('takes a voxel to millimetres by hand-computed numbers', () => {
    // 90° about z, 2 mm along i, 3 mm along j, 4 mm along k.
    const affine = affineFrom([0, 2, 0], [-3, 0, 0], [0, 0, 4], [10, 20, 30]);
    expect(apply(affine, [1, 2, 3])).toEqual([10 - 6, 20 + 2, 30 + 12]);
    expect(spacing(affine)).toEqual([2, 3, 4]);
    expect(directions(affine)).toEqual([
      [0, 1, 0],
      [-1, 0, 0],
      [0, 0, 1],
    ]);
    expect(determinant(affine)).toBe(24);
    expect(column(affine, 1)).toEqual([-3, 0, 0]);
  });

  it('inverts: back and forth is where it started', () => {
    fc.assert(
      fc.property(affines, point, (affine, p) => {
        close(apply(invert(affine), apply(affine, p)), p, 6);
        multiply(affine, invert(affine)).forEach((row, r) => close(row, IDENTITY[r as 0], 8));
      }),
    );
  });

  it('multiplies as one after the other', () => {
    fc.assert(
      fc.property(affines, affines, point, (a, b, p) =>
        close(apply(multiply(a, b), p), apply(a, apply(b, p)), 6),
      ),
    );
  });

  it('refuses to invert what does not span space', () => {
    const flat = affineFrom([1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]);
    expect(() => invert(flat)).toThrow(VolumeError);
    expect(() => invert(scalingAffine([1, 1, NaN]))).toThrow(/check the header/);
    // Small voxels are no reason to refuse.
    const small: Affine = scalingAffine([1e-3, 1e-3, 1e-3]);
    close(apply(invert(small), [1, 1, 1]), [1000, 1000, 1000], 6);
  });

  it('has a right-handed cross product', () => {
    expect(cross([1, 0, 0], [0, 1, 0])).toEqual([0, 0, 1]);
  });
});
