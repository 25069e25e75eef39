/** Commands under mpirun: one answer, the same as alone. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Corpus } from '../../src/corpus/corpus.js';
import { Index } from '../../src/tasks/index-store.js';
import { openModel } from '../../src/models/model-file.js';
import { writeCorpus } from '../../src/simulate/index.js';
import { hasCommand, skipped } from '../data.js';
import { runJob } from '../mpi/mpirun.js';
import { CHEAP_VIEWS, losses } from './command.js';

const precess = fileURLToPath(new URL('../../bin/precess', import.meta.url));
const alone = promisify(execFile);

describe.skipIf(skipped(!hasCommand('mpirun'), 'mpirun (openmpi-bin) is not installed'))(
  'under mpirun',
  () => {
    let dir = '';
    const at = (...path: string[]): string => join(dir, ...path);
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'precess-mpirun-'));
      await writeCorpus(at('scans'), { patients: 3, seed: 3, size: 'tiny', series: 2, threads: 0 });
      const rights = 'made:train,evaluate,share-weights';
      await alone(precess, ['ingest', at('scans'), '--corpus', at('corpus'), '--rights', rights]);
    });
    afterAll(() => rm(dir, { recursive: true, force: true }));

    const pretrain = (...more: string[]): string[] => [
      ...[
        precess,
        'pretrain',
        '--corpus',
        at('corpus'),
        '--run',
        at('run'),
        '--steps',
        '2',
        '--probe-every',
        '9',
        ...CHEAP_VIEWS,
      ],
      ...more,
    ];

    it('trains, with one progress and one JSON document', async () => {
      const { status, stdout, stderr } = await runJob(2, pretrain('--batch', '2', '--json'));
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ run: at('run'), step: 2 });
    });

    it('aligns as one process does with the same batch', async () => {
      const align = (run: string): string[] => [
        ...[precess, 'align', '--corpus', at('corpus'), '--run', run, '--steps', '3', '--probe-every', '9'],
        ...['--size', 'pico', '--batch', '4', '--threads', '1'],
      ];
      await alone(process.execPath, align(at('align-1')));
      const { status, stderr } = await runJob(2, align(at('align-2')));
      expect(status, stderr).toBe(0);
      const [one, two] = [await losses(at('align-1')), await losses(at('align-2'))];
      expect(one.map(({ step }) => step)).toEqual([1, 2, 3]);
      expect(two.map(({ step }) => step)).toEqual([1, 2, 3]);
      one.forEach(({ loss }, n) => expect(Math.abs(two[n]!.loss / loss - 1)).toBeLessThan(1e-4));
      const weights = async (run: string): Promise<Float32Array[]> =>
        [...(await openModel(at(run))).tensors.values()].map(({ data }) => data);
      const [a, b] = [await weights('align-1'), await weights('align-2')];
      const apart = a.map((data, n) =>
        data.reduce((most, v, i) => Math.max(most, Math.abs(v - b[n]![i]!)), 0),
      );
      expect(Math.max(...apart)).toBeLessThan(1e-4);
    });

    it('refuses a batch that does not divide as a usage error', async () => {
      const { status, stderr } = await runJob(2, pretrain('--batch', '3'));
      expect(status).toBe(2);
      expect(stderr).toContain('--batch must divide over 2 ranks');
      expect(stderr.match(/precess: /g)).toHaveLength(1);
    });

    it('embeds and indexes each series once, with the vectors of one process', async () => {
      const embed = [precess, 'embed', at('scans'), '--model', at('run'), '--max-tokens', '64', '--json'];
      const { status, stdout, stderr } = await runJob(2, embed);
      expect(status, stderr).toBe(0);
      const images = (text: string): { id: string; vector: number[] }[] =>
        (JSON.parse(text) as { images: { id: string; vector: number[] }[] }).images;
      const [one, two] = [images((await alone(process.execPath, embed)).stdout), images(stdout)];
      expect(one.length).toBeGreaterThan(3);
      expect(two.map(({ id }) => id)).toEqual(one.map(({ id }) => id));
      const cosine = (a: number[], b: number[]): number => a.reduce((sum, x, n) => sum + x * b[n]!, 0);
      one.forEach(({ vector }, n) => expect(cosine(vector, two[n]!.vector)).toBeCloseTo(1, 5));

      const job = await runJob(2, [
        precess,
        'index',
        '--corpus',
        at('corpus'),
        '--model',
        at('run'),
        '--max-tokens',
        '64',
        '--json',
      ]);
      expect(job.status, job.stderr).toBe(0);
      const corpus = await Corpus.open(at('corpus'));
      const all = await corpus.list();
      expect(JSON.parse(job.stdout)).toMatchObject({ indexed: all.length });
      const index = await Index.open(corpus);
      try {
        // Every series is found by its own image.
        for (const { id } of all) {
          const [hit] = await index.searchVolume(await corpus.volume(id), { k: 1 });
          expect(hit).toMatchObject({ id, score: expect.closeTo(1, 4) as number });
        }
      } finally {
        await index.close();
        corpus.close();
      }
    });
  },
);
