/** The table of an index: vectors and words of series beside what filters may name, and the indexes on them. */
import type { Connection, Table } from '@lancedb/lancedb';
import { arrowSchema, COLUMNS, loadArrow, toRow } from '../corpus/table.js';
import type { Series } from '../corpus/series.js';
import { studyVector, type StudyPool } from '../models/study-pool.js';

export const IMAGES = 'images';
/** From so many rows on, vectors are found by an approximate index; below, every one is compared. */
export const ANN_ROWS = 50_000;
/** Rows of one write. */
const CHUNK = 4096;

export interface IndexedSeries {
  readonly series: Series;
  /** Unit vector. */
  readonly vector: Float32Array;
}

/** What full-text search reads of a series: its text, and its report where there is one. */
export function wordsOf({ text, report }: Pick<Series, 'text' | 'report'>): string {
  const parts = [text, report?.findings, report?.impression, report?.other];
  return [...new Set(parts.filter((part) => part !== undefined && part !== ''))].join('\n');
}

/** studyId → vector of the study. */
function studyVectors(
  rows: readonly { studyId: string; vector: Float32Array }[],
  pool: StudyPool | null,
): Map<string, Float32Array> {
  const of = new Map<string, Float32Array[]>();
  for (const { studyId, vector } of rows) of.set(studyId, [...(of.get(studyId) ?? []), vector]);
  return new Map([...of].map(([studyId, vectors]) => [studyId, studyVector(vectors, pool)]));
}

/**
 * Writes the table; `pool` is that of the model, where it has one: a row a series with the columns that a filter may name, "words", "vector", and in "studyVector" the
 * vector of its study, so that one filter serves both levels.
 */
export async function writeImages(
  db: Connection,
  rows: readonly IndexedSeries[],
  pool: StudyPool | null = null,
): Promise<void> {
  const { Field, FixedSizeList, Float32, Schema, Utf8 } = loadArrow();
  const dim = rows[0]!.vector.length;
  const vectorField = (name: string) =>
    new Field(name, new FixedSizeList(dim, new Field('item', new Float32(), true)), false);
  const { fields } = arrowSchema();
  const schema = new Schema([
    ...fields.filter(({ name }) => Object.hasOwn(COLUMNS, name)),
    new Field('words', new Utf8(), false),
    vectorField('vector'),
    vectorField('studyVector'),
  ]);
  const studies = studyVectors(
    rows.map(({ series: { studyId }, vector }) => ({ studyId, vector })),
    pool,
  );
  const table = await db.createEmptyTable(IMAGES, schema);
  try {
    for (let at = 0; at < rows.length; at += CHUNK)
      await table.add(
        rows.slice(at, at + CHUNK).map(({ series, vector }) => {
          const row = toRow({ series, revision: 0, instances: 0 });
          return {
            ...Object.fromEntries(Object.keys(COLUMNS).map((name) => [name, row[name]])),
            words: wordsOf(series),
            vector: Array.from(vector),
            studyVector: Array.from(studies.get(series.studyId)!),
          };
        }),
      );
    await indexImages(table);
  } finally {
    table.close();
  }
}

/** Makes the full-text index (BM25), and from {@link ANN_ROWS} on those of the vectors, anew. */
export async function indexImages(table: Table): Promise<void> {
  const { Index } = await import('@lancedb/lancedb');
  const config = Index.fts({
    withPosition: false,
    language: 'English',
    stem: true,
    // "no" and "without" are rare enough to say something.
    removeStopWords: false,
    asciiFolding: true,
  });
  await table.createIndex('words', { config });
  if ((await table.countRows()) < ANN_ROWS) return;
  for (const column of ['vector', 'studyVector']) await indexVectors(table, column);
}

/**
 * Makes the approximate index of a column of unit vectors, by their distance: it orders them as the cosine does, LanceDB
 * computes it four times as fast, and k-means by it needs no unit centres.
 */
export async function indexVectors(table: Table, column: string): Promise<void> {
  const { Index } = await import('@lancedb/lancedb');
  const rows = await table.countRows();
  const config = Index.ivfFlat({
    distanceType: 'l2',
    numPartitions: Math.max(1, Math.round(Math.sqrt(rows))),
    sampleRate: 64,
  });
  await table.createIndex(column, { config });
}

/** Of all partitions, so many of the nearest are looked through. */
const PROBES = 16;

export interface Nearest {
  readonly id: string;
  readonly studyId: string;
  /** Cosine of the query and the row's vector. */
  readonly score: number;
}

export interface NearestOptions {
  readonly k: number;
  /** SQL condition on the columns of the table. */
  readonly where?: string;
  readonly column?: 'vector' | 'studyVector';
  /** Compares every vector, whatever indexes there are. */
  readonly exact?: boolean;
}

/**
 * The `k` rows whose unit vector is nearest to a query, best first: exactly where there is no index of the column, else
 * among its nearest partitions. Where those hold fewer than `k` that match, all are compared.
 */
export async function nearestRows(
  table: Table,
  query: Float32Array,
  { k, where, column = 'vector', exact = false }: NearestOptions,
): Promise<Nearest[]> {
  let search = table.query().nearestTo(Array.from(query)).column(column).distanceType('l2');
  search = exact ? search.bypassVectorIndex() : search.nprobes(PROBES);
  if (where !== undefined) search = search.where(where);
  const rows = (await search.select(['id', 'studyId', '_distance']).limit(k).toArray()) as {
    id: string;
    studyId: string;
    _distance: number;
  }[];
  if (rows.length < k && !exact)
    return nearestRows(table, query, { k, column, exact: true, ...(where !== undefined && { where }) });
  // ‖a - b‖² = 2 - 2 a·b for unit vectors.
  return rows.map(({ id, studyId, _distance }) => ({ id, studyId, score: 1 - _distance / 2 }));
}

/** The `k` rows whose words fit a text best by BM25 (Robertson & Zaragoza 2009), best first; rows without any are none. */
export async function matchingRows(
  table: Table,
  text: string,
  { k, where }: Pick<NearestOptions, 'k' | 'where'>,
): Promise<Nearest[]> {
  const { MatchQuery } = await import('@lancedb/lancedb');
  let search = table.query().fullTextSearch(new MatchQuery(text, 'words'));
  if (where !== undefined) search = search.where(where);
  const rows = (await search.select(['id', 'studyId', '_score']).limit(k).toArray()) as {
    id: string;
    studyId: string;
    _score: number;
  }[];
  return rows.map(({ id, studyId, _score }) => ({ id, studyId, score: _score }));
}

/**
 * Removes the rows of series, so that no file holds them or what was made of them: the vectors of their studies are made
 * again from what is left, and the indexes from the rows.
 */
export async function removeImages(
  db: Connection,
  ids: ReadonlySet<string>,
  pool: StudyPool | null = null,
): Promise<{ removed: number; left: number }> {
  const table = await db.openTable(IMAGES);
  try {
    const before = await table.countRows();
    const named = `id IN (${[...ids].map(quoted).join(', ')})`;
    const gone = ids.size === 0 ? 0 : await table.countRows(named);
    if (gone > 0) {
      const { fields, names } = await schemaOf(table);
      const studies = names.has('studyId')
        ? ((await table.query().where(named).select(['studyId']).toArray()) as { studyId: string }[])
        : [];
      const touched = new Set(studies.map(({ studyId }) => studyId));
      const ofThem = `studyId IN (${[...touched].map(quoted).join(', ')})`;
      const rest = await table
        .query()
        .where(touched.size > 0 ? `NOT (${named}) AND NOT (${ofThem})` : `NOT (${named})`)
        .toArrow();
      const again = touched.size > 0 ? await plainRows(table, fields, `${ofThem} AND NOT (${named})`) : [];
      const vectors = studyVectors(
        again.map(({ studyId, vector }) => ({ studyId, vector })),
        pool,
      );
      // Deleting only marks rows as gone in a file that keeps them; written anew, the table is without them.
      const fresh =
        rest.numRows === 0
          ? await db.createEmptyTable(IMAGES, rest.schema, { mode: 'overwrite' })
          : await db.createTable(IMAGES, rest, { mode: 'overwrite' });
      if (again.length > 0)
        await fresh.add(
          again.map((row) => ({
            ...row,
            vector: Array.from(row.vector),
            studyVector: Array.from(vectors.get(row.studyId)!),
          })),
        );
      fresh.close();
      await table.checkoutLatest();
      await table.optimize({ cleanupOlderThan: new Date() });
      if (names.has('words') && gone < before) await indexImages(table);
    } else await table.optimize({ cleanupOlderThan: new Date() });
    return { removed: gone, left: before - gone };
  } finally {
    table.close();
  }
}

export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

async function schemaOf(table: Table): Promise<{ fields: string[]; names: Set<string> }> {
  const fields = (await table.schema()).fields.map(({ name }) => name);
  return { fields, names: new Set(fields) };
}

type PlainRow = { readonly studyId: string; readonly vector: Float32Array } & Record<string, unknown>;

/** Rows as they can be added again; lists arrive as Arrow vectors, which are iterable. */
async function plainRows(table: Table, fields: readonly string[], where: string): Promise<PlainRow[]> {
  const rows = (await table.query().where(where).toArray()) as Record<string, unknown>[];
  const plain = (value: unknown): unknown =>
    typeof value === 'object' && value !== null ? [...(value as Iterable<unknown>)] : value;
  return rows
    .map((row) => ({
      ...Object.fromEntries(fields.map((name) => [name, plain(row[name])])),
      studyId: row.studyId as string,
      vector: Float32Array.from(row.vector as Iterable<number>),
    }))
    .sort((a, b) => ((a as Record<string, unknown>).id! < (b as Record<string, unknown>).id! ? -1 : 1));
}
