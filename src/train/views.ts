/** Views of a volume for training: where to look, at what scale, and what a scanner might have done differently. */
import { addGhost, alterIntensity, thickSlices, type Axis } from './scanner.js';
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
  /** Probability that bright and dark change places. */
  readonly inversion: number;
  /** Largest relative change of signal across 100 mm (receive-coil bias field). */
  readonly bias: number;
  /** Largest standard deviation of added noise in each channel, in units where the 5th to 95th percentile spans 2. */
  readonly noise: number;
  /** Probability that slices go missing, 10 to 40 % of them, scattered or in one stretch. */
  readonly missingSlices: number;
  /** Probability of slices of 4 to 8 mm along one of the array's axes. */
  readonly thickSlices: number;
  /** Probability of a ghost shifted by half or a third of the field of view, of up to a tenth of the signal. */
  readonly ghost: number;
  /** Probability that left and right change places, where the text of the series names no side. */
  readonly flip: number;
}

/** Scanners as they are, to be changed in parts. */
export const NO_AUGMENTATION: Augmentation = {
  gamma: 0,
  inversion: 0,
  bias: 0,
  noise: 0,
  missingSlices: 0,
  thickSlices: 0,
  ghost: 0,
  flip: 0,
};

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

/** Whether a text tells left from right, so that a mirrored image would make it wrong. */
export const namesSide = (text: string): boolean =>
  /\b(left|right|links?e?[rsnm]?|rechte?[rsnm]?|rechts|gauches?|droite?s?|izquierd[oa]s?|derech[oa]s?|sinistr[oaei]|destr[oaei]|esquerd[oa]s?|direit[oa]s?)\b|左|右/iu.test(
    text,
  );

/** Whether the views of a series are mirrored: all of a step alike, as left and right are of the person. */
export const drawFlip = (text: string, { flip }: Augmentation, random: Random): boolean =>
  random.chance(flip) && !namesSide(text);

/** A view of the mirrored person: left and right (x) change places. */
export function mirrored(view: TokenSet): TokenSet {
  const { samples } = view;
  const patches = new Float32Array(view.patches.length);
  const measured = new Uint8Array(view.measured.length);
  for (let n = 0; n < patches.length; n++) {
    const x = n % samples;
    const from = n - x + (samples - 1 - x);
    patches[n] = view.patches[from]!;
    measured[n] = view.measured[from]!;
  }
  return {
    ...view,
    patches,
    measured,
    positions: view.positions.map((mm, n) => (n % 3 === 0 ? -mm : mm)),
  };
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
  let pyramid = prepared.pyramid(patchMm / samples);
  if (random.chance(augmentation.thickSlices))
    pyramid = thickSlices(pyramid, random.int(3) as Axis, random.uniform(4, 8));
  const common = {
    patchMm,
    samples,
    shiftMm,
    pyramid,
    limit: spec.tokens,
    order: (cells: number) => random.sample(cells, cells),
  };
  let view = tokenize(prepared, { ...common, regionMm, ...(gap && { gap }) });
  if (view.count < FEWEST) view = tokenize(prepared, common);
  if (random.chance(augmentation.ghost))
    addGhost(view, prepared, pyramid, {
      axis: random.int(3) as Axis,
      parts: 2 + random.int(2),
      strength: random.uniform(0.02, 0.1),
    });
  alterIntensity(view, prepared.stats, augmentation, random);
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
