/** Views of a volume for training: where to look, at what scale, and what a scanner might have done differently. */
import type { Random } from '../volume/random.js';
import { inverseOf } from '../volume/sampling.js';
import { tokenize, type Prepared, type TokenSet } from '../volume/tokens.js';

export interface ViewSpec {
  /** Token budget: a view never has more. */
  readonly tokens: number;
  /** Cube sides in mm to draw from, with their probabilities. */
  readonly patchMm: readonly (readonly [mm: number, probability: number])[];
  /** Share of the foreground's extent that the view's box covers on each axis: [least, most]. */
  readonly extent: readonly [number, number];
}

export interface Augmentation {
  /** Largest |ln gamma| of a random gamma curve. */
  readonly gamma: number;
  /** Largest relative change of signal across 100 mm (receive-coil bias field). */
  readonly bias: number;
  /** Largest standard deviation of added noise, in units where the 5th to 95th percentile spans 2. */
  readonly noise: number;
  /** Probability that slices go missing, 10 to 40 % of them, scattered or in one stretch. */
  readonly missingSlices: number;
}

/** A view with fewer tokens than this is drawn again over the whole foreground. */
const FEWEST = 8;

/** A box in RAS+ mm: its lowest and its highest corner. */
export type Box = readonly [low: readonly [number, number, number], high: readonly [number, number, number]];

/** Where a view looks and at what scale. */
export interface Place {
  readonly patchMm: number;
  readonly regionMm: Box;
}

/** Draws a box inside `within` (usually the foreground), and the side of its cubes. */
export function drawPlace(within: Box, spec: ViewSpec, random: Random): Place {
  const patchMm = draw(spec.patchMm, random);
  const from: [number, number, number] = [0, 0, 0];
  const to: [number, number, number] = [0, 0, 0];
  for (const d of [0, 1, 2] as const) {
    const whole = Math.max(within[1][d] - within[0][d], 1);
    // Never narrower than two tokens: such a box might hold no cell's centre.
    const side = Math.max(whole * random.uniform(spec.extent[0], spec.extent[1]), 2 * patchMm);
    const start = within[0][d] + random.uniform(0, 1) * Math.max(0, whole - side);
    from[d] = start - patchMm / 2;
    to[d] = start + side + patchMm / 2;
  }
  return { patchMm, regionMm: [from, to] };
}

/** Draws one view; deterministic given `random`'s state. An empty volume region falls back to the whole foreground. */
export function drawView(
  prepared: Prepared,
  samples: number,
  spec: ViewSpec,
  augmentation: Augmentation,
  random: Random,
  { patchMm, regionMm }: Place = drawPlace(prepared.stats.foregroundMm, spec, random),
): TokenSet {
  const shift = (): number => random.uniform(-patchMm / 2, patchMm / 2);
  const shiftMm = [shift(), shift(), shift()] as const;
  const gap = random.chance(augmentation.missingSlices) ? missingSlices(prepared, random) : undefined;
  const common = {
    patchMm,
    samples,
    shiftMm,
    limit: spec.tokens,
    order: (cells: number) => random.sample(cells, cells),
  };
  let view = tokenize(prepared, { ...common, regionMm, ...(gap && { gap }) });
  if (view.count < FEWEST) view = tokenize(prepared, common);
  alterIntensity(view, augmentation, random);
  return view;
}

function draw(choices: readonly (readonly [number, number])[], random: Random): number {
  let u = random.uniform() * choices.reduce((sum, [, p]) => sum + p, 0);
  for (const [value, p] of choices) if ((u -= p) < 0) return value;
  return choices[choices.length - 1]![0];
}

/** Says of a point whether its nearest slice is among the ones drawn as missing. */
function missingSlices(prepared: Prepared, random: Random): (x: number, y: number, z: number) => boolean {
  const { affine, shape } = prepared.volume;
  const m = inverseOf(affine);
  // The axis with the widest spacing is the one that was scanned slice by slice.
  const spacing = [0, 1, 2].map((d) => Math.hypot(affine[0][d as 0], affine[1][d as 0], affine[2][d as 0]));
  const axis = spacing.indexOf(Math.max(...spacing));
  const slices = shape[axis as 0];
  const count = Math.round(slices * random.uniform(0.1, 0.4));
  const lost = new Uint8Array(slices);
  if (random.chance(0.3)) {
    const start = random.int(slices - count + 1);
    lost.fill(1, start, start + count);
  } else for (const s of random.sample(slices, count)) lost[s] = 1;
  const [a, b, c, t] = [m[axis * 4]!, m[axis * 4 + 1]!, m[axis * 4 + 2]!, m[axis * 4 + 3]!];
  return (x, y, z) => lost[Math.round(a * x + b * y + c * z + t)] === 1;
}

/** Gamma, bias field and noise, on measured samples only. */
function alterIntensity(view: TokenSet, augmentation: Augmentation, random: Random): void {
  const gamma = Math.exp(random.uniform(-augmentation.gamma, augmentation.gamma));
  const b = augmentation.bias / 100;
  const slope = [random.uniform(-b, b), random.uniform(-b, b), random.uniform(-b, b)];
  const noise = random.uniform(0, augmentation.noise);
  const size = view.samples ** 3;
  const mean = [0, 0, 0];
  for (let n = 0; n < view.count; n++)
    for (let d = 0; d < 3; d++) mean[d]! += view.positions[n * 3 + d]! / view.count;
  for (let n = 0; n < view.count; n++) {
    let gain = 1;
    for (let d = 0; d < 3; d++) gain += slope[d]! * (view.positions[n * 3 + d]! - mean[d]!);
    gain = Math.min(1.8, Math.max(0.4, gain));
    for (let s = n * size; s < (n + 1) * size; s++) {
      if (view.measured[s] === 0) continue;
      // Signal in [0, 1] between the percentiles; gamma acts there, what lies beyond stays in order.
      let u = ((view.patches[s]! + 1) / 2) * gain;
      if (u > 0 && u < 1) u = u ** gamma;
      view.patches[s] = 2 * u - 1 + (noise > 0 ? noise * random.normal() : 0);
    }
  }
}
