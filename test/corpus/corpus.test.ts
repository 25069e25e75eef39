/** The corpus between and after ingests: interruptions, filters, and folders that are none. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { voxelsPath } from '../../src/corpus/corpus.js';
import { Corpus, CorpusError, ingest } from '../../src/corpus/index.js';
import { SeriesTable } from '../../src/corpus/table.js';
import { writeVoxels } from '../../src/corpus/voxels.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';

afterEach(() => vi.restoreAllMocks());

describe('interruptions', () => {
  it('shows nothing of a series whose row was never written, and stores it once later', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    await dicom(join(dir, 'in'));
    const put = vi.spyOn(SeriesTable.prototype, 'put').mockRejectedValue(new Error('power cut'));
    await expect(ingest([join(dir, 'in')], { corpus })).rejects.toThrow('power cut');
    put.mockRestore();
    expect((await filesUnder(join(corpus, 'voxels'))).length).toBeGreaterThan(0);
    await withCorpus(corpus, async (c) => expect(await c.list()).toEqual([]));

    const later = await ingest([join(dir, 'in')], { corpus });
    expect(later).toMatchObject({ added: 1, present: 0 });
    await withCorpus(corpus, async (c) => expect(await c.list()).toEqual(later.series));
  });

  it('removes voxels that no row points at', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    await dicom(join(dir, 'in'));
    const { series } = await ingest([join(dir, 'in')], { corpus });
    const orphan = join(corpus, voxelsPath('se-0123456789abcdef', 0));
    await writeVoxels(orphan, image());
    await mkdir(`${join(corpus, voxelsPath('se-1123456789abcdef', 0))}.tmp`, { recursive: true });
    await ingest([join(dir, 'in')], { corpus });
    const left = new Set(
      (await filesUnder(join(corpus, 'voxels'))).map((path) => /se-[0-9a-f]+/.exec(path)![0]),
    );
    expect([...left]).toEqual([series[0]!.id]);
  });

  it('stops after the series at hand, and a second run does the rest', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    for (const n of [1, 2, 3, 4]) await dicom(join(dir, 'in', String(n)), { seriesUid: newUid(`${n}`) });
    const controller = new AbortController();
    const first = await ingest([join(dir, 'in')], {
      corpus,
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase === 'store' && done === 2) controller.abort();
      },
    });
    expect(first).toMatchObject({ interrupted: true, added: 2 });
    await withCorpus(corpus, async (c) => expect(await c.list()).toEqual(first.series));
    const second = await ingest([join(dir, 'in')], { corpus });
    expect(second).toMatchObject({ interrupted: false, added: 2, present: 2 });
  });

  it('says so when the disk is full', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in'));
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    vi.spyOn(SeriesTable.prototype, 'put').mockRejectedValue(full);
    await expect(ingest([join(dir, 'in')], { corpus: join(dir, 'c') })).rejects.toThrow(/disk .* is full/);
  });

  it('lets one ingest at a time write', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    await dicom(join(dir, 'in'));
    await ingest([join(dir, 'in')], { corpus });
    const both = await Promise.allSettled([
      ingest([join(dir, 'in')], { corpus }),
      ingest([join(dir, 'in')], { corpus }),
    ]);
    const failed = both.filter((one) => one.status === 'rejected');
    expect(failed.length).toBeLessThanOrEqual(1);
    for (const one of failed) expect(String(one.reason)).toMatch(/one command at a time/);
    await withCorpus(corpus, async (c) => expect(await c.list()).toHaveLength(1));
  });
});

describe('Corpus', () => {
  it('filters with SQL', async () => {
    const dir = await folder();
    const add = (n: number, over: Parameters<typeof dicom>[1]): Promise<string[]> =>
      dicom(join(dir, 'in', String(n)), { seriesUid: newUid(`${n}`), studyUid: newUid(`st${n}`), ...over });
    await add(1, { bodyPart: 'PROSTATE' });
    await add(2, {
      bodyPart: 'KNEE',
      fieldStrengthT: 1.5,
      seriesDescription: 'pd_tse_sag',
      protocolName: 'pd',
    });
    await add(3, {
      bodyPart: 'BRAIN',
      fieldStrengthT: 1.5,
      seriesDescription: 't1_mprage',
      protocolName: 't1',
    });
    await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    await withCorpus(join(dir, 'c'), async (corpus) => {
      const parts = async (where: string): Promise<string[]> =>
        (await corpus.list({ where })).map(({ bodyPart }) => bodyPart).sort();
      expect(await parts("bodyPart = 'PROSTATE'")).toEqual(['PROSTATE']);
      expect(await parts('fieldStrengthT < 2')).toEqual(['BRAIN', 'KNEE']);
      expect(await parts("contrast IN ('T1w', 'T2w') AND plane = 'axial'")).toEqual(['BRAIN', 'PROSTATE']);
      expect(await parts("array_has(use, 'evaluate')")).toHaveLength(3);
      expect(await parts("array_has(use, 'serve')")).toEqual([]);
      expect(await corpus.list({ limit: 2 })).toHaveLength(2);
      for (const where of ["bodyPrt = 'X'", 'bodyPart = ', 'bodyPart', 'bodyPart = 3'])
        await expect(corpus.list({ where })).rejects.toThrow(/columns are id \(text\).*bodyPart/);
      await expect(corpus.list({ where: 'x = 1' })).rejects.toThrow(CorpusError);
      await expect(corpus.get("x' OR 'a' = 'a")).rejects.toThrow(/must have the series/);
      await expect(corpus.volume('se-0')).rejects.toThrow(CorpusError);
    });
  });

  it('opens only a corpus, and is made only where nothing else is', async () => {
    const dir = await folder();
    await expect(Corpus.open(dir)).rejects.toThrow(/must be a corpus.*precess ingest/);
    await writeFile(join(dir, 'thesis.doc'), 'x');
    await expect(Corpus.create(dir)).rejects.toThrow(/must be new or empty/);
    await expect(ingest([dir], { corpus: dir })).rejects.toThrow(CorpusError);
    await expect(ingest([join(dir, 'nowhere')], { corpus: join(dir, 'c') })).rejects.toThrow(
      /check the path/,
    );
    await mkdir(join(dir, 'empty'));
    await expect(ingest([join(dir, 'empty')], { corpus: join(dir, 'c') })).rejects.toThrow(/none in/);
    const made = await Corpus.create(join(dir, 'new'));
    expect(await made.list()).toEqual([]);
    made.close();
    await writeFile(join(dir, 'new', 'corpus.json'), '{"format":"precess-corpus","version":99}');
    await expect(Corpus.open(join(dir, 'new'))).rejects.toThrow(/version 2, got 99; update/);
    await writeFile(join(dir, 'new', 'corpus.json'), '{"format":"precess-corpus","version":1}');
    await expect(Corpus.open(join(dir, 'new'))).rejects.toThrow(
      /got 1; ingest its sources into a new corpus/,
    );
  });

  it('says what to do when voxels are gone', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in'));
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    await rm(join(dir, 'c', 'voxels'), { recursive: true });
    await withCorpus(join(dir, 'c'), async (c) =>
      expect(c.volume(series[0]!.id)).rejects.toThrow(/ingest its source again/),
    );
  });
});
