/** Looking at a cube of an image instead of all of it. */
import { describe, expect, it } from 'vitest';
import { tokensFor } from '../../src/models/encoder.js';
import { scalingAffine } from '../../src/volume/affine.js';
import { Random } from '../../src/volume/random.js';
import { Prepared } from '../../src/volume/tokens.js';
import { VolumeError, type Vec3 } from '../../src/volume/volume.js';

/** A ball of 60 mm of noise in 160 mm of air, in 2 mm voxels. */
function ball(): Prepared {
  const random = new Random(4);
  const data = new Int16Array(80 ** 3);
  for (let n = 0; n < data.length; n++) {
    const [i, j, k] = [n % 80, Math.floor(n / 80) % 80, Math.floor(n / 6400)];
    if (Math.hypot(i - 40, j - 38, k - 41) < 30) data[n] = 500 + 100 * random.uniform();
  }
  const affine = scalingAffine([2, 2, 2], [-80, -80, -80]);
  return new Prepared({ data, shape: [80, 80, 80], affine, slope: 1, intercept: 0, valid: null });
}

const rows = (positions: Float32Array): number[][] =>
  Array.from({ length: positions.length / 3 }, (_, n) => [...positions.subarray(3 * n, 3 * n + 3)]);

describe('tokens around a point', () => {
  const image = ball();

  it('fill the cube, with one of them at the point', () => {
    const centreMm: Vec3 = [3, -9, 7];
    const { count, positions } = tokensFor(image, 4, { patchMm: 8, around: { centreMm, sideMm: 40 } });
    expect(count).toBe(125);
    const offsets = [-16, -8, 0, 8, 16];
    const wanted = offsets.flatMap((z) => offsets.flatMap((y) => offsets.map((x) => [3 + x, -9 + y, 7 + z])));
    rows(positions).forEach((at, n) =>
      at.forEach((mm, d) => expect(Math.abs(mm - wanted[n]![d]!)).toBeLessThan(1e-3)),
    );
    // Where the cube has no room for more, one; where larger cubes are needed, those that still fit.
    expect(tokensFor(image, 4, { patchMm: 8, around: { centreMm, sideMm: 6 } }).count).toBe(1);
    const few = tokensFor(image, 4, { patchMm: 8, maxTokens: 32, around: { centreMm, sideMm: 48 } });
    expect([few.count, few.patchMm]).toEqual([27, 16]);
  });

  it('hold what the tokens of the whole image hold there, scaled alike', () => {
    const whole = tokensFor(image, 4, { patchMm: 8, maxTokens: 4096 });
    expect(whole.patchMm).toBe(8);
    const centreMm = image.stats.centreMm.map((mm, d) => mm + [8, -16, 8][d]!) as unknown as Vec3;
    const part = tokensFor(image, 4, { patchMm: 8, around: { centreMm, sideMm: 24 } });
    expect(part.count).toBe(27);
    const places = rows(whole.positions);
    rows(part.positions).forEach((at, n) => {
      const same = places.findIndex((other) => other.every((mm, d) => Math.abs(mm - at[d]!) < 1e-3));
      expect(same).toBeGreaterThanOrEqual(0);
      for (let s = 0; s < 64; s++)
        expect(part.patches[64 * n + s]).toBeCloseTo(whole.patches[64 * same + s]!, 4);
    });
  });

  it('are none outside the image', () => {
    const around = { centreMm: [0, 0, 300] as Vec3, sideMm: 40 };
    expect(() => tokensFor(image, 4, { patchMm: 8, around })).toThrow(VolumeError);
  });
});
