import { describe, expect, it } from 'vitest';
import {
  crossPredict,
  fitHead,
  type Cases,
  type Target,
  type Unlabelled,
} from '../../src/tasks/classify/head.js';
import { balancedWeights, fitLogistic } from '../../src/tasks/classify/logistic.js';
import { decides, fitSemi, type Viewed } from '../../src/tasks/classify/semi.js';
import { Random } from '../../src/volume/random.js';

const DIM = 40;
const L2 = 0.1;

/** Classes are clusters of unit width whose centres lie `apart` from the middle, each along an axis of its own. */
function cluster(random: Random, label: number, apart: number): Viewed {
  const whole = Float32Array.from({ length: DIM }, (_, d) => (d === label ? apart : 0) + random.normal());
  const view = (): Float32Array => whole.map((x) => x + 0.3 * random.normal());
  return { whole, views: [view(), view()] };
}

function drawn(random: Random, count: number, classes: number, apart: number) {
  const labels = Array.from({ length: count }, (_, n) => n % classes);
  return { labels, cases: labels.map((label) => cluster(random, label, apart)) };
}

const accuracy = (
  decide: (x: Float32Array) => number,
  cases: readonly Viewed[],
  labels: readonly number[],
): number => cases.filter(({ whole }, n) => decide(whole) === labels[n]).length / cases.length;

describe('fitSemi', () => {
  it.each([2, 4])('beats the probe on the labels alone, %i classes, on every draw', (classes) => {
    const gains = [1, 2, 3, 4, 5].map((seed) => {
      const random = new Random(seed, classes);
      const few = drawn(random, 5 * classes, classes, 3);
      const many = drawn(random, 100 * classes, classes, 3);
      const test = drawn(random, 200, classes, 3);
      const probe = fitLogistic(
        few.cases.map(({ whole }) => whole),
        few.labels,
        classes,
        { l2: L2, caseWeights: balancedWeights(few.labels, classes) },
      );
      const semi = fitSemi(few.cases, few.labels, many.cases, classes, { l2: L2 });
      const before = accuracy((x) => decides(probe, x), test.cases, test.labels);
      return accuracy((x) => decides(semi, x), test.cases, test.labels) - before;
    });
    expect(Math.min(...gains)).toBeGreaterThan(0);
    expect(gains.reduce((sum, gain) => sum + gain, 0) / gains.length).toBeGreaterThan(0.05);
  });

  it('does no harm where cases without labels tell nothing', () => {
    const random = new Random(9);
    const few = drawn(random, 40, 2, 3);
    const noise = Array.from({ length: 100 }, () => cluster(random, DIM + 1, 0));
    const test = drawn(random, 300, 2, 3);
    const probe = fitLogistic(
      few.cases.map(({ whole }) => whole),
      few.labels,
      2,
      { l2: L2 },
    );
    const semi = fitSemi(few.cases, few.labels, noise, 2, { l2: L2 });
    const before = accuracy((x) => decides(probe, x), test.cases, test.labels);
    const after = accuracy((x) => decides(semi, x), test.cases, test.labels);
    expect(after).toBeGreaterThan(before - 0.05);
  });

  it('refuses to run without cases to learn from', () => {
    const { cases, labels } = drawn(new Random(1), 10, 2, 3);
    expect(() => fitSemi(cases, labels, [], 2, { l2: 1 })).toThrow(/series without labels/);
  });
});

describe('crossPredict with series without labels', () => {
  const random = new Random(21);
  const { cases: few, labels } = drawn(random, 24, 2, 2);
  const many: Unlabelled[] = drawn(random, 60, 2, 2).cases.map((one) => ({ ...one, patient: null }));
  const cases: Cases = {
    features: few.map(({ whole }) => whole),
    views: few.map(({ views }) => views),
    patients: few.map((_, n) => `p${n}`),
  };
  const target = { kind: 'classes', names: ['a', 'b'], values: labels } as const;
  const probabilities = (unlabelled: readonly Unlabelled[]): number[] =>
    crossPredict({ ...cases, unlabelled }, target, { folds: 4 }).predictions.map(
      ({ probabilities: p }) => p[1]!,
    );

  it('learns from them, but not from those of the patient that it predicts', () => {
    const alone = crossPredict(cases, target, { folds: 4 }).predictions.map(({ probabilities: p }) => p[1]!);
    const all = probabilities(many);
    expect(all).not.toEqual(alone);
    // Another image of patient 3, so odd that whoever learnt from it would say something else.
    const odd = { ...cluster(random, 1, 50), patient: 'p3' };
    const with3 = probabilities([...many, odd]);
    expect(with3[3]).toBe(all[3]);
    expect(with3).not.toEqual(all);
  });

  it('refuses targets and methods that cannot learn from them', () => {
    const numbers: Target = { kind: 'number', names: ['age'], values: labels.map((label) => 40 + label) };
    expect(() => fitHead({ ...cases, unlabelled: many }, numbers)).toThrow(/got a number/);
    expect(() => fitHead({ ...cases, unlabelled: many }, target, 'knn')).toThrow(/got knn/);
  });
});
