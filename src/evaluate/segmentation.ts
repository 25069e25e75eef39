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
import { diceByLabel } from './overlap.js';

export interface Spread {
  /** NaN where no image has the label. */
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  /** Images in which the label is, in the truth or in the prediction. */
  readonly n: number;
}

export interface Measurement {
  readonly images: number;
  /** Dice by label name, the background left out. */
  readonly dice: Readonly<Record<string, Spread>>;
  /** Mean Dice over the labels by contrast, for simulated images. */
  readonly byContrast?: Readonly<Record<string, number>>;
}

/** Every anatomy in T1w, T2w with thick slices and FLAIR, as far as the head was taught with these. */
export async function measureMaps(
  head: SegmentHead,
  anatomies: readonly Anatomy[],
  options: SynthesisOptions,
  threads?: number,
): Promise<Measurement> {
  const images = anatomies.flatMap((anatomy, n) =>
    HELD_OUT_CONTRASTS.filter(({ contrast }) => options.contrasts.includes(contrast)).map((contrast) => ({
      kind: contrast.name,
      make: () => synthesizeAs(anatomy, options, contrast.sequence, contrast.spacingMm, n),
    })),
  );
  return measure(head, images, threads);
}

export function measurePairs(
  head: SegmentHead,
  pairs: readonly Pair[],
  threads?: number,
): Promise<Measurement> {
  return measure(
    head,
    pairs.map((pair) => ({ kind: null, make: () => pair })),
    threads,
  );
}

async function measure(
  head: SegmentHead,
  images: readonly { kind: string | null; make: () => { volume: Volume; numbers: Uint8Array } }[],
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
  const dice = names.slice(1).map((name, l): [string, Spread] => {
    const values = rows.map((row) => row.dice[l + 1]!).filter((one) => !Number.isNaN(one));
    return [
      name,
      { mean: mean(values), low: Math.min(...values), high: Math.max(...values), n: values.length },
    ];
  });
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
