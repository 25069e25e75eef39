import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  accuracy,
  balancedAccuracy,
  brier,
  confusion,
  expectedCalibrationError,
  f1PerClass,
  largest,
  macroF1,
} from '../../src/evaluate/decisions.js';
import { EvaluateError } from '../../src/evaluate/error.js';
import { bootstrap, delong, normalCdf, permutationTest, quantile } from '../../src/evaluate/intervals.js';
import {
  dice,
  hausdorff95,
  normalisedSurfaceDistance,
  surfaceDistances,
} from '../../src/evaluate/overlap.js';
import { auroc, averagePrecision, meanAveragePrecision, rocCurve } from '../../src/evaluate/ranking.js';
import { distanceMm } from '../../src/volume/distance.js';
import { Random } from '../../src/volume/random.js';

interface Reference {
  binary: Record<'labels' | 'a' | 'b' | 'probability', number[]> & {
    auroc: number;
    auprc: number;
    brier: number;
    roc: [number[], number[]];
    delong: { aurocs: number[]; standardError: number; z: number; p: number };
  };
  classes: {
    truth: number[];
    probabilities: number[][];
    confusion: number[][];
    f1: number[];
  } & Record<'accuracy' | 'balancedAccuracy' | 'macroF1' | 'brier' | 'ece', number>;
  masks: {
    shape: [number, number, number];
    spacingMm: [number, number, number];
    truth: number[];
    predicted: number[];
    dice: number;
    hd95: number;
    nsd: Record<string, number>;
    distance: number[];
  };
  quantile: Record<'values' | 'q' | 'expected', number[]>;
  normal: { z: number[]; cdf: number[] };
}

/** Made by scikit-learn, SciPy and MONAI: test/fixtures/evaluate/make_scores.py. */
const reference = JSON.parse(
  readFileSync(new URL('../fixtures/evaluate/scores.json', import.meta.url), 'utf8'),
) as Reference;

describe('ranking', () => {
  const { labels, a, b, roc } = reference.binary;

  it('agrees with scikit-learn on tied scores', () => {
    expect(auroc(labels, a)).toBeCloseTo(reference.binary.auroc, 12);
    expect(averagePrecision(labels, a)).toBeCloseTo(reference.binary.auprc, 12);
    const curve = rocCurve(labels, a);
    expect(curve.map(({ x }) => x)).toEqual(roc[0].map((x) => expect.closeTo(x, 12) as number));
    expect(curve.map(({ y }) => y)).toEqual(roc[1].map((y) => expect.closeTo(y, 12) as number));
  });

  it('agrees with the definition of the DeLong test', () => {
    const { aurocs, standardError, z, p } = delong(labels, a, b);
    const expected = reference.binary.delong;
    expect(aurocs[0]).toBeCloseTo(expected.aurocs[0]!, 12);
    expect(aurocs[1]).toBeCloseTo(expected.aurocs[1]!, 12);
    expect(standardError).toBeCloseTo(expected.standardError, 12);
    expect(z).toBeCloseTo(expected.z, 9);
    expect(p).toBeCloseTo(expected.p, 9);
    expect(delong(labels, a, a).p).toBe(1);
  });

  it('averages precision over queries that have an answer', () => {
    // Answers at ranks 1 and 3: (1/1 + 2/3) / 2; at rank 2: 1/2.
    const queries = [
      { labels: [1, 0, 1, 0], scores: [4, 3, 2, 1] },
      { labels: [0, 1], scores: [2, 1] },
      { labels: [0, 0], scores: [2, 1] },
    ];
    expect(meanAveragePrecision(queries)).toBeCloseTo((5 / 6 + 1 / 2) / 2, 12);
  });

  it('refuses what has no answer', () => {
    expect(() => auroc([1, 1], [0, 1])).toThrow(EvaluateError);
    expect(() => auroc([1, 1], [0, 1])).toThrow(/both classes, got 2 positive and 0 negative/);
    expect(() => auroc([1, 0], [0, NaN])).toThrow(/finite/);
    expect(() => auroc([1, 0], [0])).toThrow(/got 2 and 1/);
    expect(() => auroc([1, 2], [0, 1])).toThrow(/0 or 1/);
  });
});

describe('decisions and probabilities', () => {
  const { truth, probabilities } = reference.classes;
  const counts = confusion(truth, probabilities.map(largest), 3);

  it('agree with scikit-learn', () => {
    expect(counts).toEqual(reference.classes.confusion);
    expect(accuracy(counts)).toBeCloseTo(reference.classes.accuracy, 12);
    expect(balancedAccuracy(counts)).toBeCloseTo(reference.classes.balancedAccuracy, 12);
    expect(f1PerClass(counts)).toEqual(reference.classes.f1.map((f) => expect.closeTo(f, 12) as number));
    expect(macroF1(counts)).toBeCloseTo(reference.classes.macroF1, 12);
    expect(brier(truth, probabilities)).toBeCloseTo(reference.classes.brier, 12);
    const { labels, probability } = reference.binary;
    expect(
      brier(
        labels,
        probability.map((p) => [1 - p, p]),
      ),
    ).toBeCloseTo(reference.binary.brier, 12);
  });

  it('agree with the definition of the calibration error', () => {
    expect(expectedCalibrationError(truth, probabilities)).toBeCloseTo(reference.classes.ece, 12);
  });

  it('refuse a class out of range', () => {
    expect(() => confusion([0, 3], [0, 1], 3)).toThrow(/from 0 to 2, got 3/);
  });
});

describe('overlap and surfaces', () => {
  const { masks } = reference;

  it('agree with SciPy and MONAI on an anisotropic grid', () => {
    const distances = distanceMm(masks.predicted, masks.shape, masks.spacingMm);
    const worst = masks.distance.reduce((most, mm, n) => Math.max(most, Math.abs(mm - distances[n]!)), 0);
    expect(worst).toBeLessThan(1e-8);
    expect(dice(masks)).toBeCloseTo(masks.dice, 6);
    const surfaces = surfaceDistances(masks);
    expect(hausdorff95(surfaces)).toBeCloseTo(masks.hd95, 5);
    for (const [tolerance, expected] of Object.entries(masks.nsd))
      expect(normalisedSurfaceDistance(surfaces, Number(tolerance))).toBeCloseTo(expected, 6);
  });

  it('say what an empty mask means', () => {
    const [shape, spacingMm] = [[3, 1, 1] as const, [1, 1, 1] as const];
    const one = surfaceDistances({ truth: [1, 0, 0], predicted: [0, 0, 0], shape, spacingMm });
    expect(hausdorff95(one)).toBe(Infinity);
    expect(normalisedSurfaceDistance(one, 2)).toBe(0);
    expect(dice({ truth: [0, 0], predicted: [0, 0] })).toBeNaN();
    expect(() => dice({ truth: [0, 0], predicted: [0] })).toThrow(/one grid/);
    expect(() => surfaceDistances({ truth: [1], predicted: [1], shape, spacingMm })).toThrow(/3×1×1/);
  });

  it('measure a box by hand', () => {
    // Faces of two cubes of one voxel, 3 voxels of 2 mm apart.
    const [shape, spacingMm] = [[5, 1, 1] as const, [2, 1, 1] as const];
    const pair = { truth: [1, 0, 0, 0, 0], predicted: [0, 0, 0, 1, 0], shape, spacingMm };
    expect(hausdorff95(surfaceDistances(pair))).toBe(6);
  });
});

describe('intervals', () => {
  it('interpolate quantiles as numpy does', () => {
    const { values, q, expected } = reference.quantile;
    const sorted = values.toSorted((x, y) => x - y);
    q.forEach((at, n) => expect(quantile(sorted, at)).toBeCloseTo(expected[n]!, 12));
  });

  it('know the normal distribution', () => {
    reference.normal.z.forEach((z, n) => expect(normalCdf(z)).toBeCloseTo(reference.normal.cdf[n]!, 14));
  });

  it('of a mean are as wide as theory says, and wider when cases of a patient repeat', () => {
    const random = new Random(3);
    const values = Array.from({ length: 400 }, () => random.normal());
    const mean = (of: readonly number[]) => (cases: readonly number[]) =>
      cases.reduce((sum, n) => sum + of[n]!, 0) / cases.length;
    const alone = bootstrap(
      values.map((_, n) => `p${n}`),
      mean(values),
    );
    const width = alone.ci95[1] - alone.ci95[0];
    // 2 × 1.96 × σ / √400, within the noise of σ and of 1000 resamples.
    expect(width).toBeGreaterThan(0.9 * 0.196);
    expect(width).toBeLessThan(1.1 * 0.196);
    expect(alone.n).toBe(400);

    // Four copies of 100 patients know as much as 100 cases: twice the width of 400.
    const copied = Array.from({ length: 400 }, (_, n) => values[n % 100]!);
    const grouped = bootstrap(
      copied.map((_, n) => `p${n % 100}`),
      mean(copied),
    );
    const ratio = (grouped.ci95[1] - grouped.ci95[0]) / width;
    expect(ratio).toBeGreaterThan(1.6);
    expect(ratio).toBeLessThan(2.4);
    expect(grouped.n).toBe(100);
  });

  it('are refused where the patients are too few', () => {
    // Three patients, of whom one is positive: 19 of 27 resamples hold both classes, or 8 of 27 do not hold the one.
    const score = (cases: readonly number[]): number =>
      auroc(
        cases.map((n) => (n === 0 ? 1 : 0)),
        cases,
      );
    expect(bootstrap(['a', 'b', 'c'], score, { rounds: 300 }).n).toBe(3);
    expect(() => bootstrap(['a', 'a'], (cases) => auroc(cases, cases), { rounds: 50 })).not.toThrow();
    expect(() => bootstrap(['a', 'b'], (cases) => (cases[0] === 0 && cases[1] === 1 ? 1 : NaN))).toThrow(
      /2 patients are too few/,
    );
  });
});

describe('permutationTest', () => {
  it('finds a difference that is there, and gives a p that is uniform where there is none', () => {
    const random = new Random(11);
    const patients = Array.from({ length: 40 }, (_, n) => `p${n}`);
    const good = patients.map(() => 1 + 0.5 * random.normal());
    const bad = patients.map(() => 0.5 * random.normal());
    const between = (x: number[], y: number[]) => (model: Uint8Array) =>
      x.reduce((sum, value, n) => sum + (model[n] === 0 ? value : y[n]!), 0) / x.length;
    const found = permutationTest(patients, between(good, bad), { rounds: 500 });
    expect(found.difference).toBeGreaterThan(0.7);
    expect(found.p).toBeCloseTo(1 / 501, 12);

    const ps = Array.from({ length: 60 }, (_, seed) => {
      const [x, y] = [patients.map(() => random.normal()), patients.map(() => random.normal())];
      return permutationTest(patients, between(x, y), { rounds: 100, seed }).p;
    });
    // 60 draws of a uniform p: the mean is 0.5 ± 0.037.
    expect(ps.reduce((sum, p) => sum + p, 0) / 60).toBeGreaterThan(0.37);
    expect(ps.reduce((sum, p) => sum + p, 0) / 60).toBeLessThan(0.63);
  });
});
