/** What a suite found of each case, from which scores of all, of a group, or of two models are taken. */
import type { Target } from '../tasks/classify/head.js';
import { scoresFor, type Outcome, type Score, type Scores } from './task-scores.js';

/** A series that was looked for, or looked with: its text among all texts, the images of its text, or images like it. */
export interface Query {
  readonly patient: string;
  readonly series: readonly string[];
  /** Place of the first right answer, 1 is best. */
  readonly ranks: Readonly<Partial<Record<Direction, number>>>;
  /** Average precision of the ranking, in the directions of `ranks`. */
  readonly precisions: Readonly<Partial<Record<Direction, number>>>;
}

export const DIRECTIONS = ['textToImage', 'imageToText', 'imageToImage'] as const;
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
    cases.filter(({ ranks }) => ranks[direction]! <= k).length / cases.length;

const meanPrecision =
  (direction: Direction): Score<Query> =>
  (cases) =>
    cases.reduce((sum, { precisions }) => sum + precisions[direction]!, 0) / cases.length;

/** Recall at 1, 5 and 10 and mean average precision in the directions that the cases have. */
export function queryScores(cases: readonly Query[]): Scores<Query> {
  const asked = DIRECTIONS.filter((direction) => cases[0]?.ranks[direction] !== undefined);
  return Object.fromEntries(
    asked.flatMap((direction) => [
      ...KS.map((k) => [`${direction}.recall@${k}`, recall(direction, k)] as const),
      [`${direction}.map`, meanPrecision(direction)] as const,
    ]),
  );
}

/** Calls `use` with the scores that fit the cases. */
export function withScores<R>(
  judged: Judged,
  use: <T extends { readonly patient: string; readonly series: readonly string[] }>(
    scores: Scores<T>,
    cases: readonly T[],
  ) => R,
): R {
  return judged.kind === 'queries'
    ? use(queryScores(judged.cases), judged.cases)
    : use(scoresFor(judged.target), judged.cases);
}
