/** `corpus export`: files that a NIfTI reader gets the same voxels from, complete, and never over others. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { exportNifti, ingest, type Series, seriesSchema } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { run } from './command.js';
import { dicom, folder, image, withCorpus } from './made.js';

async function made(dir: string, count: number): Promise<{ corpus: string; series: Series[] }> {
  const corpus = join(dir, 'c');
  for (let n = 0; n < count; n++)
    await dicom(
      join(dir, 'in', String(n)),
      { seriesUid: newUid(`s${n}`), bodyPart: n === 0 ? 'KNEE' : 'PROSTATE' },
      image([40, 36, 8], n + 1),
    );
  const { series } = await ingest([join(dir, 'in')], { corpus });
  return { corpus, series };
}

describe('corpus export', () => {
  it('writes the voxels, the geometry and every field of the row', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir, 2);
    const out = join(dir, 'out');
    const { stdout } = await run('corpus', 'export', '--corpus', corpus, '--nifti', out, '--json');
    expect(JSON.parse(stdout)).toEqual({
      written: series.map(({ id }) => id),
      failed: [],
      interrupted: false,
    });
    expect((await readdir(out)).sort()).toEqual(
      series.flatMap(({ id }) => [`${id}.json`, `${id}.nii.gz`]).sort(),
    );
    const originals = [1, 2].map((seed) => digest(image([40, 36, 8], seed).data));
    const exported: string[] = [];
    for (const one of series) {
      const file = gunzipSync(await readFile(join(out, `${one.id}.nii.gz`)));
      // NIfTI-1: dim at 40, datatype at 70, sform rows at 280, voxels from vox_offset (float at 108).
      expect([1, 2, 3].map((n) => file.readInt16LE(40 + 2 * n))).toEqual([40, 36, 8]);
      for (let n = 0; n < 12; n++)
        expect(file.readFloatLE(280 + 4 * n)).toBeCloseTo(one.affine.flat()[n]!, 4);
      const voxels = file.subarray(file.readFloatLE(108));
      expect(voxels.length).toBe(2 * 40 * 36 * 8);
      exported.push(digest(voxels));
      const sidecar: unknown = JSON.parse(await readFile(join(out, `${one.id}.json`), 'utf8'));
      expect(seriesSchema.parse(sidecar)).toEqual(one);
    }
    expect(exported.sort()).toEqual(originals.sort());
  });

  it('writes a missing slice as NaN', async () => {
    const dir = await folder();
    const files = await dicom(join(dir, 'in'));
    await rm(files[3]!);
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(series[0]!.missingSlices).toEqual([3]);
    await run('corpus', 'export', series[0]!.id, '--corpus', join(dir, 'c'), '--nifti', join(dir, 'out'));
    const file = gunzipSync(await readFile(join(dir, 'out', `${series[0]!.id}.nii.gz`)));
    expect(file.readInt16LE(70)).toBe(16);
    const at = (k: number): number => file.readFloatLE(file.readFloatLE(108) + 4 * 40 * 36 * k);
    expect([2, 3, 4].map((k) => Number.isNaN(at(k)))).toEqual([false, true, false]);
  });

  it('takes ids and filters, and says when nothing is left', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir, 3);
    const to = ['--corpus', corpus, '--nifti', join(dir, 'out')];
    const knee = series.find(({ bodyPart }) => bodyPart === 'KNEE')!;
    const other = series.find(({ bodyPart }) => bodyPart !== 'KNEE')!;
    await run('corpus', 'export', ...to, '--where', "bodyPart = 'KNEE'");
    expect((await readdir(join(dir, 'out'))).sort()).toEqual([`${knee.id}.json`, `${knee.id}.nii.gz`]);
    await expect(run('corpus', 'export', other.id, ...to, '--where', "bodyPart = 'KNEE'")).rejects.toThrow(
      /at least one series must be selected, got none/,
    );
    await expect(run('corpus', 'export', 'se-nowhere', ...to)).rejects.toThrow(/must have the series/);
  });

  it('leaves out what may not be evaluated, naming it, and fails where nothing is left', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir, 2);
    const [kept, refused] = series as [Series, Series];
    const forbid = (id: string): Promise<void> =>
      withCorpus(corpus, async (c) => {
        const row = (await c.table.rows()).find((one) => one.series.id === id)!;
        const rights = { ...row.series.rights, use: ['train'] };
        await c.table.put([{ ...row, series: { ...row.series, rights } }]);
      });
    await forbid(refused.id);
    const out = join(dir, 'out');
    const { stderr } = await run('corpus', 'export', '--corpus', corpus, '--nifti', out);
    expect(stderr).toMatch(
      new RegExp(`1 series are left out because of rights that lack "evaluate": ${refused.id}`),
    );
    expect((await readdir(out)).sort()).toEqual([`${kept.id}.json`, `${kept.id}.nii.gz`]);
    await forbid(kept.id);
    await expect(run('corpus', 'export', '--corpus', corpus, '--nifti', join(dir, 'none'))).rejects.toThrow(
      /export: the rights of a series must permit "evaluate", but those of none of 2 do/,
    );
    expect(existsSync(join(dir, 'none'))).toBe(false);
  });

  it('replaces nothing without --force', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir, 2);
    const out = join(dir, 'out');
    const args = ['corpus', 'export', '--corpus', corpus, '--nifti', out];
    await run(...args);
    const mine = join(out, `${series[1]!.id}.json`);
    await writeFile(mine, 'mine');
    await rm(join(out, `${series[0]!.id}.nii.gz`));
    await expect(run(...args)).rejects.toThrow(/no file may be in the way, got 3/);
    expect(await readFile(mine, 'utf8')).toBe('mine');
    // Nothing at all is written where one file is in the way.
    expect(existsSync(join(out, `${series[0]!.id}.nii.gz`))).toBe(false);
    await run(...args, '--force');
    expect(JSON.parse(await readFile(mine, 'utf8'))).toEqual(series[1]);
  });

  it('stops between series, and goes on past one that cannot be read', async () => {
    const dir = await folder();
    const { corpus, series } = await made(dir, 3);
    const out = join(dir, 'out');
    const controller = new AbortController();
    const stopped = await withCorpus(corpus, (c) =>
      exportNifti(c, series, { dir: out, signal: controller.signal, onProgress: () => controller.abort() }),
    );
    expect(stopped).toEqual({ written: [series[0]!.id], failed: [], interrupted: true });
    expect((await readdir(out)).sort()).toEqual([`${series[0]!.id}.json`, `${series[0]!.id}.nii.gz`]);

    const { id } = series[1]!;
    await rm(join(corpus, 'voxels', id.slice(3, 5), `${id}.0.ome.zarr`, 'zarr.json'));
    await expect(run('corpus', 'export', '--corpus', corpus, '--nifti', out, '--force')).rejects.toThrow(
      /1 of 3 series could not be written/,
    );
    expect((await readdir(out)).filter((name) => name.endsWith('.nii.gz')).sort()).toEqual(
      [series[0]!, series[2]!].map((one) => `${one.id}.nii.gz`),
    );
  });
});

const digest = (data: ArrayBufferView): string =>
  createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
