/** Views of a volume for training: where to look, at what scale, and what a scanner might have done differently. */
import { addGhost, alterIntensity, ghostShift, thickSlices, type Axis } from './scanner.js';
import type { Random } from '../volume/random.js';
import { inverseOf } from '../volume/sampling.js';
import type { Pyramid } from '../volume/sampling.js';
import { grown, tokenize, type BoxMm, type Prepared, type Scanned, type TokenSet } from '../volume/tokens.js';

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
  place: Place = drawPlace(prepared.stats.foregroundMm, spec, random),
): TokenSet {
  const drawing = drawn(prepared, samples, spec, augmentation, random, place);
  const pyramid = prepared.pyramid(place.patchMm / samples);
  for (let step = drawing.next(); ; step = drawing.next(pyramid)) if (step.done) return step.value;
}

/** As {@link drawView}, of an image of which only what the view shows is read. */
export async function drawScanned(
  image: Scanned,
  samples: number,
  spec: ViewSpec,
  augmentation: Augmentation,
  random: Random,
  place: Place = drawPlace(image.stats.foregroundMm, spec, random),
): Promise<TokenSet> {
  const drawing = drawn(image, samples, spec, augmentation, random, place);
  const sampleMm = place.patchMm / samples;
  for (let step = drawing.next(); ;) {
    if (step.done) return step.value;
    const part = await image.part(sampleMm, step.value.boxMm, step.value.slices);
    step = drawing.next(part.pyramid(sampleMm));
  }
}

/** What a view needs of the image before it goes on: the arguments of {@link Scanned.part}. */
interface Needed {
  readonly boxMm: BoxMm;
  readonly slices?: { readonly axis: Axis; readonly mm: number };
}

/** The steps of drawing a view: it says what it needs of the image, and is given it. */
function* drawn(
  image: Pick<Scanned, 'volume' | 'stats' | 'fitting'>,
  samples: number,
  spec: ViewSpec,
  augmentation: Augmentation,
  random: Random,
  { patchMm, regionMm }: Place,
): Generator<Needed, TokenSet, Pyramid> {
  const step = patchMm / samples;
  const shift = (): number => random.uniform(-patchMm / 2, patchMm / 2);
  const shiftMm = [shift(), shift(), shift()] as const;
  const gap = random.chance(augmentation.missingSlices) ? missingSlices(image, random) : undefined;
  const slices = random.chance(augmentation.thickSlices)
    ? { axis: random.int(3) as Axis, mm: random.uniform(4, 8) }
    : undefined;
  const thick = new Map<Pyramid, Pyramid>();
  /** What samples of tokens with centres in the box are read from. */
  function* around(boxMm: BoxMm): Generator<Needed, Pyramid, Pyramid> {
    const read = yield { boxMm: grown(boxMm, patchMm / 2), ...(slices && { slices }) };
    if (slices === undefined) return read;
    const pyramid = thick.get(read) ?? thickSlices(read, slices.axis, slices.mm);
    thick.set(read, pyramid);
    return pyramid;
  }
  const common = {
    patchMm,
    samples,
    shiftMm,
    limit: spec.tokens,
    order: (cells: number) => random.sample(cells, cells),
  };
  let shown = image.fitting(step, regionMm);
  let pyramid = yield* around(shown);
  let view = tokenize(image, { ...common, pyramid, regionMm: shown, ...(gap && { gap }) });
  if (view.count < FEWEST) {
    shown = image.fitting(step, grown(image.stats.foregroundMm, 2 * patchMm));
    pyramid = yield* around(shown);
    view = tokenize(image, { ...common, pyramid, regionMm: shown });
  }
  if (random.chance(augmentation.ghost)) {
    const ghost = {
      axis: random.int(3) as Axis,
      parts: 2 + random.int(2),
      strength: random.uniform(0.02, 0.1),
    };
    const by = ghostShift(image.volume, ghost);
    const moved = (side: number): BoxMm => [
      by.map((v, d) => shown[0][d]! + side * v),
      by.map((v, d) => shown[1][d]! + side * v),
    ];
    addGhost(view, image, [yield* around(moved(-1)), yield* around(moved(1))], ghost);
  }
  alterIntensity(view, image.stats, augmentation, random);
  return view;
}

function draw(choices: readonly (readonly [number, number])[], random: Random): number {
  let u = random.uniform() * choices.reduce((sum, [, p]) => sum + p, 0);
  for (const [value, p] of choices) if ((u -= p) < 0) return value;
  return choices[choices.length - 1]![0];
}

/** Says of a point whether its nearest slice is among the ones drawn as missing. */
function missingSlices(
  image: Pick<Scanned, 'volume'>,
  random: Random,
): (x: number, y: number, z: number) => boolean {
  const { affine, shape } = image.volume;
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
