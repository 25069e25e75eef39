/** Heat maps and the pointing game, against what can be said in closed form. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Encoder } from '../../src/models/encoder.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { pointingGame } from '../../src/tasks/grounding-pointing.js';
import { ground, heatMap, tokenHeat } from '../../src/tasks/grounding.js';
import { apply, multiply, scalingAffine } from '../../src/volume/affine.js';
import { Prepared, tokenize } from '../../src/volume/tokens.js';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';
import { image } from '../corpus/made.js';
import { writeAligned } from './aligned.js';

function volume(shape: Vec3, affine: Affine, at: (mm: Vec3) => number): Volume {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let k = 0, n = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) data[n] = at(apply(affine, [i, j, k]));
  return { data, shape, affine, slope: 1, intercept: 0, valid: null };
}

const away = (a: Vec3, b: Vec3): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** Tokens on the full grid of `sides` cells of `patchMm` from `first`, with heat `at` their centres. */
function tokensOn(sides: Vec3, patchMm: number, first: Vec3, at: (mm: Vec3) => number | null) {
  const positions: number[] = [];
  const heat: number[] = [];
  for (let c = 0; c < sides[2]; c++)
    for (let b = 0; b < sides[1]; b++)
      for (let a = 0; a < sides[0]; a++) {
        const mm: Vec3 = [first[0] + a * patchMm, first[1] + b * patchMm, first[2] + c * patchMm];
        const value = at(mm);
        if (value === null) continue;
        positions.push(...mm);
        heat.push(value);
      }
  return { positions: Float32Array.from(positions), patchMm, heat: Float32Array.from(heat) };
}

/** Turned by 30° about z and shifted, so that no axis of the image is one of the patient. */
const TURNED: Affine = multiply(
  [
    [Math.cos(Math.PI / 6), -Math.sin(Math.PI / 6), 0, 3],
    [Math.sin(Math.PI / 6), Math.cos(Math.PI / 6), 0, -5],
    [0, 0, 1, 2],
    [0, 0, 0, 1],
  ],
  scalingAffine([2, 2.5, 4]),
);

describe('heat of tokens', () => {
  it('is the pull of each token on the cosine', () => {
    // The joint space sees the two features of the token mean as they are, and nothing of the class token.
    const weight = Float32Array.from([0, 0, 0, 0, 1, 0, 0, 1]);
    const features = { summary: Float32Array.of(7, 8, 0.5, 0.5), tokens: Float32Array.of(1, 0, 0, 1) };
    const bias = new Float32Array(2);
    const said = tokenHeat(features, Float32Array.of(1, 0), { weight, bias });
    // z = (1/2, 1/2): the first token gives all of the cosine √½, the second none.
    expect([...said.heat]).toEqual([expect.closeTo(Math.SQRT2, 6), 0]);
    expect(said.score).toBeCloseTo(Math.SQRT1_2, 6);
    expect(said.rest).toBeCloseTo(0, 6);
    // A bias of (0, 1) turns z to (1/2, 3/2); the class token now adds 7 to the first axis.
    const more = Float32Array.from([1, 0, 0, 0, 1, 0, 0, 1]);
    const other = tokenHeat(features, Float32Array.of(1, 0), { weight: more, bias: Float32Array.of(0, 1) });
    const norm = Math.hypot(7.5, 1.5);
    expect(other.heat[0]).toBeCloseTo(1 / norm, 6);
    expect(other.rest).toBeCloseTo(7 / norm, 6);
    expect(other.score).toBeCloseTo(7.5 / norm, 6);
  });

  describe('of an encoder', () => {
    let dir = '';
    let encoder: Encoder;
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'precess-ground-'));
      await writeAligned(join(dir, 'm.safetensors'));
      encoder = await Encoder.open(join(dir, 'm.safetensors'), { threads: 1 });
    });
    afterAll(async () => {
      await encoder.close();
      await rm(dir, { recursive: true, force: true });
    });

    it('adds up to the cosine of image and phrase, on the grid of the image', async () => {
      const source = image([40, 36, 8]);
      const [query, other] = await encoder.embedTexts(['knee', 'brain']);
      const vector = await encoder.embed(source);
      const dot = (q: Float32Array): number => vector.reduce((sum, v, d) => sum + v * q[d]!, 0);
      for (const [against, expected] of [
        [[], dot(query!)],
        [['brain'], dot(query!) - dot(other!)],
      ] as const) {
        const { heat, tokens, rest, score, positions } = await ground(encoder, source, 'knee', { against });
        const mean = tokens.reduce((sum, h) => sum + h, 0) / tokens.length;
        expect(score).toBeCloseTo(expected, 5);
        expect(rest + mean).toBeCloseTo(expected, 5);
        expect(positions.length).toBe(3 * tokens.length);
        expect(heat.shape).toEqual(source.shape);
        expect(heat.affine).toEqual(source.affine);
        expect(heat.valid!.includes(1)).toBe(true);
      }
    });

    it('is not asked for an empty phrase, nor of a model that has met no text', async () => {
      await expect(ground(encoder, image(), ' ')).rejects.toThrow(/ground: the phrase is empty/);
      const plain = await Encoder.open(newModel(modelConfig('nano'), 1), { threads: 1 });
      await expect(ground(plain, image(), 'knee')).rejects.toThrow(/precess align/);
      await plain.close();
    });
  });
});

describe('a heat map', () => {
  const linear = ([x, y, z]: Vec3): number => 2 + 0.1 * x - 0.2 * y + 0.05 * z;

  it('has a heat that is linear in space at every voxel between the centres, on a turned grid', () => {
    const tokens = tokensOn([6, 6, 5], 16, [-60, -40, -20], linear);
    const grid = volume([20, 18, 12], TURNED, () => 1);
    const { data, valid } = heatMap(grid, tokens);
    const expected = volume(grid.shape, TURNED, linear);
    let inside = 0;
    for (let k = 0, n = 0; k < 12; k++)
      for (let j = 0; j < 18; j++)
        for (let i = 0; i < 20; i++, n++) {
          const mm = apply(TURNED, [i, j, k]);
          const between = mm.every((v, d) => v >= [-60, -40, -20][d]! && v <= [20, 40, 44][d]!);
          if (!between) continue;
          inside++;
          expect(valid![n]).toBe(1);
          expect(data[n]).toBeCloseTo(expected.data[n]!, 4);
        }
    expect(inside).toBeGreaterThan(1000);
  });

  it('is empty where nothing was measured and in cells without a token, and shares their weight', () => {
    const tokens = tokensOn([2, 1, 1], 10, [0, 0, 0], ([x]) => (x === 0 ? 1 : 3));
    const grid = volume([41, 1, 1], scalingAffine([1, 1, 1], [-10.25, 2, 3]), () => 1);
    const mask = new Uint8Array(41).fill(1);
    mask[12] = 0;
    const { data, valid } = heatMap({ ...grid, valid: mask }, tokens);
    for (let i = 0; i < 41; i++) {
      const x = i - 10.25;
      // Cells reach from -5 to 5 and from 5 to 15.
      const seen = x > -5 && x < 15 && i !== 12;
      expect(valid![i], `x = ${x}`).toBe(seen ? 1 : 0);
      if (seen) expect(data[i]).toBeCloseTo(1 + 2 * Math.min(1, Math.max(0, x / 10)), 5);
      else expect(data[i]).toBe(0);
    }
  });
});

describe('the pointing game', () => {
  const ball = (centre: Vec3, mm: number) => (p: Vec3) => (away(p, centre) <= mm ? 5 : 0);
  const labels = volume([30, 30, 30], scalingAffine([2, 2, 2]), ball([20, 30, 40], 6));

  it('hits inside the structure and misses by the distance to it, on grids of their own', () => {
    const heatAt = (centre: Vec3): Volume =>
      volume([20, 20, 20], scalingAffine([3, 3, 3]), (p) => -away(p, centre));
    const inside = pointingGame(heatAt([21, 30, 39]), labels, [5]);
    expect(inside).toMatchObject({ hit: true, distanceMm: 0, peakMm: [21, 30, 39] });
    const outside = pointingGame(heatAt([36, 30, 39]), labels, [5]);
    // Nearest label voxel to (36, 30, 40) is (26, 30, 40).
    expect(outside).toMatchObject({ hit: false, distanceMm: 10 });
    expect(pointingGame(heatAt([36, 30, 39]), labels, [5], { toleranceMm: 10 }).hit).toBe(true);
    expect(() => pointingGame(labels, labels, [7])).toThrow(/must hold the structure/);
  });

  it('says what a peak at random would score, and takes the middle of peaks that tie', () => {
    const share = Array.from(labels.data).filter((v) => v === 5).length / labels.data.length;
    const flat = pointingGame({ ...labels, data: new Float32Array(27000).fill(1) }, labels, [5]);
    expect(flat.chance).toBeCloseTo(share, 12);
    expect(flat.peakMm).toEqual([29, 29, 29]);
    const self = pointingGame(labels, labels, [5]);
    expect(self).toMatchObject({ hit: true, distanceMm: 0 });
    self.peakMm.forEach((v, d) => expect(v).toBeCloseTo([20, 30, 40][d]!, 6));
  });

  it('is won by tokens that tell what is bright, and lost by those that tell what is dark', () => {
    const body = ball([50, 50, 50], 45);
    const bright = ball([66, 50, 40], 14);
    const source = volume([50, 50, 34], scalingAffine([2, 2, 3]), (p) =>
      bright(p) > 0 ? 400 : body(p) > 0 ? 100 + p[0] : 0,
    );
    const truth = volume(source.shape, source.affine, bright);
    const set = tokenize(new Prepared(source), { patchMm: 8, samples: 4 });
    // An encoder whose one feature is the mean intensity of a token.
    const tokens = Float32Array.from({ length: set.count }, (_, t) =>
      set.patches.subarray(t * 64, (t + 1) * 64).reduce((sum, v) => sum + v / 64, 0),
    );
    const mean = tokens.reduce((sum, v) => sum + v / set.count, 0);
    const projection = { weight: Float32Array.of(0, 1), bias: Float32Array.of(10) };
    const play = (direction: number) => {
      const features = { summary: Float32Array.of(0, mean), tokens };
      const { heat } = tokenHeat(features, Float32Array.of(direction), projection);
      return pointingGame(heatMap(source, { ...set, heat }), truth, [5]);
    };
    expect(play(1)).toMatchObject({ hit: true });
    expect(play(1).chance).toBeLessThan(0.2);
    expect(play(-1)).toMatchObject({ hit: false });
  });
});
