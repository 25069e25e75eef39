/** Search in an index, against brute force over the same vectors and words. */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Connection, type Table } from '@lancedb/lancedb';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { seriesSchema, type Series } from '../../src/corpus/series.js';
import { SeriesTable } from '../../src/corpus/table.js';
import { fuse } from '../../src/tasks/search-fusion.js';
import { studyVector, type StudyPool } from '../../src/models/study-pool.js';
import {
  searchIndex,
  vectorOfStudy,
  type Hit,
  type Listed,
  type SearchOptions,
} from '../../src/tasks/search.js';
import {
  IMAGES,
  indexVectors,
  matchingRows,
  nearestRows,
  removeImages,
  writeImages,
} from '../../src/tasks/search-table.js';
import { Random } from '../../src/volume/random.js';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const DIM = 16;
const made: string[] = [];
const folder = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'precess-search-'));
  made.push(dir);
  return dir;
};
afterAll(() => Promise.all(made.map((dir) => rm(dir, { recursive: true, force: true }))));

function unit(random: Random, dim = DIM): Float32Array {
  const v = Float32Array.from({ length: dim }, () => random.normal());
  const norm = Math.hypot(...v);
  return v.map((x) => x / norm);
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, d) => sum + v * b[d]!, 0);

function oneSeries(n: number, rest: Partial<Series>): Series {
  return seriesSchema.parse({
    id: `se-${String(n).padStart(16, '0')}`,
    studyId: `st-${Math.floor(n / 3)}`,
    patientId: `pa-${Math.floor(n / 6)}`,
    description: '',
    bodyPart: n % 2 === 0 ? 'BRAIN' : 'KNEE',
    contrast: 'T1w',
    plane: 'axial',
    manufacturer: 'SIEMENS',
    fieldStrengthT: n % 4 === 0 ? 3 : null,
    shape: [8, 8, 8],
    spacingMm: [1, 1, 1],
    affine: [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
      [0, 0, 0, 1],
    ],
    validFraction: 1,
    missingSlices: [],
    text: `axial T1-weighted image number ${n}`,
    rights: { licence: 'own', use: ['evaluate'] },
    source: 'so-1',
    ...rest,
  });
}

interface Made {
  db: Connection;
  table: Table;
  corpus: Listed;
  rows: SeriesTable;
  all: { series: Series; vector: Float32Array }[];
  dir: string;
  close(): void;
}

async function indexOf(series: readonly Series[], seed = 1, pool: StudyPool | null = null): Promise<Made> {
  const dir = await folder();
  const rows = await SeriesTable.create(join(dir, 'corpus'));
  await rows.put(series.map((one) => ({ series: one, revision: 0, instances: 1 })));
  const random = new Random(seed);
  const all = series.map((one) => ({ series: one, vector: unit(random) }));
  const db = await connect(join(dir, 'index'));
  await writeImages(db, all, pool);
  const table = await db.openTable(IMAGES);
  const corpus: Listed = {
    list: async ({ where, limit } = {}) => (await rows.rows(where, limit)).map((row) => row.series),
  };
  const close = (): void => {
    table.close();
    db.close();
    rows.close();
  };
  return { db, table, corpus, rows, all, dir, close };
}

/** Every study's cosine with a query, from the vectors of its series alone. */
function byStudy(all: Made['all'], query: Float32Array): { studyId: string; score: number; best: string }[] {
  const ids = [...new Set(all.map(({ series }) => series.studyId))];
  return ids
    .map((studyId) => {
      const own = all.filter(({ series }) => series.studyId === studyId);
      const sum = own.reduce(
        (total, { vector }) => total.map((v, d) => v + vector[d]!),
        new Float32Array(DIM),
      );
      const best = own.reduce((a, b) => (dot(b.vector, query) > dot(a.vector, query) ? b : a));
      return { studyId, score: dot(sum, query) / Math.hypot(...sum), best: best.series.id };
    })
    .sort((a, b) => b.score - a.score);
}

const plain = (hits: readonly Hit[]) =>
  hits.map(({ series, id, score }) => ({ studyId: series.studyId, score, best: id }));
const close = (rows: readonly { studyId: string; score: number; best: string }[]) =>
  rows.map((row) => ({ ...row, score: expect.closeTo(row.score, 5) as number }));

describe('search in an index', () => {
  const query = unit(new Random(99));
  let index: Made;
  const search = (options: SearchOptions, text?: string): Promise<Hit[]> =>
    searchIndex(index.corpus, index.table, { vector: query, ...(text !== undefined && { text }) }, options);

  beforeAll(async () => {
    const report = { findings: 'A ganglion cyst behind the ligament.', impression: '', other: '' };
    index = await indexOf(Array.from({ length: 60 }, (_, n) => oneSeries(n, n === 17 ? { report } : {})));
  });
  afterAll(() => index.close());

  it('ranks series by their cosine, among those that match', async () => {
    const expected = (keep: (one: Series) => boolean) =>
      index.all
        .filter(({ series }) => keep(series))
        .map(({ series, vector }) => ({ id: series.id, score: dot(vector, query) }))
        .sort((a, b) => b.score - a.score)
        .map(({ id, score }) => ({ id, score: expect.closeTo(score, 5) as number }));
    for (const [where, keep] of [
      [undefined, () => true],
      ["bodyPart = 'KNEE'", (one: Series) => one.bodyPart === 'KNEE'],
      ['fieldStrengthT > 1 -- tesla', (one: Series) => one.fieldStrengthT !== null],
      ["array_has(use, 'train')", () => false],
    ] as const) {
      const hits = await search({ k: 7, ...(where !== undefined && { where }) });
      expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(expected(keep).slice(0, 7));
      expect(hits.map(({ rank }) => rank)).toEqual(hits.map((_, n) => n + 1));
    }
    await expect(search({ k: 1, where: "organ = 'KNEE'" })).rejects.toThrow(/filter series: .*columns are/);
    await expect(search({ k: 1, where: "words = 'x'" })).rejects.toThrow(/filter series/);
  });

  it('ranks studies by the normalised mean of their series, and shows the best of each', async () => {
    const expected = byStudy(index.all, query);
    expect(plain(await search({ k: 100, level: 'study' }))).toEqual(close(expected));
    expect(plain(await search({ k: 4, level: 'study' }))).toEqual(close(expected.slice(0, 4)));
    // A study of which one series matches is found by all of it, and shown by the one that matches.
    const hits = await search({ k: 100, level: 'study', where: `id = '${index.all[4]!.series.id}'` });
    const whole = expected.find(({ studyId }) => studyId === 'st-1')!;
    expect(plain(hits)).toEqual(close([{ ...whole, best: index.all[4]!.series.id }]));
  });

  it('is asked with a study by the normalised mean of its series', async () => {
    const own = index.all.filter(({ series }) => series.studyId === 'st-4');
    const sum = own.reduce((total, { vector }) => total.map((v, d) => v + vector[d]!), new Float32Array(DIM));
    const vector = await vectorOfStudy(index.corpus, index.table, 'st-4', null);
    vector.forEach((v, d) => expect(v).toBeCloseTo(sum[d]! / Math.hypot(...sum), 6));
    const hits = await searchIndex(index.corpus, index.table, { vector }, { k: 100, level: 'study' });
    expect(plain(hits)).toEqual(close(byStudy(index.all, vector)));
    expect(hits[0]).toMatchObject({ score: expect.closeTo(1, 5) as number, series: { studyId: 'st-4' } });
    await expect(vectorOfStudy(index.corpus, index.table, "st-x' OR 1=1", null)).rejects.toThrow(
      /the study must be in the index, got st-x/,
    );
  });

  it('finds words of texts and reports by BM25', async () => {
    const words = async (text: string) =>
      (await matchingRows(index.table, text, { k: 5 })).map(({ id }) => id);
    expect(await words('ganglion cysts')).toEqual([index.all[17]!.series.id]);
    expect((await words('image 23'))[0]).toBe(index.all[23]!.series.id);
    expect(await words('prostate')).toEqual([]);
  });

  it('joins both by reciprocal ranks', async () => {
    expect(
      fuse([
        ['a', 'b', 'c'],
        ['c', 'a'],
      ]),
    ).toEqual([
      ['a', 1 / 61 + 1 / 62],
      ['c', 1 / 63 + 1 / 61],
      ['b', 1 / 62],
    ]);
    const order = (await search({ k: 60 })).map(({ id }) => id);
    const named = index.all[17]!.series.id;
    const hits = await search({ k: 60, hybrid: true }, 'ganglion');
    // One series has the word: it rises to 1/61 above its place by vectors, all others keep their order.
    expect(hits[0]).toMatchObject({ id: named, rank: 1 });
    expect(hits[0]!.score).toBeCloseTo(1 / 61 + 1 / (61 + order.indexOf(named)), 12);
    expect(hits.slice(1).map(({ id }) => id)).toEqual(order.filter((id) => id !== named));
    const studies = await search({ k: 60, hybrid: true, level: 'study' }, 'ganglion');
    expect(studies[0]!.series.studyId).toBe('st-5');
    expect(studies).toHaveLength(20);
    expect(await search({ k: 60, hybrid: true, where: "bodyPart = 'BRAIN'" }, 'ganglion')).toHaveLength(30);
    await expect(search({ k: 1, hybrid: true })).rejects.toThrow(/hybrid search needs words/);
  });
});

describe('an index that its corpus has moved on from', () => {
  it('passes over what may not be looked at now, and scores studies without it', async () => {
    const index = await indexOf(
      Array.from({ length: 30 }, (_, n) => oneSeries(n, {})),
      2,
    );
    const query = unit(new Random(5));
    const gone = index.all.filter(({ series }, n) => n % 3 === 1 || series.studyId === 'st-2');
    await index.rows.put(
      gone.map(({ series }) => ({
        series: { ...series, rights: { ...series.rights, expires: '2001-01-01' } },
        revision: 0,
        instances: 1,
      })),
    );
    const left = index.all.filter((one) => !gone.includes(one));
    for (const options of [{ k: 100 }, { k: 3 }]) {
      const hits = await searchIndex(index.corpus, index.table, { vector: query }, options);
      const expected = left.toSorted((a, b) => dot(b.vector, query) - dot(a.vector, query));
      expect(hits.map(({ id }) => id)).toEqual(expected.slice(0, options.k).map(({ series }) => series.id));
    }
    const studies = await searchIndex(
      index.corpus,
      index.table,
      { vector: query },
      { k: 100, level: 'study' },
    );
    expect(plain(studies)).toEqual(close(byStudy(left, query)));
    // A study that asks is made of what is left of it, too; one of which nothing is left cannot ask.
    const own = left.filter(({ series }) => series.studyId === 'st-1').map(({ vector }) => vector);
    expect(own).toHaveLength(2);
    const asking = await vectorOfStudy(index.corpus, index.table, 'st-1', null);
    studyVector(own).forEach((v, d) => expect(asking[d]).toBeCloseTo(v, 6));
    await expect(vectorOfStudy(index.corpus, index.table, 'st-2', null)).rejects.toThrow(
      /must permit "evaluate"/,
    );
    index.close();
  });

  it('holds nothing of series that were withdrawn, and finds the others as if they had never been', async () => {
    const words = { text: 'a lipohaemarthrosis beyond doubt' };
    const index = await indexOf(
      Array.from({ length: 30 }, (_, n) => oneSeries(n, n === 4 ? words : {})),
      3,
    );
    const { series } = index.all[4]!;
    const files = await readdir(join(index.dir, 'index'), { recursive: true, withFileTypes: true });
    const holding = async (text: string): Promise<number> => {
      const entries = await readdir(join(index.dir, 'index'), { recursive: true, withFileTypes: true });
      const bytes = await Promise.all(
        entries.filter((one) => one.isFile()).map((one) => readFile(join(one.parentPath, one.name))),
      );
      return bytes.filter((one) => one.includes(text)).length;
    };
    expect(files.length).toBeGreaterThan(0);
    expect(await holding(series.id)).toBeGreaterThan(0);
    expect(await removeImages(index.db, new Set([series.id]))).toEqual({ removed: 1, left: 29 });
    expect(await holding(series.id)).toBe(0);
    expect(await holding('lipohaemarthrosi')).toBe(0);
    const query = unit(new Random(6));
    const left = index.all.filter((one) => one.series.id !== series.id);
    await index.rows.erase(new Set([series.id]));
    const table = await index.db.openTable(IMAGES);
    const studies = await searchIndex(index.corpus, table, { vector: query }, { k: 100, level: 'study' });
    expect(plain(studies)).toEqual(close(byStudy(left, query)));
    // The stored vector of the study too is made of the two that are left.
    const [row] = (await table.query().where(`id = '${index.all[3]!.series.id}'`).toArray()) as [
      { studyVector: Iterable<number> },
    ];
    const expected = studyVector([index.all[3]!.vector, index.all[5]!.vector]);
    [...row.studyVector].forEach((v, d) => expect(v).toBeCloseTo(expected[d]!, 6));
    expect(await matchingRows(table, 'lipohaemarthrosis', { k: 5 })).toEqual([]);
    expect((await matchingRows(table, 'number 7', { k: 1 }))[0]!.id).toBe(index.all[7]!.series.id);
    table.close();
    index.close();
  });
});

describe('studies of a model with a pool', () => {
  it('are ranked by the attention over their series, also after a withdrawal', async () => {
    // One hidden unit that looks at the first component: the weight of a series is exp(q tanh(w x₀ + b)).
    const [w, b, q] = [2, 0.3, 3];
    const weight = new Float32Array(DIM);
    weight[0] = w;
    const pool: StudyPool = { weight, bias: Float32Array.of(b), query: Float32Array.of(q) };
    const index = await indexOf(
      Array.from({ length: 30 }, (_, n) => oneSeries(n, {})),
      3,
      pool,
    );
    const query = unit(new Random(8));
    const pooled = (all: Made['all']) =>
      byStudy(
        all.map(({ series, vector }) => {
          const share = Math.exp(q * Math.tanh(w * vector[0]! + b));
          return { series, vector: vector.map((v) => v * share) };
        }),
        query,
      ).map(({ studyId, score }) => ({ studyId, score: expect.closeTo(score, 5) as number }));
    const found = async (table: Table) =>
      (await searchIndex(index.corpus, table, { vector: query }, { k: 100, level: 'study', pool })).map(
        ({ series, score }) => ({ studyId: series.studyId, score }),
      );
    expect(await found(index.table)).toEqual(pooled(index.all));
    expect(pooled(index.all)).not.toEqual(
      byStudy(index.all, query).map(({ studyId, score }) => ({
        studyId,
        score: expect.closeTo(score, 5) as number,
      })),
    );
    const gone = index.all[4]!.series.id;
    await removeImages(index.db, new Set([gone]), pool);
    await index.rows.erase(new Set([gone]));
    const table = await index.db.openTable(IMAGES);
    const left = index.all.filter(({ series }) => series.id !== gone);
    expect(await found(table)).toEqual(pooled(left));
    // What the nearest rows are looked for by is the pooled vector as well.
    const [row] = (await table.query().where(`id = '${index.all[3]!.series.id}'`).toArray()) as [
      { studyVector: Iterable<number> },
    ];
    const expected = studyVector([index.all[3]!.vector, index.all[5]!.vector], pool);
    [...row.studyVector].forEach((v, d) => expect(v).toBeCloseTo(expected[d]!, 6));
    table.close();
    index.close();
  });
});

describe('an approximate index', () => {
  it('finds at least 9 of the 10 nearest of 20,000 clustered vectors, and all that a narrow filter leaves', async () => {
    const [dim, count, clusters] = [32, 20_000, 100];
    const random = new Random(7);
    const centres = Array.from({ length: clusters }, () => unit(random, dim));
    const near = (): Float32Array => {
      const centre = centres[Math.floor(random.uniform(0, clusters))]!;
      const v = centre.map((x) => x + 0.12 * random.normal());
      const norm = Math.hypot(...v);
      return v.map((x) => x / norm);
    };
    const vectors = Array.from({ length: count }, near);
    const db = await connect(await folder());
    const table = await db.createTable(
      'images',
      vectors.map((vector, n) => ({ id: `se-${n}`, studyId: `st-${n}`, vector: Array.from(vector), n })),
    );
    await indexVectors(table, 'vector');
    let found = 0;
    const queries = Array.from({ length: 50 }, near);
    for (const query of queries) {
      const scores = vectors.map((vector, n) => ({ n, score: dot(vector, query) }));
      const best = scores.sort((a, b) => b.score - a.score).slice(0, 10);
      const rows = await nearestRows(table, query, { k: 10 });
      expect(rows.map(({ score }) => score)).toEqual(
        rows.map(({ score }) => score).toSorted((a, b) => b - a),
      );
      found += best.filter(({ n }) => rows.some(({ id }) => id === `se-${n}`)).length;
      const exact = await nearestRows(table, query, { k: 10, exact: true });
      expect(exact.map(({ id }) => id)).toEqual(best.map(({ n }) => `se-${n}`));
      rows.forEach(({ id, score }) =>
        expect(score).toBeCloseTo(dot(vectors[Number(id.slice(3))]!, query), 4),
      );
    }
    expect(found / (10 * queries.length)).toBeGreaterThanOrEqual(0.9);
    const few = await nearestRows(table, queries[0]!, { k: 10, where: 'n < 8' });
    expect(few).toHaveLength(8);
    db.close();
  });
});
