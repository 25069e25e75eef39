import { describe, expect, it } from 'vitest';
import { drawSlice, type PicturePlane } from '../../src/volume/slice.js';
import { Prepared } from '../../src/volume/tokens.js';
import type { Volume } from '../../src/volume/volume.js';

/** A ball with a bright spot on one side: which side of the picture is it on? */
function ballWithSpot(spot: [number, number, number]): Volume {
  const n = 60;
  const data = new Float32Array(n ** 3);
  let at = 0;
  for (let k = 0; k < n; k++)
    for (let j = 0; j < n; j++)
      for (let i = 0; i < n; i++, at++) {
        const [x, y, z] = [2 * i - 59, 2 * j - 59, 2 * k - 59] as const;
        if (Math.hypot(x, y, z) < 50) data[at] = 80 + 0.3 * x;
        if (Math.hypot(x - spot[0], y - spot[1], z - spot[2]) < 12) data[at] = 400;
      }
  return {
    data,
    shape: [n, n, n],
    affine: [
      [2, 0, 0, -59],
      [0, 2, 0, -59],
      [0, 0, 2, -59],
      [0, 0, 0, 1],
    ],
    slope: 1,
    intercept: 0,
    valid: null,
  };
}

/** Column and row of the brightest pixels' centre, -1 to 1 from left and top. */
function brightest(volume: Volume, plane: PicturePlane): [number, number] {
  const { data, width } = drawSlice(new Prepared(volume), plane, 64);
  const most = Math.max(...data);
  let [c, r, count] = [0, 0, 0];
  data.forEach((v, n) => {
    if (v < most * 0.97) return;
    c += n % width;
    r += Math.floor(n / width);
    count++;
  });
  return [(2 * c) / count / width - 1, (2 * r) / count / width - 1];
}

describe('drawSlice', () => {
  it.each([
    ['axial', [30, 0, 0], 'left'],
    ['axial', [0, 30, 0], 'top'],
    ['coronal', [30, 0, 0], 'left'],
    ['coronal', [0, 0, 30], 'top'],
    ['sagittal', [0, 30, 0], 'left'],
    ['sagittal', [0, 0, 30], 'top'],
  ] as const)('%s: what lies at %j mm (RAS+) is at the %s', (plane, spot, side) => {
    const [c, r] = brightest(ballWithSpot([...spot]), plane);
    expect(side === 'left' ? c : r).toBeLessThan(-0.3);
    expect(Math.abs(side === 'left' ? r : c)).toBeLessThan(0.1);
  });
});
