/** Dice of held-out images: its spread, and how sure its mean is. */
import { describe, expect, it } from 'vitest';
import { spreadOf } from '../../src/evaluate/segmentation.js';
import { Random } from '../../src/volume/random.js';

describe('spreadOf', () => {
  const random = new Random(5);
  const values = Array.from({ length: 200 }, () => 0.8 + 0.05 * random.normal());
  const own = values.map((_, n) => `p${n}`);

  it('has an interval as wide as the standard error says', () => {
    const { mean, ci95, low, high, n, patients } = spreadOf(values, own);
    const average = values.reduce((sum, one) => sum + one, 0) / 200;
    const deviation = Math.sqrt(values.reduce((sum, one) => sum + (one - average) ** 2, 0) / 199);
    expect(mean).toBeCloseTo(average, 12);
    expect([low, high, n, patients]).toEqual([Math.min(...values), Math.max(...values), 200, 200]);
    // Within the noise of 1000 resamples, 5 %.
    expect((ci95![1] - ci95![0]) / (2 * 1.96 * (deviation / Math.sqrt(200)))).toBeCloseTo(1, 1);
    expect(Math.abs((ci95![0] + ci95![1]) / 2 - mean)).toBeLessThan(0.002);
  });

  it('does not become surer by more images of the same patients', () => {
    const width = ({ ci95 }: ReturnType<typeof spreadOf>): number => ci95![1] - ci95![0];
    const once = spreadOf(values, own);
    const thrice = spreadOf([...values, ...values, ...values], [...own, ...own, ...own]);
    expect(thrice.n).toBe(600);
    expect(thrice.patients).toBe(200);
    expect(width(thrice)).toBeCloseTo(width(once), 12);
  });

  it('leaves out images without the label, and says so where all are', () => {
    expect(spreadOf([0.5, NaN, 0.7], ['a', 'b', 'c'])).toMatchObject({ mean: 0.6, n: 2, patients: 2 });
    expect(spreadOf([NaN, NaN], ['a', 'b'])).toMatchObject({ mean: NaN, ci95: null, n: 0 });
  });
});
