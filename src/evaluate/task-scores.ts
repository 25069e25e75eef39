/** All scores of a head's predictions, with intervals over patients. */
import { joinPredictions, type Prediction, type Target } from '../tasks/classify/prediction.js';
import {
  accuracy,
  balancedAccuracy,
  brier,
  confusion,
  expectedCalibrationError,
  macroF1,
} from './decisions.js';
import { EvaluateError } from './error.js';
import { bootstrap, type Measured } from './intervals.js';
import { labelScores } from './label-scores.js';
import { auroc, averagePrecision } from './ranking.js';

/** One thing that was predicted: a series, or all series of a study or patient together. */
export interface Outcome {
  readonly patient: string;
  /** Ids of the series that it is about. */
  readonly series: readonly string[];
  readonly prediction: Prediction;
  /** Class index, number, or one 0 or 1 a label. */
  readonly truth: number | readonly number[];
}

/**
 * Joins predictions of series that share a unit (a patient with several series), see {@link joinPredictions}.
 * @param units unit of every series. @param patients patient of every series. @param ids the series' own, where a unit is
 * something else.
 */
export function joinUnits(
  predictions: readonly Prediction[],
  truth: readonly (number | readonly number[])[],
  units: readonly string[],
  patients: readonly string[],
  ids: readonly string[] = units,
): Outcome[] {
  const groups = new Map<string, number[]>();
  units.forEach((unit, n) => groups.set(unit, [...(groups.get(unit) ?? []), n]));
  return [...groups.values()].map((group) => {
    const prediction = joinPredictions(group.map((n) => predictions[n]!));
    const series = group.map((n) => ids[n]!);
    return { patient: patients[group[0]!]!, series, prediction, truth: truth[group[0]!]! };
  });
}

export interface ScoreOptions {
  readonly rounds?: number;
  readonly seed?: number;
}

/** A score of some cases (with repeats); it may throw EvaluateError for cases that have none. */
export type Score<T> = (cases: readonly T[]) => number;
export type Scores<T> = Readonly<Record<string, Score<T>>>;

/** Every score of `cases` with its interval over patients. */
export function measureAll<T extends { readonly patient: string }>(
  scores: Scores<T>,
  cases: readonly T[],
  options: ScoreOptions = {},
): Record<string, Measured> {
  const patients = cases.map(({ patient }) => patient);
  const entries = Object.entries(scores).map(([name, score]) => [
    name,
    bootstrap(patients, (drawn) => score(drawn.map((n) => cases[n]!)), options),
  ]);
  return Object.fromEntries(entries) as Record<string, Measured>;
}

/** All {@link scoresFor} a target, measured. */
export function taskScores(
  target: Pick<Target, 'kind' | 'names'>,
  outcomes: readonly Outcome[],
  options: ScoreOptions = {},
): Record<string, Measured> {
  return measureAll(scoresFor(target), outcomes, options);
}

/** Scores of one label of several. */
export interface LabelResult {
  readonly name: string;
  /** Without those that the cases have none for, such as the AUROC of a label that is never there. */
  readonly metrics: Readonly<Record<string, Measured>>;
}

/** The scores of each label, measured; empty for other kinds of target. */
export function scoresByLabel(
  { kind, names }: Pick<Target, 'kind' | 'names'>,
  outcomes: readonly Outcome[],
  options: ScoreOptions = {},
): LabelResult[] {
  if (kind !== 'labels') return [];
  return names.map((name, c) => {
    const metrics: Record<string, Measured> = {};
    for (const [metric, score] of Object.entries(labelScores([c])))
      try {
        Object.assign(metrics, measureAll({ [metric]: score }, outcomes, options));
      } catch (error) {
        if (!(error instanceof EvaluateError)) throw error;
      }
    return { name, metrics };
  });
}

/**
 * Scores by kind of target. Classes: AUROC and AUPRC (of the second class; of more than two, the mean of each against
 * the rest), accuracy, balanced accuracy, macro F1, Brier, ECE; ordinal classes also the mean distance in classes.
 * Labels: AUROC, AUPRC, F1, balanced accuracy, Brier and ECE, each the mean over the labels. Numbers: mean absolute error, root mean squared error, R².
 */
export function scoresFor({ kind, names }: Pick<Target, 'kind' | 'names'>): Scores<Outcome> {
  if (kind === 'number') return numberScores;
  return kind === 'labels' ? labelScores(names.map((_, c) => c)) : classScores(names, kind === 'ordinal');
}

const errorsOf = (cases: readonly Outcome[]): number[] =>
  cases.map(({ prediction, truth }) => prediction.value - (truth as number));

const numberScores: Scores<Outcome> = {
  mae: (cases) => mean(errorsOf(cases).map(Math.abs)),
  rmse: (cases) => Math.sqrt(mean(errorsOf(cases).map((e) => e * e))),
  r2: (cases) => {
    const truths = cases.map(({ truth }) => truth as number);
    const centre = mean(truths);
    return 1 - mean(errorsOf(cases).map((e) => e * e)) / mean(truths.map((t) => (t - centre) ** 2));
  },
};

function classScores(names: readonly string[], ordinal: boolean): Scores<Outcome> {
  const classes = names.length;
  const truths = (cases: readonly Outcome[]): number[] => cases.map(({ truth }) => truth as number);
  const rows = (cases: readonly Outcome[]): Float64Array[] =>
    cases.map(({ prediction }) => prediction.probabilities);
  const counts = (cases: readonly Outcome[]): number[][] =>
    confusion(
      truths(cases),
      cases.map(({ prediction }) => prediction.value),
      classes,
    );
  const against =
    (score: (labels: number[], scores: number[]) => number): Score<Outcome> =>
    (cases) => {
      const of = (c: number): number =>
        score(
          truths(cases).map((truth) => (truth === c ? 1 : 0)),
          rows(cases).map((row) => row[c]!),
        );
      if (classes === 2) return of(1);
      const present = names.map((_, c) => c).filter((c) => truths(cases).includes(c));
      if (present.length < 2) throw new EvaluateError('AUROC: there must be at least two classes');
      return mean(present.map(of));
    };
  return {
    auroc: against(auroc),
    auprc: against(averagePrecision),
    accuracy: (cases) => accuracy(counts(cases)),
    balancedAccuracy: (cases) => balancedAccuracy(counts(cases)),
    f1: (cases) => macroF1(counts(cases)),
    brier: (cases) => brier(truths(cases), rows(cases)),
    ece: (cases) => expectedCalibrationError(truths(cases), rows(cases)),
    ...(ordinal && {
      meanDistance: (cases: readonly Outcome[]) => mean(errorsOf(cases).map(Math.abs)),
    }),
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
