/** Series with text in their pixels are stored and used for nothing until a person has released them. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ingest, readAudit, refusalOf, type Series } from '../../src/corpus/index.js';
import { storeSeries } from '../../src/corpus/store-series.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { textNode } from '../../src/formats/dicom/tree.js';
import { NO_FIELDS } from '../../src/text/header.js';
import type { Volume } from '../../src/volume/volume.js';
import { burn } from './bitmap-font.js';
import { run } from './command.js';
import { dicom, folder, image, withCorpus } from './made.js';

/** A dim cylinder in air: nothing in it looks like a letter. */
function body(): Volume {
  const volume = image([128, 120, 6]);
  const data = volume.data.map((value, n) => {
    const [i, j] = [n % 128, Math.floor(n / 128) % 120];
    return (Math.hypot(i - 64, j - 70) < 40 ? 500 : 10) + (value % 20) * 2;
  });
  return { ...volume, data };
}

const text = { at: [5, 5], scale: 1, ink: 1500 } as const;

async function made(): Promise<{ source: string; corpus: string; series: readonly Series[] }> {
  const dir = await folder();
  const source = join(dir, 'in');
  const one = { studyUid: '1.2.3.4', frameOfReferenceUid: '1.2.3.5' };
  await dicom(join(source, 'clean'), { ...one, seriesUid: '1.2.3.4.1' }, body());
  await dicom(join(source, 'text'), { ...one, seriesUid: '1.2.3.4.2' }, burn(body(), 'DOE JOHN 1961', text));
  const more = [textNode(0x00280301, 'CS', 'YES')];
  const noisy = body();
  noisy.data[0] = 99;
  await dicom(join(source, 'says so'), { ...one, seriesUid: '1.2.3.4.3', more }, noisy);
  const corpus = join(dir, 'c');
  const { series } = await ingest([source], { corpus, operator: 'tester' });
  return { source, corpus, series };
}

describe('quarantine', () => {
  it('takes in series with text, and lets nothing use them until they are released', async () => {
    const { source, corpus, series } = await made();
    const reasons = series.map(({ quarantined }) => quarantined ?? 'none').sort();
    expect(reasons).toEqual([
      'its header says that text is burnt in',
      'its slices seem to hold text',
      'none',
    ]);
    const [held] = series.filter(({ quarantined }) => /slices/.test(quarantined ?? ''));
    expect(refusalOf(held!, 'evaluate')?.kind).toBe('quarantined');
    const first = (await readAudit(corpus)).entries.filter(({ action }) => action === 'quarantine');
    expect(first).toHaveLength(1);
    expect(first[0]!.operator).toBe('tester');
    expect(first[0]!.detail.reasons).toEqual(reasons.slice(0, 2));
    expect(first[0]!.detail.subjects).toHaveLength(2);

    const listed = JSON.parse(
      (await run('corpus', 'quarantine', 'ls', '--corpus', corpus, '--json')).stdout,
    ) as {
      series: { id: string }[];
    };
    expect(listed.series.map(({ id }) => id)).toEqual(
      series.filter(({ quarantined }) => quarantined !== null).map(({ id }) => id),
    );
    const out = join(corpus, '..', 'out');
    await expect(run('corpus', 'export', held!.id, '--corpus', corpus, '--nifti', out)).rejects.toThrow(
      /quarantine/,
    );

    await run('corpus', 'quarantine', 'release', held!.id, '--corpus', corpus, '--operator', 'reader');
    await run('corpus', 'export', held!.id, '--corpus', corpus, '--nifti', out);
    // Bringing the files again changes nothing of it.
    const again = await ingest([source], { corpus });
    expect(again.series.find(({ id }) => id === held!.id)!.quarantined).toBeNull();

    await run('corpus', 'quarantine', 'add', held!.id, '--corpus', corpus);
    await withCorpus(corpus, async (c) => expect((await c.get(held!.id)).quarantined).toMatch(/person/));
    const { entries, findings } = await readAudit(corpus);
    expect(findings).toEqual([]);
    const actions = entries.map(({ action }) => action).filter((one) => /quarantine|release/.test(one));
    expect(actions).toEqual(['quarantine', 'release', 'quarantine']);
    expect(entries.find(({ action }) => action === 'release')!.operator).toBe('reader');
    expect(await readFile(join(corpus, 'audit.jsonl'), 'utf8')).not.toContain(held!.id);
  });

  it('refuses an id that is not there and changes nothing', async () => {
    const { corpus, series } = await made();
    const held = series.filter(({ quarantined }) => quarantined !== null).map(({ id }) => id);
    await expect(
      run('corpus', 'quarantine', 'release', held[0]!, 'se-0000000000000000', '--corpus', corpus),
    ).rejects.toThrow(/must have the series/);
    await withCorpus(corpus, async (c) => expect((await c.get(held[0]!)).quarantined).not.toBeNull());
  });

  it('finds text in a volume that is stored slab by slab', async () => {
    const dir = await folder();
    for (const [name, volume, expected] of [
      ['clean', body(), null],
      ['text', burn(body(), 'DOE JOHN 1961', { ...text, slices: [4] }), 'its slices seem to hold text'],
    ] as const) {
      const path = join(dir, `${name}.nii`);
      await writeFile(path, writeNifti(volume, { gzip: false }));
      const stored = await storeSeries({
        voxels: { kind: 'file', format: 'nifti', path, frame: 0 },
        identifying: { kind: 'values', values: [] },
        about: { kind: 'file', name, fields: NO_FIELDS, studyBodyPart: null, missingSlices: [] },
        corpus: dir,
        path: `voxels/${name}`,
        largestWhole: 1000,
        key: new Uint8Array(32),
        shown: path,
      });
      expect(typeof stored === 'string' ? stored : stored.quarantined).toBe(expected);
    }
  });
});
