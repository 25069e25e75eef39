/** `corpus check`: every kind of damage that is planted is found, and nothing else. */
import { appendFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AUDIT_FILE } from '../../src/corpus/audit.js';
import { canonicalDigest } from '../../src/corpus/canonical.js';
import { voxelsPath } from '../../src/corpus/corpus.js';
import { type Checked, checkCorpus, ingest, type Series } from '../../src/corpus/index.js';
import { readKey } from '../../src/corpus/pseudonym.js';
import { contentHash } from '../../src/corpus/store-series.js';
import { writeVoxels } from '../../src/corpus/voxels.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { reorient } from '../../src/volume/orientation.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';
import { run, written } from './command.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';
import { moved } from './moved.js';

/** A bright body with fine shading, noise everywhere, and air around: what a sound image is like. */
function phantom(shape: Vec3, seed: number, noise = 30): Volume {
  const [ni, nj, nk] = shape;
  const [random, volume] = [image(shape, seed).data, image(shape)];
  const data = new Uint16Array(ni * nj * nk);
  for (let n = 0; n < data.length; n++) {
    const [i, j] = [n % ni, Math.floor(n / ni) % nj];
    const inside = ((i - ni / 2) / (0.38 * ni)) ** 2 + ((j - nj / 2) / (0.38 * nj)) ** 2 < 1;
    // Uniform on 0 to 1900 has a standard deviation of 548; in air it is folded, as a magnitude is.
    const each = ((random[n]! - 950) / 548) * noise;
    data[n] = Math.round(inside ? 1000 + 3 * i + 2 * j + each : Math.abs(each));
  }
  return { ...volume, data };
}

/** `count` different series of the patients P-0, P-1, …; the same seed makes the same voxels. */
async function made(dir: string, seeds: readonly number[]): Promise<{ corpus: string; series: Series[] }> {
  const corpus = join(dir, 'c');
  for (const [n, seed] of seeds.entries())
    await dicom(
      join(dir, 'in', String(n)),
      { patientId: `P-${n}`, seriesUid: newUid(`s${n}`), studyUid: newUid(`st${n}`) },
      phantom([40, 36, 8], seed),
    );
  const { series } = await ingest([join(dir, 'in')], { corpus });
  return { corpus, series };
}

const voxelsOf = (corpus: string, id: string): string => join(corpus, voxelsPath(id, 0));

/** Puts other voxels in the place of a series'. */
async function replace(corpus: string, id: string, volume: Volume): Promise<void> {
  await rm(voxelsOf(corpus, id), { recursive: true });
  await writeVoxels(voxelsOf(corpus, id), volume);
  // As if they had been there from the beginning.
  await alter(corpus, id, { contentHash: contentHash(volume, await readKey(corpus)) });
}

const check = (corpus: string): Promise<Checked> => withCorpus(corpus, (c) => checkCorpus(c));

/** Adjusts the row of a series as a faulty source would have left it. */
async function alter(corpus: string, id: string, over: Partial<Series>): Promise<void> {
  await withCorpus(corpus, async (c) => {
    const row = (await c.table.rows()).find((one) => one.series.id === id)!;
    await c.table.put([{ ...row, series: { ...row.series, ...over } }]);
  });
}

const kinds = (checked: Checked, id: string): string[] =>
  checked.series.find((one) => one.id === id)!.findings.map(({ kind }) => kind);

describe('corpus check', () => {
  it('finds nothing in a sound corpus', async () => {
    const { corpus, series } = await made(await folder(), [1, 2]);
    const { stdout } = await run('corpus', 'check', '--corpus', corpus);
    expect(stdout).toBe('');
    expect(written.stderr).toMatch(/2 series: 0 broken, 0 with warnings, 2 well/);
    const { series: checks } = await check(corpus);
    expect(checks.map(({ id }) => id)).toEqual(series.map(({ id }) => id));
    expect(checks[0]).toMatchObject({ expectedSlices: 8, presentSlices: 8, unmeasured: 0, nonFinite: 0 });
  });

  it.each(['missing chunk', 'truncated chunk', 'empty chunk', 'no folder', 'damaged metadata'])(
    'finds voxels that cannot be read: %s',
    async (damage) => {
      const { corpus, series } = await made(await folder(), [1, 2]);
      const path = voxelsOf(corpus, series[0]!.id);
      const [chunk] = (await filesUnder(path)).filter((name) => name.includes(`${path}/0/c/`));
      if (damage === 'missing chunk') await rm(chunk!);
      if (damage === 'truncated chunk')
        await truncate(chunk!, Math.floor((await readFile(chunk!)).length / 2));
      if (damage === 'empty chunk') await truncate(chunk!, 0);
      if (damage === 'no folder') await rm(path, { recursive: true });
      if (damage === 'damaged metadata') await writeFile(join(path, 'zarr.json'), '{');
      await expect(run('corpus', 'check', '--corpus', corpus, '--json')).rejects.toThrow(
        /1 of 2 series are broken/,
      );
      const checked = JSON.parse(written.stdout) as Checked;
      expect(checked).toMatchObject({ broken: 1, warned: 0 });
      expect(kinds(checked, series[0]!.id)).toEqual(['unreadable']);
      expect(kinds(checked, series[1]!.id)).toEqual([]);
    },
  );

  it('finds a row that is not that of its voxels', async () => {
    const { corpus, series } = await made(await folder(), [1]);
    await replace(corpus, series[0]!.id, phantom([40, 36, 7], 1));
    expect(await check(corpus)).toMatchObject({ broken: 1 });
    expect(kinds(await check(corpus), series[0]!.id)).toEqual(['mismatch']);
  });

  it('names missing slices and the share of unmeasured voxels', async () => {
    const dir = await folder();
    const files = await dicom(join(dir, 'in'), {}, phantom([40, 36, 8], 1));
    for (const k of [2, 5]) await rm(files[k]!);
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    const checked = await check(join(dir, 'c'));
    expect(checked.series[0]).toMatchObject({ expectedSlices: 8, presentSlices: 6, unmeasured: 0.25 });
    expect(kinds(checked, series[0]!.id)).toEqual(['missing slices', 'unmeasured']);
    const { stdout } = await run('corpus', 'check', '--corpus', join(dir, 'c'));
    expect(stdout).toMatch(/warning {2}missing slices: 6 of 8 slices are present; missing are 2 5\n/);
    expect(stdout).toMatch(/unmeasured: 25\.0 % of the voxels/);
  });

  it('counts non-finite voxels that count as measured, and no others', async () => {
    const { corpus, series } = await made(await folder(), [1]);
    const { data, ...rest } = phantom([40, 36, 8], 1);
    const values = Float32Array.from(data);
    values.set([NaN, Infinity, -Infinity, NaN]);
    const valid = new Uint8Array(values.length).fill(1);
    valid[3] = 0;
    await replace(corpus, series[0]!.id, { ...rest, data: values, valid });
    const checked = await check(corpus);
    expect(checked.series[0]!.nonFinite).toBe(3);
    expect(kinds(checked, series[0]!.id)).toEqual(['non-finite']);
  });

  it('finds intensities that were cut off, at the limit of the type or below it', async () => {
    const { corpus, series } = await made(await folder(), [1, 2, 3, 4]);
    const clippedAt = (seed: number, limit: number, slope: number): Volume => {
      const volume = phantom([40, 36, 8], seed);
      const data = Uint16Array.from(volume.data, (x) => (slope < 0 ? 2900 - x : x));
      // 23 of 11520 voxels are 0.2 %.
      for (let n = 0; n < 23; n++) data[500 * n] = limit;
      return { ...volume, data, slope, intercept: slope < 0 ? 3000 : 0 };
    };
    await replace(corpus, series[0]!.id, clippedAt(11, 65535, 1));
    await replace(corpus, series[1]!.id, clippedAt(12, 3000, 1));
    // With a negative slope the stored 3000 are the darkest.
    await replace(corpus, series[2]!.id, clippedAt(13, 3000, -1));
    await replace(corpus, series[3]!.id, { ...image(), data: new Uint16Array(40 * 36 * 8).fill(7) });
    const checked = await check(corpus);
    expect(checked.series.map(({ clipped }) => clipped!.toFixed(6)).slice(0, 2)).toEqual(
      Array(2).fill((23 / 11520).toFixed(6)),
    );
    expect(series.map(({ id }) => kinds(checked, id))).toEqual([['clipped'], ['clipped'], [], ['constant']]);
    expect(checked.series[0]!.findings[0]!.message).toMatch(
      /0\.20 % .* 65535, the largest that the voxel type/,
    );
    expect(checked).toMatchObject({ broken: 0, warned: 3 });
  });

  it.each([
    ['zero', [0.8, 0.8, 0], 8],
    ['too far', [0.8, 0.8, 51], 51],
    ['a needle', [0.2, 0.2, 21], 21],
    ['sheared flat', [0.8, 0.8, 3], null],
    ['thick slices', [0.25, 0.25, 24], undefined],
  ] as const)('knows impossible spacing: %s', async (_, spacingMm, broken) => {
    const { corpus, series } = await made(await folder(), [1]);
    const [i, j, k] = spacingMm;
    const affine: Series['affine'] = [
      [i, 0, broken === null ? k : 0, 0],
      [0, j, 0, 0],
      [0, 0, broken === null ? 0 : k, 0],
      [0, 0, 0, 1],
    ];
    await alter(corpus, series[0]!.id, { spacingMm: [i, j, k], affine });
    await replace(corpus, series[0]!.id, { ...phantom([40, 36, 8], 1), affine });
    const expected = broken === undefined ? [] : ['spacing'];
    expect(kinds(await check(corpus), series[0]!.id)).toEqual(expected);
  });

  it('names series with the same voxels', async () => {
    const { corpus } = await made(await folder(), [1, 2, 1]);
    const patients = await withCorpus(corpus, (c) => c.list());
    const checked = await check(corpus);
    const twins = checked.series.filter(({ findings }) => findings.length > 0);
    expect(twins).toHaveLength(2);
    expect(twins.map(({ findings }) => findings.map(({ message }) => message))).toEqual([
      [`the same image as ${twins[1]!.id} (another patient)`],
      [`the same image as ${twins[0]!.id} (another patient)`],
    ]);
    expect(patients).toHaveLength(3);
    expect(checked).toMatchObject({ broken: 0, warned: 2 });
  });

  it.each(['LPS', 'RAS', 'SPL', 'AIR', 'PRI'])(
    'knows an image that runs along other axes: %s',
    async (codes) => {
      const { corpus, series } = await made(await folder(), [1, 2]);
      const [one, other] = series as [Series, Series];
      const stored = await withCorpus(corpus, (c) => c.volume(one.id));
      const turned = reorient(stored, codes);
      const { shape, affine } = turned;
      // Other type and scaling, the same values.
      const data = Float32Array.from(turned.data, (x) => 2 * x);
      await alter(corpus, other.id, {
        shape: [...shape],
        affine: affine.map((row) => [...row]) as Series['affine'],
      });
      await replace(corpus, other.id, { ...turned, data, slope: 0.5 });
      const checked = await check(corpus);
      expect(kinds(checked, one.id)).toEqual(['duplicate']);
      expect(kinds(checked, other.id)).toEqual(['duplicate']);
      // One voxel more or less is another image.
      data[5000]! += 2;
      expect(canonicalDigest({ ...turned, data, slope: 0.5 })).not.toBe(canonicalDigest(stored));
    },
  );

  it('does not take an image and its mirror image for one', () => {
    const volume = phantom([40, 36, 8], 1);
    const mirrored = { ...volume, data: Uint16Array.from(reorient(volume, 'RPS').data) };
    expect(canonicalDigest(mirrored)).not.toBe(canonicalDigest(volume));
  });

  it('finds voxels whose bytes were changed without a trace in their layout', async () => {
    const { corpus, series } = await made(await folder(), [1, 2]);
    const path = voxelsOf(corpus, series[0]!.id);
    const volume = await withCorpus(corpus, (c) => c.volume(series[0]!.id));
    const data = Uint16Array.from(volume.data);
    data[7000]!++;
    await rm(path, { recursive: true });
    await writeVoxels(path, { ...volume, data });
    await expect(run('corpus', 'check', '--corpus', corpus, '--json')).rejects.toThrow(
      /1 of 2 series are broken/,
    );
    const checked = JSON.parse(written.stdout) as Checked;
    expect(kinds(checked, series[0]!.id)).toEqual(['changed']);
    expect(kinds(checked, series[1]!.id)).toEqual([]);
    // Without the key it cannot be told, and nothing is alleged.
    await rm(join(corpus, 'key'));
    expect(kinds(await check(corpus), series[0]!.id)).toEqual([]);
  });

  it('finds an image that is lost in noise', async () => {
    const { corpus, series } = await made(await folder(), [1, 2]);
    await replace(corpus, series[0]!.id, phantom([40, 36, 8], 11, 400));
    const checked = await check(corpus);
    expect(kinds(checked, series[0]!.id)).toEqual(['low SNR']);
    expect(checked.series.find(({ id }) => id === series[1]!.id)!.snr).toBeGreaterThan(20);
    // The values of a map are no signal.
    await alter(corpus, series[0]!.id, { contrast: 'ADC' });
    expect(kinds(await check(corpus), series[0]!.id)).toEqual([]);
  });

  it('finds the one of a kind whose patient moved', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    for (let n = 0; n < 9; n++) {
      const still = phantom([72, 72, 3], n + 1);
      const breathing = (share: number): readonly [number, number] => [0, 2 * Math.sin(40 * share)];
      await dicom(
        join(dir, 'in', String(n)),
        { seriesUid: newUid(`s${n}`), seriesNumber: n },
        n === 4 ? moved(still, breathing) : still,
      );
    }
    await ingest([join(dir, 'in')], { corpus });
    const checked = await check(corpus);
    const found = checked.series.filter(({ findings }) => findings.some(({ kind }) => kind === 'motion'));
    const most = Math.max(...checked.series.map(({ motion }) => motion!));
    expect(found.map(({ motion }) => motion)).toEqual([most]);
    expect(checked).toMatchObject({ broken: 0, warned: 1 });
    // Too few of a kind to compare with.
    await withCorpus(corpus, async (c) => {
      const rows = await c.table.rows();
      const others = rows.map(({ series, ...rest }, n) => ({
        ...rest,
        series: { ...series, bodyPart: `PART${n % 2}` },
      }));
      await c.table.put(others);
    });
    expect((await check(corpus)).warned).toBe(0);
  });

  it('verifies the audit log', async () => {
    const { corpus } = await made(await folder(), [1]);
    expect((await check(corpus)).audit).toEqual([]);
    await appendFile(join(corpus, AUDIT_FILE), '{"n":');
    await run('corpus', 'check', '--corpus', corpus);
    expect(written.stderr).toMatch(/audit log, note: half an entry/);
    await writeFile(join(corpus, AUDIT_FILE), '');
    await expect(run('corpus', 'check', '--corpus', corpus, '--json')).rejects.toThrow(
      /check: the audit log must be/,
    );
    expect((JSON.parse(written.stdout) as Checked).audit).toMatchObject([{ kind: 'missing', broken: true }]);
  });

  it('stops between series', async () => {
    const { corpus } = await made(await folder(), [1, 2]);
    const controller = new AbortController();
    const checked = await withCorpus(corpus, (c) =>
      checkCorpus(c, { signal: controller.signal, onProgress: () => controller.abort() }),
    );
    expect(checked.series).toHaveLength(1);
    expect(checked.interrupted).toBe(true);
    expect(await readdir(corpus)).not.toContain('lock');
  });
});
