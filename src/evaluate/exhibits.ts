/** Single cases that show what stands behind scores: those most surely wrong, and what lies nearest to a few of all. */
import { clausesOf, truePairs } from '../train/align.js';
import { Random } from '../volume/random.js';
import type { Judged } from './judged.js';
import type { Outcome } from './task-scores.js';

/** What is true of a series and what was said of it, in words. */
export interface Told {
  readonly id: string;
  readonly patient: string;
  readonly truth: string;
  readonly decided: string;
  /** Null for a quantity, which is never just right or wrong. */
  readonly right: boolean | null;
}

/** Every series of the outcomes; all of a unit share its truth and decision. */
export function toldOf(judged: Extract<Judged, { kind: 'outcomes' }>): Told[] {
  return judged.cases.flatMap((one) =>
    one.series.map((id) => ({ id, patient: one.patient, ...inWords(one, judged.target) })),
  );
}

type Target = Extract<Judged, { kind: 'outcomes' }>['target'];

function inWords({ truth, prediction }: Outcome, { kind, names }: Target): Omit<Told, 'id' | 'patient'> {
  if (kind === 'labels') {
    const present = (is: (c: number) => boolean): string =>
      names.filter((_, c) => is(c)).join(' + ') || 'none';
    const [true_, decided] = [
      present((c) => (truth as readonly number[])[c] === 1),
      present((c) => prediction.present[c] === true),
    ];
    return { truth: true_, decided, right: true_ === decided };
  }
  if (kind === 'number')
    return { truth: quantity(truth as number), decided: quantity(prediction.value), right: null };
  return {
    truth: names[truth as number]!,
    decided: names[prediction.value]!,
    right: truth === prediction.value,
  };
}

const quantity = (value: number): string => String(Number(value.toPrecision(3)));

/** A case that was judged wrongly. */
export interface Worst {
  readonly series: readonly string[];
  readonly truth: string;
  readonly decided: string;
  /** Probability of what was wrongly said; the error of a quantity; the place of the first right answer to a query. */
  readonly by: number;
}

/**
 * The cases that were judged most wrongly, worst first: classes by the probability of the wrong one, several labels by
 * the largest distance of a wrong label's probability from the truth, quantities by their error, queries by the place of
 * the first right image (1 is not wrong).
 */
export function worstCases(judged: Judged, most: number): Worst[] {
  const all: Worst[] =
    judged.kind === 'queries'
      ? judged.cases
          .map(({ series, ranks }) => ({ series, rank: ranks.textToImage ?? ranks.imageToImage ?? 1 }))
          .filter(({ rank }) => rank > 1)
          .map(({ series, rank }) => ({ series, truth: '', decided: '', by: rank }))
      : judged.cases.flatMap((one) => {
          const { truth, decided, right } = inWords(one, judged.target);
          return right === true
            ? []
            : [{ series: one.series, truth, decided, by: wrongness(one, judged.target) }];
        });
  return all.sort((a, b) => b.by - a.by).slice(0, most);
}

function wrongness({ truth, prediction }: Outcome, { kind, names }: Target): number {
  if (kind === 'number') return Math.abs(prediction.value - (truth as number));
  if (kind !== 'labels') return prediction.probabilities[prediction.value] ?? 0;
  const labels = truth as readonly number[];
  return Math.max(
    ...names.map((_, c) =>
      (prediction.present[c] === true) === (labels[c] === 1)
        ? 0
        : Math.abs(prediction.probabilities[c]! - labels[c]!),
    ),
  );
}

/** Places of `count` cases drawn by `seed`: of each kind in turn, so that a rare kind is shown too. */
export function drawCases(kinds: readonly string[], count: number, seed = 0): number[] {
  const random = new Random(seed, 0xd4a3);
  const byKind = new Map<string, { n: number; tie: number }[]>();
  kinds.forEach((kind, n) => byKind.set(kind, [...(byKind.get(kind) ?? []), { n, tie: random.uniform() }]));
  const piles = [...byKind].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pile]) => pile);
  for (const pile of piles) pile.sort((a, b) => a.tie - b.tie);
  const turns = piles.flatMap((pile) => pile.map(({ n }, turn) => ({ n, turn })));
  // Sorting is stable: within a turn the kinds keep their order.
  return turns
    .sort((a, b) => a.turn - b.turn)
    .slice(0, count)
    .map(({ n }) => n);
}

/** A series that was found, with the cosine of its angle to what was asked for. */
export interface Hit {
  readonly id: string;
  readonly score: number;
  readonly right: boolean | null;
}

/** The `most` series of other patients whose features are most like those of case `query`; right are those of its truth. */
export function nearest(
  cases: readonly Told[],
  vectors: readonly Float32Array[],
  query: number,
  most: number,
): Hit[] {
  const asked = cases[query]!;
  const others = cases.map((_, n) => n).filter((n) => cases[n]!.patient !== asked.patient);
  return ranked(others, vectors, vectors[query]!, most).map(({ n, score }) => ({
    id: cases[n]!.id,
    score,
    right: asked.right === null ? null : cases[n]!.truth === asked.truth,
  }));
}

/** The `most` series nearest to a text; right are those of which everything that the text says is true. */
export function found(
  series: readonly { readonly id: string; readonly text: string }[],
  vectors: readonly Float32Array[],
  query: { readonly text: string; readonly vector: Float32Array },
  most: number,
): Hit[] {
  const all = series.map((_, n) => n);
  return ranked(all, vectors, query.vector, most).map(({ n, score }) => {
    const { id, text } = series[n]!;
    return { id, score, right: truePairs([text], [clausesOf(query.text)])[0] === 1 };
  });
}

function ranked(
  among: readonly number[],
  vectors: readonly Float32Array[],
  query: Float32Array,
  most: number,
): { n: number; score: number }[] {
  return among
    .map((n) => ({ n, score: cosine(query, vectors[n]!) }))
    .sort((a, b) => b.score - a.score)
    .slice(0, most);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let d = 0; d < a.length; d++) {
    ab += a[d]! * b[d]!;
    aa += a[d]! ** 2;
    bb += b[d]! ** 2;
  }
  return ab / (Math.sqrt(aa * bb) || 1);
}
