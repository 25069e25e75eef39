/** Search in the table of an index: series or studies, by vectors, by words, or by both. */
import type { Table } from '@lancedb/lancedb';
import { allowed, requireUse } from '../corpus/rights.js';
import type { Series } from '../corpus/series.js';
import { studyVector, type StudyPool } from '../models/study-pool.js';
import { TaskError } from './error.js';
import { fuse } from './search-fusion.js';
import { matchingRows, nearestRows, quoted, type Nearest } from './search-table.js';

export interface Hit {
  /** Of the series; at the level of studies, of the study's series that fits best. */
  readonly id: string;
  /** Cosine of query and series (or study); of a hybrid search, the sum of reciprocal ranks. */
  readonly score: number;
  /** 1 is best. */
  readonly rank: number;
  readonly series: Series;
}

export interface SearchOptions {
  readonly k: number;
  /** SQL condition on the columns of the series table; at the level of studies, one series must match. */
  readonly where?: string;
  /** What is ranked: "series" unless said. */
  readonly level?: 'series' | 'study';
  /** Joins the ranking by vectors with the one by words (BM25). */
  readonly hybrid?: boolean;
  /** Compares every vector, also where there is an approximate index. */
  readonly exact?: boolean;
  /** How the model of the index makes a study of its series; their mean unless given. */
  readonly pool?: StudyPool | null;
}

export interface Query {
  readonly vector: Float32Array;
  /** What full-text search looks for. */
  readonly text?: string;
}

/** What search needs of a corpus. */
export interface Listed {
  list(options?: { where?: string; limit?: number }): Promise<Series[]>;
}

/** Rankings that are joined reach at least so far down. */
const DEPTH = 100;

/**
 * The `k` best hits. The filter is applied in the index, by the columns as they were when it was made; what is shown is
 * looked up in the corpus as it is now, and a series that does not match any more, or whose rights no longer permit
 * "evaluate", is passed over.
 *
 * @throws CorpusError for a bad filter. @throws TaskError when a hybrid search has no text, or the index is too old.
 */
export async function searchIndex(
  corpus: Listed,
  table: Table,
  query: Query,
  options: SearchOptions,
): Promise<Hit[]> {
  const { k, where, level = 'series', hybrid = false } = options;
  await checkStudies(table);
  // A bad filter shows here, with the columns that there are.
  if (where !== undefined && (await corpus.list({ where, limit: 1 })).length === 0) return [];
  const search = new Search(corpus, table, options);
  const byVector = (n: number): Promise<Found[]> =>
    level === 'study' ? search.studies(query.vector, n) : search.series(query.vector, n);
  if (!hybrid) return ranked(await byVector(k));
  if (query.text === undefined || query.text.trim() === '')
    throw new TaskError('search: a hybrid search needs words to look for; give a text');
  const depth = Math.max(DEPTH, 4 * k);
  const key = ({ series }: Found): string => (level === 'study' ? series.studyId : series.id);
  const rankings = [await byVector(depth), await search.words(query.text, depth)].map((found) =>
    // Of a study's several series with the words, the best stands for it.
    [...new Map([...found].reverse().map((one) => [key(one), one])).entries()].reverse(),
  );
  const of = new Map([...rankings].reverse().flat());
  const fused = fuse(rankings.map((ranking) => ranking.map(([name]) => name)));
  return ranked(fused.slice(0, k).map(([name, score]) => ({ series: of.get(name)!.series, score })));
}

async function checkStudies(table: Table): Promise<void> {
  if (!(await table.schema()).fields.some(({ name }) => name === 'studyVector'))
    throw new TaskError(
      'search: the index was made by an older version; make it again with "precess index --corpus DIR --model RUN"',
    );
}

/**
 * The unit vector of a study, made of its series that are in the index and may be looked at now.
 * @throws TaskError for a study that is not in the index. @throws CorpusError when no series of it may be looked at.
 */
export async function vectorOfStudy(
  corpus: Listed,
  table: Table,
  studyId: string,
  pool: StudyPool | null,
  doing = 'search',
): Promise<Float32Array> {
  await checkStudies(table);
  const known = await corpus.list({ where: `studyId = ${quoted(studyId)}` });
  const permitted = known.length === 0 ? [] : requireUse(known, 'evaluate', { doing });
  const ids = new Set(permitted.map(({ id }) => id));
  const vectors = (await vectorsOf(table, [studyId])).flatMap(({ id, vector }) =>
    ids.has(id) ? [vector] : [],
  );
  if (vectors.length === 0)
    throw new TaskError(
      `${doing}: the study must be in the index, got ${studyId}; "precess corpus ls --json" shows the ids, and ` +
        '"precess index" takes in what is new',
    );
  return studyVector(vectors, pool);
}

/** The vectors of the series of some studies, by the order of their ids. */
async function vectorsOf(
  table: Table,
  studyIds: readonly string[],
): Promise<{ id: string; studyId: string; vector: Float32Array }[]> {
  const rows = (await table
    .query()
    .where(`studyId IN (${studyIds.map(quoted).join(', ')})`)
    .select(['id', 'studyId', 'vector'])
    .toArray()) as { id: string; studyId: string; vector: Iterable<number> }[];
  return rows
    .map(({ id, studyId, vector }) => ({ id, studyId, vector: Float32Array.from(vector) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

interface Found {
  readonly series: Series;
  readonly score: number;
}

const ranked = (found: readonly Found[]): Hit[] =>
  found.map(({ series, score }, n) => ({ id: series.id, score, rank: n + 1, series }));

class Search {
  /** Series of the corpus by id as they may be shown; null for one that may not. */
  private readonly known = new Map<string, Series | null>();

  constructor(
    private readonly corpus: Listed,
    private readonly table: Table,
    private readonly options: SearchOptions,
  ) {}

  series(vector: Float32Array, k: number): Promise<Found[]> {
    return this.shown(k, (n) => nearestRows(this.table, vector, { ...this.options, k: n }));
  }

  words(text: string, k: number): Promise<Found[]> {
    return this.shown(k, (n) => matchingRows(this.table, text, { ...this.options, k: n }));
  }

  /**
   * Every row holds the vector of its study, so that rows of a study tie, and each study is met once for each of its
   * matching series. Its score is made of the series that may be looked at now.
   */
  async studies(vector: Float32Array, k: number): Promise<Found[]> {
    for (let n = 4 * k; ; n *= 2) {
      const rows = await nearestRows(this.table, vector, { ...this.options, k: n, column: 'studyVector' });
      const found = await this.scored(vector, [...new Set(rows.map(({ studyId }) => studyId))]);
      if (found.length >= k || rows.length < n) return found.slice(0, k);
    }
  }

  /** The studies that may be shown, by the cosine of their vectors, each with its best series that matches. */
  private async scored(vector: Float32Array, studyIds: readonly string[]): Promise<Found[]> {
    if (studyIds.length === 0) return [];
    const rows = await vectorsOf(this.table, studyIds);
    const ids = rows.map(({ id }) => id);
    const all = new Map((await this.permitted(ids)).map((one) => [one.id, one]));
    await this.look(ids);
    const studies = new Map<string, { vectors: Float32Array[]; best: Found | null }>();
    for (const { id, studyId, vector: own } of rows) {
      if (!all.has(id)) continue;
      const study = studies.get(studyId) ?? { vectors: [], best: null };
      study.vectors.push(own);
      const series = this.known.get(id);
      const score = cosine(vector, own);
      if (series && (study.best === null || score > study.best.score)) study.best = { series, score };
      studies.set(studyId, study);
    }
    return [...studies.values()]
      .flatMap(({ vectors, best }) =>
        best === null
          ? []
          : [{ series: best.series, score: cosine(vector, studyVector(vectors, this.options.pool)) }],
      )
      .sort((a, b) => b.score - a.score);
  }

  /** The first `k` rows that may be shown, asking for more where some may not. */
  private async shown(k: number, ask: (n: number) => Promise<Nearest[]>): Promise<Found[]> {
    for (let n = k; ; n *= 2) {
      const rows = await ask(n);
      await this.look(rows.map(({ id }) => id));
      const found = rows.flatMap(({ id, score }) => {
        const series = this.known.get(id);
        return series ? [{ series, score }] : [];
      });
      if (found.length >= k || rows.length < n) return found.slice(0, k);
    }
  }

  /** Looks series up that match the filter now. */
  private async look(ids: readonly string[]): Promise<void> {
    const fresh = ids.filter((id) => !this.known.has(id));
    for (const id of fresh) this.known.set(id, null);
    for (const one of await this.permitted(fresh, this.options.where)) this.known.set(one.id, one);
  }

  private async permitted(ids: readonly string[], where?: string): Promise<Series[]> {
    if (ids.length === 0) return [];
    const named = `id IN (${ids.map(quoted).join(', ')})`;
    const series = await this.corpus.list({
      where: where === undefined ? named : `${named} AND (${where}\n)`,
    });
    return allowed(series, 'evaluate').permitted;
  }
}

/** Of unit vectors. */
const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, d) => sum + v * b[d]!, 0);
