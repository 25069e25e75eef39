/** Images of any contrast from label maps, so that a segmentation learns anatomy instead of one contrast (SynthSeg's idea). */
import {
  simulateFromLabels,
  TISSUES,
  type Acquisition,
  type LabelTissues,
  type Sequence,
  type Tissue,
} from '../../simulate/index.js';
import type { Affine, Vec3, Volume } from '../../volume/volume.js';
import { multiply } from '../../volume/affine.js';
import { boundsMm } from '../../volume/sampling.js';
import type { Random } from '../../volume/random.js';
import { TaskError } from '../error.js';
import { segmentImage, type SegmentImage, type Working } from './image.js';
import { mirrored, numbersOf, type LabelTable } from './labels.js';
import { majorityNumbers } from './scene.js';

/** A label map cut to what has a tissue. */
export interface Anatomy {
  readonly map: Volume;
  readonly numbers: Uint8Array;
}

/** "any": sequences between those that departments run, and now and then signals that no sequence gives. */
export const CONTRASTS = ['T1w', 'T2w', 'PDw', 'FLAIR', 'any'] as const;
export type DrawnContrast = (typeof CONTRASTS)[number];

/** What is drawn for an image. */
export interface SynthesisOptions {
  /** What images are drawn from; fewer are learnt sooner. */
  readonly contrasts: readonly DrawnContrast[];
  readonly tissues: LabelTissues;
  readonly table: LabelTable;
  /** Voxel sizes from, to. */
  readonly spacingMm: readonly [number, number];
  readonly working: Working;
  /** Whether half of the images show the anatomy in a mirror; true unless said, where sides have their partners. */
  readonly mirrors?: boolean;
}

/** Points of a voxel that its signal is the mean of: with fewer, borders are of one tissue or the other by chance. */
const SAMPLES = 6;
/** Share of images in which tissues have signals of their own instead of a sequence's (Billot et al. 2023). */
const RANDOM_TISSUES = 0.15;
/** Share of images that show what has a label in the head and nothing else, as after brain extraction. */
const STRIPPED = 0.15;

/** What heads are measured on: fixed sequences at 3 T, the second with thick slices. */
export const HELD_OUT_CONTRASTS: readonly {
  contrast: DrawnContrast;
  name: string;
  sequence: Sequence;
  spacingMm: Vec3;
}[] = [
  {
    contrast: 'T1w',
    name: 'T1w, 1.5 mm',
    sequence: { kind: 'prepared gradient echo', tr: 2000, te: 3, ti: 900, flip: 8 },
    spacingMm: [1.5, 1.5, 1.5],
  },
  {
    contrast: 'T2w',
    name: 'T2w, 1.5 x 1.5 x 4 mm',
    sequence: { kind: 'turbo spin echo', tr: 4500, te: 95 },
    spacingMm: [1.5, 1.5, 4],
  },
  {
    contrast: 'FLAIR',
    name: 'FLAIR, 2 mm',
    sequence: { kind: 'inversion recovery', tr: 9000, te: 110, ti: 2500 },
    spacingMm: [2, 2, 2],
  },
];

/** @throws TaskError when the map has none of the labels, or no tissue. */
export function anatomyOf(volume: Volume, { table, tissues }: SynthesisOptions, name: string): Anatomy {
  const { data, shape, slope, intercept } = volume;
  const low = [...shape] as [number, number, number];
  const high = [-1, -1, -1];
  let labelled = false;
  for (let k = 0, n = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) {
        const value = data[n]! * slope + intercept;
        if (value === 0 || !tissues.has(value)) continue;
        labelled ||= table.numberOf.has(value);
        [i, j, k].forEach((at, d) => {
          if (at < low[d]!) low[d] = at;
          if (at > high[d]!) high[d] = at;
        });
      }
  if (high[0]! < 0 || !labelled)
    throw new TaskError(
      `segment: ${name} must hold labels of the table that have a tissue, but has none; check --labels and --tissues`,
    );
  const size = low.map((from, d) => high[d]! - from + 1) as unknown as Vec3;
  const cut = new Uint16Array(size[0] * size[1] * size[2]);
  for (let k = 0, n = 0; k < size[2]; k++)
    for (let j = 0; j < size[1]; j++)
      for (let i = 0; i < size[0]; i++, n++)
        cut[n] = data[i + low[0] + shape[0] * (j + low[1] + shape[1] * (k + low[2]))]! * slope + intercept;
  const shift: Affine = [
    [1, 0, 0, low[0]],
    [0, 1, 0, low[1]],
    [0, 0, 1, low[2]],
    [0, 0, 0, 1],
  ];
  const map: Volume = {
    data: cut,
    shape: size,
    affine: multiply(volume.affine, shift),
    slope: 1,
    intercept: 0,
    valid: null,
  };
  return { map, numbers: numbersOf(map, table) };
}

/** One image of an anatomy, of random shape, pose, contrast, resolution and field of view, and the truth on its grid. */
export function synthesize(
  { map, numbers }: Anatomy,
  options: SynthesisOptions,
  random: Random,
): { image: SegmentImage; numbers: Uint8Array } {
  const mirror = options.mirrors === false ? null : mirrored(options.table.names);
  const flip = mirror !== null && random.chance(0.5);
  const scale = [0, 1, 2].map(() => random.uniform(0.88, 1.12)) as [number, number, number];
  if (flip) scale[0] = -scale[0];
  const warp: Affine = [
    [scale[0], random.uniform(-0.06, 0.06), random.uniform(-0.06, 0.06), 0],
    [random.uniform(-0.06, 0.06), scale[1], random.uniform(-0.06, 0.06), 0],
    [random.uniform(-0.06, 0.06), random.uniform(-0.06, 0.06), scale[2], 0],
    [0, 0, 0, 1],
  ];
  const warped: Volume = { ...map, affine: multiply(warp, map.affine) };
  const turned = flip ? numbers.map((n) => mirror[n]!) : numbers;
  const acquisition = drawAcquisition(boundsMm(warped), options, random);
  const image = imageOf(warped, options, acquisition, random);
  return { image, numbers: majorityNumbers(image, warped, turned) };
}

/** One image of an anatomy as it lies, under a fixed acquisition, for measuring. */
export function synthesizeAs(
  { map, numbers }: Anatomy,
  options: SynthesisOptions,
  sequence: Sequence,
  spacingMm: Vec3,
  seed: number,
): { volume: Volume; numbers: Uint8Array } {
  const acquisition: Acquisition = {
    ...stackOver(boundsMm(map), 'axial', spacingMm, [1, 1, 1], [0.5, 0.5, 0.5]),
    thickness: spacingMm[2],
    sequence,
    tesla: 3,
    noise: 0.02,
    bias: 0.2,
    samples: SAMPLES,
  };
  const { volume } = simulateFromLabels(map, options.tissues, acquisition, seed);
  return { volume, numbers: majorityNumbers(volume, map, numbers) };
}

function imageOf(
  map: Volume,
  { tissues, table, working, contrasts }: SynthesisOptions,
  acquisition: Acquisition,
  random: Random,
): SegmentImage {
  const stripped = random.chance(STRIPPED);
  const invented = contrasts.includes('any') && random.chance(RANDOM_TISSUES);
  const shown = new Map<number, Tissue>();
  const drawn = new Map<string, Tissue>();
  for (const [value, given] of tissues) {
    if (stripped && !table.numberOf.has(value)) continue;
    const base = typeof given === 'string' ? TISSUES[given] : given;
    if (!invented || base.pd === 0) {
      shown.set(value, base);
      continue;
    }
    // One signal for each tissue, so that both sides and all parts of it look alike.
    const name = typeof given === 'string' ? given : String(value);
    const own = drawn.get(name) ?? {
      ...base,
      t1: [500, 500],
      t2: [1000, 1000],
      r2p: 0,
      flow: 0,
      fat: 0,
      pd: random.uniform(0.05, 1),
    };
    drawn.set(name, own);
    shown.set(value, own);
  }
  const sequence: Sequence = invented ? { kind: 'spin echo', tr: 5000, te: 5 } : acquisition.sequence;
  const { volume } = simulateFromLabels(map, shown, { ...acquisition, sequence }, random.int(2 ** 31));
  return segmentImage(volume, working);
}

type Bounds = [number[], number[]];

function stackOver(
  [low, high]: Bounds,
  plane: Acquisition['plane'],
  spacingMm: Vec3,
  share: Vec3,
  where: Vec3,
): Pick<Acquisition, 'plane' | 'shape' | 'spacing' | 'centre'> {
  // Which of R, A, S the columns, rows and slices of the plane run along.
  const along = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] }[plane] as [
    number,
    number,
    number,
  ];
  const extent = [0, 1, 2].map((d) => (high[d]! - low[d]!) * share[d as 0] + 8);
  const centre = [0, 1, 2].map((d) => {
    const room = (high[d]! - low[d]!) * (1 - share[d as 0]);
    return (low[d]! + high[d]!) / 2 + (where[d as 0] - 0.5) * room;
  }) as unknown as Vec3;
  const shape = along.map((d, n) =>
    Math.max(8, Math.round(extent[d]! / spacingMm[n as 0])),
  ) as unknown as Vec3;
  return { plane, shape, spacing: spacingMm, centre };
}

function drawAcquisition(
  bounds: Bounds,
  { spacingMm, contrasts }: SynthesisOptions,
  random: Random,
): Acquisition {
  const [finest, coarsest] = spacingMm;
  const plane = random.choice(['axial', 'axial', 'coronal', 'sagittal'] as const);
  const isotropic = random.chance(0.6);
  const inPlane = random.uniform(finest, isotropic ? coarsest : (finest + coarsest) / 2);
  const between = isotropic ? inPlane : random.uniform(coarsest, 2 * coarsest);
  const cropped = random.chance(0.4);
  const draw = (from: number, to: number): Vec3 => [
    random.uniform(from, to),
    random.uniform(from, to),
    random.uniform(from, to),
  ];
  return {
    ...stackOver(bounds, plane, [inPlane, inPlane, between], cropped ? draw(0.6, 1) : [1, 1, 1], draw(0, 1)),
    thickness: between * random.uniform(0.8, 1),
    tilt: draw(-8, 8),
    sequence: drawSequence(random.choice(contrasts), random),
    tesla: random.chance(0.5) ? 3 : 1.5,
    noise: random.uniform(0.005, 0.06),
    bias: random.uniform(0, 0.4),
    ...(random.chance(0.2) && { ghost: random.uniform(0, 0.04) }),
    ...(random.chance(0.2) && { ringing: random.uniform(0, 0.5) }),
    samples: SAMPLES,
  };
}

/** Sequences as departments run them, and what lies between them. */
function drawSequence(contrast: DrawnContrast, random: Random): Sequence {
  const common = {
    fatLeft: random.chance(0.3) ? 0.05 : 1,
    contrastAgent: contrast !== 'T2w' && random.chance(0.1) ? random.uniform(0.8, 1.1) : 0,
  };
  const u = (from: number, to: number): number => random.uniform(from, to);
  const t1 = (): Sequence =>
    random.choice<() => Sequence>([
      () => prepared,
      () => prepared,
      () => ({ kind: 'gradient echo', tr: u(15, 300), te: u(2, 8), flip: u(20, 70), ...common }),
      () => ({ kind: 'turbo spin echo', tr: u(400, 800), te: u(8, 15), ...common }),
    ])();
  const prepared: Sequence = {
    kind: 'prepared gradient echo',
    tr: u(1700, 2500),
    te: u(2, 4),
    ti: u(700, 1100),
    flip: u(7, 12),
    ...common,
  };
  switch (contrast) {
    case 'T1w':
      return t1();
    case 'T2w':
      return { kind: 'turbo spin echo', tr: u(3000, 6500), te: u(70, 120), ...common };
    case 'PDw':
      return { kind: 'turbo spin echo', tr: u(2000, 4500), te: u(10, 45), ...common };
    case 'FLAIR':
      return {
        kind: 'inversion recovery',
        tr: u(7500, 10000),
        te: u(80, 140),
        ti: u(2150, 2650),
        ...common,
      };
    case 'any':
      return random.chance(0.5)
        ? { kind: 'turbo spin echo', tr: u(300, 6500), te: u(8, 120), ...common }
        : { kind: 'inversion recovery', tr: u(3000, 6000), te: u(8, 60), ti: u(200, 1200), ...common };
  }
}
