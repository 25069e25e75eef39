import { describe, expect, it } from 'vitest';
import { clausesOf, saidPairs, sayOf, shorten, truePairs } from '../../src/train/align.js';
import { seriesOfStep } from '../../src/train/loader.js';
import { maskTokens } from '../../src/train/crops.js';
import { drawView, NO_AUGMENTATION } from '../../src/train/views.js';
import type { Series } from '../../src/corpus/series.js';
import { Random } from '../../src/volume/random.js';
import { Prepared, tokenize } from '../../src/volume/tokens.js';
import type { Volume } from '../../src/volume/volume.js';

const plain = NO_AUGMENTATION;

/** An ellipsoid of 160 x 120 x 100 mm in slices 5 mm thick. */
function ellipsoid(): Volume {
  const shape = [48, 40, 24] as const;
  const data = new Float32Array(48 * 40 * 24);
  let n = 0;
  for (let k = 0; k < 24; k++)
    for (let j = 0; j < 40; j++)
      for (let i = 0; i < 48; i++, n++) {
        const [x, y, z] = [4 * i - 94, 4 * j - 78, 5 * k - 57.5] as const;
        if ((x / 80) ** 2 + (y / 60) ** 2 + (z / 50) ** 2 < 1) data[n] = 50 + ((i * 7 + j * 5 + k * 3) % 100);
      }
  return {
    data,
    shape,
    affine: [
      [4, 0, 0, -94],
      [0, 4, 0, -78],
      [0, 0, 5, -57.5],
      [0, 0, 0, 1],
    ],
    slope: 1,
    intercept: 0,
    valid: null,
  };
}
const prepared = new Prepared(ellipsoid());

describe('drawView', () => {
  const spec = { tokens: 40, patchMm: [[16, 1]] as const, extent: [0.3, 0.6] as const };

  it('keeps to its budget and to a part of the body, and is decided by its seed', () => {
    for (let seed = 0; seed < 20; seed++) {
      const view = drawView(prepared, 8, spec, plain, new Random(seed));
      expect(view.count).toBeGreaterThan(0);
      expect(view.count).toBeLessThanOrEqual(40);
      for (const d of [0, 1, 2]) {
        const p = Array.from({ length: view.count }, (_, n) => view.positions[n * 3 + d]!);
        const whole = [160, 120, 100][d]!;
        expect(Math.max(...p) - Math.min(...p)).toBeLessThanOrEqual(whole * 0.6 + 16);
      }
      expect(drawView(prepared, 8, spec, plain, new Random(seed))).toEqual(view);
    }
  });

  it('loses the slices that are drawn as missing, and alters only what was measured', () => {
    const all = { ...spec, tokens: 10_000, extent: [1, 1] as const };
    const whole = drawView(prepared, 8, all, plain, new Random(3));
    const share = (v: typeof whole): number => v.valid.reduce((a, b) => a + b, 0) / v.count;
    let lost = 0;
    for (let seed = 0; seed < 10; seed++) {
      const view = drawView(prepared, 8, all, { ...plain, noise: 0.3, missingSlices: 1 }, new Random(seed));
      if (share(view) < share(whole) || view.count < whole.count) lost++;
      view.measured.forEach((m, n) => {
        if (m === 0) expect(view.patches[n]).toBe(0);
      });
    }
    expect(lost).toBe(10);
  });
});

describe('maskTokens', () => {
  it('hides between a tenth and half of a view, and its weights add up to 1 a view', () => {
    const views = Array.from({ length: 6 }, () => tokenize(prepared, { patchMm: 16, samples: 8, limit: 64 }));
    const { masked, index, weight } = maskTokens(views, 64, 32, (row) => new Random(1, row));
    for (let row = 0; row < 6; row++) {
      const hidden = masked.subarray(row * 64, (row + 1) * 64).reduce((a, b) => a + b, 0);
      expect(hidden).toBeGreaterThanOrEqual(6);
      expect(hidden).toBeLessThanOrEqual(32);
      const weights = weight.subarray(row * 32, (row + 1) * 32);
      expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      weights.forEach((w, m) => {
        if (w > 0) expect(masked[index[row * 32 + m]!]).toBe(1);
      });
    }
  });
});

describe('seriesOfStep', () => {
  const series = Array.from({ length: 10 }, (_, n) => ({ id: `se-${n}` })) as Series[];

  it('meets every series once an epoch, in another order each time', () => {
    const epoch = (first: number): string[] =>
      [0, 1, 2, 3, 4].flatMap((s) => seriesOfStep(series, 7, first + s, 2).map(({ id }) => id));
    expect([...epoch(0)].sort()).toEqual(series.map(({ id }) => id).sort());
    expect([...epoch(5)].sort()).toEqual(series.map(({ id }) => id).sort());
    expect(epoch(5)).not.toEqual(epoch(0));
  });
});

describe('pairs of images and texts', () => {
  const knee = 'Sagittal T2 of the knee, 3 T, 3 mm slices. Joint effusion.';
  const otherKnee = 'Sagittal T2 of the knee, 1.5 T, 4 mm slices. No effusion.';

  it('cuts texts into sentences and clauses', () => {
    expect(clausesOf(knee)).toEqual([['sagittal t2 of the knee', '3 t', '3 mm slices'], ['joint effusion']]);
    expect(clausesOf('1.5 T')).toEqual([['1.5 t']]);
  });

  it('counts a text as true of every image of which it says nothing wrong', () => {
    const short = [
      [['sagittal t2 of the knee']],
      [['joint effusion']],
      [['sagittal t2 of the knee', '1.5 t']],
    ];
    expect([...truePairs([knee, otherKnee], short)]).toEqual([1, 1, -1, 1, -1, 1]);
  });

  it('shortens to something that is still true of the image', () => {
    for (let seed = 0; seed < 50; seed++) {
      const short = shorten(knee, new Random(seed));
      expect(short.flat().length).toBeGreaterThan(0);
      expect([...truePairs([knee], [short])]).toEqual([1]);
    }
  });

  describe('with paraphrases', () => {
    const row = (over: Partial<Series>): Series =>
      ({
        plane: 'sagittal',
        contrast: 'T2w',
        bodyPart: 'KNEE',
        description: 't2 tse sag',
        fieldStrengthT: 3,
        spacingMm: [0.4, 0.4, 3],
        text: knee,
        ...over,
      }) as Series;
    const series = [
      row({}),
      // The same in all but what the report says.
      row({ text: 'Sagittal T2 of the knee, 3 T, 3 mm slices. No effusion.' }),
      row({
        plane: 'axial',
        contrast: 'T1w',
        bodyPart: 'BRAIN',
        description: 't1 se tra',
        text: 'Axial T1 of the brain, 3 T, 3 mm slices.',
      }),
    ];

    it('says what is true of the image, in its own words or in others', () => {
      for (let seed = 0; seed < 60; seed++) {
        const said = sayOf(series[0]!, seed % 2, new Random(seed));
        expect(said.text).toMatch(/\w.*\.$/);
        expect([...saidPairs([series[0]!], [said])]).toEqual([1]);
      }
    });

    it('counts other words for the same facts as true of a like image, and not of an unlike one', () => {
      const texts = new Set<string>();
      for (let seed = 0; seed < 60; seed++) {
        const said = sayOf(series[2]!, 1, new Random(seed));
        texts.add(said.text);
        const pairs = saidPairs(series, [said]);
        // A paraphrase that names plane, contrast or part says something that the knees are not.
        const tells = /axial|transverse|t1|brain|head/.test(said.text);
        expect([...pairs]).toEqual(tells ? [-1, -1, 1] : [pairs[0], pairs[1], 1]);
      }
      expect(texts.size).toBeGreaterThan(20);
    });

    it('keeps the report apart: like images with other findings are told apart by them alone', () => {
      for (let seed = 0; seed < 60; seed++) {
        const said = sayOf(series[0]!, 1, new Random(seed));
        const finding = /joint effusion/.test(said.text);
        expect([...saidPairs(series, [said])].slice(0, 2)).toEqual([1, finding ? -1 : 1]);
      }
    });
  });
});
