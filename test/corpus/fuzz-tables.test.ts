/** Sidecars and tables with damaged bytes: 10,000 cases a reader. */
import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { CorpusError } from '../../src/corpus/index.js';
import { readSidecar } from '../../src/corpus/sidecar.js';
import { readTable } from '../../src/corpus/table-file.js';
import { MetadataTable } from '../../src/corpus/metadata-csv.js';
import { describeHeader } from '../../src/text/header.js';
import { fuzz } from '../formats/fuzz.js';

const SIDECAR = JSON.stringify({
  Modality: 'MR',
  MagneticFieldStrength: 3,
  Manufacturer: 'Siemens',
  SeriesDescription: 't1_mprage_sag_p2',
  ImageType: ['ORIGINAL', 'PRIMARY', 'M'],
  EchoTime: 0.00298,
  RepetitionTime: 2.3,
  FlipAngle: 9,
  PatientName: 'Doe^Jane',
});

const TABLE =
  'path,patient,study,description,sex,age,report\n' +
  'a/x.nii.gz,A-17,first,"t2_tse, tra",M,61,"No ""clear"" lesion\nin two lines"\n' +
  'b.nii,B-3,second,t1_mprage,F,n/a,\n';

describe('damaged text is read or refused:', () => {
  it('sidecar', async () => {
    let known = 0;
    let refused = 0;
    await fuzz(Buffer.from(SIDECAR), 'image.json', 10_000, [TypeError], async (path) => {
      const sidecar = await readSidecar(path.replace(/json$/, 'nii.gz'));
      if (sidecar === null) {
        refused++;
        // Counted as a refusal: a damaged sidecar is none.
        throw new TypeError('no sidecar');
      }
      known++;
      const { text } = describeHeader(sidecar.fields, { plane: 'axial', spacingMm: [1, 1, 3], id: 'x' });
      expect(text).not.toBe('');
    });
    expect(known).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
  });

  it('table', async () => {
    await fuzz(Buffer.from(TABLE), 'table.csv', 5_000, [CorpusError], readTable);
    await fuzz(Buffer.from(TABLE.replaceAll(',', '\t')), 'table.tsv', 5_000, [CorpusError], (path) =>
      MetadataTable.read(path),
    );
  });
});
