/** The index of a corpus: one vector a series, one a distinct text, and the model that made them. */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connection, Table } from '@lancedb/lancedb';
import { recordUse } from '../corpus/audit.js';
import { writeFailure } from '../corpus/error.js';
import { requireUse } from '../corpus/rights.js';
import type { Series } from '../corpus/series.js';
import { isRemote } from '../corpus/store.js';
import { Encoder, type EmbedOptions, type OpenOptions } from '../models/encoder.js';
import { keepTextEncoder, TEXT_ENCODER_FOLDER } from '../models/external-text.js';
import { SingleProcess, type Communicator } from '../mpi/index.js';
import { onRankZero, threadsPerRank } from '../train/job.js';
import { MODEL_FILE, openModel, writeModel, type ModelFile } from '../models/model-file.js';
import { studyPoolOf } from '../models/study-pool.js';
import { VectorPool, windowsOf } from '../models/windows.js';
import { DEFAULT_MEMORY, openScanned } from '../train/loader.js';
import type { BoxImage } from '../volume/streamed.js';
import type { Scanned, TokenSet } from '../volume/tokens.js';
import { VolumeError, type Volume } from '../volume/volume.js';
import { TaskError } from './error.js';
import { PROMPTS } from './prompts.js';
import { searchIndex, vectorOfStudy, type Hit, type Query, type SearchOptions } from './search.js';
import { IMAGES, writeImages, type IndexedSeries } from './search-table.js';
import { nearestTexts, TEXTS, type Candidate } from './search-texts.js';

export type { Hit, SearchOptions } from './search.js';
export type { Candidate } from './search-texts.js';

/** What the tasks need of a corpus. */
export interface SearchableCorpus {
  readonly dir: string;
  list(options?: { where?: string; limit?: number }): Promise<Series[]>;
  volume(id: string): Promise<Volume>;
  /** The same without reading it, so that a large one is read box by box. */
  image?(id: string): Promise<BoxImage>;
}

export interface IndexOptions extends EmbedOptions {
  readonly threads?: number;
  /** Bytes that volumes may take, see {@link openScanned}. */
  readonly memory?: number;
  /** Folder of the text encoder that the model was aligned with, where it is not beside the model. */
  readonly textEncoder?: string;
  /** The processes that share the series; this one alone unless given. Rank 0 writes the index. */
  readonly ranks?: Communicator;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  readonly warn?: (message: string) => void;
}

/** The folder of the index in its corpus. */
export const FOLDER = 'index';
/** How its images were cut: a query that is cut otherwise would not find even itself. */
const CUT_FILE = 'cut.json';
/** Series that share a run of the encoder. */
const ROWS = 4;

/**
 * Embeds every series of a corpus and writes its index, replacing an older one once the new one is complete.
 * Series that hold nothing to see are left out with a warning. Returns how many were indexed; stops early, leaving
 * the old index, when `signal` fires.
 */
export async function buildIndex(
  corpus: SearchableCorpus,
  model: string,
  options: IndexOptions = {},
): Promise<{ indexed: number; interrupted: boolean }> {
  const file = await openModel(model);
  const all = await corpus.list();
  if (all.length === 0)
    throw new TaskError('index: the corpus holds no series; fill it with "precess ingest"');
  const { warn, ranks = new SingleProcess() } = options;
  const allowedSeries = requireUse(all, 'evaluate', {
    doing: 'index',
    ...(warn && ranks.rank === 0 && { warn }),
  });
  const series = allowedSeries.filter((_, n) => n % ranks.size === ranks.rank);
  // Whether the index can be written shows before the work, not after it.
  const partial = await onRankZero(ranks, 'start the index', () => startPartial(corpus.dir));
  const threads = options.threads ?? (await threadsPerRank(ranks));
  const { textEncoder } = options;
  const encoder = await Encoder.open(file, {
    ...(threads !== undefined && { threads }),
    ...(textEncoder !== undefined && { textEncoder }),
  });
  try {
    // That its text encoder is missing shows before the images are embedded, too.
    const textsFrom = await onRankZero(ranks, 'open the text encoder', () => encoder.textEncoderDir());
    let seen = 0;
    const pools = new Map<string, VectorPool>();
    // Images of like size share a run, so that little of it is padding.
    const waiting = new Map<number, Cut[]>();
    const flush = async (items: readonly Cut[]): Promise<void> => {
      const embedded = await encoder.embedTokens(items.map(({ tokens }) => tokens));
      items.forEach(({ id, window, tokens }, n) => {
        const pool = pools.get(id) ?? new VectorPool();
        pools.set(id, pool.add(window, embedded[n]!, tokens));
      });
    };
    const cuts = cutAll(corpus, series, encoder, options);
    let next = cuts.next();
    for (;;) {
      const step = await next;
      if (step.done || options.signal?.aborted) break;
      const cut = step.value;
      // The next volume is read and cut on this thread while the encoder runs on its own.
      next = cuts.next();
      next.catch(() => undefined);
      if (cut !== null) {
        const bucket = Math.ceil(Math.log2(Math.max(32, cut.tokens.count)));
        const items = [...(waiting.get(bucket) ?? []), cut];
        if (items.length === ROWS) await flush(items);
        waiting.set(bucket, items.length === ROWS ? [] : items);
        continue;
      }
      seen++;
      options.onProgress?.(Math.min(seen * ranks.size, allowedSeries.length), allowedSeries.length);
    }
    for (const items of waiting.values()) if (items.length > 0) await flush(items);
    const own = new Map([...pools].map(([id, { vector }]) => [id, vector]));
    const stop = Float32Array.of(options.signal?.aborted ? 1 : 0);
    await ranks.allreduceSum(stop);
    if (stop[0]! > 0) return { indexed: 0, interrupted: true };
    const vectors = await gathered(ranks, own);
    if (vectors.size === 0)
      throw new TaskError(
        'index: no series of the corpus holds an image that can be embedded; check the ingest',
      );

    const stored = await onRankZero(ranks, 'write the index', async () => {
      const texts = await textVectors(encoder, allowedSeries);
      if (options.signal?.aborted) return false;
      const shown = cutOf(options);
      await store(corpus.dir, partial!, file, indexedOf(allowedSeries, vectors), texts, textsFrom, shown);
      const { runs, sources } = file.provenance;
      await recordUse(corpus.dir, 'index', {
        series: vectors.size,
        runs: runs.map(({ id }) => id),
        learntFrom: sources.length,
      });
      return true;
    });
    if (stored === false) return { indexed: 0, interrupted: true };
    return { indexed: vectors.size, interrupted: false };
  } finally {
    await encoder.close();
    if (partial !== null) await remove(partial);
  }
}

const indexedOf = (series: readonly Series[], vectors: ReadonlyMap<string, Float32Array>): IndexedSeries[] =>
  series.flatMap((one) => {
    const vector = vectors.get(one.id);
    return vector ? [{ series: one, vector }] : [];
  });

/** The vectors of all ranks, in the order of one. */
async function gathered(
  ranks: Communicator,
  own: ReadonlyMap<string, Float32Array>,
): Promise<Map<string, Float32Array>> {
  const ids = await ranks.allgatherBytes(Buffer.from(JSON.stringify([...own.keys()])));
  const parts = await ranks.allgatherBytes(Buffer.concat([...own.values()].map(bytesOf)));
  const all = parts.flatMap((part, r) => {
    const names = JSON.parse(Buffer.from(ids[r]!).toString()) as string[];
    const width = part.length / Math.max(1, names.length);
    return names.map((id, n): [string, Float32Array] => [
      id,
      new Float32Array(part.slice(n * width, (n + 1) * width).buffer),
    ]);
  });
  return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Vectors of the distinct texts of the corpus and of the prompt set; null for a model that has met no text. */
async function textVectors(
  encoder: Encoder,
  series: readonly Series[],
): Promise<Map<string, Float32Array> | null> {
  if (!encoder.hasMetText) return null;
  const texts = [...new Set([...series.map(({ text }) => text).filter((text) => text !== ''), ...PROMPTS])];
  const vectors = await encoder.embedTexts(texts);
  return new Map(texts.map((text, n) => [text, vectors[n]!]));
}

/** The model of an index is read as a file, and its tables are replaced by renaming a folder. */
function refuseBucket(dir: string, doing: string): void {
  if (isRemote(dir))
    throw new TaskError(
      `${doing}: the corpus must be a folder, because an index is kept in one, got "${dir}"; copy the corpus into a ` +
        'folder and index that',
    );
}

/** An empty folder beside the index, for the next one. @throws CorpusError when the corpus cannot be written. */
async function startPartial(dir: string): Promise<string> {
  refuseBucket(dir, 'index');
  const partial = join(dir, `.${FOLDER}.partial`);
  try {
    await remove(partial);
    await mkdir(partial);
    return partial;
  } catch (error) {
    throw writeFailure('index', dir, error);
  }
}

const remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

/** Writes the index into `partial` and puts it in the place of the old one, which stays where writing fails. */
async function store(
  dir: string,
  partial: string,
  model: ModelFile,
  images: readonly IndexedSeries[],
  texts: ReadonlyMap<string, Float32Array> | null,
  textEncoder: string | null,
  shown: EmbedOptions,
): Promise<void> {
  const [folder, old] = [join(dir, FOLDER), join(dir, `.${FOLDER}.old`)];
  try {
    await writeModel(join(partial, MODEL_FILE), model);
    await writeFile(join(partial, CUT_FILE), JSON.stringify(shown));
    if (textEncoder !== null) await keepTextEncoder(textEncoder, join(partial, TEXT_ENCODER_FOLDER));
    const db = await connect(partial);
    try {
      await writeImages(db, images, studyPoolOf(model));
      const textRows = [...(texts ?? [])].map(([text, vector]) => ({ text, vector: Array.from(vector) }));
      if (textRows.length > 0) await db.createTable(TEXTS, textRows);
    } finally {
      db.close();
    }
    await remove(old);
    if (await stat(folder).catch(() => null)) await rename(folder, old);
    await rename(partial, folder);
    await remove(old);
  } catch (error) {
    throw writeFailure('index', dir, error);
  }
}

/** How the images of an index were cut. */
const cutOf = ({ patchMm, maxTokens, windows }: EmbedOptions): EmbedOptions => ({
  ...(patchMm !== undefined && { patchMm }),
  ...(maxTokens !== undefined && { maxTokens }),
  ...(windows !== undefined && { windows }),
});

/** The same of an index that is there; nothing, which is how images are cut by default, where it does not say. */
async function readCut(folder: string): Promise<EmbedOptions> {
  const text = await readFile(join(folder, CUT_FILE), 'utf8').catch(() => '{}');
  return cutOf(JSON.parse(text) as EmbedOptions);
}

/** A window of a series; most series have one. */
interface Cut {
  readonly id: string;
  readonly window: number;
  readonly tokens: TokenSet;
}

/** The windows of all series, one after another; null after the last one of each. */
async function* cutAll(
  corpus: SearchableCorpus,
  series: readonly Series[],
  encoder: Encoder,
  options: IndexOptions,
): AsyncGenerator<Cut | null> {
  const { memory = DEFAULT_MEMORY } = options;
  for (const { id } of series) {
    try {
      const image = await openScanned(corpus, id, memory);
      let window = 0;
      for await (const tokens of windowsOf(image, encoder.config.samples, options))
        yield { id, window: window++, tokens };
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      options.warn?.(`series ${id} is left out: ${error.message}`);
    }
    yield null;
  }
}

async function connect(path: string): Promise<Connection> {
  const lancedb = await import('@lancedb/lancedb');
  return lancedb.connect(path);
}

/** The model of a corpus's index. @throws TaskError when the corpus has no index yet. */
export async function indexModel(dir: string, doing = 'search'): Promise<string> {
  refuseBucket(dir, doing);
  const folder = join(dir, FOLDER);
  if (!(await stat(folder).catch(() => null)))
    throw new TaskError(
      `${doing}: the corpus has no index; make one with "precess index --corpus DIR --model RUN"`,
    );
  return join(folder, MODEL_FILE);
}

/** An opened index: vectors to search in, and the encoder that makes queries for them. */
export class Index {
  private constructor(
    private readonly corpus: SearchableCorpus,
    private readonly db: Connection,
    readonly encoder: Encoder,
    /** How the indexed images were cut, and queries are unless told otherwise. */
    private readonly cut: EmbedOptions,
  ) {}

  /** @throws TaskError when the corpus has no index yet. */
  static async open(corpus: SearchableCorpus, options: OpenOptions = {}): Promise<Index> {
    const model = await indexModel(corpus.dir);
    const encoder = await Encoder.open(model, options);
    const folder = join(corpus.dir, FOLDER);
    return new Index(corpus, await connect(folder), encoder, await readCut(folder));
  }

  /** Series (or studies) that fit a text best, see {@link searchIndex}. */
  async searchText(text: string, options: SearchOptions): Promise<Hit[]> {
    const [vector] = await this.encoder.embedTexts([text]);
    return this.search({ vector: vector!, text }, options);
  }

  /** Series (or studies) that are most like an image; `text` is what a hybrid search reads of the words. */
  async searchVolume(
    volume: Volume | Scanned,
    options: SearchOptions & EmbedOptions & { readonly text?: string },
  ): Promise<Hit[]> {
    return this.searchVector(await this.embed(volume, options), options);
  }

  /** Series (or studies) nearest to a unit vector, such as that of {@link studyVector}; `text` as above. */
  async searchVector(
    vector: Float32Array,
    options: SearchOptions & { readonly text?: string },
  ): Promise<Hit[]> {
    const { text } = options;
    return this.search({ vector, ...(text !== undefined && { text }) }, options);
  }

  /** The unit vector of an image, cut as those of the index unless told otherwise. */
  embed(volume: Volume | Scanned, options: EmbedOptions = {}): Promise<Float32Array> {
    return this.encoder.embed(volume, { ...this.cut, ...cutOf(options) });
  }

  /** The unit vector of a study of the index, see {@link vectorOfStudy}. */
  studyVector(studyId: string, doing = 'search'): Promise<Float32Array> {
    return this.withTable(IMAGES, (table) =>
      vectorOfStudy(this.corpus, table, studyId, studyPoolOf(this.encoder.model), doing),
    );
  }

  private search(query: Query, options: SearchOptions): Promise<Hit[]> {
    const pool = studyPoolOf(this.encoder.model);
    return this.withTable(IMAGES, (table) => searchIndex(this.corpus, table, query, { ...options, pool }));
  }

  private async withTable<T>(name: string, use: (table: Table) => Promise<T>): Promise<T> {
    const table = await this.db.openTable(name);
    try {
      return await use(table);
    } finally {
      table.close();
    }
  }

  /** The `k` texts of the corpus and of the prompt set that fit an image best. */
  async describe(
    volume: Volume | Scanned,
    { k, ...options }: { k: number } & EmbedOptions,
  ): Promise<Candidate[]> {
    this.checkMetText();
    return this.describeVector(await this.embed(volume, options), k);
  }

  /** The same for a unit vector, such as that of {@link studyVector}. */
  async describeVector(vector: Float32Array, k: number): Promise<Candidate[]> {
    this.checkMetText();
    return this.withTable(TEXTS, (table) => nearestTexts(this.corpus, table, vector, k));
  }

  private checkMetText(): void {
    if (!this.encoder.hasMetText)
      throw new TaskError(
        'describe: the indexed model has met no text; index with a model made by "precess align"',
      );
  }

  async close(): Promise<void> {
    this.db.close();
    await this.encoder.close();
  }
}
