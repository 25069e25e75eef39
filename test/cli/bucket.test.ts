/** Commands that read a corpus do the same with one in a bucket, on a real service, as with a copy of it in a folder. */
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { hasS3Server, NO_S3_SERVER, type S3Server, startS3 } from '../corpus/s3-server.js';
import { skipped } from '../data.js';
import { CHEAP, expectFailure, json, losses, MAY_ALL, precess, workFolder, writeStudies } from './command.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe.skipIf(skipped(!hasS3Server(), `corpora in a bucket; ${NO_S3_SERVER}`))(
  'a corpus in a bucket',
  () => {
    let server: S3Server;
    let dir = '';
    let bucket = '';
    let copy = '';
    let table = '';
    beforeAll(async () => {
      dir = await workFolder();
      server = await startS3();
      for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
      bucket = server.place();
      await writeStudies(join(dir, 'in'), 8);
      const { series } = await json<{ series: { id: string; plane: string }[] }>(
        ...['ingest', join(dir, 'in'), '--corpus', bucket, '--rights', MAY_ALL],
      );
      copy = join(dir, 'copy');
      await cp(server.fileOf(bucket), copy, { recursive: true });
      table = join(dir, 'planes.csv');
      const rows = series.map(({ id, plane }) => `${id},${plane === 'axial' ? 'axial' : 'other'}`);
      await writeFile(table, ['series,plane', ...rows, ''].join('\n'));
    });
    afterAll(() => server.stop());

    const aligned = (corpus: string): string => join(dir, corpus === bucket ? 'run-bucket' : 'run-copy');

    it('is aligned on, with the losses of the copy', async () => {
      for (const corpus of [bucket, copy])
        await json('align', '--corpus', corpus, '--run', aligned(corpus), '--steps', '2', ...CHEAP);
      expect(await losses(aligned(bucket))).toEqual(await losses(aligned(copy)));
    });

    it('is learnt from by a head, which predicts its series', async () => {
      const fitted: unknown[] = [];
      for (const corpus of [bucket, copy]) {
        const head = join(dir, corpus === bucket ? 'head-bucket' : 'head-copy');
        const common = ['--corpus', corpus, '--model', aligned(bucket), '--threads', '1', '--patch-mm', '32'];
        const { metrics } = await json<{ metrics: Record<string, { value: number }> }>(
          ...['fit', 'classify', '--labels', table, '--out', head, '--folds', '2', ...common],
        );
        const { predictions } = await json<{ predictions: unknown[] }>(
          ...['predict', '--corpus', corpus, '--head', head, '--threads', '1'],
        );
        expect(predictions.length).toBeGreaterThan(12);
        fitted.push({ metrics, predictions });
      }
      expect(fitted[0]).toEqual(fitted[1]);
    });

    it('is evaluated on', async () => {
      const results: unknown[] = [];
      for (const corpus of [bucket, copy])
        results.push(
          await json(
            ...['evaluate', 'retrieval', '--corpus', corpus, '--model', aligned(bucket), '--threads', '1'],
            ...['--max-tokens', '32'],
          ),
        );
      expect(results[0]).toEqual(results[1]);
      expect(JSON.stringify(results[0])).toContain('recall');
    });

    it('is not indexed, and says what to do', async () => {
      expectFailure(
        await precess('index', '--corpus', bucket, '--model', aligned(bucket)),
        1,
        /an index is kept in one.*copy the corpus into a folder/,
      );
      const index = ['index', '--corpus', copy, '--model', aligned(bucket)];
      await json(...index, '--threads', '1', '--max-tokens', '32');
      const { hits } = await json<{ hits: unknown[] }>(
        ...['search', '--corpus', copy, '--text', 'axial brain', '--threads', '1', '--k', '3'],
      );
      expect(hits).toHaveLength(3);
    });
  },
);
