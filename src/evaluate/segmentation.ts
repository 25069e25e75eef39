/** Segmentation heads measured on what nothing was learnt from. */
import {
  HELD_OUT_CONTRASTS,
  numbersIn,
  Segmenter,
  synthesizeAs,
  type Anatomy,
  type Pair,
  type SegmentHead,
  type SynthesisOptions,
} from '../tasks/segment/index.js';
import type { Volume } from '../volume/volume.js';
import { bootstrap } from './intervals.js';
import { diceByLabel } from './overlap.js';

export interface Spread {
  /** NaN where no image has the label. */
  readonly mean: number;
  /** 95 % interval of the mean over resamples of patients; null where no image has the label. */
  readonly ci95: readonly [low: number, high: number] | null;
  /** Of all images the worst and the best. */
  readonly low: number;
  readonly high: number;
  /** Images in which the label is, in the truth or in the prediction. */
  readonly n: number;
  /** Whose these images are: so many. */
  readonly patients: number;
}

export interface Measurement {
  readonly images: number;
  /** Dice by label name, the background left out. */
  readonly dice: Readonly<Record<string, Spread>>;
  /** Mean Dice over the labels by contrast, for simulated images. */
  readonly byContrast?: Readonly<Record<string, number>>;
}

/** Of some images, each of a patient; those with NaN are left out. */
export function spreadOf(values: ArrayLike<number>, patients: readonly string[]): Spread {
  const having = patients.map((_, n) => n).filter((n) => !Number.isNaN(values[n]!));
  const own = having.map((n) => values[n]!);
  if (own.length === 0) return { mean: NaN, ci95: null, low: NaN, high: NaN, n: 0, patients: 0 };
  const { ci95, n } = bootstrap(
    having.map((at) => patients[at]!),
    (drawn) => mean(drawn.map((at) => own[at]!)),
  );
  return {
    mean: mean(own),
    ci95,
    low: Math.min(...own),
    high: Math.max(...own),
    n: own.length,
    patients: n,
  };
}

/** Every anatomy in T1w, T2w with thick slices and FLAIR, as far as the head was taught with these; `patients` says whose each is. */
export async function measureMaps(
  head: SegmentHead,
  anatomies: readonly Anatomy[],
  patients: readonly string[],
  options: SynthesisOptions,
  threads?: number,
): Promise<Measurement> {
  const images = anatomies.flatMap((anatomy, n) =>
    HELD_OUT_CONTRASTS.filter(({ contrast }) => options.contrasts.includes(contrast)).map((contrast) => ({
      patient: patients[n]!,
      kind: contrast.name,
      make: () => synthesizeAs(anatomy, options, contrast.sequence, contrast.spacingMm, n),
    })),
  );
  return measure(head, images, threads);
}

/** Given images; `patients` says whose each is. */
export function measurePairs(
  head: SegmentHead,
  pairs: readonly Pair[],
  patients: readonly string[],
  threads?: number,
): Promise<Measurement> {
  return measure(
    head,
    pairs.map((pair, n) => ({ patient: patients[n]!, kind: null, make: () => pair })),
    threads,
  );
}

interface Measurable {
  readonly patient: string;
  readonly kind: string | null;
  readonly make: () => { volume: Volume; numbers: Uint8Array };
}

async function measure(
  head: SegmentHead,
  images: readonly Measurable[],
  threads?: number,
): Promise<Measurement> {
  const segmenter = await Segmenter.open(head, threads === undefined ? {} : { threads });
  const { names } = head.labels;
  const rows: { kind: string | null; dice: Float64Array }[] = [];
  try {
    for (const { kind, make } of images) {
      const { volume, numbers } = make();
      const predicted = numbersIn(await segmenter.segment(volume), head.labels);
      rows.push({ kind, dice: diceByLabel(numbers, predicted, names.length) });
    }
  } finally {
    await segmenter.close();
  }
  const patients = images.map(({ patient }) => patient);
  const dice = names.slice(1).map((name, l): [string, Spread] => [
    name,
    spreadOf(
      rows.map((row) => row.dice[l + 1]!),
      patients,
    ),
  ]);
  const kinds = [...new Set(rows.flatMap(({ kind }) => (kind === null ? [] : [kind])))];
  const byContrast = kinds.map((kind): [string, number] => [
    kind,
    mean(
      rows
        .filter((row) => row.kind === kind)
        .flatMap((row) => [...row.dice.slice(1)].filter((one) => !Number.isNaN(one))),
    ),
  ]);
  return {
    images: images.length,
    dice: Object.fromEntries(dice),
    ...(kinds.length > 0 && { byContrast: Object.fromEntries(byContrast) }),
  };
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? NaN : values.reduce((sum, one) => sum + one, 0) / values.length;
