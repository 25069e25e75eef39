import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { affineFrom, apply, invert, scalingAffine } from '../../src/volume/affine.js';
import { axisCodes, planeOf, reorient } from '../../src/volume/orientation.js';
import { type Affine, type Vec3, type Volume, VolumeError } from '../../src/volume/volume.js';
import { rotation, validAt, volumeOf, voxelAt } from './geometry.js';

const CODES = (() => {
  const all: string[] = [];
  for (const order of ['012', '021', '102', '120', '201', '210'])
    for (let flips = 0; flips < 8; flips++)
      all.push(
        Array.from(order)
          .map((axis) => ['RL', 'AP', 'SI'][Number(axis)]![(flips >> Number(axis)) & 1])
          .join(''),
      );
  return all;
})();

/** Columns of an affine whose axes run where `codes` says, 1, 2 and 3 mm apart, tilted by `tilt` radians. */
function affineAlong(codes: string, tilt = 0): Affine {
  const unit: Record<string, Vec3> = {
    R: [1, 0, 0],
    L: [-1, 0, 0],
    A: [0, 1, 0],
    P: [0, -1, 0],
    S: [0, 0, 1],
    I: [0, 0, -1],
  };
  const [x, y, z] = rotation(tilt, -tilt, tilt / 2);
  const turn = (v: Vec3): Vec3 =>
    [0, 1, 2].map((n) => x[n]! * v[0] + y[n]! * v[1] + z[n]! * v[2]) as unknown as Vec3;
  const [i, j, k] = Array.from(codes).map((letter, axis) =>
    turn(unit[letter]!.map((v) => v * (axis + 1)) as unknown as Vec3),
  );
  return affineFrom(i!, j!, k!, [-7, 11, 13]);
}

const shape: Vec3 = [3, 4, 5];
const unique = (codes: string, tilt = 0): Volume =>
  volumeOf(
    shape,
    affineAlong(codes, tilt),
    (i, j, k) => i + 10 * j + 100 * k,
    (i, j, k) => (i + j + k) % 3 !== 0,
  );

describe('axis codes', () => {
  it('names all 48 orientations, tilted or not', () => {
    expect(new Set(CODES).size).toBe(48);
    for (const codes of CODES)
      for (const tilt of [0, 0.3, -0.4]) expect(axisCodes(affineAlong(codes, tilt))).toBe(codes);
  });

  it('gives each patient axis once even where two voxel axes are nearest to the same one', () => {
    const leaning = affineFrom([1, 0, 0], [0.8, 0.6, 0], [0, 0, 1], [0, 0, 0]);
    expect(axisCodes(leaning)).toBe('RAS');
  });

  it('refuses an axis without length', () => {
    expect(() => axisCodes(affineFrom([0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]))).toThrow(VolumeError);
  });
});

describe('reorient', () => {
  it('moves every voxel, its mask and its place in the patient together', () => {
    for (const codes of CODES) {
      const before = unique(codes, 0.2);
      const after = reorient(before, 'RAS');
      expect(axisCodes(after.affine)).toBe('RAS');
      const toOld = invert(before.affine);
      for (let k = 0; k < after.shape[2]; k++)
        for (let j = 0; j < after.shape[1]; j++)
          for (let i = 0; i < after.shape[0]; i++) {
            const old = apply(toOld, apply(after.affine, [i, j, k])).map(Math.round) as unknown as Vec3;
            expect(voxelAt(after, [i, j, k])).toBe(old[0] + 10 * old[1] + 100 * old[2]);
            expect(validAt(after, [i, j, k])).toBe((old[0] + old[1] + old[2]) % 3 !== 0);
          }
    }
  });

  it('reverses an axis where a hand-worked example says so', () => {
    const lps = volumeOf([2, 1, 1], affineAlong('LPS'), (i) => i);
    const ras = reorient(lps, 'RAS');
    expect([...ras.data]).toEqual([1, 0]);
    // Voxel 1 was at x = -7 - 1; it is the first now.
    expect(apply(ras.affine, [0, 0, 0])).toEqual([-8, 11, 13]);
  });

  it('comes back: any order to any other and back is the same volume', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CODES), fc.constantFrom(...CODES), (from, to) => {
        const before = unique(from);
        const back = reorient(reorient(before, to), from);
        expect(back.shape).toEqual(before.shape);
        expect(back.data).toEqual(before.data);
        expect(back.valid).toEqual(before.valid);
        back.affine.forEach((row, r) =>
          row.forEach((v, c) => expect(v).toBeCloseTo(before.affine[r as 0][c as 0], 9)),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('refuses codes that are no orientation', () => {
    for (const codes of ['RAA', 'RA', 'XYZ', 'RLS', ''])
      expect(() => reorient(unique('LPS'), codes)).toThrow(/use for instance "RAS"/);
  });
});

describe('plane', () => {
  const thick = (codes: string, tilt = 0): Affine => affineAlong(codes, tilt);
  it('is named after the axis across the slices, whichever voxel axis that is', () => {
    expect(planeOf(thick('RAS'), [256, 256, 20])).toBe('axial');
    expect(planeOf(thick('LIP'), [256, 256, 20])).toBe('coronal');
    expect(planeOf(thick('PIR'), [256, 256, 20])).toBe('sagittal');
    // Slices stored along i: the largest spacing is what counts.
    expect(planeOf(affineFrom([0, 0, 5], [1, 0, 0], [0, 1, 0], [0, 0, 0]), [20, 256, 256])).toBe('axial');
  });

  it('takes the axis with the fewest voxels where they are cubes, k among equals', () => {
    expect(planeOf(scalingAffine([1, 1, 1]), [160, 256, 256])).toBe('sagittal');
    expect(planeOf(scalingAffine([1, 1, 1]), [256, 256, 256])).toBe('axial');
  });

  it('is oblique only beyond 40 degrees', () => {
    const tilted = (degrees: number): Affine => {
      const a = (degrees * Math.PI) / 180;
      const k: Vec3 = [0, -4 * Math.sin(a), 4 * Math.cos(a)];
      return affineFrom([1, 0, 0], [0, Math.cos(a), Math.sin(a)], k, [0, 0, 0]);
    };
    expect(planeOf(tilted(18), [64, 64, 20])).toBe('axial');
    expect(planeOf(tilted(39), [64, 64, 20])).toBe('axial');
    expect(planeOf(tilted(45), [64, 64, 20])).toBe('oblique');
    expect(planeOf(tilted(72), [64, 64, 20])).toBe('coronal');
  });
});
