/** From DICOM on disk to answers, through the real command: what each step prints with --json, and what it means. */
import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { CHEAP, CHEAP_VIEWS, json, losses, makeCorpus, precess, workFolder } from './command.js';

// Every step is a process of its own; on a busy machine each takes seconds.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

interface OneSeries {
  id: string;
  bodyPart: string;
  plane: string;
  patientId: string;
}
interface Hit {
  id: string;
  score: number;
  rank: number;
  series: OneSeries;
}

const PATIENTS = 4;
const IN_ALL = 2 * PATIENTS + 1;
let dir = '';
let corpus = '';
let source = '';
let model = '';

beforeAll(async () => {
  dir = await workFolder();
  source = join(dir, 'in');
  corpus = await makeCorpus(dir, PATIENTS);
});

const search = (...args: string[]): Promise<{ hits: Hit[] }> =>
  json('search', '--corpus', corpus, '--threads', '1', ...args);

function expectRanked(hits: readonly Hit[], count: number): void {
  expect(hits.map(({ rank }) => rank)).toEqual(Array.from({ length: count }, (_, n) => n + 1));
  const scores = hits.map(({ score }) => score);
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  for (const { id, score, series } of hits) {
    expect(series.id).toBe(id);
    expect(Math.abs(score)).toBeLessThanOrEqual(1 + 1e-5);
  }
  expect(new Set(hits.map(({ id }) => id)).size).toBe(count);
}

const norm = (vector: readonly number[]): number => Math.sqrt(vector.reduce((sum, v) => sum + v * v, 0));

describe('precess from ingest to search', () => {
  it('ingests, and lists the same series', async () => {
    const again = await json<{ series: OneSeries[]; skipped: unknown[]; added: number }>(
      'ingest',
      source,
      '--corpus',
      corpus,
    );
    expect(again).toMatchObject({ skipped: [], added: 0 });
    expect(again.series).toHaveLength(IN_ALL);
    const listed = await json<{ series: OneSeries[] }>('corpus', 'ls', '--corpus', corpus);
    expect(listed.series).toEqual(again.series);
    expect(new Set(listed.series.map(({ patientId }) => patientId)).size).toBe(PATIENTS + 1);
    const some = await json<{ series: OneSeries[] }>(
      'corpus',
      'ls',
      '--corpus',
      corpus,
      '--where',
      "plane = 'axial'",
    );
    expect(some.series).toEqual(listed.series.filter(({ plane }) => plane === 'axial'));
  });

  it('learns the same whether views are cut in threads or not', async () => {
    const lossesWith = async (cutters: string): Promise<{ step: number; loss: number }[]> => {
      const run = join(dir, `cutters-${cutters}`);
      const more = ['--steps', '3', '--objective', 'mae', '--held-out', '0', '--cutters', cutters];
      await json('pretrain', '--corpus', corpus, '--run', run, ...CHEAP, ...more);
      return losses(run);
    };
    const without = await lossesWith('0');
    expect(without.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(await lossesWith('2')).toEqual(without);
  });

  it('pretrains, aligns and indexes', async () => {
    const pre = join(dir, 'pre');
    model = join(dir, 'align');
    const pretrained = await json(
      'pretrain',
      '--corpus',
      corpus,
      '--run',
      pre,
      '--steps',
      '3',
      ...CHEAP_VIEWS,
    );
    expect(pretrained).toMatchObject({ run: pre, step: 3, metrics: { step: 3 } });
    const aligned = await json(
      'align',
      ...['--corpus', corpus, '--from', pre, '--run', model, '--steps', '3', ...CHEAP],
    );
    expect(aligned).toMatchObject({ run: model, step: 3 });
    for (const run of [pre, model])
      expect((await readdir(run)).sort()).toEqual([
        'checkpoints',
        'config.json',
        'maps.jsonl',
        'metrics.jsonl',
      ]);
    const indexed = await json('index', '--corpus', corpus, '--model', model, '--threads', '1');
    expect(indexed).toMatchObject({ indexed: IN_ALL });
  });

  it('answers a sentence with ranked series', async () => {
    const { hits } = await search('--text', 'axial T2-weighted brain', '--k', '5');
    expectRanked(hits, 5);
    const all = await search('--text', 'axial T2-weighted brain', '--k', '1000');
    expectRanked(all.hits, IN_ALL);
    expect(all.hits.slice(0, 5)).toEqual(hits);
  });

  it('keeps to --where, in the same order', async () => {
    const all = await search('--text', 'sagittal knee', '--k', '1000');
    const plane = all.hits.at(-1)!.series.plane;
    const some = await search('--text', 'sagittal knee', '--k', '1000', '--where', `plane = '${plane}'`);
    const expected = all.hits.filter(({ series }) => series.plane === plane).map(({ id }) => id);
    expect(expected.length).toBeGreaterThan(0);
    expect(some.hits.map(({ id }) => id)).toEqual(expected);
    expectRanked(some.hits, expected.length);
    expect(await search('--text', 'x', '--where', "plane = 'none'")).toEqual({ hits: [] });
  });

  it('finds an indexed series by its own image', async () => {
    for (const folder of [join(source, 'brain'), await aSeriesFolder()]) {
      const { series } = await json<{ series: OneSeries[] }>('ingest', folder, '--corpus', corpus);
      expect(series).toHaveLength(1);
      const { hits } = await search('--image', folder, '--k', '3');
      expectRanked(hits, 3);
      expect(hits[0]!.id).toBe(series[0]!.id);
      expect(hits[0]!.score).toBeGreaterThan(0.99);
    }
  });

  it('describes a file and a series of the corpus alike', async () => {
    const brain = join(source, 'brain');
    const describeIt = (src: string) =>
      json<{ text: string; candidates: { text: string; score: number }[] }>(
        'describe',
        ...[src, '--corpus', corpus, '--k', '4', '--threads', '1'],
      );
    const { text, candidates } = await describeIt(brain);
    expect(candidates).toHaveLength(4);
    expect(text).toBe(candidates[0]!.text);
    const scores = candidates.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(new Set(candidates.map((one) => one.text)).size).toBe(4);
    const { series } = await json<{ series: OneSeries[] }>('ingest', brain, '--corpus', corpus);
    const byId = await describeIt(series[0]!.id);
    expect(byId.text).toBe(text);
  });

  it('embeds the same image alike wherever its files lie', async () => {
    const folder = await aSeriesFolder();
    const elsewhere = join(dir, 'elsewhere', 'renamed');
    for (const [n, name] of (await readdir(folder)).reverse().entries())
      await cp(join(folder, name), join(elsewhere, `${n}.bin`));
    const embed = (src: string) =>
      json<{ id: string; vector: number[] }>('embed', src, '--model', model, '--threads', '1');
    const [a, b, other] = [await embed(folder), await embed(elsewhere), await embed(join(source, 'brain'))];
    expect([b.id, b.vector]).toEqual([a.id, a.vector]);
    expect(norm(a.vector)).toBeCloseTo(1, 5);
    expect(other.id).not.toBe(a.id);
    expect(other.vector).toHaveLength(a.vector.length);
    expect(other.vector).not.toEqual(a.vector);
  });

  it('writes to stdout for a person, too, nothing but the answer', async () => {
    const found = await precess(
      ...['search', '--corpus', corpus, '--text', 'brain', '--k', '2', '--threads', '1'],
    );
    expect(found.code).toBe(0);
    expect(found.stdout.trim().split('\n')).toHaveLength(2);
    for (const [n, line] of found.stdout.trim().split('\n').entries())
      expect(line).toMatch(new RegExp(`^${n + 1}\\t-?[01]\\.\\d{3}\\tse-[0-9a-f]{16}\\t`));
    const trained = await precess(
      ...['pretrain', '--corpus', corpus, '--run', join(dir, 'quiet'), '--steps', '1', ...CHEAP_VIEWS],
    );
    expect(trained).toMatchObject({ code: 0, stdout: '' });
    expect(trained.stderr).toMatch(/pretrain: 1\/1 loss/);
  });
});

/** Some simulated series' folder. */
async function aSeriesFolder(): Promise<string> {
  const patient = join(source, 'simulated', 'patient-00001');
  return join(patient, (await readdir(patient)).sort()[0]!);
}
