/** A corpus: a folder, or a place in a bucket, with a series table, voxels and a key. Everything in it is pseudonymous. */
import type { BoxImage } from '../volume/streamed.js';
import type { Vec3, Volume } from '../volume/volume.js';
import { recordAudit } from './audit.js';
import { CorpusError, writeFailure } from './error.js';
import { lock } from './lock.js';
import { createKey, KEY_FILE } from './pseudonym.js';
import type { Series } from './series.js';
import { type CorpusStore, openStore, rootOf } from './store.js';
import { SeriesTable, type StoredSeries } from './table.js';
import { openImage, readImage } from './voxels.js';

const MARKER = 'corpus.json';
const FORMAT = 'precess-corpus';
const VERSION = 2;

export interface ListOptions {
  /** SQL condition on the columns of the series table, such as "bodyPart = 'PROSTATE' AND fieldStrengthT > 1". */
  readonly where?: string;
  readonly limit?: number;
}

/** Where the voxels of a row are, relative to the corpus: a folder a hundredth of all, then id and revision. */
export function voxelsPath(id: string, revision: number): string {
  return `voxels/${id.slice(3, 5)}/${id}.${revision}.ome.zarr`;
}

export class Corpus {
  /** id → revision of the voxels, as far as known. */
  private revisions: Map<string, number> | null = null;

  private constructor(
    /** The folder, absolute, or the URL. */
    readonly dir: string,
    private readonly store: CorpusStore,
    /** The rows as ingest writes them. */
    readonly table: SeriesTable,
  ) {}

  /**
   * Makes a corpus in `dir` (a folder, made where it is missing, or s3://BUCKET/PREFIX), or opens the one that is there.
   *
   * @throws CorpusError when `dir` holds something else, or cannot be written.
   */
  static async create(dir: string): Promise<Corpus> {
    const root = rootOf(dir);
    try {
      const store = await openStore(dir);
      if ((await store.read(MARKER)) !== null) return await Corpus.open(dir);
      await store.prepare();
      const foreign = (await store.names('')).filter((name) => !OWN_FILES.test(name));
      if (foreign.length > 0)
        throw new CorpusError(
          `create corpus: ${dir} must be new or empty, but it holds ${foreign.length} other files such as ` +
            `"${foreign[0]!}"; name another folder`,
        );
      const unlock = await lock(root);
      try {
        if ((await store.read(KEY_FILE)) === null) await createKey(root);
        (await SeriesTable.create(root)).close();
        await recordAudit(root, 'create', { version: VERSION });
        // The marker comes last: a corpus with it is complete.
        await store.write(MARKER, Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION })}\n`));
      } finally {
        await unlock();
      }
    } catch (error) {
      throw writeFailure('create corpus', dir, error);
    }
    return Corpus.open(dir);
  }

  /**
   * Opens the corpus in `dir`. Nothing is written by any method but ingest, so a corpus on read-only storage opens.
   *
   * @throws CorpusError when `dir` is no corpus, or one of a later version.
   */
  static async open(dir: string, options: { readOnly?: boolean } = {}): Promise<Corpus> {
    const store = await openStore(dir);
    const marker = await store.read(MARKER).catch((error: unknown) => {
      if (error instanceof CorpusError) throw error;
      return null;
    });
    if (marker === null)
      throw new CorpusError(
        `open corpus: ${dir} must be a corpus, but it has no ${MARKER}; make one with ` +
          `"precess ingest SOURCE --corpus ${dir}"`,
      );
    checkMarker(Buffer.from(marker).toString('utf8'), dir);
    if (options.readOnly === false)
      await store.requireWritable().catch((error: unknown) => {
        throw writeFailure('open corpus', dir, error);
      });
    return new Corpus(store.root, store, await SeriesTable.open(store.root));
  }

  /** The series that a filter selects, in the order of their ids. @throws CorpusError for a bad filter. */
  async list(options: ListOptions = {}): Promise<Series[]> {
    return (await this.table.rows(options.where, options.limit)).map(({ series }) => series);
  }

  /** @throws CorpusError when there is no series with this id. */
  async get(id: string): Promise<Series> {
    return (await this.stored(id)).series;
  }

  /** All voxels of a series with their geometry and mask. */
  async volume(id: string): Promise<Volume> {
    return this.read(id, (key) => readImage(this.store, key));
  }

  /** The box of `shape` voxels from voxel `start`; only the chunks it touches are read. */
  async region(id: string, start: Vec3, shape: Vec3): Promise<Volume> {
    return this.read(id, (key) => readImage(this.store, key, start, shape));
  }

  /** A series whose voxels stay where they are: boxes of it are read one at a time. */
  async image(id: string): Promise<BoxImage> {
    return this.read(id, (key) => openImage(this.store, key));
  }

  close(): void {
    this.table.close();
  }

  private async stored(id: string): Promise<StoredSeries> {
    const [row] = /^[\w-]+$/.test(id) ? await this.table.rows(`id = '${id}'`) : [];
    if (row === undefined)
      throw new CorpusError(
        `read series: the corpus must have the series, got id "${id}"; "precess corpus ls --corpus ${this.dir}" lists them`,
      );
    return row;
  }

  /** Reads from the voxels that the row points at; once more when an ingest replaced them in between. */
  private async read<T>(id: string, from: (key: string) => Promise<T>): Promise<T> {
    this.revisions ??= await this.table.revisions();
    const known = this.revisions.get(id);
    try {
      if (known !== undefined) return await from(voxelsPath(id, known));
    } catch (error) {
      if (error instanceof CorpusError) throw error;
      const { revision } = await this.stored(id);
      if (revision === known)
        throw new CorpusError(
          `read series: the voxels of ${id} in ${this.dir} must be readable, got ` +
            `"${error instanceof Error ? error.message : String(error)}"; ingest its source again`,
          { cause: error },
        );
    }
    const { revision } = await this.stored(id);
    this.revisions.set(id, revision);
    return from(voxelsPath(id, revision));
  }
}

/** What a corpus that is being made, or whose making was cut off, may hold. */
const OWN_FILES = /^(corpus\.json|key|lock|audit\.\w+)(\.\w+)?$|^(tables|voxels|runs|lost\+found)$|^\./;

function checkMarker(text: string, dir: string): void {
  let marker: { format?: unknown; version?: unknown } = {};
  try {
    marker = JSON.parse(text) as typeof marker;
  } catch {
    // Reported below as no corpus.
  }
  if (marker.format !== FORMAT)
    throw new CorpusError(`open corpus: ${dir} must be a corpus, but its ${MARKER} is of something else`);
  if (marker.version !== VERSION)
    throw new CorpusError(
      `open corpus: ${dir} must be of version ${VERSION}, got ${String(marker.version)}; ` +
        (Number(marker.version) < VERSION ? 'ingest its sources into a new corpus' : 'update precess'),
    );
}

/** Folders that are looked into at a time. */
const AT_ONCE = 16;

/** Removes voxels that no row points at: an ingest was cut off between writing them and their row. */
export async function removeOrphans(dir: string, rows: readonly StoredSeries[]): Promise<void> {
  const store = await openStore(dir);
  await store.sweep('voxels');
  const wanted = new Set(rows.map(({ series, revision }) => voxelsPath(series.id, revision)));
  const shards = await store.names('voxels');
  const look = async (shard: string): Promise<void> => {
    for (const name of await store.names(`voxels/${shard}`)) {
      const key = `voxels/${shard}/${name}`;
      if (!wanted.has(key)) await store.remove(key);
    }
  };
  for (let at = 0; at < shards.length; at += AT_ONCE)
    await Promise.all(shards.slice(at, at + AT_ONCE).map(look));
}
