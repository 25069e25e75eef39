/** Studies of a person whose head is given as a label map. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { FREESURFER_TISSUES, simulateStudy, writeCorpus } from '../../src/simulate/index.js';
import type { Volume } from '../../src/volume/volume.js';

/** White matter (2) in grey matter (3), a ventricle (4) in its middle, a long neck (507); far from the origin, in voxels of 3 mm. */
function head(): Volume {
  const shape = [60, 64, 56] as const;
  const data = new Int16Array(shape[0] * shape[1] * shape[2]);
  let n = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) {
        const r = Math.hypot((i - 30) / 24, (j - 30) / 27, (k - 28) / 23);
        const neck = k < 20 && Math.hypot(i - 30, j - 30) < 10;
        data[n] = r < 0.3 ? 4 : r < 0.75 ? 2 : r < 1 ? 3 : neck ? 507 : 0;
      }
  const affine: Volume['affine'] = [
    [3, 0, 0, 110],
    [0, 3, 0, -400],
    [0, 0, 3, 60],
    [0, 0, 0, 1],
  ];
  return { data, shape, affine, slope: 1, intercept: 0, valid: null };
}
/** Of the brain. */
const MIDDLE = [110 + 90, -400 + 90, 60 + 84] as const;

describe('a study of a label map', () => {
  const labels = { volume: head(), tissues: FREESURFER_TISSUES };
  const study = simulateStudy({ seed: 3, patient: 0, size: 'tiny', series: 12, labels });

  it('shows its tissues where they are, as its contrasts do', () => {
    const seen = new Set<string>();
    for (const { volume, contrast, acquisition } of study.series) {
      acquisition.centre.forEach((c, d) => expect(Math.abs(c - MIDDLE[d]!)).toBeLessThan(20));
      const { affine, shape, data } = volume;
      const found: Record<number, number[]> = { 2: [], 4: [] };
      for (let k = 0, n = 0; k < shape[2]; k++)
        for (let j = 0; j < shape[1]; j++)
          for (let i = 0; i < shape[0]; i++, n++) {
            if (volume.valid?.[n] === 0) continue;
            const mm = affine.slice(0, 3).map((row) => row[0] * i + row[1] * j + row[2] * k + row[3]);
            const r = Math.hypot(
              (mm[0]! - MIDDLE[0]) / 72,
              (mm[1]! - MIDDLE[1]) / 81,
              (mm[2]! - MIDDLE[2]) / 69,
            );
            if (r < 0.15) found[4]!.push(data[n]!);
            else if (r > 0.45 && r < 0.6) found[2]!.push(data[n]!);
          }
      const mean = (list: number[]): number => list.reduce((sum, v) => sum + v, 0) / list.length;
      const [fluid, white] = [mean(found[4]!), mean(found[2]!)];
      if (contrast === 'T1w' || contrast === 'FLAIR') expect(white, contrast).toBeGreaterThan(1.5 * fluid);
      if (contrast === 'T2w' || contrast === 'ADC') expect(fluid, contrast).toBeGreaterThan(1.5 * white);
      seen.add(contrast);
    }
    for (const contrast of ['T1w', 'T2w', 'FLAIR']) expect(seen).toContain(contrast);
    expect(seen).not.toContain('T1w+C');
  });

  it('is of the same head another time', () => {
    const options = { seed: 3, patient: 0, size: 'tiny', series: 12, labels } as const;
    const later = simulateStudy({ ...options, study: 1 });
    expect(later.patient).toEqual(study.patient);
    const uids = (of: typeof study) =>
      of.series.flatMap(({ header }) => [header.studyUid, header.seriesUid, header.frameOfReferenceUid]);
    expect(uids(later).filter((uid) => uids(study).includes(uid))).toEqual([]);
    expect(new Set(uids(later)).size).toBe(12 + 2);
    expect(later.series[0]!.header.studyDate).not.toBe(study.series[0]!.header.studyDate);
    expect(later.series.map(({ text }) => text)).not.toEqual(study.series.map(({ text }) => text));
    expect(simulateStudy({ ...options, study: 0 }).series).toEqual(study.series);
  });

  it('says how images were taken, and nothing of what they show', () => {
    expect(study.findings).toEqual([]);
    for (const { text, findingsText, header, bodyPart } of study.series) {
      expect(findingsText).toBe('');
      expect(header).not.toHaveProperty('comments');
      expect(bodyPart).toBe('BRAIN');
      expect(text).toMatch(/brain/i);
      expect(text).not.toMatch(/normal|no evidence|lesion|unremarkable/i);
    }
  });
});

describe('a corpus of label maps', () => {
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'precess-label-maps-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('has a patient a map, and no more', async () => {
    const labelMaps = [join(dir, 'a.nii'), join(dir, 'b.nii.gz')];
    await writeFile(labelMaps[0]!, writeNifti(head()));
    await writeFile(labelMaps[1]!, writeNifti(head(), { gzip: true }));
    const options = { seed: 1, size: 'tiny', series: 2, threads: 0, labelMaps } as const;
    const out = join(dir, 'out');
    expect(await writeCorpus(out, { ...options, patients: 2 })).toMatchObject({ studies: 2, series: 4 });
    expect((await readdir(out)).sort()).toEqual(['patient-00000', 'patient-00001']);
    const studies = join(dir, 'studies');
    expect(await writeCorpus(studies, { ...options, patients: 2, studies: 2 })).toMatchObject({ studies: 4 });
    expect((await readdir(join(studies, 'patient-00001'))).sort()).toEqual(['study-1', 'study-2']);
    await expect(writeCorpus(out, { ...options, patients: 2, studies: 0 })).rejects.toThrow(/got 0/);
    await expect(writeCorpus(out, { ...options, patients: 3 })).rejects.toThrow(
      /each label map is one patient/,
    );
  });
});
