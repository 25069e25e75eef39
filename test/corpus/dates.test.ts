/** Days of studies are kept, moved by the same secret number of days for all studies of a patient. */
import { createHmac } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deidentifyDicom, ingest, type Series } from '../../src/corpus/index.js';
import { readKey } from '../../src/corpus/pseudonym.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { readTree } from '../../src/formats/dicom/tree.js';
import { run } from './command.js';
import { dicom, folder, image } from './made.js';

const DAY = 86_400_000;
const days = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / DAY;

async function made(): Promise<{ dir: string; files: string[] }> {
  const dir = await folder();
  const study = (n: number): string => `1.2.826.0.1.${n}`;
  const of = (patientId: string, n: number, studyDate: string, seed: number): Promise<string[]> =>
    dicom(
      join(dir, 'in', String(n)),
      { patientId, studyDate, studyUid: study(n), seriesUid: `${study(n)}.1` },
      image([40, 36, 8], seed),
    );
  const files = await of('P-1', 1, '20110707', 1);
  await of('P-1', 2, '20120301', 2);
  await of('P-2', 3, '20110707', 3);
  await of('P-3', 4, 'nonsense', 4);
  return { dir, files };
}

describe('dates', () => {
  it('keep their distance within a patient, and say nothing by themselves', async () => {
    const { dir, files } = await made();
    const corpus = join(dir, 'c');
    const { series } = await ingest([join(dir, 'in')], { corpus });
    const byPatient = new Map<string, Series[]>();
    for (const one of series) byPatient.set(one.patientId, [...(byPatient.get(one.patientId) ?? []), one]);
    const two = [...byPatient.values()]
      .find((all) => all.length === 2)!
      .map(({ date }) => date!)
      .sort();
    expect(days(two[0]!, two[1]!)).toBe(days('2011-07-07', '2012-03-01'));
    // The number of days, computed here: the first four bytes of an HMAC under the key, modulo 365, and one.
    const key = Buffer.from((await readFile(join(corpus, 'key'), 'utf8')).trim(), 'hex');
    const back = (id: string): number =>
      1 + (createHmac('sha256', key).update(`days:${id}`).digest().readUInt32BE(0) % 365);
    for (const { date, patientId } of series) {
      if (date === null) continue;
      const original = new Date(Date.parse(date) + back(patientId) * DAY).toISOString().slice(0, 10);
      expect(['2011-07-07', '2012-03-01']).toContain(original);
    }
    expect(series.filter(({ date }) => date === null)).toHaveLength(1);

    // Files of the same patient that are de-identified or exported get the same days.
    const tree = readTree(deidentifyDicom(await readFile(files[0]!), await readKey(corpus)), 'out');
    const dateIn = (t: typeof tree): string => t.text(t.nodes.find(({ tag }) => tag === 0x00080020)!);
    expect(dateIn(tree)).toBe(two[0]!.replaceAll('-', ''));
    const out = join(dir, 'out');
    await run('corpus', 'export', '--corpus', corpus, '--dicom', out);
    for (const { id, studyId, patientId, date } of series) {
      const bytes = await readFile(join(out, patientId, studyId, id, '00001.dcm'));
      expect(dateIn(readTree(bytes, 'out'))).toBe(date?.replaceAll('-', '') ?? '');
    }
  });

  it('are not kept with --no-dates', async () => {
    const { dir } = await made();
    const { stdout } = await run(
      'ingest',
      join(dir, 'in'),
      '--corpus',
      join(dir, 'c'),
      '--no-dates',
      '--json',
    );
    const { series } = JSON.parse(stdout) as { series: Series[] };
    expect(series.map(({ date }) => date)).toEqual([null, null, null, null]);
  });

  it('come from a sidecar where there is one', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'in'));
    for (const [n, day] of ['2015-03-01T09:10:11.5', '20150401', 'last week'].entries()) {
      await writeFile(
        join(dir, 'in', `scan${n}.nii`),
        writeNifti(image([40, 36, 8], n + 1), { gzip: false }),
      );
      await writeFile(join(dir, 'in', `scan${n}.json`), JSON.stringify({ AcquisitionDateTime: day }));
    }
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    const kept = series.map(({ date }) => date).filter((date) => date !== null);
    expect(kept).toHaveLength(2);
    for (const date of kept) expect(date).toMatch(/^201[45]-\d\d-\d\d$/);
    for (const date of kept) expect(['2015-03-01', '2015-04-01']).not.toContain(date);
  });
});
