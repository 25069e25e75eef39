/** The real series: each gets the plane, contrast and body part that its source's documentation says it has. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ingest, type Ingested } from '../../src/corpus/index.js';
import { dataDir, skipped } from '../data.js';
import { folder } from './made.js';

const data = dataDir();

/** Counts of "BODYPART plane contrast". */
function kinds({ series }: Ingested): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { bodyPart, plane, contrast } of series) {
    const kind = `${bodyPart} ${plane} ${contrast}`;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

describe.skipIf(skipped(data === null, 'no real data (set PRECESS_DATA to its folder)'))('real data', () => {
  const run = async (...names: string[]): Promise<Ingested> =>
    ingest(
      names.map((name) => join(data!, name)),
      { corpus: join(await folder(), 'c') },
    );

  it('ProstateX: 2 patients, T2 in three planes, DWI by b-value, ADC, PD reference, localizers', async () => {
    const result = await run('prostate-prostatex');
    expect(kinds(result)).toEqual({
      // t2_tse_tra of patient 1, and of patient 2 twice; an axial stack of each of two localizers.
      'PROSTATE axial T2w': 5,
      'PROSTATE sagittal T2w': 5,
      'PROSTATE coronal T2w': 4,
      // b = 50, 400, 800 and the calculated image of each patient.
      'PROSTATE axial DWI': 8,
      'PROSTATE axial ADC': 2,
      'PROSTATE axial PDw': 2,
    });
    expect(result.skipped).toEqual([]);
    expect(new Set(result.series.map(({ patientId }) => patientId)).size).toBe(2);
    expect(new Set(result.series.map(({ studyId }) => studyId)).size).toBe(2);
    for (const one of result.series) {
      expect(one).toMatchObject({ manufacturer: 'Siemens', fieldStrengthT: 3 });
      // The scanner's distortion correction (Image Type DIS2D) filled corners with zeros.
      expect(one.validFraction).toBeGreaterThan(one.contrast === 'T2w' ? 0.985 : 0.999999);
    }
  });

  it('the series that lost a slice says which', async () => {
    const { series } = await run('prostate-missing-slice');
    expect(series).toHaveLength(1);
    expect(series[0]).toMatchObject({ bodyPart: 'PROSTATE', plane: 'axial', contrast: 'DWI' });
    const slices = series[0]!.shape[2];
    expect(series[0]!.missingSlices).toHaveLength(1);
    expect(series[0]!.validFraction).toBeCloseTo((slices - 1) / slices, 10);
  });

  it('United Imaging: sagittal 3D T1 of the head', async () => {
    const { series } = await run('brain-uih-dicom');
    expect(series).toHaveLength(1);
    expect(series[0]).toMatchObject({
      bodyPart: 'BRAIN',
      plane: 'sagittal',
      contrast: 'T1w',
      manufacturer: 'UIH',
      fieldStrengthT: 3,
    });
    expect(series[0]!.shape[2]).toBe(160);
  });

  it('brain-ms: patients and time points from folders and file names, lesion masks skipped', async () => {
    const result = await run('brain-ms');
    expect(kinds(result)).toEqual({ 'BRAIN axial FLAIR': 5, 'BRAIN axial T1w': 4, 'BRAIN axial T2w': 5 });
    expect(new Set(result.series.map(({ patientId }) => patientId)).size).toBe(3);
    // Patients 1 and 3 at two time points, patient 4 at one.
    expect(new Set(result.series.map(({ studyId }) => studyId)).size).toBe(5);
    expect(result.skipped.map(({ reason }) => reason)).toEqual(Array(3).fill('looks like a label map'));
  });

  it('other NIfTI: contrasts and regions from names, label maps and CT skipped', async () => {
    const result = await run('brain-metastasis', 'brain-niivue', 'spine-sct', 'body-totalseg');
    const byContrast: Record<string, number> = {};
    for (const { bodyPart, contrast } of result.series) {
      const kind = `${bodyPart} ${contrast}`;
      byContrast[kind] = (byContrast[kind] ?? 0) + 1;
    }
    expect(byContrast).toEqual({
      // BraTS t1n, chris_t1 and the MNI template.
      'BRAIN T1w': 3,
      // BraTS t1c and MR_Gd.
      'BRAIN T1w+C': 2,
      'BRAIN T2w': 1,
      'BRAIN FLAIR': 2,
      'BRAIN PDw': 1,
      'BRAIN MRA': 1,
      'BRAIN ASL': 1,
      'SPINE T1w': 1,
      'SPINE T2w': 1,
      // example_mr_sm: nothing says what it is.
      'UNKNOWN unknown': 1,
    });
    expect(new Set(result.skipped.map(({ reason }) => reason))).toEqual(new Set(['looks like a label map']));
    expect(result.skipped).toHaveLength(11);
  });
});
