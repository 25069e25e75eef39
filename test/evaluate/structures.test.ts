/** Which labels of masks and heads are compared, and what a missing one counts. */
import { describe, expect, it } from 'vitest';
import { datasetNamed } from '../../src/evaluate/datasets/index.js';
import { overlapMetrics, overlapScores, type CaseScores } from '../../src/evaluate/segment-suite.js';
import { matchLabels } from '../../src/evaluate/structures.js';
import type { Vec3 } from '../../src/volume/volume.js';

const { regions } = datasetNamed('brats');
const BRATS = ['background', 'necrotic core', 'oedema', 'enhancing tumour'];

describe('matchLabels', () => {
  it('goes by words, whatever their order, case and spelling', () => {
    const masks = ['background', 'kidney_left', 'kidney_right', 'Liver', 'vertebrae'];
    const head = ['background', 'liver', 'right kidney', 'Left-Kidney', 'spleen'];
    expect(matchLabels(masks, head)).toEqual({
      labels: [
        { name: 'kidney_left', truth: [1], predicted: [3] },
        { name: 'kidney_right', truth: [2], predicted: [2] },
        { name: 'Liver', truth: [3], predicted: [1] },
      ],
      regions: [],
      onlyInMasks: ['vertebrae'],
      onlyInHead: ['spleen'],
    });
    expect(() => matchLabels(masks, ['background', 'tumour'])).toThrow(
      /the head has tumour and the masks kidney_left/,
    );
    // The background is nobody's label.
    expect(() => matchLabels(['background', 'a'], ['background', 'b'])).toThrow(
      /fit a head with these names/,
    );
  });

  it('puts regions together from labels, or takes a head at its word', () => {
    const whole = matchLabels(BRATS, ['background', 'Enhancing tumor', 'edema', 'core necrotic'], regions);
    expect(whole.regions).toEqual([
      { name: 'WT', truth: [1, 2, 3], predicted: [3, 2, 1] },
      { name: 'TC', truth: [1, 3], predicted: [3, 1] },
      { name: 'ET', truth: [3], predicted: [1] },
    ]);
    const one = matchLabels(BRATS, ['background', 'whole tumor'], regions);
    expect(one.labels).toEqual([]);
    expect(one.regions).toEqual([{ name: 'WT', truth: [1, 2, 3], predicted: [1] }]);
    expect(one.onlyInHead).toEqual([]);
  });
});

describe('overlapScores', () => {
  const shape: Vec3 = [4, 3, 12];
  const grid = { shape, spacingMm: [1, 2, 0.5] as Vec3 };
  const none = new Uint8Array(144);
  const some = Uint8Array.from(none, (_, n) => Number(n === 50));

  it('counts a structure that one side lacks as far as the image is long, and says nothing where both do', () => {
    expect(overlapScores({ truth: some, predicted: none, ...grid }, 2)).toEqual({
      dice: 0,
      nsd: 0,
      hd95: Math.hypot(4, 6, 6),
    });
    expect(overlapScores({ truth: none, predicted: none, ...grid }, 2)).toBeNull();
    expect(overlapScores({ truth: some, predicted: some, ...grid }, 0)).toEqual({ dice: 1, nsd: 1, hd95: 0 });
  });

  it('are averaged over the images that have a label, and then over labels', () => {
    const score = (dice: number) => ({ dice, nsd: dice, hd95: 1 - dice });
    const row = (patientId: string, ...dices: (number | null)[]): CaseScores => ({
      patientId,
      scores: dices.map((one) => (one === null ? null : score(one))),
      lesions: [],
    });
    const labels = ['a', 'b', 'c'].map((name, n) => ({ name, truth: [n], predicted: [n] }));
    const rows = [row('p', 0.5, 0.9, null), row('p', 0.7, null, null), row('q', 0.9, null, null)];
    const metrics = overlapMetrics(rows, { labels, regions: [] }, { rounds: 100 });
    expect(metrics['dice.a']).toMatchObject({ value: expect.closeTo(0.7, 12) as number, n: 2, cases: 3 });
    expect(metrics['dice.b']).toMatchObject({ value: 0.9, n: 1, cases: 1 });
    expect(metrics['dice.c']).toBeUndefined();
    expect(metrics.dice!.value).toBeCloseTo(0.8, 12);
    expect(metrics.hd95!.value).toBeCloseTo(0.2, 12);
    // Resamples of two patients: both images of p, or q alone, or each.
    expect(metrics['dice.a']!.ci95[0]).toBeCloseTo(0.6, 12);
    expect(metrics['dice.a']!.ci95[1]).toBeCloseTo(0.9, 12);
  });

  it('are averaged lesion by lesion where images are scored so, those without a lesion among them', () => {
    const row = (patientId: string, lesionDice: number | null): CaseScores => ({
      patientId,
      scores: [null],
      lesions: [
        lesionDice === null
          ? null
          : { lesionDice, lesionHd95: 374 * (1 - lesionDice), found: 0, missed: 0, alarms: 0 },
      ],
    });
    const regions = [{ name: 'WT', truth: [1], predicted: [1] }];
    const rows = [row('p', 1), row('q', 0.5), row('r', null)];
    const metrics = overlapMetrics(rows, { labels: [], regions }, { rounds: 100 });
    expect(Object.keys(metrics)).toEqual(['lesionDice.WT', 'lesionHd95.WT']);
    expect(metrics['lesionDice.WT']).toMatchObject({ value: 0.75, n: 2, cases: 2 });
    expect(metrics['lesionHd95.WT']!.value).toBeCloseTo(374 / 4, 9);
  });
});
