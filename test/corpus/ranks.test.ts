/** `mpirun -n 2 precess ingest`: the corpus of one process. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Corpus, ingest, type Ingested, readAudit } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNiftiFile } from '../../src/formats/nifti/index.js';
import { hasCommand, skipped } from '../data.js';
import { runJob } from '../mpi/mpirun.js';
import { dicom, folder, image } from './made.js';

const BIN = fileURLToPath(new URL('../../bin/precess', import.meta.url));

/** Rows and voxels of a corpus, by id. */
async function held(dir: string): Promise<Record<string, unknown>> {
  const corpus = await Corpus.open(dir);
  const all: Record<string, unknown> = {};
  for (const series of await corpus.list()) {
    const { data } = await corpus.volume(series.id);
    all[series.id] = { series, voxels: Buffer.from(data.buffer).toString('base64') };
  }
  corpus.close();
  return all;
}

describe.skipIf(skipped(!hasCommand('mpirun'), 'mpirun (openmpi-bin) is not installed'))(
  'ingest on two ranks',
  () => {
    it('makes the corpus that one process makes, and completes it', async () => {
      const dir = await folder();
      const source = join(dir, 'in');
      // More series than a round has.
      for (let n = 0; n < 37; n++)
        await dicom(join(source, `s${n}`), { seriesUid: newUid(`s${n}`) }, image([20, 18, 4], n + 1));
      await writeNiftiFile(join(source, 't1.nii.gz'), image([30, 20, 10], 99));
      const cut = (await dicom(join(source, 'cut'), { seriesUid: newUid('cut') })).at(3)!;
      await writeFile(cut, (await readFile(cut)).subarray(0, 2000));
      const alone = await ingest([source], { corpus: join(dir, 'alone') });
      expect(alone.added).toBe(39);

      // Ids are made with the key, so both corpora get the same.
      const shared = join(dir, 'ranks');
      await mkdir(shared);
      await copyFile(join(dir, 'alone', 'key'), join(shared, 'key'));
      const first = await runJob(2, [BIN, 'ingest', source, '--corpus', shared, '--json']);
      expect(first.status, first.stderr).toBe(0);
      // One document, by rank 0.
      const told = JSON.parse(first.stdout) as Ingested;
      expect(told.added).toBe(39);
      expect(told.skipped).toEqual(alone.skipped);
      expect(await held(shared)).toEqual(await held(join(dir, 'alone')));
      expect((await readAudit(shared)).findings).toEqual([]);

      await dicom(join(source, 'more'), { seriesUid: newUid('more') }, image([20, 18, 4], 50));
      const second = await runJob(2, [BIN, 'ingest', source, '--corpus', shared, '--json', '--workers', '2']);
      expect(second.status, second.stderr).toBe(0);
      expect(JSON.parse(second.stdout)).toMatchObject({ added: 1, present: 39 });
    });

    it('says once why it fails, and ends', async () => {
      const dir = await folder();
      const { status, stderr } = await runJob(2, [BIN, 'ingest', join(dir, 'none'), '--corpus', dir]);
      expect(status).toBe(1);
      expect(stderr.match(/rank 0: /g)).toHaveLength(1);
    });
  },
);
