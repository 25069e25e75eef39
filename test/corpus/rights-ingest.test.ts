/** Rights at ingest, and what the audit log tells of it. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/shared.js';
import { AUDIT_FILE } from '../../src/corpus/audit.js';
import {
  CorpusError,
  ingest,
  parseRights,
  readAudit,
  readLedger,
  type Rights,
} from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { run } from './command.js';
import { dicom, folder, image, withCorpus } from './made.js';

const SECRET = { patientId: 'PID-7734501', patientName: 'Zworykinova^Vladlena' };

/** Two folders of a series each. */
async function made(): Promise<{ dir: string; corpus: string; knee: string; spine: string }> {
  const dir = await folder();
  const [knee, spine] = [join(dir, 'knee'), join(dir, 'spine')];
  await dicom(knee, { ...SECRET, bodyPart: 'KNEE', seriesUid: newUid('k'), studyUid: newUid('K') });
  await dicom(
    spine,
    { bodyPart: 'SPINE', seriesUid: newUid('s'), studyUid: newUid('S') },
    image([40, 36, 8], 2),
  );
  return { dir, corpus: join(dir, 'c'), knee, spine };
}

/** Body part → rights. */
async function rightsIn(corpus: string): Promise<Record<string, Rights>> {
  const rows = await withCorpus(corpus, (c) => c.list());
  return Object.fromEntries(rows.map(({ bodyPart, rights }) => [bodyPart, rights]));
}

describe('ingest --rights', () => {
  it('takes expiry, reference and attribution', async () => {
    const { corpus, knee } = await made();
    const given = ['--rights', 'DUA 12:train,evaluate', '--rights-expires', '2031-01-31'];
    const more = ['--rights-reference', 'contract 7', '--attribution', 'Site A'];
    await run('ingest', knee, '--corpus', corpus, ...given, ...more);
    expect((await rightsIn(corpus)).KNEE).toEqual({
      licence: 'DUA 12',
      use: ['train', 'evaluate'],
      reference: 'contract 7',
      expires: '2031-01-31',
      attribution: 'Site A',
    });
  });

  it('takes entries by source from a file; the others have the default, and nothing is taken back later', async () => {
    const { dir, corpus, knee, spine } = await made();
    const file = join(dir, 'rights.json');
    await writeFile(file, '{"sources": {"knee": {"licence": "MIT", "use": ["train", "serve"]}}}');
    await run('ingest', knee, spine, '--corpus', corpus, '--rights', file);
    const { KNEE, ...others } = await rightsIn(corpus);
    expect(KNEE).toMatchObject({ licence: 'MIT', use: ['train', 'serve'] });
    expect(Object.values(others)).toMatchObject([{ licence: 'unspecified', use: ['evaluate'] }]);
    await run('ingest', knee, spine, '--corpus', corpus);
    expect((await rightsIn(corpus)).KNEE).toEqual(KNEE);
    expect(await withCorpus(corpus, (c) => readLedger(c))).toHaveLength(2);
  });

  it('keeps the rights of a series that comes back with more slices', async () => {
    const { dir, corpus, knee } = await made();
    const last = join(knee, 'away.dcm');
    const files = await dicom(knee, {
      ...SECRET,
      bodyPart: 'KNEE',
      seriesUid: newUid('k'),
      studyUid: newUid('K'),
    });
    await rename(files.at(-1)!, join(dir, 'away.dcm'));
    const rights = parseRights('DUA 12:train');
    await ingest([knee], { corpus, rights });
    await rename(join(dir, 'away.dcm'), last);
    const { replaced } = await ingest([knee], { corpus });
    expect(replaced).toBe(1);
    expect((await rightsIn(corpus)).KNEE).toEqual(rights);
  });

  it('refuses an entry for a source that there is not, and stores nothing', async () => {
    const { corpus, knee } = await made();
    const rights = { sources: new Map([['spnie', parseRights('MIT:train')]]) };
    await expect(ingest([knee], { corpus, rights })).rejects.toThrow(CorpusError);
    await expect(ingest([knee], { corpus, rights })).rejects.toThrow(/sources "knee", got "spnie"/);
    expect(await rightsIn(corpus)).toEqual({});
  });

  it('tells wrong usage', async () => {
    const { dir, corpus, knee } = await made();
    await writeFile(join(dir, 'bad.json'), '{"licence": "MIT"}');
    for (const args of [
      ['--rights-expires', '2031-01-31'],
      ['--rights', 'MIT:train', '--rights-expires', '31.01.2031'],
      ['--rights', join(dir, 'none.json')],
      ['--rights', join(dir, 'bad.json')],
    ])
      await expect(run('ingest', knee, '--corpus', corpus, ...args), args.join(' ')).rejects.toThrow(
        UsageError,
      );
  });
});

describe('the audit log of an ingest', () => {
  it('tells its beginning and end, with sources, rights and counts, and nothing of a person', async () => {
    const { dir, corpus, knee, spine } = await made();
    const rights = parseRights('DUA 12:train');
    const { series } = await ingest([knee, spine], { corpus, rights, operator: 'Dr. Data' });
    await ingest([knee], { corpus });
    const { entries, findings } = await readAudit(corpus);
    expect(findings).toEqual([]);
    expect(entries.map(({ action, operator }) => [action, operator])).toEqual([
      ['create', null],
      ['ingest', 'Dr. Data'],
      ['ingested', 'Dr. Data'],
      ['ingest', null],
      ['ingested', null],
    ]);
    const sources = [...new Set(series.map(({ source }) => source))].sort();
    const [began, ended] = [entries[1]!.detail, entries[2]!.detail];
    expect((began.sources as { source: string }[]).map(({ source }) => source).sort()).toEqual(sources);
    expect((began.sources as { rights: Rights }[])[0]!.rights).toEqual(rights);
    expect(ended).toMatchObject({ added: 2, replaced: 0, present: 0, skipped: 0, interrupted: false });
    expect(entries[4]!.detail).toMatchObject({ added: 0, present: 1 });
    const text = await readFile(join(corpus, AUDIT_FILE), 'utf8');
    const [family, given] = SECRET.patientName.split('^');
    const traces = [dir, 'knee', SECRET.patientId, family!, given!];
    for (const { id, patientId, studyId } of series) traces.push(id, patientId, studyId);
    for (const trace of traces) expect(text, trace).not.toContain(trace);
  });
});
