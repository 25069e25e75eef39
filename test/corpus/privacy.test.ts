/** Values planted in headers, comments, file and folder names must not be found in any byte of the corpus. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gunzipSync } from 'node:zlib';
import {
  ingest,
  ingestReceived,
  quarantine,
  registerRun,
  release,
  SeenSet,
  setRights,
} from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { run } from './command.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';
import { PLANTED, writePlanted } from './planted-study.js';

/** Parts of the planted values, in lower case. */
const NEEDLES = Object.values(PLANTED).map((value) => value.toLowerCase());

/** Which planted values are in the bytes, in UTF-8, Latin-1 or UTF-16 of either order, whatever their case. */
function findings(bytes: Buffer): string[] {
  const plain = bytes.toString('latin1').toLowerCase();
  const read = [bytes.toString('utf8').toLowerCase(), plain];
  return NEEDLES.filter((needle) => {
    const wide = Buffer.from(needle, 'utf16le');
    return (
      read.some((text) => text.includes(needle)) ||
      plain.includes(wide.toString('latin1')) ||
      plain.includes(Buffer.from(wide).swap16().toString('latin1'))
    );
  });
}

/** Planted values in the names and contents of all files under a folder, gzipped ones unpacked, and where. */
async function occurring(dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const file of await filesUnder(dir)) {
    const name = file.slice(dir.length);
    const bytes = await readFile(file);
    const contents = name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
    for (const needle of [...findings(Buffer.from(name)), ...findings(contents)]) found.set(needle, name);
  }
  return found;
}

/** The files as one series that a PACS sends. */
function received(paths: readonly string[]): Parameters<typeof ingestReceived>[0] {
  return async function* () {
    const files = await Promise.all(paths.map((path) => readFile(path)));
    yield {
      ...{ studyUid: `1.2.826.${PLANTED.number}.2`, seriesUid: `1.2.826.${PLANTED.number}.3.1`, files },
      ...{ use: 'image' as const, reports: [], expected: files.length },
    };
  };
}

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

  it('leaves nothing of a study in every shape in the corpus, nor in what is exported of it', async () => {
    const dir = await folder();
    const planted = await writePlanted(join(dir, 'in'));
    const corpus = join(dir, 'c');
    // The search can fail: everything is in what goes in.
    const before = await occurring(join(dir, 'in'));
    expect([...before.keys()].sort()).toEqual([...NEEDLES].sort());

    const { reports, metadata } = planted;
    const result = await ingest(planted.sources, {
      ...{ corpus, metadata, retainCharacteristics: true, operator: 'tester' },
      reports: { sources: [reports] },
    });
    expect(result.series.map(({ id }) => id)).toHaveLength(4);
    // What is of use is kept: of every report the finding, and of headers the words of imaging.
    expect(result.series.filter(({ text }) => /lesion in the left peripheral zone/i.test(text))).toHaveLength(
      3,
    );
    expect(result.series.filter(({ date }) => date !== null)).toHaveLength(3);
    const source = join(planted.sources[0]!, `PID-${PLANTED.number}`);
    await ingestReceived(received(await filesUnder(source)), { corpus, source: `pacs ${PLANTED.place}` });
    await registerRun(corpus, {
      ...{ id: 'run-0123456789abcdef', kind: 'align', label: 'trial', base: [], series: 4, resumed: false },
      seen: SeenSet.of(result.series.map(({ id }) => id)).toString(),
      sources: result.series.map(({ source: one }) => ({ source: one, licence: 'x', series: 1 })),
    });
    await withCorpus(corpus, async (c) => {
      await setRights(c, result.series[0]!.source, { attribution: 'Site A' });
      await quarantine(c, [result.series[0]!.id]);
      await release(c, [result.series[0]!.id]);
    });
    const names = (await filesUnder(corpus)).map((file) => file.slice(corpus.length + 1));
    for (const part of ['audit.jsonl', 'runs/', 'received/', 'tables/', 'voxels/'])
      expect(
        names.some((name) => name.startsWith(part)),
        part,
      ).toBe(true);
    const outs = ['nifti', 'dicom', 'bids'] as const;
    for (const format of outs)
      await run('corpus', 'export', '--corpus', corpus, `--${format}`, join(dir, format));

    for (const where of [corpus, ...outs.map((name) => join(dir, name))]) {
      expect((await filesUnder(where)).length).toBeGreaterThan(7);
      expect(await occurring(where), where).toEqual(new Map());
    }
    await withCorpus(corpus, async (c) => {
      const rows = await c.table.rows();
      expect(findings(Buffer.from(JSON.stringify(rows)))).toEqual([]);
      for (const { series } of rows) {
        const { data } = await c.volume(series.id);
        expect(findings(Buffer.from(data.buffer, data.byteOffset, data.byteLength))).toEqual([]);
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
