/** Regions filled with zeros are not measured, and a corpus says so. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ingest } from '../../src/corpus/index.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { dicom, folder, image, withCorpus } from './made.js';

it('a defaced region is in the validity mask of the stored volume, from DICOM as from NIfTI', async () => {
  const dir = await folder();
  const volume = image([40, 36, 12]);
  const isCut = (n: number): boolean => Math.floor(n / 40) % 36 > 20 && n < 40 * 36 * 6;
  for (let n = 0; n < volume.data.length; n++) volume.data[n] = isCut(n) ? 0 : volume.data[n]! + 1;
  await dicom(join(dir, 'in', 'd'), {}, volume);
  await mkdir(join(dir, 'in', 'n'));
  await writeFile(join(dir, 'in', 'n', 'a.nii'), writeNifti(volume));
  const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
  expect(series).toHaveLength(2);
  for (const { id, validFraction } of series) {
    expect(validFraction).toBeCloseTo(1 - (15 / 36) * 0.5, 10);
    const { data, valid } = await withCorpus(join(dir, 'c'), (corpus) => corpus.volume(id));
    expect([...valid!].every((one, n) => (one === 0) === (data[n] === 0))).toBe(true);
  }
});
