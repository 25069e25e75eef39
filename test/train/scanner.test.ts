/** Simulated differences of scanners against closed forms. */
import { describe, expect, it } from 'vitest';
import { addGhost, alterIntensity, thickSlices } from '../../src/train/scanner.js';
import { drawFlip, mirrored, namesSide, NO_AUGMENTATION } from '../../src/train/views.js';
import { Random } from '../../src/volume/random.js';
import { buildPyramid, sampleBlock, type Pyramid } from '../../src/volume/sampling.js';
import { Prepared, type TokenSet } from '../../src/volume/tokens.js';
import type { Volume } from '../../src/volume/volume.js';

const N = [24, 20, 16] as const;

/** Values by voxel, spacing 2 x 2 x 2 mm, turned so that j runs along -z and k along y. */
function volume(value: (i: number, j: number, k: number) => number): Volume {
  const data = new Float32Array(N[0] * N[1] * N[2]);
  let n = 0;
  for (let k = 0; k < N[2]; k++)
    for (let j = 0; j < N[1]; j++) for (let i = 0; i < N[0]; i++) data[n++] = value(i, j, k);
  return {
    data,
    shape: N,
    affine: [
      [2, 0, 0, -5],
      [0, 0, 2, 7],
      [0, -2, 0, 11],
      [0, 0, 0, 1],
    ],
    slope: 1,
    intercept: 0,
    valid: null,
  };
}
const place = ([i, j, k]: readonly [number, number, number]): [number, number, number] => [
  2 * i - 5,
  2 * k + 7,
  11 - 2 * j,
];

function valueAt(pyramid: Pyramid, at: readonly [number, number, number]): number {
  const out = new Float32Array(1);
  const ok = new Uint8Array(1);
  sampleBlock(pyramid, ...place(at), 1, 1, out, ok, 0);
  expect(ok[0]).toBe(1);
  return out[0]!;
}

describe('thickSlices', () => {
  it.each([0, 1, 2] as const)(
    'keeps a ramp where it is, and averages out what alternates, along axis %i',
    (axis) => {
      const along = (i: number, j: number, k: number): number => [i, j, k][axis]!;
      const ramp = buildPyramid(
        volume((...at) => 10 * along(...at) + 3 * at[(axis + 1) % 3]!),
        2,
      );
      const thick = thickSlices(ramp, axis, 8);
      expect(thick.shape[axis]).toBe(N[axis] / 4);
      // A mean of four voxels of a line is the line at their middle, and so is what is interpolated between two such.
      for (const at of [
        [6, 7, 8],
        [9.25, 8.5, 6.75],
        [12, 11, 10],
      ] as const)
        expect(valueAt(thick, at)).toBeCloseTo(valueAt(ramp, at), 3);
      const comb = thickSlices(
        buildPyramid(
          volume((...at) => (along(...at) % 2 === 0 ? 100 : 0)),
          2,
        ),
        axis,
        8,
      );
      expect(Math.max(...comb.values)).toBeCloseTo(50, 4);
      expect(Math.min(...comb.values)).toBeCloseTo(50, 4);
    },
  );

  it('leaves alone what is as thick already, and counts what was measured', () => {
    const whole = volume((i, j, k) => 1 + i + j + k);
    const pyramid = buildPyramid(whole, 2);
    expect(thickSlices(pyramid, 2, 2.9)).toBe(pyramid);
    const valid = new Uint8Array(whole.data.length).fill(1);
    // Slice 5 of k was not measured: the second slice of four has three left, whose mean is at k = 5.667.
    valid.fill(0, 5 * N[0] * N[1], 6 * N[0] * N[1]);
    const thick = thickSlices(buildPyramid({ ...whole, valid }, 2), 2, 8);
    const at = 3 + N[0] * (4 + N[1] * 1);
    expect(thick.values[at]).toBeCloseTo(1 + 3 + 4 + (4 + 6 + 7) / 3, 4);
    expect(thick.weight![at]).toBeCloseTo(0.75, 6);
  });
});

/** One token of one sample at a place. */
const token = (at: readonly [number, number, number], value: number): TokenSet => ({
  count: 1,
  patchMm: 1,
  samples: 1,
  patches: Float32Array.of(value),
  measured: Uint8Array.of(1),
  valid: Float32Array.of(1),
  positions: Float32Array.from(place(at)),
});

describe('addGhost', () => {
  it.each([
    [0, 2],
    [1, 2],
    [2, 2],
    [1, 4],
  ] as const)('adds what lies a part of the field of view away along axis %i (1/%i)', (axis, parts) => {
    const prepared = new Prepared(volume((i, j, k) => 200 + 5 * i + 3 * j + 2 * k + ((i * j * k) % 7)));
    const { low, high } = prepared.stats;
    const pyramid = prepared.pyramid(2);
    const at = [11, 9, 7] as [number, number, number];
    const view = token(at, 0.25);
    addGhost(view, prepared, [pyramid, pyramid], { axis, parts, strength: 0.1 });
    let expected = 0;
    for (const side of [-1, 1]) {
      const from = [...at] as [number, number, number];
      from[axis] += (side * N[axis]) / parts;
      // Outside of the field of view there is nothing.
      if (from[axis] < 0 || from[axis] > N[axis] - 1) continue;
      expected += (0.1 * valueAt(pyramid, from)) / (high - low);
    }
    expect(expected).toBeGreaterThan(0);
    expect(view.patches[0]).toBeCloseTo(0.25 + expected, 4);
  });
});

describe('alterIntensity', () => {
  const many = (value: number): TokenSet => ({
    ...token([0, 0, 0], 0),
    samples: 40,
    patches: new Float32Array(64_000).fill(value),
    measured: new Uint8Array(64_000).fill(1),
  });
  const moments = (set: TokenSet, zero: number): [number, number] => {
    let [first, second] = [0, 0];
    for (const p of set.patches) {
      const s = (p + 1) / 2 + zero;
      first += s / set.patches.length;
      second += (s * s) / set.patches.length;
    }
    return [first, second];
  };

  it('adds Rician noise: where there is no signal, its mean is σ √(π/2); everywhere its square gains 2 σ²', () => {
    const stats = { low: 50, high: 150 };
    const zero = 0.5;
    for (const signal of [0, 0.05, 0.4]) {
      const set = many(2 * (signal - zero) - 1);
      const random = new Random(4, signal * 100);
      // The same draws again say which σ was chosen.
      const twin = new Random(4, signal * 100);
      alterIntensity(set, stats, { ...NO_AUGMENTATION, noise: 0.4 }, random);
      // Of gamma, inversion, three slopes; then sigma.
      for (let n = 0; n < 5; n++) twin.uniform();
      const sigma = twin.uniform(0, 0.4) / 2;
      const [first, second] = moments(set, zero);
      if (signal === 0) expect(first / (sigma * Math.sqrt(Math.PI / 2))).toBeCloseTo(1, 1);
      expect(Math.abs(second - (signal ** 2 + 2 * sigma ** 2)) / second).toBeLessThan(0.03);
    }
  });

  it('turns bright and dark over', () => {
    const set = token([0, 0, 0], 0.6);
    alterIntensity(set, { low: 0, high: 1 }, { ...NO_AUGMENTATION, inversion: 1 }, new Random(1));
    expect(set.patches[0]).toBeCloseTo(-0.6, 6);
  });

  it('changes nothing that it is not told to', () => {
    const set = token([0, 0, 0], 0.6);
    alterIntensity(set, { low: 30, high: 90 }, NO_AUGMENTATION, new Random(1));
    expect(set.patches[0]).toBeCloseTo(0.6, 6);
  });
});

describe('left-right flips', () => {
  it('mirror places and samples, and are undone by another', () => {
    const set: TokenSet = {
      ...token([3, 4, 5], 0),
      samples: 2,
      patches: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]),
      measured: Uint8Array.from([1, 0, 1, 1, 1, 1, 0, 1]),
    };
    const other = mirrored(set);
    expect([...other.patches]).toEqual([2, 1, 4, 3, 6, 5, 8, 7]);
    expect([...other.measured]).toEqual([0, 1, 1, 1, 1, 1, 1, 0]);
    expect([...other.positions]).toEqual([-1, 17, 3]);
    expect(mirrored(other)).toEqual(set);
  });

  it.each([
    ['Axial T2 of the left knee.', true],
    ['Infarkt im rechten Mediastromgebiet.', true],
    ['Lésion du lobe droit du foie.', true],
    ['Lesión en el riñón izquierdo.', true],
    ['Sagittal T1 of the spine; a bright lesion.', false],
    ['', false],
  ])('are left out where a text names a side: %s', (text, side) => {
    expect(namesSide(text)).toBe(side);
    const often = Array.from({ length: 40 }, (_, n) =>
      drawFlip(text, { ...NO_AUGMENTATION, flip: 0.5 }, new Random(n)),
    ).filter(Boolean).length;
    if (side) expect(often).toBe(0);
    else expect(Math.abs(often - 20)).toBeLessThan(11);
  });
});
