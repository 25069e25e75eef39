/** NIfTI, NRRD, MGH and MetaImage with damaged bytes: 10,000 cases a reader, each read or refused in its own words. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { ImageFile } from '../../src/formats/image-file.js';
import { MgzError, openMgz } from '../../src/formats/mgz/index.js';
import { MhaError, openMha } from '../../src/formats/mha/index.js';
import { NiftiError, readNiftiFile } from '../../src/formats/nifti/index.js';
import { NrrdError, openNrrd } from '../../src/formats/nrrd/index.js';
import { fuzz } from './fuzz.js';

const seed = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url)));

/** Reads the first frame; its voxels must be as many as its shape says. */
const first =
  (open: (path: string) => Promise<ImageFile>) =>
  async (path: string): Promise<void> => {
    const image = await open(path);
    const { data, shape } = await image.frame(0);
    expect(data.length).toBe(shape[0] * shape[1] * shape[2]);
  };

describe('damaged volume files are read or refused:', () => {
  it.each([
    ['int16-le.nii', 2500, 352],
    ['float32-v2.nii', 2500, 544],
    ['4d.nii.gz', 2500, 4000],
    ['int64-be.nii', 2500, 352],
  ])('NIfTI %s', async (name, runs, within) => {
    await fuzz(
      seed(`nifti/${name}`),
      name,
      runs,
      [NiftiError],
      async (path) => (await readNiftiFile(path)).frame(0),
      { to: within },
    );
  });

  it.each([
    ['int16.nrrd', 3000, 600],
    ['oblique-n-compressed.nrrd', 2000, 1000],
    ['ascii.nrrd', 2500, 900],
    ['vector-first.nrrd', 2500, 500],
  ])('NRRD %s', async (name, runs, within) => {
    await fuzz(seed(`volumes/${name}`), name, runs, [NrrdError], first(openNrrd), { to: within });
  });

  it.each([
    ['int16.mgh', 4000, 300],
    ['float32.mgz', 3000, 600],
    ['frames.mgz', 3000, 300],
  ])('MGH %s', async (name, runs, within) => {
    await fuzz(seed(`volumes/${name}`), name, runs, [MgzError], first(openMgz), { to: within });
  });

  it.each([
    ['int16.mha', 4000, 500],
    ['oblique-m-compressed.mha', 3000, 800],
    ['ascii.mha', 3000, 800],
  ])('MetaImage %s', async (name, runs, within) => {
    await fuzz(seed(`volumes/${name}`), name, runs, [MhaError], first(openMha), { to: within });
  });
});
