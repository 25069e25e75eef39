import { describe, expect, it } from 'vitest';
import { DEGRADATIONS } from '../../src/evaluate/degrade.js';
import { checkApart, SAME_THUMBPRINT, thumbprint } from '../../src/evaluate/leakage.js';
import { scalingAffine } from '../../src/volume/affine.js';
import { Random } from '../../src/volume/random.js';
import type { Volume } from '../../src/volume/volume.js';

const random = new Random(8);
const vector = (): Float32Array => Float32Array.from({ length: 16 }, () => random.normal());
const series = Array.from({ length: 6 }, (_, n) => ({
  id: `se-${n}`,
  patientId: `pt-${n >> 1}`,
  contentHash: `hash-${n}`,
}));

/** A body with a dozen blobs of its own, 2 mm voxels. */
function body(seed: number): Volume {
  const own = new Random(seed);
  const blobs = Array.from({ length: 12 }, () => ({
    at: [0, 1, 2].map(() => own.uniform(25, 105)),
    wide: own.uniform(10, 25),
    grey: own.uniform(-120, 500),
  }));
  const size = 64;
  const data = new Float32Array(size ** 3);
  for (let k = 0, n = 0; k < size; k++)
    for (let j = 0; j < size; j++)
      for (let i = 0; i < size; i++, n++) {
        const at = [2 * i, 2 * j, 2 * k];
        if (Math.hypot(at[0]! - 64, at[1]! - 64, at[2]! - 64) > 60) continue;
        data[n] = 300;
        for (const { at: c, wide, grey } of blobs) {
          const mm = Math.hypot(at[0]! - c[0]!, at[1]! - c[1]!, at[2]! - c[2]!);
          data[n]! += grey * Math.exp(-((mm / wide) ** 2));
        }
        data[n] = Math.max(data[n]!, 60);
      }
  const shape = [size, size, size] as const;
  return { data, shape, affine: scalingAffine([2, 2, 2]), slope: 1, intercept: 0, valid: null };
}

const correlation = (a: Volume, b: Volume): number => {
  const [p, q] = [thumbprint(a)!, thumbprint(b)!];
  return p.reduce((sum, value, n) => sum + value * q[n]!, 0);
};

describe('checkApart', () => {
  it('refuses one image under two patients, by its voxels or by its vector', () => {
    const vectors = series.map(vector);
    expect(() => checkApart(series, vectors)).not.toThrow();
    const copied = series.map((one, n) => (n === 4 ? { ...one, contentHash: 'hash-0' } : one));
    expect(() => checkApart(copied)).toThrow(/se-0 and se-4 \(equal voxels\) show the same one under two/);
    const same = vectors.map((one, n) => (n === 3 ? vectors[0]!.map((x) => 2 * x) : one));
    expect(() => checkApart(series, same)).toThrow(/se-0 and se-3 \(equal vectors\)/);
    // A patient's own images may be alike.
    const own = vectors.map((one, n) => (n === 1 ? vectors[0]! : one));
    expect(() => checkApart(series, own)).not.toThrow();
  });

  it('finds a copy that was resampled, scaled and reordered, and lets other anatomy be', () => {
    const [one, other] = [body(1), body(2)];
    const altered = (name: string, at: number): Volume =>
      DEGRADATIONS.find((d) => d.name === name)!.apply(one, at, new Random(3));
    const copies = [
      { ...one, slope: 0.37, intercept: 0 },
      altered('axis order', 2),
      altered('resolution', 4),
      altered('Rician noise', 0.02),
    ];
    for (const copy of copies) expect(correlation(one, copy)).toBeGreaterThan(SAME_THUMBPRINT);
    expect(correlation(one, other)).toBeLessThan(0.98);
    const prints = [one, one, other, body(4), copies[1]!, body(5)].map(thumbprint);
    expect(() => checkApart(series, undefined, prints)).toThrow(
      /se-0 and se-4 \(correlation .*se-1 and se-4/,
    );
    expect(() => checkApart(series, undefined, prints.with(4, null))).not.toThrow();
  });
});
