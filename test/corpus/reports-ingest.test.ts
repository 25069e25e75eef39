/** Reports on their way into the corpus: matched, cleaned, stored with every series of their study, replaced, listed. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ingest } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNiftiFile } from '../../src/formats/nifti/index.js';
import { run } from './command.js';
import { dicom, filesUnder, folder, image } from './made.js';

const CSV =
  'Accession Number,Patient Name,Report\n' +
  'ACC-1,"Person, Test","FINDINGS: The prostate of Test Person measures 4.5 cm. IMPRESSION: Lesion in the peripheral zone."\n' +
  'ACC-9,"Other, Some",FINDINGS: Normal.\n';

/** Two series of a study with accession number ACC-1, and one of another study. */
async function source(): Promise<string> {
  const dir = await folder();
  await dicom(join(dir, 'in', 'a'), { accessionNumber: 'ACC-1' });
  await dicom(
    join(dir, 'in', 'b'),
    { accessionNumber: 'ACC-1', seriesUid: newUid('b') },
    image([40, 36, 8], 2),
  );
  const other = { accessionNumber: 'ACC-2', seriesUid: newUid('c'), studyUid: newUid('C'), patientId: 'P-2' };
  await dicom(join(dir, 'in', 'c'), other, image([40, 36, 8], 3));
  await writeFile(join(dir, 'reports.csv'), CSV);
  return dir;
}

describe('ingest with reports', () => {
  it('stores a report with every series of its study, and lists the reports that fit none', async () => {
    const dir = await source();
    const { series, reports } = await ingest([join(dir, 'in')], {
      corpus: join(dir, 'c'),
      reports: { sources: [join(dir, 'reports.csv')] },
    });
    const reported = series.filter(({ report }) => report !== null);
    expect(reported).toHaveLength(2);
    for (const one of reported) {
      expect(one.report!.impression).toBe('Lesion in the peripheral zone.');
      expect(one.report!.findings).toMatch(/^The prostate of measures 4\.5 cm\.$/);
      expect(one.text).toMatch(/Lesion in the peripheral zone\. The prostate of measures/);
      expect(one.text).toMatch(/T2/);
    }
    const other = series.find(({ report }) => report === null)!;
    expect(other.text).not.toMatch(/Lesion/);
    expect(reports).toMatchObject({ found: 2, matched: 1, ambiguous: [] });
    expect(reports!.unmatched.map(({ path }) => path)).toEqual([
      expect.stringMatching(/reports\.csv row 2$/),
    ]);
    const stored = await filesUnder(join(dir, 'c'));
    for (const path of stored) expect((await readFile(path)).toString('latin1')).not.toMatch(/Person|ACC-\d/);
    expect(stored.length).toBeGreaterThan(5);
  });

  it('gives series that are there already a report that comes later', async () => {
    const dir = await source();
    const corpus = join(dir, 'c');
    const before = await ingest([join(dir, 'in')], { corpus });
    expect(before.series.every(({ report }) => report === null)).toBe(true);
    const after = await ingest([join(dir, 'in')], {
      corpus,
      reports: { sources: [join(dir, 'reports.csv')] },
    });
    expect(after).toMatchObject({ added: 0, present: 3 });
    expect(after.series.filter(({ report }) => report !== null)).toHaveLength(2);
    // And without them they stay.
    const again = await ingest([join(dir, 'in')], { corpus });
    expect(again.series.filter(({ report }) => report !== null)).toHaveLength(2);
    expect(again.series.map(({ text }) => text)).toEqual(after.series.map(({ text }) => text));
  });

  it('takes structured reports among the images, unasked', async () => {
    const dir = await folder();
    const documents = fileURLToPath(new URL('../fixtures/corpus/reports', import.meta.url));
    await dicom(join(dir, 'in'), { accessionNumber: 'A-1', bodyPart: 'LSPINE' });
    await copyFile(join(documents, 'comprehensive.dcm'), join(dir, 'in', 'report.dcm'));
    const { series, reports, skipped } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(series).toHaveLength(1);
    expect(series[0]!.report).toMatchObject({ impression: 'Protrusion with spinal stenosis.' });
    expect(reports).toMatchObject({ found: 1, matched: 1 });
    expect(skipped).toEqual([]);
  });

  it('matches text files to NIfTI images by a path rule', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'in', 'sub-01'), { recursive: true });
    await mkdir(join(dir, 'reports'));
    await writeNiftiFile(join(dir, 'in', 'sub-01', 'sub-01_T2w.nii.gz'), image());
    await writeFile(join(dir, 'reports', 'sub-01.txt'), 'IMPRESSION: No lesion in the brain.');
    const { series } = await ingest([join(dir, 'in')], {
      corpus: join(dir, 'c'),
      reports: {
        sources: [join(dir, 'reports')],
        rules: [{ by: 'path', template: '{folder}' }],
      },
    });
    expect(series[0]!.report).toMatchObject({ impression: 'No lesion in the brain.' });
  });

  it('is a matter of three options on the command line', async () => {
    const dir = await source();
    await writeFile(join(dir, 'odd.csv'), 'Nr,Notiz\nACC-2,Kein Nachweis einer Raumforderung.\n');
    const { stdout, stderr } = await run(
      ...['ingest', join(dir, 'in'), '--corpus', join(dir, 'c'), '--json', '--reports', join(dir, 'odd.csv')],
      ...['--report-columns', 'accession=Nr,text=Notiz', '--report-match', 'accession'],
    );
    const result = JSON.parse(stdout) as { series: { report: { findings: string } | null }[] };
    expect(result.series.map(({ report }) => report?.findings).filter(Boolean)).toEqual([
      'Kein Nachweis einer Raumforderung.',
    ]);
    expect(stderr).not.toMatch(/Raumforderung/);
    const words = await run(
      'ingest',
      join(dir, 'in'),
      '--corpus',
      join(dir, 'c2'),
      '--reports',
      join(dir, 'reports.csv'),
    );
    expect(words.stderr).toMatch(/1 of 2 reports belong to a study/);
    expect(words.stderr).toMatch(/row 2: no study fits this report/);
    await expect(
      run(
        'ingest',
        join(dir, 'in'),
        '--corpus',
        join(dir, 'c2'),
        '--reports',
        join(dir, 'odd.csv'),
        '--report-match',
        'x',
      ),
    ).rejects.toThrow(/accession, study, patient or path/);
  });
});
