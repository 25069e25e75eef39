/** Values planted in headers, comments, file and folder names must not be found in any byte of the corpus. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ingest } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';

describe('privacy', () => {
  it('leaves nothing that identifies a person anywhere in the corpus', async () => {
    const dir = await folder();
    const planted = {
      family: 'Zworykinova',
      given: 'Vladlena',
      id: 'PID-7734501',
      birth: '19610402',
      accession: 'ACC998877',
      studyUid: newUid('secret study'),
      seriesUid: newUid('secret series'),
      frame: newUid('secret frame'),
      studyDate: '20110707',
      place: 'Quellenhofklinik',
      folder: 'Zworykinova_Vladlena_02.04.1961',
    };
    const source = join(dir, planted.folder);
    await dicom(join(source, planted.id), {
      patientName: `${planted.family}^${planted.given}`,
      patientId: planted.id,
      birthDate: planted.birth,
      accessionNumber: planted.accession,
      studyUid: planted.studyUid,
      seriesUid: planted.seriesUid,
      frameOfReferenceUid: planted.frame,
      studyDate: planted.studyDate,
      manufacturer: `SIEMENS ${planted.place}`,
      studyDescription: `Prostate ${planted.family}`,
      seriesDescription: `t2_tse_tra ${planted.family} ${planted.id} ${planted.place}`,
      protocolName: `t2_tse ${planted.given}`,
      contrastAgent: `Gd ${planted.family}`,
      comments:
        `Ms. ${planted.family}, ${planted.given} (born 02.04.1961, ${planted.id}), accession ${planted.accession}: ` +
        `lesion in the left peripheral zone. Compared with ${planted.studyDate}. Study ${planted.studyUid}. ` +
        `ZWORYKINOVA was told. Call +49 30 5550199.`,
    });
    await mkdir(join(source, 'nifti'));
    await writeFile(
      join(source, 'nifti', `${planted.family}_T1w.nii.gz`),
      writeNifti(image([20, 20, 6]), { gzip: true, description: `${planted.family} ${planted.id}` }),
    );
    await writeFile(
      join(source, 'nifti', `${planted.family}_T1w.json`),
      JSON.stringify({ PatientName: planted.family, SeriesDescription: `t1 ${planted.family}` }),
    );
    const corpus = join(dir, 'c');
    const result = await ingest([source], { corpus });
    expect(result.added).toBe(2);
    expect(result.series.some(({ text }) => /lesion in the left peripheral zone/.test(text))).toBe(true);

    const needles = [...Object.values(planted), '02.04.1961', '5550199', '7734501', basename(dir)];
    const found = (bytes: Buffer, where: string): void => {
      // Lower case, as Latin-1 and as UTF-16, so that no encoding hides a name.
      const plain = bytes.toString('latin1').toLowerCase();
      for (const needle of needles) {
        const text = needle.toLowerCase();
        expect(plain.includes(text), `${needle} in ${where}`).toBe(false);
        const wide = Buffer.from(text, 'utf16le').toString('latin1');
        expect(plain.includes(wide), `${needle} (UTF-16) in ${where}`).toBe(false);
      }
    };
    const files = await filesUnder(corpus);
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      found(Buffer.from(file.slice(corpus.length)), 'the name of a file');
      found(await readFile(file), file);
    }
    await withCorpus(corpus, async (c) => {
      const rows = await c.table.rows();
      found(Buffer.from(JSON.stringify(rows)), 'the table');
      for (const { series } of rows) {
        const { data } = await c.volume(series.id);
        found(Buffer.from(data.buffer, data.byteOffset, data.byteLength), 'voxels');
      }
    });
  });

  it('finds the planted values in what went in, so that the search can fail', async () => {
    const dir = await folder();
    const [file] = await dicom(dir, { patientName: 'Zworykinova^Vladlena' });
    expect((await readFile(file!)).toString('latin1').toLowerCase()).toContain('zworykinova');
  });

  it('keeps a report sentence, or only the header with text: header', async () => {
    const dir = await folder();
    const comments = 'Small meniscal tear of the left knee.';
    await dicom(join(dir, 'in'), { comments, bodyPart: 'KNEE' });
    const report = await ingest([join(dir, 'in')], { corpus: join(dir, 'a') });
    expect(report.series[0]!.text).toMatch(/^[A-Z].*\. Small meniscal tear of the left knee\.$/);
    const header = await ingest([join(dir, 'in')], { corpus: join(dir, 'b'), text: 'header' });
    expect(header.series[0]!.text).not.toMatch(/tear/);
  });
});
