/** Ingest of a medium with a DICOMDIR, as pydicom writes it: test/fixtures/formats/make_dicomdir.py. */
import { cp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ingest } from '../../src/corpus/index.js';
import { readDicomDir } from '../../src/formats/dicom/index.js';
import { folder } from './made.js';

const MEDIUM = join(import.meta.dirname, '../fixtures/formats/medium');

describe('a DICOMDIR', () => {
  it('names the files of its medium', async () => {
    const named = await readDicomDir(join(MEDIUM, 'DICOMDIR'));
    expect(named).toHaveLength(3);
    for (const components of named!)
      expect(await readDicomDir(join(MEDIUM, ...components)), 'an image is no DICOMDIR').toBeNull();
  });

  it('is passed over as an index; files that it names and that are not there are told', async () => {
    const dir = await folder();
    const source = join(dir, 'in');
    await cp(MEDIUM, source, { recursive: true });
    const index = { reason: 'a DICOMDIR: the index of the files beside it', path: join(source, 'DICOMDIR') };
    const whole = await ingest([source], { corpus: join(dir, 'c') });
    expect(whole.skipped).toEqual([index]);
    expect(whole.series.map(({ shape }) => shape)).toEqual([[6, 5, 3]]);

    const named = (await readDicomDir(join(MEDIUM, 'DICOMDIR')))!.map((parts) => join(source, ...parts));
    await rm(named[1]!);
    // A copy of a medium is often in small letters.
    await rename(
      named[2]!,
      named[2]!.replace(/[^/]*$/, (name) => name.toLowerCase()),
    );
    const { skipped } = await ingest([source], { corpus: join(dir, 'd') });
    expect(skipped).toHaveLength(2);
    expect(skipped).toContainEqual(index);
    expect(skipped).toContainEqual({
      path: named[1],
      reason: 'named in a DICOMDIR, but the file is missing; copy it from the medium',
    });
  });
});
