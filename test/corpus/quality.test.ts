/**
 * Signal to noise and ghosting, measured where the truth is known: on simulated studies. With PRECESS_PATIENTS=24 the
 * numbers of docs/corpus.md are printed; the test itself takes fewer patients.
 */
import { describe, expect, it } from 'vitest';
import { qualityOf } from '../../src/corpus/quality.js';
import { LOW_SNR_BELOW } from '../../src/corpus/check.js';
import { addRicianNoise } from '../../src/simulate/acquire.js';
import { simulateStudy } from '../../src/simulate/index.js';
import type { Volume } from '../../src/volume/volume.js';
import { image } from './made.js';
import { moved } from './moved.js';

const PATIENTS = Number(process.env.PRECESS_PATIENTS ?? 6);

/** The area under the ROC curve: how often a positive scores above a negative. */
function auroc(negative: readonly number[], positive: readonly number[]): number {
  let sum = 0;
  for (const a of positive) for (const b of negative) sum += a > b ? 1 : a === b ? 0.5 : 0;
  return sum / (positive.length * negative.length);
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Two series each of the first patients; ADC maps have no noise of their own to measure. */
const series = Array.from({ length: PATIENTS }, (_, patient) =>
  simulateStudy({ seed: 5, patient, size: 'small', series: 2 }).series.map((one, n) => ({
    ...one,
    patient,
    n,
  })),
)
  .flat()
  .filter(({ contrast }) => contrast !== 'ADC');

/** Eight slices from the middle. */
function middle(volume: Volume): Volume {
  const [ni, nj, nk] = volume.shape;
  const first = Math.max(0, Math.floor(nk / 2) - 4);
  const count = Math.min(8, nk);
  const data = (volume.data as Uint16Array).slice(first * ni * nj, (first + count) * ni * nj);
  return { ...volume, data, shape: [ni, nj, count], valid: null };
}

/** The image with so much noise more that its standard deviation is `sigma`. */
function noisier(volume: Volume, has: number, sigma: number): Volume {
  const values = Float32Array.from(volume.data);
  addRicianNoise(values, Math.sqrt(sigma ** 2 - has ** 2), 7);
  return { ...volume, data: Uint16Array.from(values, Math.round) };
}

describe('signal to noise', () => {
  it('is the body by the noise that was put in', () => {
    const errors: number[] = [];
    const [low, well] = [[] as number[], [] as number[]];
    let warned = 0;
    for (const { volume, sigma } of series) {
      const { snr } = qualityOf(volume);
      if (snr === null) continue;
      // What the estimate took for signal, by the noise that is known.
      const truth = bodyOf(volume) / sigma;
      errors.push(snr / truth);
      for (const factor of [1, 3]) {
        const noisy = factor === 1 ? volume : noisier(volume, sigma, factor * sigma);
        const measured = qualityOf(noisy).snr!;
        const known = bodyOf(noisy) / (factor * sigma);
        (known < LOW_SNR_BELOW ? low : well).push(measured);
        if (measured < LOW_SNR_BELOW === known < LOW_SNR_BELOW) warned++;
      }
    }
    const right = auroc(
      well.map((x) => -x),
      low.map((x) => -x),
    );
    console.log(
      `signal to noise: ${errors.length} of ${series.length} series; measured by true: median ${median(errors).toFixed(2)}, ` +
        `${errors.filter((x) => x > 0.75 && x < 1.33).length} within a quarter; ${low.length} low and ${well.length} others: ` +
        `AUROC ${right.toFixed(3)}, ${warned} on the right side of ${LOW_SNR_BELOW}`,
    );
    expect(errors.length).toBeGreaterThan(0.9 * series.length);
    expect(Math.abs(Math.log(median(errors)))).toBeLessThan(0.15);
    expect(right).toBeGreaterThan(0.95);
  });

  it('comes from the body alone where air was cut away', () => {
    const { volume, sigma } = series.find(({ bodyPart, sigma: s }) => bodyPart === 'KNEE' && s > 0)!;
    const air = bodyOf(volume) / 4;
    const cut = { ...volume, data: volume.data.map((x) => (x < air ? 0 : x)) };
    const { snr, motion } = qualityOf(cut);
    expect(motion).toBeNull();
    expect(snr).toBeGreaterThan(0);
    expect(snr).toBeLessThan((1.3 * bodyOf(volume)) / sigma);
  });

  it('is not measured where there is nothing to measure', () => {
    const flat = { ...image(), data: new Uint16Array(40 * 36 * 8).fill(7) };
    expect(qualityOf(flat)).toEqual({ snr: null, motion: null });
    const none = { ...image(), valid: new Uint8Array(40 * 36 * 8) };
    expect(qualityOf(none)).toEqual({ snr: null, motion: null });
  });
});

/** Median of what is clearly body. */
function bodyOf({ data }: Volume): number {
  const sorted = Float64Array.from(data).sort();
  const threshold = sorted[0]! + (sorted[Math.floor(0.98 * sorted.length)]! - sorted[0]!) / 8;
  const body = sorted.filter((x) => x > threshold);
  return body[Math.floor(body.length / 2)]!;
}

describe('ghosting', () => {
  it('rises when the patient moves', () => {
    const [still, restless] = [[] as number[], [] as number[]];
    let pairs = 0;
    for (const { volume: whole, patient, n } of series) {
      const volume = middle(whole);
      // 1 to 3 pixels: breathing of 3 to 9 cycles a slice, or one step after 60 % of the lines.
      const size = 1 + ((patient * 7 + n * 3) % 5) / 2;
      const cycles = 3 + ((patient * 5 + n) % 7);
      const breathing = (share: number, k: number): readonly [number, number] => {
        const at = size * Math.sin(2 * Math.PI * cycles * share + k);
        return [0.3 * at, at];
      };
      const step = (share: number): readonly [number, number] => (share > 0.6 ? [size / 2, size] : [0, 0]);
      const before = qualityOf(volume).motion;
      const after = qualityOf(moved(volume, (patient + n) % 3 === 0 ? step : breathing)).motion;
      if (before === null || after === null) continue;
      still.push(before);
      restless.push(after);
      if (after > before) pairs++;
    }
    const area = auroc(still, restless);
    console.log(
      `ghosting: ${still.length} of ${series.length} series; median ${median(still).toFixed(2)} still, ` +
        `${median(restless).toFixed(2)} moved; AUROC ${area.toFixed(3)}, higher in ${pairs} pairs`,
    );
    expect(still.length).toBeGreaterThan(0.6 * series.length);
    expect(area).toBeGreaterThan(0.95);
  });

  it('does not rise with noise', () => {
    const one = series.find((each) => qualityOf(each.volume).motion !== null)!;
    const before = qualityOf(one.volume).motion!;
    const after = qualityOf(noisier(one.volume, one.sigma, 3 * one.sigma)).motion!;
    expect(after / before).toBeLessThan(1.1);
  });
});
