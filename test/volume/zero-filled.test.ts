import { describe, expect, it } from 'vitest';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';
import { zeroFilledMask } from '../../src/volume/zero-filled.js';

const SHAPE: Vec3 = [40, 44, 24];
const AFFINE: Affine = [
  [2, 0, 0, 0],
  [0, 2, 0, 0],
  [0, 0, 3, 0],
  [0, 0, 0, 1],
];

/** A bright ball in air with Rician noise of `sigma`, rounded as scanners do. */
function head(
  sigma: number,
  background: (value: number, inBall: boolean) => number = (value) => value,
): Volume {
  const data = new Int16Array(SHAPE[0] * SHAPE[1] * SHAPE[2]);
  let state = 7;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  each((n, i, j, k) => {
    const inBall = Math.hypot(i - 20, j - 22, 1.5 * (k - 12)) < 16;
    const real = (inBall ? 500 : 0) + sigma * normal();
    data[n] = background(Math.round(Math.hypot(real, sigma * normal())), inBall);
  });
  return { data, shape: SHAPE, affine: AFFINE, slope: 1, intercept: 0, valid: null };
}

function each(visit: (n: number, i: number, j: number, k: number) => void): void {
  for (let k = 0, n = 0; k < SHAPE[2]; k++)
    for (let j = 0; j < SHAPE[1]; j++) for (let i = 0; i < SHAPE[0]; i++) visit(n++, i, j, k);
}

/** Fills with zeros where `inside` says; what was filled. */
function fill(volume: Volume, inside: (i: number, j: number, k: number) => boolean): number[] {
  const filled: number[] = [];
  each((n, i, j, k) => {
    if (!inside(i, j, k)) return;
    volume.data[n] = 0;
    filled.push(n);
  });
  return filled;
}

const found = (volume: Volume): number[] =>
  [...(zeroFilledMask(volume) ?? [])].flatMap((one, n) => (one === 1 ? [n] : []));

describe('regions filled with zeros', () => {
  it('a face that was cut out is found, to the voxel but for zeros of noise that touch it', () => {
    const volume = head(20);
    const filled = fill(volume, (_, j, k) => j > 30 && k < 14);
    const mask = found(volume);
    expect(filled.filter((n) => !mask.includes(n))).toEqual([]);
    expect(mask.length).toBeLessThan(filled.length * 1.01);
  });

  it('corners of a turned image and slices at the ends of a stack are found', () => {
    const volume = head(20);
    const corners = fill(volume, (i, j) => i + j < 16);
    const ends = fill(volume, (_, __, k) => k > 20);
    const mask = new Set(found(volume));
    // Thin tips of the triangle hold no block of 3×3×3.
    expect(corners.filter((n) => mask.has(n)).length).toBeGreaterThan(0.97 * corners.length);
    expect(ends.every((n) => mask.has(n))).toBe(true);
  });

  it.each<[string, Volume]>([
    ['noise that is never filled', head(20)],
    ['noise that rounds to zero', head(0.4)],
    ['air that the scanner set to zero', head(20, (value, inBall) => (inBall ? value : 0))],
    ['an image without noise', head(0)],
  ])('%s is left as it is', (_, volume) => {
    expect(zeroFilledMask(volume)).toBeNull();
  });

  it('less than a cubic centimetre is left as it is', () => {
    const volume = head(20);
    fill(volume, (i, j, k) => i > 10 && i < 15 && j > 20 && j < 25 && k > 10 && k < 15);
    expect(zeroFilledMask(volume)).toBeNull();
  });

  it('an empty slice between full ones is found even where all air is zero', () => {
    const volume = head(20, (value, inBall) => (inBall ? value : 0));
    const filled = fill(volume, (_, __, k) => k === 12);
    expect(found(volume)).toEqual(filled);
  });

  it('what is known not to be measured is neither found again nor counted', () => {
    const volume = head(20);
    const filled = fill(volume, (_, __, k) => k > 20);
    const valid = new Uint8Array(volume.data.length).fill(1);
    for (const n of filled) valid[n] = 0;
    expect(zeroFilledMask({ ...volume, valid })).toBeNull();
  });
});
