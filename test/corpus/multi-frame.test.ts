/** Ingest of files that hold many slices, on the files that pydicom made for the DICOM tests. */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ingest } from '../../src/corpus/index.js';
import { folder, withCorpus } from './made.js';

const ENHANCED = join(import.meta.dirname, '../fixtures/formats/enhanced');
const MOSAIC = join(import.meta.dirname, '../fixtures/formats/mosaic');

describe('ingest of multi-frame files', () => {
  it('stores every volume of an enhanced file, under the same ids when the file has moved', async () => {
    const dir = await folder();
    const [one, two, corpus] = [join(dir, 'one'), join(dir, 'two'), join(dir, 'c')];
    await mkdir(one);
    await mkdir(two);
    await cp(join(ENHANCED, 'echoes-j2k.dcm'), join(one, 'a.dcm'));
    await cp(join(ENHANCED, 'gap-rle.dcm'), join(one, 'b.dcm'));
    const first = await ingest([one], { corpus });
    expect(first).toMatchObject({ added: 3, skipped: [] });
    expect(first.series.map(({ shape }) => shape[2]).sort()).toEqual([3, 3, 7]);
    const gap = first.series.find(({ shape }) => shape[2] === 7)!;
    expect(gap).toMatchObject({ missingSlices: [2, 3], bodyPart: 'BRAIN', fieldStrengthT: 3 });
    expect(gap.validFraction).toBeCloseTo(5 / 7, 6);

    await cp(join(ENHANCED, 'echoes-j2k.dcm'), join(two, 'z'));
    await cp(join(ENHANCED, 'gap-rle.dcm'), join(two, 'y'));
    const again = await ingest([two], { corpus });
    expect(again).toMatchObject({ added: 0, present: 3, replaced: 0 });
    expect(again.series.map(({ id }) => id)).toEqual(first.series.map(({ id }) => id));
    await withCorpus(corpus, async (c) => expect(await c.list()).toHaveLength(3));
  });

  it('stores the volume of every mosaic, under the same ids whatever the files are called', async () => {
    const dir = await folder();
    const [one, two, corpus] = [join(dir, 'one'), join(dir, 'two'), join(dir, 'c')];
    await mkdir(one);
    await mkdir(two);
    for (const [n, name] of ['time-1', 'time-2', 'flipped'].entries()) {
      await cp(join(MOSAIC, `${name}.dcm`), join(one, `${n}.dcm`));
      await cp(join(MOSAIC, `${name}.dcm`), join(two, `${9 - n}.ima`));
    }
    const first = await ingest([one], { corpus });
    expect(first).toMatchObject({ added: 3, skipped: [] });
    expect(first.series.map(({ shape }) => shape.join('×')).sort()).toEqual([
      '16×12×5',
      '16×12×7',
      '16×12×7',
    ]);
    const again = await ingest([two], { corpus });
    expect(again).toMatchObject({ added: 0, present: 3, replaced: 0 });
  });
});
