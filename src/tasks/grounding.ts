/** Grounding: where in an image is what a phrase names? A 3D heat map on the image's own grid. */
import { type Encoder, tokensFor, type EmbedOptions, type Features } from '../models/encoder.js';
import { Prepared } from '../volume/tokens.js';
import type { Vec3, Volume } from '../volume/volume.js';
import { TaskError } from './error.js';

export interface GroundOptions extends EmbedOptions {
  /** The map shows what the phrase says beyond the mean of these sentences. */
  readonly against?: readonly string[];
}

export interface Grounding {
  /** Heat on the grid of the image; `valid` is 0 where no token saw anything. */
  readonly heat: Volume;
  /** [count] heat of each token, in the order of `positions`. */
  readonly tokens: Float32Array;
  /** [count, 3] centres of the tokens in RAS+ mm. */
  readonly positions: Float32Array;
  /** Side of a token in mm: what the map can tell apart. */
  readonly patchMm: number;
  /** Cosine of image and phrase, less the mean cosine with `against`. */
  readonly score: number;
  /** The part of `score` that does not come from single tokens: class token and bias. */
  readonly rest: number;
}

/** How the joint projection maps the summary of an image: "weight" [2 D, joint] and "bias" [joint]. */
export interface Projection {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * The heat map of a phrase. The vector of an image is z / |z| with z = W [class token, mean of the tokens] + b, so
 * its cosine with the phrase's vector q is a sum over tokens plus a rest: token t adds W_mean t · q / (N |z|). The heat
 * of a token is N times that, so that it does not depend on how many there are; its mean over the tokens plus `rest`
 * is the score (as class activation maps do for a linear head over a mean; Zhou et al. 2016).
 *
 * @throws ModelError when the model has met no text. @throws VolumeError when the image holds nothing to see.
 * @throws TaskError for an empty phrase.
 */
export async function ground(
  encoder: Encoder,
  volume: Volume,
  phrase: string,
  options: GroundOptions = {},
): Promise<Grounding> {
  if (phrase.trim() === '') throw new TaskError('ground: the phrase is empty; say what to look for');
  const [query, ...others] = await encoder.embedTexts([phrase, ...(options.against ?? [])]);
  const direction = query!.map(
    (x, d) => x - others.reduce((sum, o) => sum + o[d]!, 0) / (others.length || 1),
  );
  const set = tokensFor(new Prepared(volume), encoder.config.samples, options);
  const [features] = await encoder.features([set]);
  const { heat, rest, score } = tokenHeat(features!, direction, projectionOf(encoder));
  const { positions, patchMm } = set;
  return {
    heat: heatMap(volume, { positions, patchMm, heat }),
    tokens: heat,
    positions,
    patchMm,
    score,
    rest,
  };
}

/** The hottest token and its centre in RAS+ mm. */
export function hottest(tokens: Float32Array, positions: Float32Array): { peak: number; peakMm: Vec3 } {
  let best = 0;
  for (let t = 1; t < tokens.length; t++) if (tokens[t]! > tokens[best]!) best = t;
  const [x, y, z] = positions.subarray(best * 3, best * 3 + 3);
  return { peak: tokens[best]!, peakMm: [x!, y!, z!] };
}

function projectionOf({ model }: Encoder): Projection {
  const [weight, bias] = ['weight', 'bias'].map((name) => model.tensors.get(`align.image.${name}`));
  if (!weight || !bias)
    throw new TaskError(
      'ground: the model has no projection to the space shared with text; run "precess align"',
    );
  return { weight: weight.data, bias: bias.data };
}

/** Heat of each token for a direction in the joint space, the rest, and their sum: the score. See {@link ground}. */
export function tokenHeat(
  { summary, tokens }: Features,
  direction: Float32Array,
  { weight, bias }: Projection,
): { heat: Float32Array; rest: number; score: number } {
  const [joint, width] = [direction.length, summary.length / 2];
  let squared = 0;
  let along = 0;
  for (let c = 0; c < joint; c++) {
    let z = bias[c]!;
    for (let d = 0; d < 2 * width; d++) z += summary[d]! * weight[d * joint + c]!;
    squared += z * z;
    along += z * direction[c]!;
  }
  const norm = Math.sqrt(squared);
  // W_mean q / |z|: how much a unit of each feature of a token adds.
  const pull = Float64Array.from({ length: width }, (_, d) => {
    let sum = 0;
    for (let c = 0; c < joint; c++) sum += weight[(width + d) * joint + c]! * direction[c]!;
    return sum / norm;
  });
  const heat = Float32Array.from({ length: tokens.length / width }, (_, t) =>
    pull.reduce((sum, p, d) => sum + p * tokens[t * width + d]!, 0),
  );
  const score = along / norm;
  return { heat, rest: score - heat.reduce((sum, h) => sum + h, 0) / heat.length, score };
}

/** Tokens on a cubic grid of `patchMm`, and the heat of each. */
export interface HeatTokens {
  /** [count, 3] centres in RAS+ mm. */
  readonly positions: Float32Array;
  readonly patchMm: number;
  /** [count] */
  readonly heat: Float32Array;
}

/**
 * Spreads the heat of tokens over the voxels of an image: trilinear between the centres of the tokens, weights of cells
 * without a token shared among the others. Voxels that were not measured, or whose own cell has no token (air, gaps),
 * have no heat: 0, marked in `valid`.
 */
export function heatMap(
  { shape, affine, valid }: Pick<Volume, 'shape' | 'affine' | 'valid'>,
  { positions, patchMm, heat }: HeatTokens,
): Volume {
  const count = heat.length;
  const low = [0, 1, 2].map((d) => {
    let least = Infinity;
    for (let t = 0; t < count; t++) least = Math.min(least, positions[t * 3 + d]!);
    return least;
  });
  const cell = (t: number, d: number): number => Math.round((positions[t * 3 + d]! - low[d]!) / patchMm);
  const sides = [0, 1, 2].map((d) => {
    let most = 0;
    for (let t = 0; t < count; t++) most = Math.max(most, cell(t, d));
    return most + 1;
  }) as [number, number, number];
  const grid = new Float32Array(sides[0] * sides[1] * sides[2]).fill(NaN);
  for (let t = 0; t < count; t++)
    grid[cell(t, 0) + sides[0] * (cell(t, 1) + sides[1] * cell(t, 2))] = heat[t]!;
  const at = (x: number, y: number, z: number): number =>
    x < 0 || y < 0 || z < 0 || x >= sides[0] || y >= sides[1] || z >= sides[2]
      ? NaN
      : grid[x + sides[0] * (y + sides[1] * z)]!;

  const [ni, nj, nk] = shape;
  const data = new Float32Array(ni * nj * nk);
  const seen = new Uint8Array(data.length);
  const toCell = (i: number, j: number, k: number): Vec3 =>
    ([0, 1, 2] as const).map((d) => {
      const row = affine[d];
      return (row[0] * i + row[1] * j + row[2] * k + row[3] - low[d]!) / patchMm;
    }) as unknown as Vec3;
  const step = toCell(1, 0, 0).map((v, d) => v - toCell(0, 0, 0)[d as 0]);
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      const [x0, y0, z0] = toCell(0, j, k);
      for (let i = 0; i < ni; i++, n++) {
        if (valid?.[n] === 0) continue;
        const [x, y, z] = [x0 + i * step[0]!, y0 + i * step[1]!, z0 + i * step[2]!];
        if (Number.isNaN(at(Math.round(x), Math.round(y), Math.round(z)))) continue;
        const [a, b, c] = [Math.floor(x), Math.floor(y), Math.floor(z)];
        let [sum, total] = [0, 0];
        for (let corner = 0; corner < 8; corner++) {
          const [u, v, w] = [corner & 1, (corner >> 1) & 1, corner >> 2];
          const value = at(a + u, b + v, c + w);
          if (Number.isNaN(value)) continue;
          const weight = (u ? x - a : 1 - x + a) * (v ? y - b : 1 - y + b) * (w ? z - c : 1 - z + c);
          sum += weight * value;
          total += weight;
        }
        data[n] = sum / total;
        seen[n] = 1;
      }
    }
  return { data, shape, affine, slope: 1, intercept: 0, valid: seen };
}
