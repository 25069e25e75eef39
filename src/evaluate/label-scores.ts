/** Scores of labels that are each there or not: of one label, and their means over all. */
import { balancedAccuracy, brier, confusion, expectedCalibrationError } from './decisions.js';
import { auroc, averagePrecision } from './ranking.js';
import type { Outcome, Scores } from './task-scores.js';

/** One label of some cases. */
interface OfLabel {
  /** 1 where it is there, else 0. */
  readonly truth: readonly number[];
  /** Its probability. */
  readonly p: readonly number[];
  /** 1 where it is decided to be there, else 0. */
  readonly decided: readonly number[];
}

/** Brier is of the label's probability; ECE of the likelier of "there" and "not there", as of two classes. */
const SCORES: Readonly<Record<string, (of: OfLabel) => number>> = {
  auroc: ({ truth, p }) => auroc(truth, p),
  auprc: ({ truth, p }) => averagePrecision(truth, p),
  f1: ({ truth, decided }) => {
    const both = truth.filter((label, n) => label === 1 && decided[n] === 1).length;
    const either = truth.filter((label) => label === 1).length + decided.filter((d) => d === 1).length;
    return either === 0 ? 0 : (2 * both) / either;
  },
  balancedAccuracy: ({ truth, decided }) => balancedAccuracy(confusion(truth, decided, 2)),
  brier: ({ truth, p }) => brier(truth, asRows(p)),
  ece: ({ truth, p }) => expectedCalibrationError(truth, asRows(p)),
};

const asRows = (p: readonly number[]): [number, number][] => p.map((one) => [1 - one, one]);

/** What is true and what was said of label `c`. */
export const ofLabel = (cases: readonly Outcome[], c: number): OfLabel => ({
  truth: cases.map(({ truth }) => (truth as readonly number[])[c]!),
  p: cases.map(({ prediction }) => prediction.probabilities[c]!),
  decided: cases.map(({ prediction }) => (prediction.present[c] ? 1 : 0)),
});

/**
 * AUROC, AUPRC, F1, balanced accuracy, Brier and ECE of the labels at `places` among those of the cases, each the mean
 * over these labels (macro).
 */
export function labelScores(places: readonly number[]): Scores<Outcome> {
  return Object.fromEntries(
    Object.entries(SCORES).map(([name, score]) => [
      name,
      (cases: readonly Outcome[]) =>
        places.reduce((sum, c) => sum + score(ofLabel(cases, c)), 0) / places.length,
    ]),
  );
}
