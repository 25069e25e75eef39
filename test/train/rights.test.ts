/** Training sees nothing that it has no right to. */
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CorpusError,
  DEFAULT_RIGHTS,
  readAudit,
  readRuns,
  runsThatSaw,
  SeenSet,
  type Series,
} from '../../src/corpus/index.js';
import { createKey } from '../../src/corpus/pseudonym.js';
import { openModel } from '../../src/models/model-file.js';
import { requireSharing } from '../../src/models/provenance.js';
import { ALIGN } from '../../src/train/align.js';
import { PRETRAIN } from '../../src/train/pretrain.js';
import { align, pretrain, type RunOptions, type TrainingCorpus } from '../../src/train/run.js';
import { image } from '../corpus/made.js';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-rights-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function series(n: number, rights: Partial<Series['rights']>, quarantined: string | null = null): Series {
  const { shape, affine } = image();
  return {
    id: `se-${String(n).padStart(16, '0')}`,
    studyId: `st-${n}`,
    patientId: `pt-${n}`,
    description: '',
    bodyPart: 'PROSTATE',
    contrast: 'T2w',
    plane: 'axial',
    manufacturer: 'SIEMENS',
    fieldStrengthT: 3,
    shape: [...shape],
    spacingMm: [0.8, 0.8, 3],
    affine: affine.map((row) => [...row]) as Series['affine'],
    validFraction: 1,
    missingSlices: [],
    text: `Axial T2-weighted image number ${n}.`,
    rights: { ...DEFAULT_RIGHTS, ...rights },
    source: 'so-1',
    axes: [],
    confidence: { bodyPart: 1, contrast: 1, plane: 1 },
    sex: null,
    ageYears: null,
    date: null,
    report: null,
    contentHash: '',
    quality: null,
    quarantined,
    defaced: false,
  };
}

/** A corpus in memory that notes whose voxels were asked for. */
function corpusOf(all: Series[]): TrainingCorpus & { readonly read: Set<string> } {
  const read = new Set<string>();
  return {
    read,
    list: () => Promise.resolve(all),
    volume(id) {
      read.add(id);
      return Promise.resolve(image([40, 36, 8], all.findIndex((one) => one.id === id) + 1));
    },
  };
}

const said: string[] = [];
const options = (corpus: TrainingCorpus, run: string): RunOptions => ({
  corpus,
  run: join(dir, run),
  size: 'pico',
  steps: 3,
  batch: 2,
  seed: 0,
  heldOut: 0.3,
  probeEvery: 1,
  threads: 1,
  warn: (line) => said.push(line),
});
const view = { tokens: 8, patchMm: [[16, 1]], extent: [0.7, 1] } as const;
const recipe = {
  ...PRETRAIN,
  global: view,
  local: view,
  locals: 1,
  head: { hidden: 16, bottleneck: 8, prototypes: 16 },
};

const alignRecipe = { ...ALIGN, view };

describe('what a checkpoint says of its origin', () => {
  const use = ['train', 'evaluate'];
  const siteA = {
    licence: 'DUA 12',
    use,
    reference: 'contract 7',
    expires: '2999-12-31',
    attribution: 'Site A',
  };
  const siteB = { licence: 'CC BY 4.0', use: [...use, 'share-weights'], attribution: 'Site B' };
  const all = [1, 2, 3, 4, 5].map((n) => ({ ...series(n, siteA), source: 'so-a' }));
  const more = [6, 7, 8].map((n) => ({ ...series(n, siteB), source: 'so-b' }));
  const everything = { heldOut: 0, recipe };
  const from = (): string => join(dir, 'first');

  it('is every source with its licence, attribution and count, and which series', async () => {
    await pretrain({ ...options(corpusOf(all), 'first'), ...everything });
    const { provenance } = await openModel(from());
    expect(provenance.sources).toEqual([{ source: 'so-a', ...siteA, series: 5 }]);
    expect(provenance).toMatchObject({ series: 5, runs: [{ kind: 'pretrain' }] });
    const seen = SeenSet.parse(provenance.seen);
    for (const { id } of all) expect(seen.has(id)).toBe(true);
    for (const { id } of more) expect(seen.has(id)).toBe(false);
  });

  it('is carried over to what starts from it, each series counted once', async () => {
    const corpus = corpusOf([...all.slice(3), ...more]);
    const run = { ...options(corpus, 'second'), heldOut: 0, recipe: alignRecipe, from: from() };
    await align(run);
    const { provenance } = await openModel(join(dir, 'second'));
    const attribution = { reference: null, expires: null };
    expect(provenance.sources).toEqual([
      { source: 'so-a', ...siteA, series: 5 },
      { source: 'so-b', ...attribution, ...siteB, series: 3 },
    ]);
    expect(provenance.series).toBe(8);
    expect(provenance.runs.map(({ kind }) => kind)).toEqual(['pretrain', 'align']);
    expect(provenance.runs[0]).toEqual((await openModel(from())).provenance.runs[0]);
    const seen = SeenSet.parse(provenance.seen);
    for (const { id } of [...all, ...more]) expect(seen.has(id)).toBe(true);
  });

  it('decides whether the weights may be shared', async () => {
    const { provenance } = await openModel(join(dir, 'second'));
    expect(() => requireSharing(provenance, 'export')).toThrow(
      /those of 5 series do not \(so-a: its rights \(DUA 12: train, evaluate\) lack "share-weights"\)/,
    );
    const only = { ...provenance, sources: provenance.sources.slice(1) };
    expect(() => requireSharing(only, 'export')).not.toThrow();
    const ended = { ...only, sources: only.sources.map((one) => ({ ...one, expires: '2026-01-31' })) };
    expect(() => requireSharing(ended, 'export', new Date('2026-01-31T20:00:00Z'))).not.toThrow();
    expect(() => requireSharing(ended, 'export', new Date('2026-02-01T00:00:00Z'))).toThrow(
      /expired on 2026-01-31/,
    );
  });

  it('is registered with the corpus before the first step, also for a run that is resumed', async () => {
    const corpus = { ...corpusOf(all), dir: join(dir, 'corpus') };
    await mkdir(corpus.dir);
    await createKey(corpus.dir);
    const run = { ...options(corpus, 'registered'), ...everything };
    const controller = new AbortController();
    let registered = 0;
    const onStep = (): void => {
      registered = readdirSync(join(corpus.dir, 'runs')).length;
      controller.abort();
    };
    await pretrain({ ...run, signal: controller.signal, onStep });
    expect(registered).toBe(1);
    await pretrain({ ...run, resume: true });
    const [one, ...others] = await readRuns(corpus.dir);
    expect(others).toEqual([]);
    const { provenance } = await openModel(join(dir, 'registered'));
    expect(one).toMatchObject({ labels: ['registered'], kind: 'pretrain', ...provenance.runs[0], series: 5 });
    expect((await runsThatSaw(corpus.dir, [all[0]!.id])).map(({ saw }) => saw)).toEqual([1]);
    const { entries, findings } = await readAudit(corpus.dir);
    expect(findings).toEqual([]);
    expect(entries.map(({ action, detail }) => [action, detail.resumed])).toEqual([
      ['train', false],
      ['train', true],
    ]);
    expect(JSON.stringify([one, entries])).not.toContain(dir);
  });
});

describe('training and rights', () => {
  it('stops with a clear error where no series may be trained on, and leaves nothing behind', async () => {
    const corpus = corpusOf([series(1, {}), series(2, { use: ['train'], expires: '2001-01-01' })]);
    for (const [name, train] of [
      ['pretrain', pretrain],
      ['align', align],
    ] as const) {
      const failing = train(options(corpus, 'forbidden'));
      await expect(failing).rejects.toThrow(CorpusError);
      await expect(failing).rejects.toThrow(
        new RegExp(`^${name}: the rights .*"train".*none of 2.*se-0*1.*expired: se-0*2.*corpus rights set`),
      );
    }
    expect(corpus.read.size).toBe(0);
    expect(await readdir(dir)).not.toContain('forbidden');
  });

  it('trains on what may be trained on, and says what is left out', async () => {
    const use = ['train', 'evaluate'];
    const may = [1, 3, 5, 7, 9, 11, 13].map((n) => series(n, { use }));
    const mayNot = [
      series(2, { use: ['evaluate'] }),
      series(4, { use: ['evaluate', 'serve'] }),
      series(6, { use, expires: '2001-01-01' }),
      series(8, { use }, 'burnt-in text'),
    ];
    const corpus = corpusOf([...may, ...mayNot]);
    said.length = 0;
    await pretrain({ ...options(corpus, 'mixed'), recipe });
    expect(said.filter((line) => line.startsWith('pretrain: '))).toEqual([
      `pretrain: 2 series are left out because of rights that lack "train": ${mayNot[0]!.id}, ${mayNot[1]!.id}`,
      `pretrain: 1 series are left out because of rights that have expired: ${mayNot[2]!.id}`,
      `pretrain: 1 series are left out because of quarantine: ${mayNot[3]!.id}`,
    ]);
    expect(corpus.read.size).toBeGreaterThan(2);
    for (const id of corpus.read) expect(may.map((one) => one.id)).toContain(id);
  });

  it('probes first, as often as asked and last, only with held-out series that may be evaluated', async () => {
    const probed = async (use: string[], run: string): Promise<number[]> => {
      const corpus = corpusOf([1, 2, 3, 4, 5, 6, 7, 8].map((n) => series(n, { use })));
      const steps: number[] = [];
      const onStep = (metrics: object & { step: number }): void => {
        if ('knn.plane' in metrics) steps.push(metrics.step);
      };
      await pretrain({ ...options(corpus, run), steps: 5, probeEvery: 3, recipe, onStep });
      return steps;
    };
    expect(await probed(['train', 'evaluate'], 'probed')).toEqual([1, 3, 5]);
    expect(await probed(['train'], 'unprobed')).toEqual([]);
  });
});
