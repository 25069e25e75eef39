import { describe, expect, it } from 'vitest';
import type { Series } from '../../src/corpus/series.js';
import { withPartner } from '../../src/evaluate/retrieval-suites.js';
import { fieldTarget, headSuite, imageRetrievalSuite, retrievalSuite } from '../../src/evaluate/suites.js';
import type { Features } from '../../src/models/encoder.js';
import { Random } from '../../src/volume/random.js';

const random = new Random(8);
const noise = (dim: number): Float32Array => Float32Array.from({ length: dim }, () => random.normal());

/** Two series for each of `count` patients, of planes in turn. */
function made(count: number, planes: readonly string[]): Series[] {
  return Array.from({ length: 2 * count }, (_, n) => ({
    id: `se-${n}`,
    patientId: `pt-${n >> 1}`,
    plane: planes[(n >> 1) % planes.length]!,
    contentHash: `hash-${n}`,
    text: `sentence ${n}.`,
  })) as unknown as Series[];
}

const featuresFor = (series: readonly Series[], vectors: readonly Float32Array[]): Map<string, Features> =>
  new Map(series.map(({ id }, n) => [id, { summary: vectors[n]!, tokens: new Float32Array() }]));

describe('headSuite', () => {
  it('scores what the features hold', () => {
    const series = made(60, ['axial', 'sagittal']);
    const { target, series: kept } = fieldTarget('plane', series);
    const telling = kept.map(({ plane }) =>
      noise(6).map((x, d) => (d === 0 && plane === 'axial' ? x + 4 : x)),
    );
    const good = headSuite({ suite: 'plane', series: kept, target }, featuresFor(kept, telling), {
      rounds: 100,
    });
    // Classes 4 apart: the best rule is right in Φ(2) = 97.7 %.
    expect(good.metrics.accuracy!.value).toBeGreaterThan(0.92);
    const nothing = headSuite(
      { suite: 'plane', series: kept, target },
      featuresFor(
        kept,
        kept.map(() => noise(6)),
      ),
      { rounds: 100 },
    );
    expect(Math.abs(nothing.metrics.auroc!.value - 0.5)).toBeLessThan(0.2);
    expect(nothing.metrics.auroc!.ci95[1] - nothing.metrics.auroc!.ci95[0]).toBeGreaterThan(0.1);
  });

  it('leaves out what cannot be measured, and says so', () => {
    const series = [...made(6, ['axial', 'sagittal']), ...made(1, ['coronal']), ...made(1, ['unknown'])];
    const { target, notes } = fieldTarget('plane', series);
    expect(target.names).toEqual(['axial', 'sagittal']);
    expect(notes).toEqual(['2 series of unknown plane', 'coronal: fewer than 2 patients']);
    expect(() => fieldTarget('plane', made(4, ['axial']))).toThrow(/two kinds of plane.*got 1 \(axial\)/);
  });
});

describe('retrievalSuite', () => {
  it('finds every text of a perfect model, with chance beside it', () => {
    const series = made(20, ['axial']).map((one, n) => ({
      ...one,
      text: `words ${'abcdefghij'[n % 10]!}${n}.`,
    }));
    const vectors = series.map(() => {
      const vector = noise(32);
      const length = Math.hypot(...vector);
      return vector.map((x) => x / length);
    });
    const perfect = retrievalSuite(series, vectors, vectors, { rounds: 100 });
    expect(perfect.metrics['textToImage.recall@1']).toMatchObject({
      value: 1,
      ci95: [1, 1],
      n: 20,
      cases: 40,
    });
    expect(perfect.metrics['imageToText.chance@1']!.value).toBeCloseTo(1 / 40, 10);
    expect(perfect.metrics['textToImage.map']).toMatchObject({ value: 1, ci95: [1, 1], n: 20, cases: 40 });
    const blind = retrievalSuite(
      series,
      vectors,
      series.map(() => vectors[0]!),
      { rounds: 100 },
    );
    expect(blind.metrics['textToImage.recall@10']!.value).toBeLessThan(0.4);
  });
});

describe('imageRetrievalSuite', () => {
  /** Two series for each of `count` patients, one a contrast, of two body parts in turn. */
  const scans = (count: number): Series[] =>
    made(count, ['axial']).map((one, n) => ({
      ...one,
      bodyPart: n % 4 < 2 ? 'KNEE' : 'BRAIN',
      contrast: n % 2 === 0 ? 'T1w' : 'T2w',
    }));
  /** Unit vectors that lie near `place` of each series. */
  const near = (series: readonly Series[], place: (one: Series) => number): Float32Array[] =>
    series.map((one) => {
      const vector = noise(16).map((x, d) => 0.05 * x + (d === place(one) ? 1 : 0));
      return vector.map((x) => x / Math.hypot(...vector));
    });
  const kind = ({ bodyPart, contrast }: Series): number =>
    2 * Number(bodyPart === 'KNEE') + Number(contrast === 'T1w');

  it('asks for the same body part and contrast among other patients', () => {
    const series = scans(20);
    const perfect = imageRetrievalSuite(series, near(series, kind), { rounds: 100 });
    expect(perfect).toMatchObject({ suite: 'image-retrieval', series: 40, patients: 20, notes: [] });
    expect(Object.keys(perfect.metrics)[0]).toBe('imageToImage.recall@1');
    for (const name of ['recall@1', 'recall@10', 'map'])
      expect(perfect.metrics[`imageToImage.${name}`]).toMatchObject({ value: 1, ci95: [1, 1], n: 20 });
    // Nine of the 38 series of other patients are right.
    expect(perfect.metrics['imageToImage.chance@1']!.value).toBeCloseTo(9 / 38, 12);

    // A model that knows patients alone finds nothing by it: their own series are no candidates.
    const own = near(series, ({ patientId }) => Number(patientId.slice(3)) % 16);
    const patients = imageRetrievalSuite(series, own, { rounds: 100 });
    const { value, ci95 } = patients.metrics['imageToImage.map']!;
    const chance = patients.metrics['imageToImage.chanceMap']!.value;
    expect(value).toBeLessThan(0.6);
    expect(Math.abs(value - chance)).toBeLessThan(0.2);
    expect(ci95[0]).toBeLessThan(value);
    expect(ci95[1]).toBeGreaterThan(value);
  });

  it('lets those ask whose like another patient has', () => {
    const kinds = ['brain T1w', 'brain T1w', 'brain MRA', 'brain MRA', 'knee T1w'];
    expect(withPartner(kinds, ['a', 'b', 'a', 'a', 'c'])).toEqual([0, 1]);
    expect(withPartner([], [])).toEqual([]);
  });

  it('leaves out what is not known, does not ask with what one patient alone has, and says so', () => {
    const series = scans(8);
    const all = series.map((one, n) =>
      n < 2 ? { ...one, contrast: 'unknown' } : n === 2 ? { ...one, bodyPart: 'HEART' } : one,
    );
    const { notes, series: asked } = imageRetrievalSuite(all, near(all, kind), { rounds: 100 });
    expect(asked).toBe(13);
    expect(notes).toEqual([
      '2 series of unknown body part or contrast',
      'as queries 1 series whose body part and contrast one patient alone has',
    ]);
    const lonely = scans(2);
    expect(() => imageRetrievalSuite(lonely, near(lonely, kind))).toThrow(
      /none of 4 series has such a partner/,
    );
  });
});
