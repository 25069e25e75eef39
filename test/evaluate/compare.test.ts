import { describe, expect, it } from 'vitest';
import { compare } from '../../src/evaluate/compare.js';
import { delong } from '../../src/evaluate/intervals.js';
import type { Judged, Query } from '../../src/evaluate/judged.js';
import type { Outcome } from '../../src/evaluate/task-scores.js';
import { Random } from '../../src/volume/random.js';

const target = { kind: 'classes', names: ['no', 'yes'] } as const;

/** One case a patient unless `perPatient` says more. */
function judged(truth: readonly number[], p: readonly number[], perPatient = 1): Judged {
  const cases = truth.map((one, n): Outcome => ({
    patient: `pt-${Math.floor(n / perPatient)}`,
    series: [`se-${n}`],
    truth: one,
    prediction: { probabilities: Float64Array.of(1 - p[n]!, p[n]!), value: p[n]! > 0.5 ? 1 : 0, present: [] },
  }));
  return { kind: 'outcomes', target, cases };
}

/** P(|X - (n - X)| ≥ gap) for X binomial (n, 1/2): the sign test. */
function signTest(n: number, gap: number): number {
  let [p, choose] = [0, 1];
  for (let x = 0; x <= n; x++) {
    if (Math.abs(2 * x - n) >= gap) p += choose / 2 ** n;
    choose = (choose * (n - x)) / (x + 1);
  }
  return p;
}

describe('compare', () => {
  const random = new Random(4);
  const truth = Array.from({ length: 60 }, (_, n) => n % 2);
  const scores = (signal: number): number[] =>
    truth.map((one) => 1 / (1 + Math.exp(-(signal * (one - 0.5) + random.normal()))));
  const [good, bad] = [scores(2), scores(0.5)];

  it('takes the DeLong test for two classes with one case a patient', () => {
    const found = compare(judged(truth, good), judged(truth, bad), { rounds: 100 }).auroc!;
    const expected = delong(truth, good, bad);
    expect(found).toMatchObject({ test: 'DeLong', p: expected.p, difference: expected.difference, n: 60 });
    expect(found.ci95[1] - found.ci95[0]).toBeCloseTo(2 * 1.959964 * expected.standardError, 6);
  });

  it('gives the p of the sign test for accuracy', () => {
    // The first model alone is right in 9 cases, the second alone in 1.
    const right = truth.map((one) => (one === 1 ? 0.9 : 0.1));
    const flip = (of: readonly number[]): number[] => right.map((p, n) => (of.includes(n) ? 1 - p : p));
    const a = judged(truth, flip([20, 40]));
    const b = judged(truth, flip([40, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    const { accuracy } = compare(a, b, { rounds: 1000 });
    expect(accuracy!.difference).toBeCloseTo(8 / 60, 12);
    expect(accuracy!.test).toBe('permutation');
    // 22/1024 ± 4 standard errors of 1000 permutations.
    expect(signTest(10, 8)).toBeCloseTo(22 / 1024, 12);
    expect(Math.abs(accuracy!.p - signTest(10, 8))).toBeLessThan(4 * Math.sqrt(0.0215 / 1000));
    // A mean of 60 values of -1, 0 and 1: 1.96 σ / √60, within the noise of resampling.
    const sigma = Math.sqrt(10 / 60 - (8 / 60) ** 2);
    const width = accuracy!.ci95[1] - accuracy!.ci95[0];
    expect(width / (2 * 1.96 * (sigma / Math.sqrt(60)))).toBeGreaterThan(0.9);
    expect(width / (2 * 1.96 * (sigma / Math.sqrt(60)))).toBeLessThan(1.1);
  });

  it('is not fooled by another scale of probability, with several cases a patient', () => {
    const squeezed = good.map((p) => p ** 3);
    const { auroc, auprc } = compare(judged(truth, good, 2), judged(truth, squeezed, 2), { rounds: 200 });
    expect(auroc).toMatchObject({ difference: 0, p: 1, test: 'permutation', n: 30, cases: 60 });
    expect(auprc).toMatchObject({ difference: 0, p: 1 });
    const apart = compare(judged(truth, good, 2), judged(truth, bad, 2), { rounds: 200 }).auroc!;
    expect(apart.difference).toBeCloseTo(delong(truth, good, bad).difference, 12);
    expect(apart.p).toBeLessThan(0.05);
  });

  it('compares recall of the same queries, and refuses others', () => {
    const queries = (rank: number): Judged => ({
      kind: 'queries',
      cases: truth.map((_, n): Query => ({
        patient: `pt-${n}`,
        series: [`se-${n}`],
        ranks: { textToImage: n < 30 ? 1 : rank, imageToText: 1 },
        precisions: { textToImage: n < 30 ? 1 : 1 / rank, imageToText: 1 },
      })),
    });
    const found = compare(queries(1), queries(7), { rounds: 200 });
    expect(found['textToImage.recall@1']).toMatchObject({ difference: 0.5, p: 1 / 201 });
    expect(found['textToImage.map']!.difference).toBeCloseTo(0.5 * (1 - 1 / 7), 12);
    expect(found['textToImage.recall@10']).toMatchObject({ difference: 0, p: 1 });
    expect(found['imageToText.recall@1']).toMatchObject({ difference: 0, p: 1, ci95: [0, 0] });
    expect(() => compare(queries(1), judged(truth, good))).toThrow(/must be asked the same/);
    expect(() => compare(judged(truth, good), judged(truth.slice(2), good.slice(2)))).toThrow(/same cases/);
  });
});
