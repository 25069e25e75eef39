/** Text in pixels is found in real and simulated slices, and nothing else is taken for it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { burnedIn } from '../../src/corpus/deidentify/burned-in.js';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { simulateStudy } from '../../src/simulate/index.js';
import type { Volume } from '../../src/volume/volume.js';
import { dataDir, skipped } from '../data.js';
import { burn } from './bitmap-font.js';

const data = dataDir();
const none = skipped(data === null, 'shared data is absent');

function largest(volume: Volume): number {
  let max = -Infinity;
  for (const value of volume.data) if (value > max) max = value;
  return max;
}

/** The first pixel of a box that is nowhere as bright as half the ink, so that white writing can be read there. */
function darkPlace({ data, shape }: Volume, [w, h]: readonly [number, number]): [number, number] | null {
  const [ni, nj, nk] = shape;
  let max = 0;
  for (const value of data) max = Math.max(max, value);
  const isDark = (i0: number, j0: number): boolean => {
    for (let k = 0; k < nk; k++)
      for (let j = j0; j < j0 + h; j++)
        for (let i = i0; i < i0 + w; i++) if (data[i + ni * (j + nj * k)]! > max / 2) return false;
    return true;
  };
  for (let j = 1; j + h < nj; j++) for (let i = 1; i + w < ni; i++) if (isDark(i - 1, j - 1)) return [i, j];
  return null;
}

/** Rows and columns exchanged. */
const turned = (volume: Volume): Volume => permuted(volume, [1, 0, 2]);
/** Slices become rows, as in files whose axes were put into another order. */
const upright = (volume: Volume): Volume => permuted(volume, [0, 2, 1]);

function permuted(volume: Volume, order: readonly [number, number, number]): Volume {
  const { shape, data, affine } = volume;
  const to = order.map((axis) => shape[axis]!) as [number, number, number];
  const steps = [1, shape[0], shape[0] * shape[1]];
  const [a, b, c] = order.map((axis) => steps[axis]!) as [number, number, number];
  const moved = data.slice();
  let n = 0;
  for (let k = 0; k < to[2]; k++)
    for (let j = 0; j < to[1]; j++) for (let i = 0; i < to[0]; i++) moved[n++] = data[i * a + j * b + k * c]!;
  const columns = affine.map((row) => [...order.map((axis) => row[axis]!), row[3]]);
  return { ...volume, data: moved, shape: to, affine: columns as unknown as Volume['affine'], valid: null };
}

/** Written in different places, sizes and orders of axes. */
function written(volume: Volume): Volume[] {
  const ink = largest(volume);
  const [ni, nj] = volume.shape;
  const small = burn(volume, 'DOE JOHN 1961', { at: [3, 3], scale: 1, ink });
  const corner = burn(volume, '0412 DOE', { at: [ni - 52, nj - 10], scale: 1, ink });
  const first = burn(volume, 'DOE JOHN 1961', { at: [2, 4], scale: 1, ink, slices: [0] });
  const result = [small, corner, first, turned(small), upright(small)];
  if (ni >= 170) result.push(burn(volume, 'DOE JOHN 1961', { at: [4, 20], scale: 2, ink }));
  return result;
}

describe('burnt-in text', () => {
  it('is found in slices of simulated studies, which without it have none', () => {
    let tried = 0;
    for (let seed = 1; seed <= 8; seed++) {
      for (const { volume } of simulateStudy({ seed, patient: seed }).series) {
        expect(burnedIn(volume)).toBeNull();
        const ink = largest(volume);
        const at = darkPlace(volume, [6 * 13, 8]);
        if (at === null) continue;
        for (const slices of [undefined, [0]]) {
          const one = burn(volume, 'DOE JOHN 1961', { at, scale: 1, ink, ...(slices && { slices }) });
          for (const put of [one, turned(one), upright(one)])
            expect(burnedIn(put)).toMatch(/seem to hold text/);
          tried++;
        }
      }
    }
    expect(tried).toBeGreaterThan(12);
  });

  it('is believed where the header says so, and not where it says no', () => {
    const { volume } = simulateStudy({ seed: 1, patient: 1 }).series[0]!;
    expect(burnedIn(volume, { burnedInAnnotation: 'YES' })).toMatch(/header says/);
    expect(burnedIn(volume, { sopClassUid: '1.2.840.10008.5.1.4.1.1.7' })).toMatch(/secondary capture/);
    expect(burnedIn(volume, { imageType: ['DERIVED', 'SECONDARY', 'SCREEN SAVE'] })).toMatch(/screen/);
    expect(burnedIn(volume, { conversionType: 'WSD' })).toMatch(/workstation/);
    expect(burnedIn(volume, { imageType: ['ORIGINAL', 'PRIMARY', 'M', 'ND'] })).toBeNull();
    const lie = burn(volume, 'DOE JOHN 1961', { at: [3, 3], scale: 1, ink: largest(volume) });
    expect(burnedIn(lie, { burnedInAnnotation: 'NO' })).toMatch(/seem to hold text/);
  });

  it.skipIf(none)(
    'is found in no NIfTI image of the shared data, and in all of them once written',
    async () => {
      const files = readdirSync(data!, { recursive: true, encoding: 'utf8' }).filter(
        (name) => /\.nii(\.gz)?$/.test(name) && !/label|seg|gt|lesion|template/i.test(name),
      );
      expect(files.length).toBeGreaterThan(15);
      const [clean, found]: [string[], string[]] = [[], []];
      for (const name of files) {
        const volume = (await readNiftiFile(join(data!, name))).frame(0);
        if (burnedIn(volume) !== null) clean.push(name);
        if (volume.shape[0] < 90 || volume.shape[1] < 40) continue;
        for (const [n, one] of written(volume).entries())
          if (burnedIn(one) === null) found.push(`${name} ${n}`);
      }
      expect({ taken: clean, missed: found }).toEqual({ taken: [], missed: [] });
    },
    120_000,
  );

  it.skipIf(none)(
    'is found in no DICOM series of the shared data, and in all of them once written',
    async () => {
      const [taken, missed]: [string[], string[]] = [[], []];
      for (const root of ['prostate-prostatex', 'prostate-missing-slice', 'brain-uih-dicom']) {
        const entries = readdirSync(join(data!, root), { recursive: true, withFileTypes: true });
        const files = entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
        const headers = await Promise.all(
          files.filter((f) => /\.(dcm|IMA)$|\d$/i.test(f)).map(readDicomHeader),
        );
        for (const series of groupSeries(headers).series) {
          const volume = await loadSeries(series);
          const { sopClassUid, imageType, seriesDescription } = series.header;
          if (burnedIn(volume, { sopClassUid, imageType }) !== null) taken.push(seriesDescription);
          if (volume.shape[0] < 90) continue;
          for (const [n, one] of written(volume).entries())
            if (burnedIn(one) === null) missed.push(`${seriesDescription} ${n}`);
        }
      }
      expect({ taken, missed }).toEqual({ taken: [], missed: [] });
    },
    120_000,
  );
});
