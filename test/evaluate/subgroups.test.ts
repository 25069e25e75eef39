import { describe, expect, it } from 'vitest';
import { auroc } from '../../src/evaluate/ranking.js';
import { subgroups } from '../../src/evaluate/subgroups.js';
import type { Evaluated } from '../../src/evaluate/suites.js';
import type { Outcome } from '../../src/evaluate/task-scores.js';

const series = Array.from({ length: 60 }, (_, n): Evaluated => ({
  id: `se-${n}`,
  patientId: `pt-${n}`,
  contentHash: '',
  text: '',
  manufacturer: n < 4 ? '' : n % 2 === 0 ? 'A' : 'B',
  fieldStrengthT: n < 30 ? 1.494 : 2.89,
  sex: null,
  ageYears: n < 40 ? 17.9 + n : 80,
  source: 'so-1',
}));
const cases = series.map(({ id, patientId }, n): Outcome => ({
  patient: patientId,
  series: [id],
  truth: n % 3 === 0 ? 1 : 0,
  prediction: {
    probabilities: Float64Array.of(1 - ((n * 7) % 60) / 60, ((n * 7) % 60) / 60),
    value: 0,
    present: [],
  },
}));
const judged = (of: readonly Outcome[]) =>
  ({ kind: 'outcomes', target: { kind: 'classes', names: ['no', 'yes'] }, cases: of }) as const;

describe('subgroups', () => {
  const tables = subgroups(judged(cases), series, { rounds: 100 });

  it('divide by what is known, and leave out of what nothing is', () => {
    expect(tables.map(({ by, groups }) => [by, groups.map(({ name, n }) => [name, n])])).toEqual([
      [
        'manufacturer',
        [
          ['A', 28],
          ['B', 28],
          ['unknown', 4],
        ],
      ],
      ['site', [['so-1', 60]]],
      [
        'field strength',
        [
          ['1.5 T', 30],
          ['3 T', 30],
        ],
      ],
      [
        'age',
        [
          ['18 to 39', 22],
          ['40 to 59', 17],
          ['80 and above', 20],
          ['below 18', 1],
        ],
      ],
    ]);
  });

  it('score a group as its cases alone, and say where it is too small', () => {
    const [a, , unknown] = tables[0]!.groups;
    const of = cases.filter((_, n) => n >= 4 && n % 2 === 0);
    expect(a!.metrics!.auroc!.value).toBeCloseTo(
      auroc(
        of.map(({ truth }) => truth as number),
        of.map(({ prediction }) => prediction.probabilities[1]!),
      ),
      12,
    );
    expect(a!.metrics!.auroc!.n).toBe(28);
    expect(unknown).toEqual({ name: 'unknown', n: 4, cases: 4, tooSmall: 'fewer than 10 patients' });
  });

  it('keep what a group of one class still has, and mix what a case mixes', () => {
    const first = cases.slice(0, 30).map((one) => ({ ...one, truth: 0 }));
    const [low] = subgroups(judged(first), series, { rounds: 100 }).find(
      ({ by }) => by === 'field strength',
    )!.groups;
    expect(low!.metrics).not.toHaveProperty('auroc');
    expect(low!.metrics).toHaveProperty('accuracy');
    const both = cases.slice(0, 20).map((one, n) => ({ ...one, series: [`se-${n}`, `se-${n + 40}`] }));
    const bands = subgroups(judged(both), series, { rounds: 100 }).find(({ by }) => by === 'field strength')!;
    expect(bands.groups).toMatchObject([{ name: 'mixed', n: 20 }]);
  });
});
