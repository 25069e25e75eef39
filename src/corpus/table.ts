/** The series table: one LanceDB row a series, and the corpus's filter language. */
import { createRequire } from 'node:module';
import type { Connection, Table } from '@lancedb/lancedb';
import type { Field as ArrowField, Schema as ArrowSchema } from 'apache-arrow';
import { CorpusError, tableFailure } from './error.js';
import { type Series, seriesSchema } from './series.js';
import { insideOf, isRemote } from './store.js';

/** A row: the series, and what ingest needs to know of how it is stored. */
export interface StoredSeries {
  readonly series: Series;
  /** Which writing of the voxels the row points at; rises when a series came back with more slices. */
  readonly revision: number;
  /** Slices (or frames) that the voxels were made from. */
  readonly instances: number;
}

/** Columns that a filter may name, and what they hold. */
export const COLUMNS: Readonly<Record<string, string>> = {
  id: 'text',
  studyId: 'text',
  patientId: 'text',
  description: 'text',
  bodyPart: 'text',
  contrast: 'text',
  plane: 'text',
  manufacturer: 'text',
  fieldStrengthT: 'number',
  shape: 'list of 3 whole numbers',
  spacingMm: 'list of 3 numbers',
  affine: 'list of 16 numbers',
  validFraction: 'number',
  missingSlices: 'list of whole numbers',
  text: 'text',
  licence: 'text',
  use: 'list of text',
  reference: 'text',
  expires: 'text',
  attribution: 'text',
  source: 'text',
  sex: 'text',
  ageYears: 'number',
  date: 'text',
  contentHash: 'text',
  quarantined: 'text',
  defaced: 'true or false',
};

interface StoredKey {
  readonly id: string;
  readonly revision: number;
}

const FOLDER = 'tables';
const TABLE = 'series';

async function loadLance(): Promise<typeof import('@lancedb/lancedb')> {
  // Lance warns on stderr about every new table; its errors still come as exceptions.
  process.env.LANCE_LOG ??= 'error';
  return import('@lancedb/lancedb');
}

async function connect(corpus: string): Promise<Connection> {
  const lance = await loadLance();
  const dir = insideOf(corpus, FOLDER);
  if (!isRemote(corpus)) return lance.connect(dir);
  const { lanceStorageOptions } = await import('./s3.js');
  return lance.connect(dir, { storageOptions: lanceStorageOptions() });
}

const require = createRequire(import.meta.url);

/** Arrow as LanceDB itself loads it: an import would load all of it a second time, as ES modules. */
export const loadArrow = (): typeof import('apache-arrow') =>
  require('apache-arrow') as typeof import('apache-arrow');

/** The Arrow schema of a row. */
export function arrowSchema(): ArrowSchema {
  const { Bool, Field, FixedSizeList, Float64, Int32, List, Schema, Utf8 } = loadArrow();
  const item = (type: ConstructorParameters<typeof Field>[1]): ArrowField => new Field('item', type, true);
  const text = (name: string): ArrowField => new Field(name, new Utf8(), false);
  const maybe = (name: string): ArrowField => new Field(name, new Utf8(), true);
  return new Schema([
    ...['id', 'studyId', 'patientId', 'description', 'bodyPart', 'contrast', 'plane', 'manufacturer'].map(
      text,
    ),
    new Field('fieldStrengthT', new Float64(), true),
    new Field('shape', new FixedSizeList(3, item(new Int32())), false),
    new Field('spacingMm', new FixedSizeList(3, item(new Float64())), false),
    new Field('affine', new FixedSizeList(16, item(new Float64())), false),
    new Field('validFraction', new Float64(), false),
    new Field('missingSlices', new List(item(new Int32())), false),
    text('text'),
    text('licence'),
    new Field('use', new List(item(new Utf8())), false),
    ...['reference', 'expires', 'attribution'].map(maybe),
    text('source'),
    maybe('sex'),
    new Field('ageYears', new Float64(), true),
    maybe('date'),
    text('contentHash'),
    maybe('quarantined'),
    new Field('defaced', new Bool(), false),
    // What no filter asks for, as JSON: axes, confidence, report, quality.
    text('details'),
    new Field('revision', new Int32(), false),
    new Field('instances', new Int32(), false),
  ]);
}

/** A row as it is stored, see {@link arrowSchema}. */
export function toRow({ series, revision, instances }: StoredSeries): Record<string, unknown> {
  const { affine, rights, axes, confidence, report, quality, ...rest } = series;
  const details = JSON.stringify({ axes, confidence, report, quality });
  return { ...rest, affine: affine.flat(), ...rights, details, revision, instances };
}

function fromRow(row: Record<string, unknown>): StoredSeries {
  // Lists arrive as Arrow vectors, which are iterable.
  const list = (name: string): unknown[] => [...(row[name] as Iterable<unknown>)];
  const affine = list('affine');
  const series = seriesSchema.parse({
    ...row,
    ...(JSON.parse(row.details as string) as object),
    shape: list('shape'),
    spacingMm: list('spacingMm'),
    affine: [0, 4, 8, 12].map((at) => affine.slice(at, at + 4)),
    missingSlices: list('missingSlices'),
    rights: { ...row, use: list('use') },
  });
  return { series, revision: row.revision as number, instances: row.instances as number };
}

export class SeriesTable {
  private constructor(
    private readonly corpus: string,
    private readonly connection: Connection,
    private readonly table: Table,
  ) {}

  static create(corpus: string): Promise<SeriesTable> {
    return reach(corpus, async () => {
      const connection = await connect(corpus);
      const table = await connection.createEmptyTable(TABLE, arrowSchema(), { existOk: true });
      return new SeriesTable(corpus, connection, table);
    });
  }

  static open(corpus: string): Promise<SeriesTable> {
    return reach(corpus, async () => {
      const connection = await connect(corpus);
      return new SeriesTable(corpus, connection, await connection.openTable(TABLE));
    });
  }

  /** The rows that an SQL filter selects, in the order of their ids. @throws CorpusError for a bad filter. */
  async rows(where?: string, limit?: number): Promise<StoredSeries[]> {
    const found = await reach(this.corpus, async () => {
      await this.table.checkoutLatest();
      let query = this.table.query();
      if (where !== undefined) query = query.where(where);
      if (limit !== undefined) query = query.limit(limit);
      try {
        return (await query.toArray()) as Record<string, unknown>[];
      } catch (error) {
        throw where === undefined || tableFailure(this.corpus, error) !== error
          ? error
          : badFilter(where, error);
      }
    });
    return found.map(fromRow).sort((a, b) => (a.series.id < b.series.id ? -1 : 1));
  }

  /** id → revision of every row. */
  async revisions(): Promise<Map<string, number>> {
    const rows = await reach(this.corpus, async () => {
      await this.table.checkoutLatest();
      return (await this.table.query().select(['id', 'revision']).toArray()) as StoredKey[];
    });
    return new Map(rows.map(({ id, revision }) => [id, revision]));
  }

  /** Adds rows, replacing those with the same ids: one new version of the table. */
  async put(rows: readonly StoredSeries[]): Promise<void> {
    if (rows.length === 0) return;
    await reach(this.corpus, () =>
      this.table.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows.map(toRow)),
    );
  }

  /**
   * Removes rows, and every older version of the table, so that no file holds them any more. Readers of an older
   * version fail and must open the table again.
   */
  async erase(ids: ReadonlySet<string>): Promise<void> {
    const rows = await this.rows();
    const kept = rows.filter(({ series }) => !ids.has(series.id));
    await reach(this.corpus, async () => {
      if (kept.length < rows.length) {
        // Deleting only marks rows as gone in a file that keeps them; written anew, the table is without them.
        const options = { mode: 'overwrite', schema: arrowSchema() } as const;
        const fresh =
          kept.length === 0
            ? await this.connection.createEmptyTable(TABLE, options.schema, { mode: options.mode })
            : await this.connection.createTable(TABLE, kept.map(toRow), options);
        fresh.close();
      }
      await this.table.checkoutLatest();
      await this.table.optimize({ cleanupOlderThan: new Date() });
    });
  }

  /** Joins the small files that many puts leave behind. */
  async compact(): Promise<void> {
    await reach(this.corpus, () => this.table.optimize());
  }

  close(): void {
    this.table.close();
    this.connection.close();
  }
}

/** @throws ServiceError where the table is in a bucket that cannot be reached. */
async function reach<T>(corpus: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw tableFailure(corpus, error);
  }
}

function badFilter(where: string, error: unknown): CorpusError {
  const message = error instanceof Error ? error.message : String(error);
  const reason =
    /sql parser error: [^\n]*?(?=\)?, \/|\n|$)/.exec(message)?.[0] ??
    /No field named \S+(?=\.)/.exec(message)?.[0] ??
    /Received literal[^,\n]*/.exec(message)?.[0] ??
    /does not return a boolean/.exec(message)?.[0] ??
    message.split('\n')[0]!.slice(0, 200);
  const columns = Object.entries(COLUMNS).map(([name, type]) => `${name} (${type})`);
  return new CorpusError(
    `filter series: the filter must be an SQL condition such as "bodyPart = 'PROSTATE'", got "${where}": ` +
      `${reason.replace(/\)+$/, '')}; columns are ${columns.join(', ')}`,
    { cause: error },
  );
}
