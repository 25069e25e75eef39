/** The commands `corpus rights` and `corpus audit`. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CliError, UsageError } from '../../src/cli/shared.js';
import { type Audit, AUDIT_FILE } from '../../src/corpus/audit.js';
import { ingest, type LedgerEntry, type Series } from '../../src/corpus/index.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { run, written } from './command.js';
import { dicom, folder, withCorpus } from './made.js';

async function made(): Promise<{ dir: string; corpus: string; series: Series }> {
  const dir = await folder();
  const corpus = join(dir, 'c');
  await dicom(join(dir, 'in'));
  const { series } = await ingest([join(dir, 'in')], { corpus });
  return { dir, corpus, series: series[0]! };
}

const rightsOf = async (corpus: string): Promise<Series['rights']> =>
  (await withCorpus(corpus, (c) => c.list()))[0]!.rights;
const audited = async (corpus: string): Promise<Audit> => {
  await run('corpus', 'audit', '--corpus', corpus, '--json');
  return JSON.parse(written.stdout) as Audit;
};

describe('precess corpus rights', () => {
  it('shows the ledger, and changes all or a part of a source', async () => {
    const { corpus, series } = await made();
    const set = (...more: string[]) =>
      run('corpus', 'rights', 'set', '--corpus', corpus, '--source', series.source, ...more);
    const shown = async (): Promise<string> => (await run('corpus', 'rights', '--corpus', corpus)).stdout;
    expect(await shown()).toBe(`${series.source}  1 series  1 patient  unspecified: evaluate\n`);
    await set(
      ...['--rights', 'DUA 12:train,evaluate', '--rights-expires', '2999-01-31'],
      ...['--rights-reference', 'contract 7', '--attribution', 'Site A', '--operator', 'Dr. Data'],
    );
    expect(await shown()).toBe(
      `${series.source}  1 series  1 patient  DUA 12: train, evaluate  until 2999-01-31  by contract 7  attribution: Site A\n`,
    );
    await set('--rights-expires', '2001-01-31', '--attribution', 'none');
    expect(await rightsOf(corpus)).toEqual({
      licence: 'DUA 12',
      use: ['train', 'evaluate'],
      reference: 'contract 7',
      expires: '2001-01-31',
      attribution: null,
    });
    expect(await shown()).toMatch(/EXPIRED\n$/);
    const { stdout } = await run('corpus', 'rights', '--corpus', corpus, '--json');
    const { ledger, runs } = JSON.parse(stdout) as { ledger: LedgerEntry[]; runs: unknown[] };
    expect(ledger).toHaveLength(1);
    expect(runs).toEqual([]);
    const { entries } = await audited(corpus);
    expect(entries.filter(({ action }) => action === 'rights').map(({ operator }) => operator)).toEqual([
      'Dr. Data',
      null,
    ]);
  });

  it('takes a ledger entry from a file', async () => {
    const { dir, corpus, series } = await made();
    const file = join(dir, 'rights.json');
    const set = (...more: string[]) =>
      run(
        'corpus',
        'rights',
        'set',
        '--corpus',
        corpus,
        '--source',
        series.source,
        '--rights',
        file,
        ...more,
      );
    await writeFile(file, '{"licence": "MIT", "use": ["serve"], "attribution": "Site B"}');
    await set();
    const expected = {
      licence: 'MIT',
      use: ['serve'],
      reference: null,
      expires: null,
      attribution: 'Site B',
    };
    expect(await rightsOf(corpus)).toEqual(expected);
    await expect(set('--attribution', 'x')).rejects.toThrow(/file says everything/);
    await writeFile(file, '{"sources": {"in": {"licence": "MIT", "use": []}}}');
    await expect(set()).rejects.toThrow(/one ledger entry, got entries by source/);
    expect(await rightsOf(corpus)).toEqual(expected);
  });

  it('tells wrong usage', async () => {
    const { corpus, series } = await made();
    const source = ['--source', series.source];
    for (const args of [
      ['rights'],
      ['rights', '--corpus', corpus, '--model', 'm'],
      ['rights', 'set', '--corpus', corpus, ...source],
      ['rights', 'set', '--corpus', corpus, ...source, '--rights', 'CC BY'],
      ['rights', 'set', '--corpus', corpus, ...source, '--rights', 'nowhere.json'],
      ['rights', 'set', '--corpus', corpus, ...source, '--rights-expires', '2026-02-30'],
    ])
      await expect(run('corpus', ...args), args.join(' ')).rejects.toThrow(UsageError);
    expect((await rightsOf(corpus)).licence).toBe('unspecified');
  });

  it('says of a model what it learnt from and whether it may be shared', async () => {
    const dir = await folder();
    const model = newModel(modelConfig('nano'), 1);
    const site = { licence: 'DUA 12', use: ['train'], reference: null, expires: null, attribution: 'Site A' };
    const provenance = {
      runs: [{ id: 'run-1', kind: 'pretrain' }],
      sources: [{ source: 'so-1', ...site, series: 7 }],
      series: 7,
      seen: '',
    };
    await writeModel(join(dir, 'model.safetensors'), { ...model, provenance });
    const { stdout, stderr } = await run('corpus', 'rights', '--model', dir);
    expect(stdout).toBe('so-1  7 series  DUA 12: train  attribution: Site A\nrun-1  pretrain\n');
    expect(stderr).toMatch(/7 series of 1 sources; its weights may not be shared/);
  });
});

describe('precess corpus audit', () => {
  it('lists and verifies the log', async () => {
    const { corpus } = await made();
    const { stdout, stderr } = await run('corpus', 'audit', '--corpus', corpus);
    expect(stdout).toMatch(/^0 {2}20\d\d-.*Z {2}create {2}version/);
    expect(stderr).toMatch(/entries, verified; head [0-9a-f]{64}\n$/);
    const { findings, head } = await audited(corpus);
    expect(findings).toEqual([]);
    expect(stderr).toContain(head);
  });

  it('fails where an entry was changed, and still lists all', async () => {
    const { corpus } = await made();
    const path = join(corpus, AUDIT_FILE);
    await writeFile(path, (await readFile(path, 'utf8')).replace('"version":', '"Version":'));
    await expect(run('corpus', 'audit', '--corpus', corpus)).rejects.toThrow(CliError);
    expect(written.stdout).toMatch(/^0 .*create {2}Version/);
    expect(written.stderr).toMatch(/broken: entry 0 \(line 1\) was changed/);
  });
});
