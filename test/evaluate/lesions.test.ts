/** Lesion detection by the rule of PI-CAI: closed forms, and SciPy with scikit-learn on random boxes. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EvaluateError } from '../../src/evaluate/error.js';
import {
  findLesions,
  lesionAveragePrecision,
  picaiScore,
  type DetectionCase,
  type Found,
} from '../../src/evaluate/lesions.js';
import type { Vec3 } from '../../src/volume/volume.js';

/** A case in one row of voxels. */
const row = (truth: readonly number[], detections: readonly number[]): DetectionCase => ({
  shape: [truth.length, 1, 1],
  truth,
  detections,
});
const hit = (confidence: number): Found => ({ lesion: true, confidence });
const alarm = (confidence: number): Found => ({ lesion: false, confidence });

describe('lesions of a case', () => {
  it('are found from a tenth of the union on', () => {
    const ten = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    expect(findLesions(row(ten, [0.7, 0, 0, 0, 0, 0, 0, 0, 0, 0]))).toEqual([hit(0.7)]);
    // 1 of 11 voxels.
    expect(findLesions(row([...ten, 1], [0.7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))).toEqual([hit(0), alarm(0.7)]);
  });

  it('are missed, and alarms are false, where there is nothing', () => {
    expect(findLesions(row([0, 0, 0, 0, 0], [0.2, 0, 0, 0.9, 0]))).toEqual([alarm(0.2), alarm(0.9)]);
    expect(findLesions(row([1, 0, 0, 1, 0], [0, 0, 0, 0, 0]))).toEqual([hit(0), hit(0)]);
  });

  it('in two pieces count once, by the larger overlap, and the other piece is no alarm', () => {
    expect(findLesions(row([1, 1, 1, 1, 1, 1], [0.9, 0, 0.4, 0.4, 0.4, 0.4]))).toEqual([hit(0.4)]);
  });

  it('are paired so that most are found', () => {
    // The left candidate overlaps both lesions, the right one the right lesion only.
    const found = findLesions(
      row([1, 1, 0, 1, 1, 1, 1, 1, 1, 1], [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0, 0, 0.8, 0.8]),
    );
    expect(found).toEqual([hit(0.3), hit(0.8)]);
  });

  it('touch by corners, too', () => {
    const [truth, detections] = [new Float32Array(8), new Float32Array(8)];
    truth[0] = truth[7] = 1;
    detections[0] = detections[7] = 0.5;
    expect(findLesions({ shape: [2, 2, 2], truth, detections })).toEqual([hit(0.5)]);
  });

  it('need a detection map', () => {
    expect(() => findLesions(row([1, 1], [0.5]))).toThrow(EvaluateError);
    expect(() => findLesions(row([1, 1], [0.5, 0.6]))).toThrow(/one confidence in all of its voxels/);
    expect(() => findLesions(row([1, 1], [-0.5, -0.5]))).toThrow(/must not be negative/);
    const many = Array.from({ length: 34 }, (_, n) => n % 2);
    expect(() => findLesions(row(many, many))).toThrow(/at most 16 lesions, got 17/);
  });
});

describe('average precision of lesions', () => {
  it('has closed forms', () => {
    expect(lesionAveragePrecision([hit(0.9), hit(0.8), alarm(0.1)])).toBe(1);
    // One of two lesions is missed.
    expect(lesionAveragePrecision([hit(0.9), hit(0)])).toBe(0.5);
    // 1/3 at precision 1, 1/3 at 2/3, the last is missed.
    expect(lesionAveragePrecision([hit(0.9), alarm(0.8), hit(0.5), hit(0)])).toBeCloseTo(5 / 9, 12);
    // Tied: one threshold.
    expect(lesionAveragePrecision([hit(0.5), alarm(0.5)])).toBe(0.5);
    expect(() => lesionAveragePrecision([alarm(0.5)])).toThrow(/must be a lesion in some case/);
  });

  it('agrees with SciPy and scikit-learn on random boxes', () => {
    const reference = JSON.parse(
      readFileSync(new URL('../fixtures/evaluate/lesions.json', import.meta.url), 'utf8'),
    ) as {
      shape: Vec3;
      cases: Record<'truth' | 'detections', [number, number][]>[];
      lesions: number;
      missed: number;
      alarms: number;
      ap: number;
      auroc: number;
    };
    const laidOut = (runs: readonly [number, number][]): number[] =>
      runs.flatMap(([n, value]) => Array.from({ length: n }, () => value));
    const cases = reference.cases.map(({ truth, detections }) => ({
      shape: reference.shape,
      truth: laidOut(truth),
      detections: laidOut(detections),
    }));
    const found = cases.flatMap(findLesions);
    expect(found.filter(({ lesion }) => lesion)).toHaveLength(reference.lesions);
    expect(found.filter(({ confidence }) => confidence === 0)).toHaveLength(reference.missed);
    expect(found.filter(({ lesion }) => !lesion)).toHaveLength(reference.alarms);
    const { ap, auroc, score } = picaiScore(cases);
    expect(ap).toBeCloseTo(reference.ap, 12);
    expect(auroc).toBeCloseTo(reference.auroc, 12);
    expect(score).toBeCloseTo((reference.ap + reference.auroc) / 2, 12);
  });
});
