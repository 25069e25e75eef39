/** Whether two models differ on the same cases, score by score. */
import { EvaluateError } from './error.js';
import { bootstrap, delong, permutationTest } from './intervals.js';
import { scoresFor, type Outcome, type ScoreOptions, type Scores } from './task-scores.js';
import { queryScores, type Judged } from './judged.js';

/** A model's score less the other's. */
export interface Difference {
  readonly difference: number;
  readonly ci95: readonly [low: number, high: number];
  /** Two-sided. */
  readonly p: number;
  /** How p was found. */
  readonly test: 'DeLong' | 'permutation';
  /** Patients, and cases that both models were asked about. */
  readonly n: number;
  readonly cases: number;
}

/** 97.5 % of a standard normal lies below. */
const Z975 = 1.959963984540054;
/** Scores of an order: models may have other scales of probability. */
const RANKING = new Set(['auroc', 'auprc']);

/**
 * Differences of `a` less `b` in every score that both have. The AUROC of two classes with one case a patient: DeLong et
 * al. 1988, its normal interval. Everything else: a permutation of models within patients, the interval from resamples
 * of patients that take both models' cases along. For AUROC and AUPRC the permutation swaps ranks rather than
 * probabilities, since models are calibrated apart (Bandos et al. 2005).
 * @throws EvaluateError when the two were not asked the same.
 */
export function compare(a: Judged, b: Judged, options: ScoreOptions = {}): Record<string, Difference> {
  if (a.kind === 'queries' && b.kind === 'queries')
    return differences(queryScores(a.cases), paired(a.cases, b.cases), options);
  if (a.kind === 'queries' || b.kind === 'queries' || a.target.names.join() !== b.target.names.join())
    throw new EvaluateError('compare: both models must be asked the same; use one suite for both');
  const pair = paired(a.cases, b.cases);
  const scores = scoresFor(a.target);
  const ranking = Object.fromEntries(Object.entries(scores).filter(([name]) => RANKING.has(name)));
  const others = Object.fromEntries(Object.entries(scores).filter(([name]) => !RANKING.has(name)));
  const [first, second] = pair;
  const found = {
    ...differences(ranking, [ranked(first), ranked(second)], options),
    ...differences(others, pair, options),
  };
  const patients = new Set(first.map(({ patient }) => patient)).size;
  if (found.auroc === undefined || a.target.names.length !== 2 || a.target.kind === 'labels') return found;
  if (patients < first.length) return found;
  return { ...found, auroc: { ...byDeLong(first, second), n: patients, cases: first.length } };
}

function byDeLong(
  first: readonly Outcome[],
  second: readonly Outcome[],
): Pick<Difference, 'difference' | 'ci95' | 'p' | 'test'> {
  const scores = (of: readonly Outcome[]): number[] =>
    of.map(({ prediction }) => prediction.probabilities[1]!);
  const truth = first.map((one) => one.truth as number);
  const { difference, standardError, p } = delong(truth, scores(first), scores(second));
  const half = Z975 * standardError;
  return { difference, ci95: [difference - half, difference + half], p, test: 'DeLong' };
}

function differences<T extends { readonly patient: string }>(
  scores: Scores<T>,
  [a, b]: readonly [readonly T[], readonly T[]],
  { rounds = 1000, seed = 0 }: ScoreOptions,
): Record<string, Difference> {
  const patients = a.map(({ patient }) => patient);
  const out: Record<string, Difference> = {};
  for (const [name, score] of Object.entries(scores)) {
    const of = (from: readonly T[], drawn: readonly number[]): number => score(drawn.map((n) => from[n]!));
    const { value, ci95, n, cases } = bootstrap(patients, (drawn) => of(a, drawn) - of(b, drawn), {
      rounds,
      seed,
    });
    const mixed = (model: Uint8Array): number => score(a.map((one, at) => (model[at] === 0 ? one : b[at]!)));
    const { p } = permutationTest(patients, mixed, { rounds, seed });
    out[name] = { difference: value, ci95, p, test: 'permutation', n, cases };
  }
  return out;
}

/** The cases of both in one order. */
function paired<T extends { readonly series: readonly string[]; readonly patient: string }>(
  a: readonly T[],
  b: readonly T[],
): [readonly T[], readonly T[]] {
  const key = ({ series }: T): string => series.join();
  const others = new Map(b.map((one) => [key(one), one]));
  const second = a.map((one) => others.get(key(one)));
  if (a.length !== b.length || second.includes(undefined))
    throw new EvaluateError(
      `compare: both models must be asked about the same cases, got ${a.length} and ${b.length}; use the same series`,
    );
  return [a, second as T[]];
}

/** Probabilities of each class replaced by their mid-ranks among all cases, from 0 to 1. */
function ranked(outcomes: readonly Outcome[]): Outcome[] {
  const classes = outcomes[0]!.prediction.probabilities.length;
  const columns = Array.from({ length: classes }, (_, c) =>
    midranks(outcomes.map(({ prediction }) => prediction.probabilities[c]!)),
  );
  return outcomes.map((one, n) => ({
    ...one,
    prediction: {
      ...one.prediction,
      probabilities: Float64Array.from(columns, (column) => column[n]! / outcomes.length),
    },
  }));
}

function midranks(values: readonly number[]): number[] {
  const order = values.map((_, n) => n).sort((x, y) => values[x]! - values[y]!);
  const out = new Array<number>(values.length);
  for (let from = 0, to = 0; from < order.length; from = to) {
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let at = from; at < to; at++) out[order[at]!] = (from + 1 + to) / 2;
  }
  return out;
}
