/** `corpus withdraw`: afterwards no file of the corpus holds anything of what was withdrawn, and all else is as before. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from '@lancedb/lancedb';
import { describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/cli/shared.js';
import { ingest, readAudit, registerRun, SeenSet, type Series } from '../../src/corpus/index.js';
import { lock } from '../../src/corpus/lock.js';
import { SeriesTable } from '../../src/corpus/table.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { NO_PROVENANCE } from '../../src/models/provenance.js';
import { modelConfig } from '../../src/models/sizes.js';
import { PROMPTS } from '../../src/tasks/prompts.js';
import { run, written } from './command.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';

/** Three patients of one series each and P-2 with a second, with an index as `precess index` lays it out. */
async function made(dir: string): Promise<{ corpus: string; series: Series[] }> {
  const corpus = join(dir, 'c');
  const kinds = [
    ['P-1', 'KNEE', 'a'],
    ['P-2', 'PROSTATE', 'a'],
    ['P-2', 'BRAIN', 'b'],
    ['P-3', 'KNEE', 'b'],
  ] as const;
  for (const [n, [patientId, bodyPart, source]] of kinds.entries())
    await dicom(
      join(dir, source, String(n)),
      { patientId, bodyPart, seriesUid: newUid(`s${n}`), studyUid: newUid(`st${n}`) },
      image([40, 36, 4], n + 1),
    );
  await ingest([join(dir, 'a')], { corpus });
  const { series } = await ingest([join(dir, 'b')], { corpus });
  const all = await withCorpus(corpus, (c) => c.list());
  expect(series.length + 2).toBe(all.length);
  const db = await connect(join(corpus, 'index'));
  await db.createTable(
    'images',
    all.map(({ id }, n) => ({ id, vector: [n, 1, 0.5] })),
  );
  const texts = [...new Set([...all.map(({ text }) => text), PROMPTS[0]!, "a patient's knee"])];
  await db.createTable(
    'texts',
    texts.map((text, n) => ({ text, vector: [n, 2, 0.5] })),
  );
  db.close();
  return { corpus, series: all };
}

async function indexed(corpus: string, table: 'images' | 'texts', column: string): Promise<unknown[]> {
  const db = await connect(join(corpus, 'index'));
  const rows = (await (await db.openTable(table)).query().toArray()) as Record<string, unknown>[];
  db.close();
  return rows.map((row) => row[column]).sort();
}

/** Paths and contents of all files of the corpus that hold `text`. */
async function holding(corpus: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const path of await filesUnder(corpus))
    if (path.includes(text) || (await readFile(path)).includes(text)) found.push(path);
  return found;
}

const of = (series: readonly Series[], bodyPart: string): Series =>
  series.find((one) => one.bodyPart === bodyPart)!;

describe('corpus withdraw', () => {
  it('removes every trace of a patient named by the DICOM Patient ID, and nothing else', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const gone = [of(series, 'PROSTATE'), of(series, 'BRAIN')];
    const kept = series.filter(({ id }) => gone.every((one) => one.id !== id));
    for (const one of gone) expect((await holding(corpus, one.text)).length).toBeGreaterThanOrEqual(2);
    const before = await withCorpus(corpus, (c) => Promise.all(kept.map(({ id }) => c.volume(id))));

    const { stdout } = await run(
      'corpus',
      'withdraw',
      '--patient',
      'P-2',
      '--corpus',
      corpus,
      '--yes',
      '--json',
    );
    expect(JSON.parse(stdout)).toMatchObject({
      removed: gone.map(({ id }) => id).sort(),
      vectors: 2,
      indexedTexts: 2,
      runs: [],
      note: expect.stringMatching(/models trained before this still saw/) as string,
    });
    for (const one of gone)
      for (const trace of [one.id, one.text, one.patientId])
        expect(await holding(corpus, trace), trace).toEqual([]);
    await withCorpus(corpus, async (c) => {
      expect(await c.list()).toEqual(kept);
      expect(await Promise.all(kept.map(({ id }) => c.volume(id)))).toEqual(before);
    });
    expect(await indexed(corpus, 'images', 'id')).toEqual(kept.map(({ id }) => id).sort());
    const texts = new Set([...kept.map(({ text }) => text), PROMPTS[0]!, "a patient's knee"]);
    expect(await indexed(corpus, 'texts', 'text')).toEqual([...texts].sort());
    expect(existsSync(join(corpus, 'lock'))).toBe(false);
  });

  it('names the training runs that saw what was withdrawn, and logs it without naming whom', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const gone = series.filter(({ bodyPart }) => ['PROSTATE', 'BRAIN'].includes(bodyPart));
    const register = (n: number, label: string, ids: string[]): Promise<boolean> =>
      registerRun(corpus, {
        ...{ id: `run-000000000000000${n}`, kind: 'pretrain', label, base: [], sources: [], resumed: false },
        ...{ series: ids.length, seen: SeenSet.of(ids).toString() },
      });
    await register(
      1,
      'all',
      series.map(({ id }) => id),
    );
    await register(
      2,
      'knees',
      series.filter((one) => !gone.includes(one)).map(({ id }) => id),
    );
    await register(3, 'brains', [of(series, 'BRAIN').id]);
    const args = ['--patient', 'P-2', '--corpus', corpus, '--yes', '--operator', 'Dr. Data'];
    const { stdout, stderr } = await run('corpus', 'withdraw', ...args, '--json');
    expect(stderr).toBe('');
    const { runs } = JSON.parse(stdout) as { runs: unknown };
    expect(runs).toMatchObject([
      { run: 'run-0000000000000001', labels: ['all'], saw: 2 },
      { run: 'run-0000000000000003', labels: ['brains'], saw: 1 },
    ]);
    const { entries, findings } = await readAudit(corpus);
    expect(findings).toEqual([]);
    const [began, ended] = entries.slice(-2);
    expect([began!.action, ended!.action]).toEqual(['withdraw', 'withdrawn']);
    expect(ended).toMatchObject({
      operator: 'Dr. Data',
      detail: {
        by: 'patient',
        series: 2,
        runs: [
          { run: 'run-0000000000000001', saw: 2 },
          { run: 'run-0000000000000003', saw: 1 },
        ],
      },
    });
    for (const { id, patientId } of gone)
      for (const trace of [id, patientId, 'P-2']) expect(await holding(corpus, trace), trace).toEqual([]);
    // Who knows the Patient ID finds the withdrawal, another's does not.
    const asked = async (patient: string): Promise<number> => {
      const audit = await run('corpus', 'audit', '--corpus', corpus, '--patient', patient, '--json');
      return (JSON.parse(audit.stdout) as { entries: unknown[] }).entries.length;
    };
    expect([await asked('P-2'), await asked(gone[0]!.patientId), await asked('P-1')]).toEqual([2, 2, 0]);
  });

  it('looks into the model of the index and into models that are named, registered or not', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const [one, ...others] = series as [Series, ...Series[]];
    const model = async (path: string, ids: string[]): Promise<void> => {
      const provenance = { ...NO_PROVENANCE, series: ids.length, seen: SeenSet.of(ids).toString() };
      await writeModel(path, { ...newModel(modelConfig('nano'), 1), provenance });
    };
    await model(
      join(corpus, 'index', 'model.safetensors'),
      series.map(({ id }) => id),
    );
    await model(join(dir, 'with.safetensors'), [one.id, others[0]!.id]);
    await model(
      join(dir, 'without.safetensors'),
      others.map(({ id }) => id),
    );
    const args = ['corpus', 'withdraw', '--id', one.id, '--corpus', corpus, '--yes', '--json'];
    await expect(run(...args, '--models', join(dir, 'nowhere'))).rejects.toThrow(/nowhere does not exist/);
    expect(await withCorpus(corpus, (c) => c.list())).toEqual(series);
    const named = ['with', 'without'].map((name) => join(dir, `${name}.safetensors`));
    const { stdout } = await run(...args, '--models', ...named);
    expect(JSON.parse(stdout)).toMatchObject({
      indexModelSaw: 1,
      models: [
        { path: named[0], saw: 1 },
        { path: named[1], saw: 0 },
      ],
    });
    expect(await holding(corpus, one.id)).toEqual([]);
  });

  it('keeps a text that another series has too', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const [one, other] = series.filter(({ bodyPart }) => bodyPart === 'KNEE');
    await withCorpus(corpus, async (c) => {
      const row = (await c.table.rows()).find((stored) => stored.series.id === other!.id)!;
      await c.table.put([{ ...row, series: { ...row.series, text: one!.text } }]);
    });
    await run('corpus', 'withdraw', '--id', one!.id, '--corpus', corpus, '--yes');
    expect(await indexed(corpus, 'texts', 'text')).toContain(one!.text);
    expect(await indexed(corpus, 'images', 'id')).not.toContain(one!.id);
    expect(written.stdout).toBe(`${one!.id}\n`);
    expect(written.stderr).toMatch(
      /removed 1 series of 1 patient, .* 1 vectors and 0 texts\nno registered training run.*\n.*still saw/,
    );
  });

  it('removes a source, and an index that nothing is left of', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const sources = [...new Set(series.map(({ source }) => source))];
    expect(sources).toHaveLength(2);
    await mkdir(join(corpus, '.index.old'));
    await writeFile(join(corpus, '.index.old', 'vectors'), 'x');
    await run('corpus', 'withdraw', '--source', sources[0]!, '--corpus', corpus, '--yes');
    expect(existsSync(join(corpus, '.index.old'))).toBe(false);
    const left = series.filter(({ source }) => source === sources[1]);
    expect(await withCorpus(corpus, (c) => c.list())).toEqual(left);
    await run('corpus', 'withdraw', '--source', sources[1]!, '--corpus', corpus, '--yes');
    expect(await withCorpus(corpus, (c) => c.list())).toEqual([]);
    expect(existsSync(join(corpus, 'index'))).toBe(false);
    expect(await filesUnder(join(corpus, 'voxels'))).toEqual([]);
    // An emptied corpus takes series in again, under the same ids.
    const again = await ingest([join(dir, 'a')], { corpus });
    expect(again.added).toBe(2);
    for (const one of again.series) expect(series).toContainEqual(one);
  });

  it('is completed by the same command after it was cut off', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const { id, text } = of(series, 'BRAIN');
    const args = ['corpus', 'withdraw', '--id', id, '--corpus', corpus, '--yes'];
    const erase = vi.spyOn(SeriesTable.prototype, 'erase').mockRejectedValue(new Error('power cut'));
    await expect(run(...args)).rejects.toThrow('power cut');
    erase.mockRestore();
    await run(...args);
    expect(await holding(corpus, id)).toEqual([]);
    expect(await holding(corpus, text)).toEqual([]);
  });

  it('asks for --yes without a terminal, for one kind of name, and for a match', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir);
    const id = series[0]!.id;
    const tty = process.stdin.isTTY;
    process.stdin.isTTY = false;
    try {
      await expect(run('corpus', 'withdraw', '--id', id, '--corpus', corpus)).rejects.toThrow(UsageError);
    } finally {
      process.stdin.isTTY = tty;
    }
    for (const what of [[], ['--id', id, '--source', 'so-1'], ['--patient', ' ']])
      await expect(run('corpus', 'withdraw', ...what, '--corpus', corpus, '--yes')).rejects.toThrow(
        UsageError,
      );
    await expect(
      run('corpus', 'withdraw', '--patient', 'Secret^Name', '--corpus', corpus, '--yes'),
    ).rejects.toThrow(/^(?!.*Secret).*must match, got none/);
    const unlock = await lock(corpus);
    await expect(run('corpus', 'withdraw', '--id', id, '--corpus', corpus, '--yes')).rejects.toThrow(
      /withdraw: one command at a time may write/,
    );
    await unlock();
    expect(await withCorpus(corpus, (c) => c.list())).toEqual(series);
  });
});
