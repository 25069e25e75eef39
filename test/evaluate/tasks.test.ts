/** Scores of heads and rankings beside those of scikit-learn: test/fixtures/evaluate/make_tasks.py. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EvaluateError } from '../../src/evaluate/error.js';
import { meanAveragePrecision } from '../../src/evaluate/ranking.js';
import { chanceAveragePrecision, retrieval } from '../../src/evaluate/retrieval.js';
import { scoresByLabel, scoresFor, taskScores, type Outcome } from '../../src/evaluate/task-scores.js';

interface Reference {
  numbers: Record<'truth' | 'said', number[]> & Record<'mae' | 'rmse' | 'r2', number>;
  labels: Record<'truth' | 'probabilities' | 'present', number[][]> & {
    names: string[];
    each: Record<string, number>[];
    macro: Record<string, number>;
  };
  rankings: Record<'queries' | 'candidates' | 'tiedScores', number[][]> &
    Record<'queryKinds' | 'candidateKinds' | 'queryPatients' | 'candidatePatients', number[]> & {
      averagePrecisions: number[];
      map: number;
      recall: Record<string, number>;
      tiedMap: number;
    };
}

const reference = JSON.parse(
  readFileSync(new URL('../fixtures/evaluate/tasks.json', import.meta.url), 'utf8'),
) as Reference;

const SCORES = ['auroc', 'auprc', 'f1', 'balancedAccuracy', 'brier', 'ece'];

describe('numbers', () => {
  it('have the errors and the R² of scikit-learn', () => {
    const { truth, said, ...expected } = reference.numbers;
    const cases = truth.map((one, n): Outcome => ({
      patient: `pt-${n}`,
      series: [`se-${n}`],
      truth: one,
      prediction: { probabilities: new Float64Array(), value: said[n]!, present: [] },
    }));
    const scores = scoresFor({ kind: 'number', names: ['age'] });
    expect(Object.keys(scores)).toEqual(['mae', 'rmse', 'r2']);
    for (const [name, score] of Object.entries(scores))
      expect(score(cases)).toBeCloseTo(expected[name as 'mae'], 9);
  });
});

describe('labels', () => {
  const { names, truth, probabilities, present, each, macro } = reference.labels;
  const target = { kind: 'labels', names } as const;
  const cases = truth.map((one, n): Outcome => ({
    patient: `pt-${n >> 1}`,
    series: [`se-${n}`],
    truth: one,
    prediction: {
      probabilities: Float64Array.from(probabilities[n]!),
      value: -1,
      present: present[n]!.map((there) => there === 1),
    },
  }));

  it('have the scores of scikit-learn, each and in the mean, with intervals over patients', () => {
    const found = taskScores(target, cases, { rounds: 200 });
    expect(Object.keys(found)).toEqual(SCORES);
    for (const name of SCORES) expect(found[name]!.value).toBeCloseTo(macro[name]!, 9);
    const labels = scoresByLabel(target, cases, { rounds: 200 });
    expect(labels.map(({ name }) => name)).toEqual(names);
    labels.forEach(({ metrics }, c) => {
      expect(Object.keys(metrics)).toEqual(SCORES);
      for (const [name, { value, ci95, n }] of Object.entries(metrics)) {
        expect(value).toBeCloseTo(each[c]![name]!, 9);
        expect(ci95[0]).toBeLessThan(value);
        expect(ci95[1]).toBeGreaterThan(value);
        expect(n).toBe(40);
      }
    });
    expect(scoresByLabel({ kind: 'classes', names }, cases)).toEqual([]);
  });

  it('that are never there have no curve, but what can be said of them', () => {
    const without = cases.map((one) => ({
      ...one,
      truth: (one.truth as number[]).map((there, c) => (c === 1 ? 0 : there)),
    }));
    expect(() => taskScores(target, without, { rounds: 50 })).toThrow(EvaluateError);
    const [, never] = scoresByLabel(target, without, { rounds: 50 });
    expect(Object.keys(never!.metrics)).toEqual(['f1', 'balancedAccuracy', 'brier', 'ece']);
    const p = probabilities.map((row) => row[1]!);
    const square = p.reduce((sum, one) => sum + one * one, 0) / p.length;
    expect(never!.metrics.brier!.value).toBeCloseTo(square, 12);
  });
});

describe('rankings', () => {
  const of = reference.rankings;
  const vectors = (rows: readonly number[][]) => rows.map((row) => Float32Array.from(row));
  const right = (q: number, c: number): boolean => of.queryKinds[q] === of.candidateKinds[c];

  it('have the average precision of scikit-learn and the recall of numpy, the own patient left out', () => {
    const found = retrieval(
      vectors(of.queries),
      vectors(of.candidates),
      right,
      [1, 5, 10],
      (q, c) => of.queryPatients[q] !== of.candidatePatients[c],
    );
    found.averagePrecisions.forEach((one, n) => expect(one).toBeCloseTo(of.averagePrecisions[n]!, 9));
    expect(found.map).toBeCloseTo(of.map, 9);
    for (const k of [1, 5, 10]) expect(found.recall[k]).toBeCloseTo(of.recall[k]!, 12);
  });

  it('take tied scores together as scikit-learn does', () => {
    const queries = of.tiedScores.map((scores, q) => ({
      scores,
      labels: scores.map((_, c) => Number(right(q, c))),
    }));
    expect(meanAveragePrecision(queries)).toBeCloseTo(of.tiedMap, 9);
  });

  it('know what a random order reaches: the mean over all orders', () => {
    const orders = (items: readonly number[]): number[][] =>
      items.length < 2
        ? [[...items]]
        : items.flatMap((one, n) => orders(items.toSpliced(n, 1)).map((rest) => [one, ...rest]));
    for (const labels of [[1], [1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1]]) {
      const all = orders(labels.map((_, n) => n));
      const mean =
        all.reduce((sum, scores) => sum + meanAveragePrecision([{ labels, scores }]), 0) / all.length;
      const positives = labels.filter((one) => one === 1).length;
      expect(chanceAveragePrecision(labels.length, positives)).toBeCloseTo(mean, 12);
    }
  });
});
