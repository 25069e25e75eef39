import { describe, expect, it } from 'vitest';
import { accuracy, balancedAccuracy, brier, confusion } from '../../src/evaluate/decisions.js';
import { auroc } from '../../src/evaluate/ranking.js';
import {
  crossPredict,
  fitHead,
  predictHead,
  type Cases,
  type Target,
} from '../../src/tasks/classify/head.js';
import { Random } from '../../src/volume/random.js';

const DIM = 8;

/** Cases whose first features are the truth's mean plus unit noise; the others are noise. Two cases a patient. */
function made(seed: number, labels: readonly number[], meanOf: (label: number) => readonly number[]): Cases {
  const random = new Random(seed);
  return {
    features: labels.map((label) =>
      Float32Array.from({ length: DIM }, (_, d) => (meanOf(label)[d] ?? 0) + random.normal()),
    ),
    patients: labels.map((_, n) => `p${n >> 1}`),
  };
}

const pairs = (count: number, label: (patient: number) => number): number[] =>
  Array.from({ length: count }, (_, n) => label(n >> 1));

describe('crossPredict', () => {
  it('comes close to the best that is possible, with probabilities that mean what they say', () => {
    // Two classes 3 apart: the best rule is right in Φ(1.5) = 93.3 % of cases, with an AUROC of Φ(3 / √2) = 98.3 %.
    const values = pairs(400, (p) => p % 2);
    const cases = made(1, values, (label) => [3 * label]);
    const target: Target = { kind: 'classes', names: ['no', 'yes'], values };
    for (const method of ['logistic', 'knn'] as const) {
      const { predictions } = crossPredict(cases, target, { method });
      const score = accuracy(
        confusion(
          values,
          predictions.map(({ value }) => value),
          2,
        ),
      );
      expect(score).toBeGreaterThan(method === 'knn' ? 0.8 : 0.9);
      const p = predictions.map(({ probabilities }) => probabilities[1]!);
      if (method === 'logistic') expect(auroc(values, p)).toBeGreaterThan(0.96);
      // The Brier score of the true probabilities is 0.048; that of an overconfident model that is as often right, 0.067.
      if (method === 'logistic')
        expect(
          brier(
            values,
            predictions.map(({ probabilities }) => probabilities),
          ),
        ).toBeLessThan(0.06);
    }
  });

  it('finds nothing where there is nothing, though patients could be recognised', () => {
    // Every patient's two cases are alike and labels are drawn by patient: only a split through patients would help.
    const random = new Random(5);
    const own = Array.from({ length: 100 }, () => Array.from({ length: DIM }, () => 5 * random.normal()));
    const labels = Array.from({ length: 100 }, () => random.int(2));
    const values = pairs(200, (p) => labels[p]!);
    const features = values.map((_, n) => Float32Array.from(own[n >> 1]!, (x) => x + 0.01 * random.normal()));
    const cases = { features, patients: values.map((_, n) => `p${n >> 1}`) };
    const { predictions } = crossPredict(
      cases,
      { kind: 'classes', names: ['a', 'b'], values },
      { method: 'knn' },
    );
    const right = predictions.filter(({ value }, n) => value === values[n]).length / values.length;
    expect(right).toBeGreaterThan(0.3);
    expect(right).toBeLessThan(0.7);
  });

  it('decides for a rare class, while its probability stays rare', () => {
    const values = pairs(600, (p) => (p % 20 === 0 ? 1 : 0));
    const cases = made(2, values, (label) => [2.5 * label, 1.5 * label]);
    const { predictions } = crossPredict(cases, { kind: 'classes', names: ['a', 'b'], values });
    const counts = confusion(
      values,
      predictions.map(({ value }) => value),
      2,
    );
    // The classes are 2.9 apart: the best balanced accuracy is Φ(1.46) = 92.8 %.
    expect(balancedAccuracy(counts)).toBeGreaterThan(0.85);
    const mean = predictions.reduce((sum, { probabilities }) => sum + probabilities[1]!, 0) / values.length;
    expect(mean).toBeGreaterThan(0.03);
    expect(mean).toBeLessThan(0.08);
  });

  it('tells several classes, ordered classes, several labels and numbers', () => {
    const values = pairs(360, (p) => p % 3);
    const cases = made(3, values, (label) => [2.5 * label, label === 1 ? 3 : 0]);
    const names = ['a', 'b', 'c'];
    for (const kind of ['classes', 'ordinal'] as const) {
      const { predictions } = crossPredict(cases, { kind, names, values });
      const decided = predictions.map(({ value }) => value);
      expect(accuracy(confusion(values, decided, 3))).toBeGreaterThan(0.85);
      for (const { probabilities } of predictions)
        expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 9);
    }

    const rows = values.map((value) => [value === 0 ? 1 : 0, value === 1 ? 1 : 0]);
    const labels = crossPredict(cases, { kind: 'labels', names: ['first', 'second'], values: rows });
    const second = labels.predictions.map(({ probabilities }) => probabilities[1]!);
    expect(
      auroc(
        rows.map((row) => row[1]!),
        second,
      ),
    ).toBeGreaterThan(0.95);
    const agree = labels.predictions.filter(({ present }, n) => present[1] === (rows[n]![1] === 1)).length;
    expect(agree / rows.length).toBeGreaterThan(0.9);

    const ages = values.map((value, n) => 40 + 10 * value + 5 * cases.features[n]![3]!);
    const numbers = crossPredict(cases, { kind: 'number', names: ['age'], values: ages });
    const error = numbers.predictions.reduce((sum, { value }, n) => sum + (value - ages[n]!) ** 2, 0);
    const mean = ages.reduce((sum, age) => sum + age, 0) / ages.length;
    const spread = ages.reduce((sum, age) => sum + (age - mean) ** 2, 0);
    expect(1 - error / spread).toBeGreaterThan(0.7);
  });

  it('gives the same for the same seed, and a head that can be used', () => {
    const values = pairs(60, (p) => p % 2);
    const cases = made(4, values, (label) => [4 * label]);
    const target: Target = { kind: 'classes', names: ['no', 'yes'], values };
    const again = [1, 2].map(() => crossPredict(cases, target).predictions.map(({ value }) => value));
    expect(again[0]).toEqual(again[1]);
    const head = fitHead(cases, target);
    const far = Float32Array.from({ length: DIM }, (_, d) => (d === 0 ? 6 : 0));
    expect(predictHead(head, far).value).toBe(1);
    expect(predictHead(head, far).probabilities[1]).toBeGreaterThan(0.9);
  });

  it('asks about each of two patients of a class what the other one teaches', () => {
    const values = [...pairs(20, () => 0), 1, 1, 1, 1];
    const cases = made(9, values, (label) => [8 * label]);
    expect(new Set(cases.patients.slice(-4)).size).toBe(2);
    const target: Target = { kind: 'classes', names: ['a', 'b'], values };
    expect(crossPredict(cases, target).predictions.map(({ value }) => value)).toEqual(values);
  });

  it('refuses a class with one patient', () => {
    const cases = made(6, [0, 0, 0, 0, 1, 1], () => [0]);
    const target: Target = { kind: 'classes', names: ['a', 'b'], values: [0, 0, 0, 0, 1, 1] };
    expect(() => fitHead(cases, target)).toThrow(/at least two patients/);
  });
});
