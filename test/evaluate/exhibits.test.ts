import { describe, expect, it } from 'vitest';
import { drawCases, found, nearest, toldOf, worstCases, type Told } from '../../src/evaluate/exhibits.js';
import type { Judged } from '../../src/evaluate/judged.js';

type Outcomes = Extract<Judged, { kind: 'outcomes' }>;

/** Outcomes of `names` from [truth, decision, probabilities]. */
const outcomes = (
  kind: Outcomes['target']['kind'],
  names: string[],
  rows: readonly (readonly [number | number[], number, number[], boolean[]?])[],
): Outcomes => ({
  kind: 'outcomes',
  target: { kind, names },
  cases: rows.map(([truth, value, probabilities, present = []], n) => ({
    patient: `pt-${n}`,
    series: [`se-${n}`],
    truth,
    prediction: { value, probabilities: Float64Array.from(probabilities), present },
  })),
});

describe('worstCases', () => {
  it('takes wrong classes only, the surest first, no more than asked', () => {
    const judged = outcomes(
      'classes',
      ['a', 'b'],
      [
        [0, 0, [0.99, 0.01]],
        [0, 1, [0.4, 0.6]],
        [1, 0, [0.9, 0.1]],
        [1, 0, [0.7, 0.3]],
      ],
    );
    expect(worstCases(judged, 2)).toEqual([
      { series: ['se-2'], truth: 'b', decided: 'a', by: 0.9 },
      { series: ['se-3'], truth: 'b', decided: 'a', by: 0.7 },
    ]);
    expect(worstCases(judged, 9)).toHaveLength(3);
  });

  it('measures labels by the wrong one alone, quantities by their error, queries by rank', () => {
    const labels = outcomes(
      'labels',
      ['x', 'y'],
      [
        [[1, 0], -1, [0.8, 0.7], [true, true]],
        [[1, 0], -1, [0.1, 0.4], [false, false]],
        [[1, 1], -1, [0.6, 0.6], [true, true]],
      ],
    );
    expect(worstCases(labels, 9)).toEqual([
      { series: ['se-1'], truth: 'x', decided: 'none', by: 0.9 },
      { series: ['se-0'], truth: 'x', decided: 'x + y', by: 0.7 },
    ]);
    const numbers = outcomes(
      'number',
      ['value'],
      [
        [40, 42.04, []],
        [40, 30, []],
      ],
    );
    expect(worstCases(numbers, 1)).toEqual([{ series: ['se-1'], truth: '40', decided: '30', by: 10 }]);
    expect(toldOf(numbers).map(({ right, decided }) => [right, decided])).toEqual([
      [null, '42'],
      [null, '30'],
    ]);
    const queries: Judged = {
      kind: 'queries',
      cases: [1, 7, 3].map((rank, n) => ({
        patient: `pt-${n}`,
        series: [`se-${n}`],
        ranks: { textToImage: rank, imageToText: 1 },
        precisions: { textToImage: 1 / rank, imageToText: 1 },
      })),
    };
    expect(worstCases(queries, 9).map(({ series, by }) => [series[0], by])).toEqual([
      ['se-1', 7],
      ['se-2', 3],
    ]);
    const images: Judged = {
      ...queries,
      cases: queries.cases.map((one, n) => ({ ...one, ranks: { imageToImage: n + 1 } })),
    };
    expect(worstCases(images, 1)).toMatchObject([{ series: ['se-2'], by: 3 }]);
  });
});

describe('drawCases', () => {
  it('draws of each kind in turn, by seed', () => {
    const kinds = [...Array.from({ length: 50 }, () => 'often'), 'rare'];
    const drawn = drawCases(kinds, 5, 1);
    expect(new Set(drawn).size).toBe(5);
    expect(drawn).toContain(50);
    expect(drawCases(kinds, 5, 1)).toEqual(drawn);
    expect(drawCases(kinds, 5, 2)).not.toEqual(drawn);
    expect(drawCases(kinds, 99).sort((a, b) => a - b)).toEqual(kinds.map((_, n) => n));
  });
});

describe('what lies nearest', () => {
  const told = (id: string, patient: string, truth: string, right: boolean | null = true): Told => ({
    id,
    patient,
    truth,
    decided: truth,
    right,
  });
  const vectors = [
    [3, 4],
    [4, 3],
    [30, 40],
    [-3, -4],
  ].map((v) => Float32Array.from(v));

  it('is of other patients, by cosine, and right where the truth is one', () => {
    const cases = [told('q', 'p', 'a'), told('s', 'p2', 'b'), told('own', 'p', 'a'), told('t', 'p3', 'a')];
    const hits = nearest(cases, vectors, 0, 6);
    expect(hits.map(({ id, right }) => [id, right])).toEqual([
      ['s', false],
      ['t', true],
    ]);
    expect(hits[0]!.score).toBeCloseTo(24 / 25, 6);
    expect(hits[1]!.score).toBeCloseTo(-1, 6);
    const quantities = cases.map((one) => ({ ...one, right: null }));
    expect(nearest(quantities, vectors, 0, 1)[0]!.right).toBeNull();
  });

  it('to a text is right where all that it says is said of the image', () => {
    const series = [
      'Axial MRI, fat suppressed.',
      'Axial MRI.',
      'Axial MRI, at 3 T, fat suppressed.',
      'Coronal.',
    ];
    const query = { text: 'Axial MRI, fat suppressed.', vector: vectors[0]! };
    const hits = found(
      series.map((text, n) => ({ id: String(n), text })),
      vectors,
      query,
      3,
    );
    expect(hits.map(({ id, right }) => `${id} ${right}`)).toEqual(['0 true', '2 true', '1 false']);
  });
});
