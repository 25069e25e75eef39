import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { calibrated, calibrationOf } from '../../src/tasks/classify/calibrate.js';
import { stratifiedFolds } from '../../src/tasks/classify/folds.js';
import { minimise } from '../../src/tasks/classify/lbfgs.js';
import { balancedWeights, fitLogistic, logitsOf, softmax } from '../../src/tasks/classify/logistic.js';
import { neighbourVote } from '../../src/tasks/classify/neighbours.js';
import { fitRidge, predictRidge } from '../../src/tasks/classify/ridge.js';
import { Random } from '../../src/volume/random.js';

interface Fit {
  x: number[][];
  y: number[];
  l2: number;
  classes: number;
  balanced: boolean;
  probabilities: number[][];
  predictions: number[];
}

/** Made by scikit-learn and SciPy: test/fixtures/tasks/make_linear.py. */
const reference = JSON.parse(
  readFileSync(new URL('../fixtures/tasks/linear.json', import.meta.url), 'utf8'),
) as {
  [fit in 'binary' | 'multinomial' | 'balanced']: Fit & { coef: number[][]; intercept: number[] };
} & { [fit in 'ridge-tall' | 'ridge-wide']: Fit & { coef: number[]; intercept: number } } & {
  temperature: { logits: number[][]; y: number[]; expected: number };
};

describe('minimise', () => {
  it("finds Rosenbrock's valley floor", () => {
    const rosenbrock = (x: Float64Array, g: Float64Array): number => {
      const [a, b] = [x[0]!, x[1]!];
      g[0] = -2 * (1 - a) - 400 * a * (b - a * a);
      g[1] = 200 * (b - a * a);
      return (1 - a) ** 2 + 100 * (b - a * a) ** 2;
    };
    const { x, converged } = minimise(rosenbrock, Float64Array.of(-1.2, 1), { tolerance: 1e-9 });
    expect(converged).toBe(true);
    expect(x[0]).toBeCloseTo(1, 8);
    expect(x[1]).toBeCloseTo(1, 8);
  });
});

describe('logistic regression', () => {
  it.each(['binary', 'multinomial', 'balanced'] as const)('agrees with scikit-learn: %s', (name) => {
    const { x, y, l2, classes, balanced, coef, intercept, probabilities } = reference[name];
    const model = fitLogistic(x, y, classes, {
      l2,
      ...(balanced && { caseWeights: balancedWeights(y, classes) }),
    });
    coef.flat().forEach((value, n) => expect(model.weights[n]).toBeCloseTo(value, 4));
    // Biases of all classes may move together without changing anything.
    const shift = model.bias[0]! - intercept[0]!;
    if (classes === 2) expect(shift).toBeCloseTo(0, 4);
    intercept.forEach((value, n) => expect(model.bias[n]! - shift).toBeCloseTo(value, 4));
    probabilities.forEach((row, n) => {
      const ours = softmax(logitsOf(model, x[n]!));
      row.forEach((p, c) => expect(ours[c]).toBeCloseTo(p, 5));
    });
  });

  it('ignores features that never change', () => {
    const x = [
      [1, 7],
      [2, 7],
      [3, 7],
      [4, 7],
    ];
    const model = fitLogistic(x, [0, 0, 1, 1], 2, { l2: 0.1 });
    expect(model.weights[1]).toBe(0);
    expect(softmax(logitsOf(model, [4, 7]))[1]).toBeGreaterThan(0.5);
  });

  it('refuses one class', () => {
    expect(() => fitLogistic([[1], [2]], [1, 1], 2, { l2: 1 })).toThrow(/two classes, got 1/);
  });
});

describe('ridge regression', () => {
  it.each(['ridge-tall', 'ridge-wide'] as const)('agrees with scikit-learn: %s', (name) => {
    const { x, y, l2, coef, intercept, predictions } = reference[name];
    const model = fitRidge(x, y, l2);
    coef.forEach((value, n) => expect(model.weights[n]).toBeCloseTo(value, 9));
    expect(model.bias).toBeCloseTo(intercept, 9);
    predictions.forEach((value, n) => expect(predictRidge(model, x[n]!)).toBeCloseTo(value, 9));
  });
});

describe('calibrationOf', () => {
  it('finds the likeliest temperature', () => {
    const { logits, y, expected } = reference.temperature;
    // The slight pull of the temperature towards 1 moves it by less than a hundredth.
    expect(calibrationOf(logits, y, false).temperature / expected).toBeCloseTo(1, 2);
  });

  it('gives back the shares of the classes', () => {
    // Logits that say nothing: the likeliest probabilities are the shares, 80 and 20 %, but for the one made-up case.
    const labels = Array.from({ length: 500 }, (_, n) => (n % 5 === 0 ? 1 : 0));
    const calibration = calibrationOf(
      labels.map(() => [0, 0]),
      labels,
    );
    expect(calibrated(calibration, [0, 0])[1]).toBeCloseTo(0.2, 2);
  });
});

describe('neighbourVote', () => {
  it('weighs the nearest by their cosine', () => {
    const unit = (angle: number): number[] => [Math.cos(angle), Math.sin(angle)];
    const references = [0, 0.1, 2].map((angle, n) => ({ vector: unit(angle), label: n === 1 ? 1 : 0 }));
    const votes = neighbourVote(references, unit(0), 2, 2);
    // exp(cos 0.1 / 0.07) against exp(1 / 0.07).
    expect(votes[0]).toBeCloseTo(1 / (1 + Math.exp((Math.cos(0.1) - 1) / 0.07)), 12);
    expect(neighbourVote(references, unit(2), 2, 1)[0]).toBe(1);
  });
});

describe('stratifiedFolds', () => {
  it('keeps patients whole and classes even', () => {
    const random = new Random(4);
    const patients: string[] = [];
    const labels: number[] = [];
    for (let p = 0; p < 90; p++) {
      const label = p % 9 === 0 ? 1 : 0;
      for (let n = random.int(3); n >= 0; n--) {
        patients.push(`p${p}`);
        labels.push(label);
      }
    }
    const fold = stratifiedFolds(patients, labels, 5, 1);
    const folds = new Map<string, Set<number>>();
    patients.forEach((p, n) => folds.set(p, (folds.get(p) ?? new Set()).add(fold[n]!)));
    expect([...folds.values()].every((set) => set.size === 1)).toBe(true);
    for (let f = 0; f < 5; f++) {
      const positive = new Set(patients.filter((_, n) => fold[n] === f && labels[n] === 1));
      expect(positive.size).toBe(2);
      const cases = fold.filter((one) => one === f).length;
      expect(Math.abs(cases - patients.length / 5)).toBeLessThan(0.2 * (patients.length / 5));
    }
  });

  it('refuses too few patients', () => {
    expect(() => stratifiedFolds(['a', 'b'], [0, 1], 3)).toThrow(/folds \(3\), got 2/);
    expect(() => stratifiedFolds(['a', 'b', 'c'], [0, 0, 1], 2)).toThrow(/class 1 has one/);
  });
});
