/** The ledger and the registered runs of a corpus. */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ingest,
  readAudit,
  readLedger,
  readRuns,
  registerRun,
  type Rights,
  runsThatSaw,
  SeenSet,
  type Series,
  setRights,
} from '../../src/corpus/index.js';
import { lock } from '../../src/corpus/lock.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { dicom, folder, image, withCorpus } from './made.js';

const rights: Rights = {
  licence: 'DUA 12',
  use: ['train', 'evaluate'],
  reference: 'contract 7',
  expires: '2031-01-31',
  attribution: 'Site A',
};

/** Two series of one patient in source "a", one in source "b". */
async function made(): Promise<{ corpus: string; series: Series[]; sources: { a: string; b: string } }> {
  const dir = await folder();
  const corpus = join(dir, 'c');
  for (const [n, [source, patientId]] of [
    ['a', 'P-1'],
    ['a', 'P-1'],
    ['b', 'P-2'],
  ].entries())
    await dicom(
      join(dir, source!, String(n)),
      { patientId: patientId!, seriesUid: newUid(`s${n}`), studyUid: newUid(`st${n}`) },
      image([40, 36, 4], n + 1),
    );
  const a = await ingest([join(dir, 'a')], { corpus, rights });
  const b = await ingest([join(dir, 'b')], { corpus });
  const sources = { a: a.series[0]!.source, b: b.series[0]!.source };
  return { corpus, series: [...a.series, ...b.series], sources };
}

describe('the ledger', () => {
  it('shows the rights by source', async () => {
    const { corpus, sources } = await made();
    const on = (day: string) => withCorpus(corpus, (c) => readLedger(c, new Date(`${day}T08:00:00Z`)));
    const ledger = await on('2031-01-31');
    expect(ledger).toEqual([
      { source: sources.a, rights, series: 2, patients: 1, expired: false, quarantined: 0 },
      {
        source: sources.b,
        rights: {
          licence: 'unspecified',
          use: ['evaluate'],
          reference: null,
          expires: null,
          attribution: null,
        },
        series: 1,
        patients: 1,
        expired: false,
        quarantined: 0,
      },
    ]);
    expect((await on('2031-02-01')).map(({ expired }) => expired)).toEqual([true, false]);
  });

  it('changes the rows of one source, what is given of them only, and writes it into the audit log', async () => {
    const { corpus, sources } = await made();
    const change = { use: ['evaluate'], expires: null };
    const count = await withCorpus(corpus, (c) => setRights(c, sources.a, change, 'Dr. Data'));
    expect(count).toBe(2);
    const rows = await withCorpus(corpus, (c) => c.list());
    for (const row of rows.filter(({ source }) => source === sources.a))
      expect(row.rights).toEqual({ ...rights, ...change });
    expect(rows.find(({ source }) => source === sources.b)!.rights.licence).toBe('unspecified');
    const { entries, findings } = await readAudit(corpus);
    expect(findings).toEqual([]);
    expect(entries.at(-1)).toMatchObject({
      action: 'rights',
      operator: 'Dr. Data',
      detail: { source: sources.a, series: 2, before: [rights], change },
    });
  });

  it('refuses an unknown source, wrong rights, and a second writer, and then changes nothing', async () => {
    const { corpus, series, sources } = await made();
    const set = (source: string, change: object) => withCorpus(corpus, (c) => setRights(c, source, change));
    await expect(set('so-0', { use: [] })).rejects.toThrow(/must have the source, got "so-0"/);
    await expect(set(sources.a, { use: ['fly'] })).rejects.toThrow(/rights: use/);
    const unlock = await lock(corpus);
    await expect(set(sources.a, { use: [] })).rejects.toThrow(/rights: one command at a time/);
    await unlock();
    const byId = (a: Series, b: Series): number => (a.id < b.id ? -1 : 1);
    expect(await withCorpus(corpus, (c) => c.list())).toEqual([...series].sort(byId));
    expect((await readAudit(corpus)).entries.map(({ action }) => action)).not.toContain('rights');
  });
});

describe('SeenSet', () => {
  it('knows its members and no others, through text and union', () => {
    const ids = fc.uniqueArray(fc.string(), { maxLength: 50 });
    fc.assert(
      fc.property(ids, ids, (some, more) => {
        const set = SeenSet.parse(SeenSet.of(some).union(SeenSet.of(more)).toString());
        const all = new Set([...some, ...more]);
        expect(set.size).toBe(all.size);
        for (const id of all) expect(set.has(id)).toBe(true);
        expect(set.has(`${[...all].join()}x`)).toBe(false);
      }),
    );
  });

  it('holds 8 bytes of SHA-256 an id, in order', () => {
    const of = (id: string): string =>
      createHash('sha256').update(`precess seen ${id}`).digest().subarray(0, 8).toString('hex');
    const text = SeenSet.of(['se-1', 'se-2', 'se-3']).toString();
    expect(Buffer.from(text, 'base64').toString('hex')).toBe(
      ['se-1', 'se-2', 'se-3'].map(of).sort().join(''),
    );
  });
});

describe('registered runs', () => {
  const run = (id: string, label: string, ids: string[]) => ({
    id,
    kind: 'pretrain',
    label,
    base: [],
    series: ids.length,
    seen: SeenSet.of(ids).toString(),
    sources: [{ source: 'so-1', licence: 'CC BY', series: ids.length }],
    resumed: false,
  });

  it('are found by the series that they saw', async () => {
    const { corpus } = await made();
    const [one, two] = ['run-0000000000000001', 'run-0000000000000002'];
    expect(await registerRun(corpus, run(one, 'pre', ['se-1', 'se-2']))).toBe(true);
    expect(await registerRun(corpus, run(two, 'other', ['se-2', 'se-3']))).toBe(true);
    // The same run once more, in another folder.
    expect(await registerRun(corpus, run(one, 'again', ['se-1', 'se-2']))).toBe(true);
    const saw = async (...ids: string[]) =>
      (await runsThatSaw(corpus, ids)).map(({ run: { id }, saw: count }) => [id, count]);
    expect(await saw('se-1')).toEqual([[one, 1]]);
    expect(await saw('se-1', 'se-2', 'se-9')).toEqual([
      [one, 2],
      [two, 1],
    ]);
    expect(await saw('se-9')).toEqual([]);
    expect((await readRuns(corpus)).map(({ labels }) => labels)).toEqual([['pre', 'again'], ['other']]);
    expect((await readdir(join(corpus, 'runs'))).sort()).toEqual([`${one}.json`, `${two}.json`]);
    const { entries, findings } = await readAudit(corpus);
    expect(findings).toEqual([]);
    expect(entries.filter(({ action }) => action === 'train')).toHaveLength(3);
  });
});
