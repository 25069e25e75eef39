/** PROSTATEx as TCIA delivers it: where a finding lies in the images, by the publisher's own matrix. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { datasetNamed } from '../../src/evaluate/datasets/index.js';
import { openImages } from '../../src/tasks/images.js';
import { apply, invert } from '../../src/volume/affine.js';
import type { Affine } from '../../src/volume/volume.js';
import { dataDir, skipped } from '../data.js';

const data = dataDir();
const patient = data && join(data, 'prostate-prostatex', 'ProstateX-0000');
const missing = patient === null || !existsSync(patient);

const made: string[] = [];
afterAll(async () => {
  for (const dir of made) await rm(dir, { recursive: true, force: true });
});

/**
 * Row ProstateX-0000, fid 1, of ProstateX-Findings-Train.csv, and WorldMatrix of its ep2d_diff_tra_DYNDIST_ADC0 in
 * ProstateX-Images-Train.csv: DICOM's axes, from the corner of the first voxel.
 */
const ROW = 'ProstateX-0000,1,25.7457 31.8707 -38.511,PZ,TRUE';
const WORLD: Affine = [
  [2, 4.0067e-10, 0.00377059, -46.6873],
  [-0.000797221, 1.89675, 0.95144, -114.14],
  [-0.00238396, -0.634294, 2.84513, -18.0506],
  [0, 0, 0, 1],
];

describe.skipIf(skipped(missing, 'no prostate-prostatex in the data folder'))(
  'a finding of PROSTATEx',
  () => {
    it('lies where the publisher says, in voxels', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'precess-prostatex-'));
      made.push(dir);
      await cp(patient!, join(dir, 'PROSTATEx', 'ProstateX-0000'), { recursive: true });
      await writeFile(join(dir, 'ProstateX-Findings-Train.csv'), `ProxID,fid,pos,zone,ClinSig\n${ROW}\n`);
      const [one, ...others] = await datasetNamed('prostatex-findings').read(dir);
      expect(others).toHaveLength(0);
      const images = [];
      for await (const { volume } of openImages(one!.images.adc!)) images.push(volume);
      expect(images).toHaveLength(1);
      const ours = apply(invert(images[0]!.affine), one!.finding!.positionMm);
      const theirs = apply(invert(WORLD), [25.7457, 31.8707, -38.511]);
      // Ours counts from the centre of the first voxel.
      ours.forEach((index, d) => expect(index + 0.5).toBeCloseTo(theirs[d]!, 2));
    });
  },
);
