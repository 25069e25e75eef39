/** Scores of decisions and of probabilities over any number of classes. */
import { EvaluateError } from './error.js';
import { sameLength } from './ranking.js';

/** counts[truth][decision] over classes 0 … classes-1. @throws EvaluateError for a class out of range. */
export function confusion(truth: ArrayLike<number>, decided: ArrayLike<number>, classes: number): number[][] {
  sameLength('confusion', truth, decided);
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let n = 0; n < truth.length; n++) {
    const row = counts[truth[n]!];
    const column = decided[n]!;
    if (row?.[column] === undefined)
      throw new EvaluateError(
        `confusion: classes must be from 0 to ${classes - 1}, got ${String(truth[n])} and ${String(column)}`,
      );
    row[column]++;
  }
  return counts;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Share of right decisions. */
export function accuracy(counts: readonly (readonly number[])[]): number {
  return sum(counts.map((row, n) => row[n]!)) / sum(counts.map(sum));
}

/** Mean sensitivity over the classes that occur. */
export function balancedAccuracy(counts: readonly (readonly number[])[]): number {
  const recalls = counts.flatMap((row, n) => (sum(row) === 0 ? [] : [row[n]! / sum(row)]));
  return sum(recalls) / recalls.length;
}

/** F1 of each class: 2 tp / (2 tp + fp + fn), 0 for a class that neither occurs nor is decided. */
export function f1PerClass(counts: readonly (readonly number[])[]): number[] {
  return counts.map((row, n) => {
    const both = sum(row) + sum(counts.map((other) => other[n]!));
    return both === 0 ? 0 : (2 * row[n]!) / both;
  });
}

/** Mean F1 over the classes that occur or are decided. */
export function macroF1(counts: readonly (readonly number[])[]): number {
  const scores = f1PerClass(counts);
  const present = scores.filter((_, n) => sum(counts[n]!) + sum(counts.map((row) => row[n]!)) > 0);
  return sum(present) / present.length;
}

/**
 * Brier score (1950): for two classes the mean squared error of the second class's probability, for more the mean over
 * cases of the summed squared errors of all classes.
 * @param probabilities one row a case, summing to 1.
 */
export function brier(truth: ArrayLike<number>, probabilities: readonly ArrayLike<number>[]): number {
  sameLength('Brier score', truth, probabilities);
  const classes = probabilities[0]?.length ?? 0;
  let total = 0;
  probabilities.forEach((row, n) => {
    for (let c = classes === 2 ? 1 : 0; c < classes; c++) total += (row[c]! - (truth[n] === c ? 1 : 0)) ** 2;
  });
  return total / truth.length;
}

/** Cases whose confidence falls in one bin. */
export interface CalibrationBin {
  readonly confidence: number;
  readonly accuracy: number;
  readonly count: number;
}

/**
 * Bins of equal width over the probability of the decided class (Guo et al. 2017), empty ones left out. A bin holds
 * its upper edge but not its lower.
 */
export function calibration(
  truth: ArrayLike<number>,
  probabilities: readonly ArrayLike<number>[],
  bins = 15,
): CalibrationBin[] {
  sameLength('calibration', truth, probabilities);
  const totals = Array.from({ length: bins }, () => ({ confidence: 0, right: 0, count: 0 }));
  probabilities.forEach((row, n) => {
    const decided = largest(row);
    const confidence = row[decided]!;
    const bin = totals[Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1))]!;
    bin.confidence += confidence;
    bin.right += truth[n] === decided ? 1 : 0;
    bin.count++;
  });
  return totals
    .filter(({ count }) => count > 0)
    .map(({ confidence, right, count }) => ({
      confidence: confidence / count,
      accuracy: right / count,
      count,
    }));
}

/** Expected calibration error: the mean over cases of the distance between confidence and accuracy of their bin. */
export function expectedCalibrationError(
  truth: ArrayLike<number>,
  probabilities: readonly ArrayLike<number>[],
  bins = 15,
): number {
  const gaps = calibration(truth, probabilities, bins).map(
    (bin) => bin.count * Math.abs(bin.accuracy - bin.confidence),
  );
  return sum(gaps) / truth.length;
}

/** Index of the largest entry, the first of equals. */
export function largest(row: ArrayLike<number>): number {
  let best = 0;
  for (let n = 1; n < row.length; n++) if (row[n]! > row[best]!) best = n;
  return best;
}
