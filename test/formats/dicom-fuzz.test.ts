/** DICOM with damaged bytes, headers and pixels: 10,000 cases, each read, left out or refused. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { readBytes } from '../../src/formats/bytes.js';
import {
  DicomError,
  groupSeries,
  isDicom,
  loadSeries,
  readDicomHeader,
} from '../../src/formats/dicom/index.js';
import { fuzz } from './fuzz.js';

const seed = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../fixtures/formats/${name}.dcm`, import.meta.url)));

async function read(path: string): Promise<void> {
  isDicom((await readBytes(path)).subarray(0, 132));
  const instance = await readDicomHeader(path);
  instance.identifyingValues();
  for (const series of groupSeries([instance]).series) await loadSeries(series);
}

describe('damaged DICOM is read, left out or refused:', () => {
  // The headers of files with several slices are longer.
  it.each([
    ['dicom/explicit-u12', 1600, 1400],
    ['dicom/implicit-u12', 1200, 1400],
    ['dicom/big-u12', 1000, 1400],
    ['dicom/deflated', 1200, 3000],
    ['dicom/bare-implicit', 1000, 1400],
    ['enhanced/diffusion', 600, 4000],
    ['enhanced/gap-rle', 600, 4000],
    ['mosaic/time-1', 800, 4000],
  ])('header of %s', async (name, runs, to) => {
    await fuzz(seed(name), `${name}.dcm`, runs, [DicomError], read, { to });
  });

  it.each([
    ['dicom/rle-u12', 500],
    ['dicom/jpeg-ls-u12', 300],
    ['dicom/jpeg-2000-lossless-u12', 300],
    ['dicom/jpeg-lossless-sv1-u12', 300],
    ['dicom/jpeg-baseline', 300],
    ['htj2k/lossless-u16', 300],
  ])('pixels of %s', async (name, runs) => {
    const bytes = seed(name);
    // Pixel Data (7FE0,0010) and what follows it.
    const from = bytes.lastIndexOf(Buffer.from([0xe0, 0x7f, 0x10, 0x00]));
    await fuzz(bytes, `${name}.dcm`, runs, [DicomError], read, { from });
  });
});
