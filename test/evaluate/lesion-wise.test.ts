/** Overlap lesion by lesion against the rules of BraTS 2023 in SciPy and surface-distance. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BRATS_LESIONS, lesionWise, MISSED_MM, type LesionRule } from '../../src/evaluate/lesion-wise.js';
import { surfaceHausdorff95 } from '../../src/evaluate/surfels.js';

interface Reference {
  name: string;
  shape: [number, number, number];
  spacingMm: [number, number, number];
  truth: string;
  predicted: string;
  rule: LesionRule;
  scores: { lesionDice: number; lesionHd95: number; found: number; missed: number; alarms: number };
}

/** Made by test/fixtures/evaluate/make_lesion_wise.py. */
const reference = JSON.parse(
  readFileSync(new URL('../fixtures/evaluate/lesion-wise.json', import.meta.url), 'utf8'),
) as Reference[];

describe('lesionWise', () => {
  it.each(reference)('$name', ({ shape, spacingMm, truth, predicted, rule, scores }) => {
    const [own, said] = [truth, predicted].map((text) => Uint8Array.from(text, Number)) as [
      Uint8Array,
      Uint8Array,
    ];
    const { lesionDice, lesionHd95, ...counts } = lesionWise(
      { truth: own, predicted: said, shape, spacingMm },
      rule,
    );
    const { lesionDice: wantedDice, lesionHd95: wantedMm, ...wanted } = scores;
    expect(counts).toEqual(wanted);
    expect(lesionDice).toBeCloseTo(wantedDice, 9);
    expect(lesionHd95).toBeCloseTo(wantedMm, 9);
  });

  it('refuses masks of another shape', () => {
    const pair = { truth: [1, 0], predicted: [0, 0], shape: [2, 2, 1], spacingMm: [1, 1, 1] } as const;
    expect(() => lesionWise(pair, BRATS_LESIONS.MET!)).toThrow(/must have 4 voxels \(2×2×1\), got 2 and 2/);
  });

  it('knows no distance to nothing', () => {
    const pair = { truth: [1, 1], predicted: [0, 0], shape: [2, 1, 1], spacingMm: [1, 1, 1] } as const;
    expect(surfaceHausdorff95(pair)).toBe(Infinity);
    // The diagonal of 240 × 240 × 155 mm is 373.1.
    expect(MISSED_MM).toBe(Math.ceil(Math.hypot(240, 240, 155)));
  });
});
