import { describe, expect, it } from 'vitest';
import { canonicalDigest } from '../../src/corpus/canonical.js';
import { DEGRADATIONS, sliceAxis } from '../../src/evaluate/degrade.js';
import { apply, scalingAffine, spacing } from '../../src/volume/affine.js';
import { Random } from '../../src/volume/random.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';

const degrade = (name: string, volume: Volume, at: number): Volume =>
  DEGRADATIONS.find((one) => one.name === name)!.apply(volume, at, new Random(5));

function volumeOf(shape: Vec3, spacingMm: Vec3, value: (x: number, y: number, z: number) => number): Volume {
  const affine = scalingAffine(spacingMm, [-7, 3, 11]);
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let k = 0, n = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) data[n] = value(...apply(affine, [i, j, k]));
  return { data, shape, affine, slope: 1, intercept: 0, valid: null };
}

const ramp = volumeOf([24, 24, 24], [1, 1, 1], (x, y, z) => 100 + x + 2 * y + 3 * z);

describe('degradations', () => {
  it('average a ramp to the same ramp on a wider grid', () => {
    for (const [name, at, wide] of [
      ['resolution', 3, [3, 3, 3]],
      ['slice thickness', 6, [1, 1, 6]],
    ] as const) {
      const { data, affine, shape } = degrade(name, ramp, at);
      expect(spacing(affine).map((mm) => Math.round(mm * 1e6) / 1e6)).toEqual(wide);
      for (let k = 0, n = 0; k < shape[2]; k++)
        for (let j = 0; j < shape[1]; j++)
          for (let i = 0; i < shape[0]; i++, n++) {
            const [x, y, z] = apply(affine, [i, j, k]);
            expect(data[n]).toBeCloseTo(100 + x + 2 * y + 3 * z, 3);
          }
    }
    // Slices that are as thick already stay.
    const thick = volumeOf([24, 24, 6], [1, 1, 8], (x) => 10 + x);
    expect(degrade('slice thickness', thick, 6).shape).toEqual([24, 24, 6]);
    expect(sliceAxis(thick.affine)).toBe(2);
    expect(sliceAxis(scalingAffine([1, 5, 1]))).toBe(1);
  });

  it('add noise that is Rayleigh in air and Gaussian in tissue (Gudbjartsson & Patz 1995)', () => {
    const half = volumeOf([40, 40, 40], [4, 4, 4], (x) => (x < 73 ? 0 : 1000));
    const { data } = degrade('Rician noise', half, 0.1);
    const sigma = 100;
    const air = data.filter((_, n) => half.data[n] === 0);
    const tissue = data.filter((_, n) => half.data[n] !== 0);
    const mean = (of: ArrayLike<number>): number => Array.from(of).reduce((a, b) => a + b, 0) / of.length;
    expect(mean(air) / (sigma * Math.sqrt(Math.PI / 2))).toBeCloseTo(1, 1);
    expect(Math.abs(mean(tissue) - 1000)).toBeLessThan(10);
    const centre = mean(tissue);
    const deviation = Math.sqrt(mean(tissue.map((v) => (v - centre) ** 2)));
    expect(deviation / sigma).toBeGreaterThan(0.95);
    expect(deviation / sigma).toBeLessThan(1.05);
    expect(degrade('Rician noise', half, 0.1).data).toEqual(data);
  });

  it('take out whole slices, and never all', () => {
    const volume = volumeOf([6, 6, 20], [1, 1, 4], (x) => x);
    for (const [share, left] of [
      [0.25, 15],
      [1, 1],
    ] as const) {
      const valid = degrade('missing slices', volume, share).valid!;
      const kept = Array.from({ length: 20 }, (_, k) => valid.subarray(k * 36, (k + 1) * 36));
      expect(kept.filter((slice) => slice.every((one) => one === 1))).toHaveLength(left);
      expect(kept.filter((slice) => slice.every((one) => one === 0))).toHaveLength(20 - left);
    }
  });

  it('turn the patient about the middle, and reorder axes without moving anything', () => {
    const turned = degrade('rotation', ramp, 20);
    const middle: Vec3 = [11.5, 11.5, 11.5];
    apply(ramp.affine, middle).forEach((mm, d) => expect(apply(turned.affine, middle)[d]).toBeCloseTo(mm, 9));
    // 10 mm to the right of the middle: 10 (cos 20°, sin 20°).
    const [x, y, z] = apply(ramp.affine, middle);
    const at = apply(turned.affine, [21.5, 11.5, 11.5]);
    expect(at[0]).toBeCloseTo(x + 10 * Math.cos(Math.PI / 9), 9);
    expect(at[1]).toBeCloseTo(y + 10 * Math.sin(Math.PI / 9), 9);
    expect(at[2]).toBeCloseTo(z, 9);
    for (const { at: order } of DEGRADATIONS.find(({ name }) => name === 'axis order')!.strengths)
      expect(canonicalDigest(degrade('axis order', ramp, order))).toBe(canonicalDigest(ramp));
  });
});
