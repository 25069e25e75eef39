/** Threads that are caught in a decoder are ended, and what they were at is left out. */
import { expect, it } from 'vitest';
import { StorePool } from '../../src/corpus/pool.js';
import type { StoreTask } from '../../src/corpus/store-series.js';
import { NO_FIELDS } from '../../src/text/header.js';

const task = (shown: string): StoreTask => ({
  voxels: { kind: 'file', format: 'nifti', path: 'x.nii', frame: 0 },
  identifying: { kind: 'values', values: [] },
  about: { kind: 'file', name: 'x', fields: NO_FIELDS, studyBodyPart: null, missingSlices: [] },
  corpus: 'c',
  path: 'a',
  key: new Uint8Array(32),
  shown,
});

it('leaves out series whose decoder hangs, and stores the others', async () => {
  const file = new URL('hanging-worker.mjs', import.meta.url);
  const pool = new StorePool(2, { file, silentMs: 1500 });
  const names = ['hangs 1', 'a', 'hangs 2', 'b', 'slow', 'c', 'hangs 3', 'd'];
  const answers = await Promise.all(names.map((name) => pool.store(task(name))));
  await pool.close();
  expect(answers).toEqual(
    names.map((name) =>
      name.startsWith('hangs')
        ? 'its voxels could not be read: decoding did not come to an end in 1.5 s'
        : `stored ${name}`,
    ),
  );
});
