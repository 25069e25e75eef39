/** What a suite found of each case, from which scores of all, of a group, or of two models are taken. */
import type { Target } from '../tasks/classify/head.js';
import { scoresFor, type Outcome, type Score, type Scores } from './task-scores.js';

/** A series of which the text was looked for among all texts, and the text of which among all images. */
export interface Query {
  readonly patient: string;
  readonly series: readonly string[];
  /** Place of the first right answer, 1 is best. */
  readonly ranks: Readonly<Record<Direction, number>>;
}

export const DIRECTIONS = ['textToImage', 'imageToText'] as const;
export type Direction = (typeof DIRECTIONS)[number];
export const KS = [1, 5, 10] as const;

export type Judged =
  | {
      readonly kind: 'outcomes';
      readonly target: Pick<Target, 'kind' | 'names'>;
      readonly cases: readonly Outcome[];
    }
  | { readonly kind: 'queries'; readonly cases: readonly Query[] };

const recall =
  (direction: Direction, k: number): Score<Query> =>
  (cases) =>
    cases.filter(({ ranks }) => ranks[direction] <= k).length / cases.length;

/** Recall at 1, 5 and 10 in both directions. */
export const QUERY_SCORES: Scores<Query> = Object.fromEntries(
  DIRECTIONS.flatMap((direction) => KS.map((k) => [`${direction}.recall@${k}`, recall(direction, k)])),
);

/** Calls `use` with the scores that fit the cases. */
export function withScores<R>(
  judged: Judged,
  use: <T extends { readonly patient: string; readonly series: readonly string[] }>(
    scores: Scores<T>,
    cases: readonly T[],
  ) => R,
): R {
  return judged.kind === 'queries'
    ? use(QUERY_SCORES, judged.cases)
    : use(scoresFor(judged.target), judged.cases);
}
