import { describe, expect, it } from 'vitest';
import {
  crossPredict,
  fitHead,
  type Cases,
  type Target,
  type Unlabelled,
} from '../../src/tasks/classify/head.js';
import { balancedWeights, fitLogistic } from '../../src/tasks/classify/logistic.js';
import { decides, fitSemi } from '../../src/tasks/classify/semi.js';
import { Random } from '../../src/volume/random.js';

const DIM = 40;
const L2 = 0.1;

/** Classes are clusters of unit width whose centres lie `apart` from the middle, each along an axis of its own. */
const cluster = (random: Random, label: number, apart: number): Float32Array =>
  Float32Array.from({ length: DIM }, (_, d) => (d === label ? apart : 0) + random.normal());

interface Drawn {
  readonly labels: number[];
  readonly cases: Float32Array[];
}

function drawn(
  random: Random,
  count: number,
  classes: number,
  one: (random: Random, label: number) => Float32Array,
): Drawn {
  const labels = Array.from({ length: count }, (_, n) => n % classes);
  return { labels, cases: labels.map((label) => one(random, label)) };
}

const accuracy = (decide: (x: Float32Array) => number, { cases, labels }: Drawn): number =>
  cases.filter((x, n) => decide(x) === labels[n]).length / cases.length;

const mean = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;

/** Accuracy of the committee less that of the probe on the same labels and views. */
function gainOf(
  few: Drawn,
  many: readonly Float32Array[],
  test: Drawn,
  classes: number,
  blocks?: number[],
): number {
  const probe = fitLogistic(few.cases, few.labels, classes, {
    ...{ l2: L2, caseWeights: balancedWeights(few.labels, classes) },
    ...(blocks && { blocks }),
  });
  const semi = fitSemi(few.cases, few.labels, many, classes, blocks ? { blocks } : {});
  return accuracy((x) => decides(semi, x), test) - accuracy((x) => decides(probe, x), test);
}

describe('fitSemi', () => {
  it.each([2, 4])('beats the probe on the labels alone where classes are clusters, %i of them', (classes) => {
    const gains = [1, 2, 3, 4, 5].map((seed) => {
      const random = new Random(seed, classes);
      const one = (r: Random, label: number): Float32Array => cluster(r, label, 3);
      const few = drawn(random, 10 * classes, classes, one);
      const many = drawn(random, 100 * classes, classes, one);
      return gainOf(few, many.cases, drawn(random, 200, classes, one), classes);
    });
    expect(Math.min(...gains)).toBeGreaterThan(-0.02);
    expect(mean(gains)).toBeGreaterThan(classes === 2 ? 0.05 : 0.01);
  });

  it('gains where views complement each other, one of them drowned in what all cases share', () => {
    const blocks = [DIM, DIM, 4];
    // The second view knows the class by a faint feature among strong ones; the others know it poorly.
    const one = (random: Random, label: number): Float32Array => {
      const side = label === 1 ? 1 : -1;
      const shared = [random.normal(), random.normal()];
      const first = Float32Array.from({ length: DIM }, (_, d) => (d === 0 ? side : 0) + random.normal());
      const second = Float32Array.from(
        { length: DIM },
        (_, d) => (d < DIM / 2 ? 2 * shared[d % 2]! : 0) + (d % 4 === 3 ? 0.5 * side : 0) + random.normal(),
      );
      const third = Float32Array.from({ length: 4 }, (_, d) => (d === 0 ? side : 0) + random.normal());
      return Float32Array.of(...first, ...second, ...third);
    };
    const gains = [1, 2, 3, 4, 5, 6].map((seed) => {
      const random = new Random(seed, 77);
      const many = drawn(random, 200, 2, one);
      return gainOf(drawn(random, 12, 2, one), many.cases, drawn(random, 400, 2, one), 2, blocks);
    });
    expect(mean(gains)).toBeGreaterThan(0.02);
  });

  it('does no harm where cases without labels tell nothing', () => {
    const one = (random: Random, label: number): Float32Array => cluster(random, label, 3);
    const losses = [9, 10, 11].map((seed) => {
      const random = new Random(seed);
      const few = drawn(random, 40, 2, one);
      const noise = Array.from({ length: 100 }, () => cluster(random, DIM + 1, 0));
      return gainOf(few, noise, drawn(random, 300, 2, one), 2);
    });
    expect(mean(losses)).toBeGreaterThan(-0.02);
  });

  it('refuses to run without cases to learn from', () => {
    const { cases, labels } = drawn(new Random(1), 10, 2, (random, label) => cluster(random, label, 3));
    expect(() => fitSemi(cases, labels, [], 2)).toThrow(/series without labels/);
  });
});

describe('crossPredict with series without labels', () => {
  const random = new Random(21);
  const one = (r: Random, label: number): Float32Array => cluster(r, label, 2);
  const { cases: few, labels } = drawn(random, 24, 2, one);
  const many: Unlabelled[] = drawn(random, 60, 2, one).cases.map((features) => ({ features, patient: null }));
  const cases: Cases = { features: few, patients: few.map((_, n) => `p${n}`) };
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
    const odd = { features: cluster(random, 1, 50), patient: 'p3' };
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
