/** Damaged bytes: whatever a file holds, the batch goes on. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  DicomError,
  groupSeries,
  isDicom,
  loadSeries,
  readDicomHeader,
} from '../../src/formats/dicom/index.js';
import { NiftiError, readNifti } from '../../src/formats/nifti/index.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/formats/', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'precess-fuzz-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const damage = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    value: fc.integer({ min: 0, max: 255 }),
  }),
  { minLength: 1, maxLength: 12 },
);

function damaged(
  bytes: Uint8Array,
  changes: readonly { at: number; value: number }[],
  within: number,
): Uint8Array {
  const copy = new Uint8Array(bytes);
  for (const { at, value } of changes) copy[Math.floor(at * within)] = value;
  return copy;
}

describe('DICOM with damaged bytes', () => {
  const names = [
    'dicom/explicit-u12',
    'dicom/implicit-u12',
    'dicom/big-u12',
    'dicom/deflated',
    'dicom/bare-implicit',
    'dicom/rle-u12',
    'dicom/jpeg-ls-u12',
    'enhanced/diffusion',
    'enhanced/gap-rle',
    'mosaic/time-1',
  ];
  it.each(names)('%s is read, left out, or a DicomError', async (name) => {
    const bytes = readFileSync(join(FIXTURES, `${name}.dcm`));
    const path = join(temporary, `${name.replace('/', '-')}.dcm`);
    // The headers of files with several slices are longer.
    const header = name.startsWith('dicom/') ? 1400 : 4000;
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        writeFileSync(path, damaged(bytes, changes, Math.min(bytes.length, header)));
        isDicom(readFileSync(path).subarray(0, 132));
        try {
          const instance = await readDicomHeader(path);
          instance.identifyingValues();
          for (const series of groupSeries([instance]).series) await loadSeries(series);
        } catch (error) {
          expect(error).toBeInstanceOf(DicomError);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('NIfTI with a damaged header', () => {
  it.each(['int16-le.nii', 'int16-v2.nii', '4d.nii.gz', 'qform-qfac-minus-v1-0.3--0.2.nii'])(
    '%s is read or a NiftiError',
    (name) => {
      const bytes = readFileSync(join(FIXTURES, 'nifti', name));
      fc.assert(
        fc.property(damage, (changes) => {
          try {
            const image = readNifti(damaged(bytes, changes, Math.min(bytes.length, 540)), 'f');
            image.frame(0);
          } catch (error) {
            expect(error).toBeInstanceOf(NiftiError);
          }
        }),
        { numRuns: 400 },
      );
    },
  );
});
