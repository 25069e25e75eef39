import { describe, expect, it } from 'vitest';
import { apply } from '../../src/volume/affine.js';
import { trimPadding } from '../../src/volume/trim.js';
import type { Affine, Volume } from '../../src/volume/volume.js';

const affine: Affine = [
  [0, -2, 0, 10],
  [3, 0, 0, -20],
  [0, 0, 4, 5],
  [0, 0, 0, 1],
];

/** 6 x 5 x 4 voxels of `pad` around a block [2..4] x [1..3] x [1..2] of different values. */
function block(pad: number): Volume {
  const data = new Int16Array(120).fill(pad);
  for (let k = 1; k < 3; k++)
    for (let j = 1; j < 4; j++) for (let i = 2; i < 5; i++) data[i + 6 * (j + 5 * k)] = 100 * i + 10 * j + k;
  return { data, shape: [6, 5, 4], affine, slope: 2, intercept: 1, valid: null };
}

describe('trimPadding', () => {
  it.each([0, -1024])('takes away planes of the value %i and leaves every voxel where it was', (pad) => {
    const volume = block(pad);
    const trimmed = trimPadding(volume);
    expect(trimmed.shape).toEqual([3, 3, 2]);
    expect([trimmed.slope, trimmed.intercept]).toEqual([2, 1]);
    for (let k = 0; k < 2; k++)
      for (let j = 0; j < 3; j++)
        for (let i = 0; i < 3; i++) {
          expect(trimmed.data[i + 3 * (j + 3 * k)]).toBe(100 * (i + 2) + 10 * (j + 1) + (k + 1));
          expect(apply(trimmed.affine, [i, j, k])).toEqual(apply(affine, [i + 2, j + 1, k + 1]));
        }
  });

  it('keeps an array without padding as it is', () => {
    const volume = trimPadding(block(0));
    expect(trimPadding(volume)).toBe(volume);
  });

  it('looks at measured voxels only, and cuts the mask with them', () => {
    const volume = block(0);
    const valid = new Uint8Array(120).fill(1);
    volume.data[0] = 77;
    valid[0] = 0;
    valid[2 + 6 * (1 + 5)] = 0;
    const trimmed = trimPadding({ ...volume, valid });
    expect(trimmed.shape).toEqual([3, 3, 2]);
    expect([...trimmed.valid!]).toEqual([0, ...new Array<number>(17).fill(1)]);
  });

  it('leaves something of a volume of one value', () => {
    const flat = { ...block(0), data: new Int16Array(120).fill(3) };
    expect(trimPadding(flat).data.length).toBeGreaterThan(0);
  });
});
