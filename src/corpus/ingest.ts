/** From files and folders to rows and voxels of a corpus. */
import { rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { planeOf } from '../volume/orientation.js';
import { spacing } from '../volume/affine.js';
import type { Volume } from '../volume/volume.js';
import { bodyPartFrom, describeHeader } from '../text/header.js';
import { Corpus, removeOrphans, voxelsPath } from './corpus.js';
import { CorpusError, writeFailure } from './error.js';
import { lock } from './lock.js';
import type { Planned } from './plan.js';
import { readPseudonyms } from './pseudonym.js';
import { cleanReport } from './report.js';
import { DEFAULT_RIGHTS, type Rights } from './rights.js';
import { reasonOf, scan } from './scan.js';
import type { Series } from './series.js';
import type { StoredSeries } from './table.js';
import { writeVoxels } from './voxels.js';
import { type Skipped, type SourceFile, walk } from './walk.js';

export interface IngestProgress {
  /** "scan" reads headers, `done` of `total` files; "store" writes voxels, `done` of `total` series. */
  readonly phase: 'scan' | 'store';
  readonly done: number;
  readonly total: number;
}

export interface IngestOptions {
  /** The folder of the corpus; made where it is missing. */
  readonly corpus: string;
  /** What may be done with these series; DEFAULT_RIGHTS where not given. Given ones also replace those stored before. */
  readonly rights?: Rights;
  /** "report" (usual) keeps cleaned image comments after the header sentence; "header" keeps the sentence only. */
  readonly text?: 'report' | 'header';
  readonly onProgress?: (progress: IngestProgress) => void;
  /** Stops after the series at hand; what is stored by then is complete. */
  readonly signal?: AbortSignal;
}

export interface Ingested {
  /** Every series of the sources that the corpus holds now, old and new. */
  readonly series: Series[];
  /** Files, or series named by their first file, that were left out. Paths are for the person, and stored nowhere. */
  readonly skipped: Skipped[];
  /** Decisions such as "kept the first of 30 frames". */
  readonly notes: Skipped[];
  readonly added: number;
  /** Series that came back with more slices than before, and were written anew. */
  readonly replaced: number;
  /** Series that were there already. */
  readonly present: number;
  readonly interrupted: boolean;
}

/** Rows are added this many at a time or this often: each addition is a new version of the table. */
const ROWS_AT_ONCE = 32;
const ROWS_EVERY_MS = 5000;
const COMPACT_ABOVE = 4;

/**
 * Brings every MR series under `sources` (files and folders, DICOM by content, NIfTI by name) into a corpus. Ids come
 * from the sources' own identity under the corpus's key, so that the same series gets the same id wherever its files
 * are, and is never stored twice. At most two series' voxels are in memory at a time.
 *
 * A file that is broken, no image or no MR is skipped with the reason. A series appears in the corpus whole or not at
 * all: its voxels are renamed into place before its row is added, and voxels without a row are removed by the next
 * ingest.
 *
 * @throws CorpusError when a source does not exist or holds no file, another ingest is writing, the folder is no
 * corpus, or the disk is full or read-only.
 */
export async function ingest(sources: readonly string[], options: IngestOptions): Promise<Ingested> {
  const skipped: Skipped[] = [];
  const files: SourceFile[] = [];
  for await (const file of walk(sources, resolve(options.corpus), (one) => skipped.push(one)))
    files.push(file);
  if (files.length === 0 && skipped.length === 0)
    throw new CorpusError(
      `ingest: the sources must hold image files, but there is none in ${sources.join(', ')} ` +
        '(hidden files and the corpus itself do not count); name a folder with DICOM or NIfTI files',
    );

  const corpus = await Corpus.create(options.corpus);
  try {
    const unlock = await lock(corpus.dir).catch((error: unknown) => {
      throw writeFailure('ingest', options.corpus, error);
    });
    try {
      return await new Ingest(corpus, options, skipped).run(files, sources);
    } finally {
      await unlock();
    }
  } finally {
    corpus.close();
  }
}

/** Voxels read ahead: the volume, or why there is none. */
type Loaded = Volume | string;

class Ingest {
  private readonly notes: Skipped[] = [];
  /** id → row, as stored or about to be. */
  private rows = new Map<string, StoredSeries>();
  private pending: StoredSeries[] = [];
  /** Voxels that the pending rows take out of use. */
  private outdated: string[] = [];
  private flushes = 0;
  private lastFlush = Date.now();
  private readonly found = new Map<string, Series>();
  private readonly count = { added: 0, replaced: 0, present: 0 };

  constructor(
    private readonly corpus: Corpus,
    private readonly options: IngestOptions,
    private readonly skipped: Skipped[],
  ) {}

  async run(files: readonly SourceFile[], sources: readonly string[]): Promise<Ingested> {
    const { dir } = this.corpus;
    const { onProgress, signal } = this.options;
    const pseudonyms = await readPseudonyms(dir);
    const stored = await this.corpus.table.rows();
    await removeOrphans(dir, stored);
    this.rows = new Map(stored.map((row) => [row.series.id, row]));

    const plan = await scan(
      files,
      pseudonyms,
      sources.map((source) => basename(resolve(source))),
      (done) => onProgress?.({ phase: 'scan', done, total: files.length }),
      signal,
    );
    this.skipped.push(...plan.skipped);
    this.notes.push(...plan.notes);
    try {
      await this.storeAll(plan.planned);
    } catch (error) {
      // What was written before the failure stays, if its rows can still be added.
      await this.flush().catch(() => undefined);
      throw writeFailure('ingest', this.options.corpus, error);
    }
    return {
      series: [...this.found.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
      skipped: this.skipped,
      notes: this.notes,
      ...this.count,
      interrupted: signal?.aborted === true,
    };
  }

  private async storeAll(planned: readonly Planned[]): Promise<void> {
    const { onProgress, signal } = this.options;
    const studyParts = studyBodyParts(planned, this.rows);
    let ahead: Promise<Loaded> | null = null;
    for (const [at, item] of planned.entries()) {
      if (signal?.aborted) break;
      const loading: Promise<Loaded> | null = ahead ?? this.startLoading(item);
      const next = planned[at + 1];
      const load: Loaded | null = loading === null ? null : await loading;
      // The next series is read while this one is written.
      ahead = next === undefined ? null : this.startLoading(next);
      await this.store(item, load, studyParts.get(item.studyId));
      onProgress?.({ phase: 'store', done: at + 1, total: planned.length });
      if (this.pending.length >= ROWS_AT_ONCE || Date.now() - this.lastFlush > ROWS_EVERY_MS)
        await this.flush();
    }
    await this.flush();
    if (this.flushes > COMPACT_ABOVE) await this.corpus.table.compact();
  }

  /** Null where the corpus has the series already. Never rejects. */
  private startLoading(item: Planned): Promise<Loaded> | null {
    if (this.isPresent(item)) return null;
    return item.load().catch((error: unknown) => reasonOf(error, item.shown));
  }

  private isPresent(item: Planned): boolean {
    const row = this.rows.get(item.id);
    return row !== undefined && row.instances >= item.instances;
  }

  private async store(item: Planned, loaded: Loaded | null, studyPart: string | undefined): Promise<void> {
    const before = this.rows.get(item.id);
    if (before !== undefined && this.isPresent(item)) {
      this.keep(item, before);
      return;
    }
    if (loaded === null) throw new CorpusError('internal: a series to be stored was not loaded');
    if (typeof loaded === 'string') {
      this.skipped.push({ path: item.shown, reason: loaded });
      return;
    }
    const series = this.describe(item, loaded, studyPart);
    if (typeof series === 'string') {
      this.skipped.push({ path: item.shown, reason: series });
      return;
    }
    const revision = before === undefined ? 0 : before.revision + 1;
    await writeVoxels(join(this.corpus.dir, voxelsPath(item.id, revision)), loaded);
    if (before === undefined) this.count.added++;
    else {
      this.count.replaced++;
      this.outdated.push(voxelsPath(item.id, before.revision));
    }
    this.put({ series, revision, instances: item.instances });
  }

  private put(row: StoredSeries): void {
    this.rows.set(row.series.id, row);
    this.found.set(row.series.id, row.series);
    this.pending.push(row);
  }

  /** Counts a series that is there, with the rights that are given now. */
  private keep(item: Planned, row: StoredSeries): void {
    if (this.found.has(item.id)) {
      this.skipped.push({ path: item.shown, reason: 'the same image as another file' });
      return;
    }
    this.count.present++;
    const { rights } = this.options;
    const changed = rights !== undefined && JSON.stringify(rights) !== JSON.stringify(row.series.rights);
    if (changed) this.put({ ...row, series: { ...row.series, rights } });
    else this.found.set(item.id, row.series);
  }

  /** The row of a series; a text says why it cannot have one. */
  private describe(item: Planned, volume: Volume, studyPart: string | undefined): Series | string {
    let plane: Series['plane'];
    try {
      plane = planeOf(volume.affine, volume.shape);
    } catch (error) {
      return reasonOf(error, item.shown);
    }
    const spacingMm = spacing(volume.affine);
    const identifying = identifyingOf(item);
    const header = describeHeader(item.fields, {
      plane,
      spacingMm,
      id: item.id,
      identifying: identifying ?? [],
      ...(studyPart !== undefined && { studyBodyPart: studyPart }),
    });
    // Comments are kept only where it is known what to take out of them.
    const report =
      this.options.text === 'header' || identifying === null ? '' : cleanReport(item.comments, identifying);
    const { valid } = volume;
    const { text, ...described } = header;
    return {
      id: item.id,
      studyId: item.studyId,
      patientId: item.patientId,
      ...described,
      plane,
      fieldStrengthT: item.fields.fieldStrengthT,
      shape: [...volume.shape],
      spacingMm: [...spacingMm],
      affine: volume.affine.map((row) => [...row]) as Series['affine'],
      validFraction: valid === null ? 1 : valid.reduce((sum, one) => sum + one, 0) / valid.length,
      missingSlices: [...item.missingSlices],
      text: report === '' ? text : `${text} ${report}`,
      rights: this.options.rights ?? DEFAULT_RIGHTS,
      source: item.source,
      axes: [],
      confidence: { bodyPart: 0, contrast: 0, plane: 1 },
      sex: null,
      ageYears: null,
      date: null,
      report: null,
      contentHash: '',
      quality: null,
      quarantined: null,
      defaced: false,
    };
  }

  private async flush(): Promise<void> {
    const rows = this.pending;
    const outdated = this.outdated;
    this.pending = [];
    this.outdated = [];
    this.lastFlush = Date.now();
    if (rows.length === 0) return;
    this.flushes++;
    await this.corpus.table.put(rows);
    for (const path of outdated) await rm(join(this.corpus.dir, path), { recursive: true, force: true });
  }
}

function identifyingOf(item: Planned): readonly string[] | null {
  try {
    return item.identifying();
  } catch {
    return null;
  }
}

/** study → the body part that all its series which name one agree on. */
function studyBodyParts(
  planned: readonly Planned[],
  rows: ReadonlyMap<string, StoredSeries>,
): Map<string, string> {
  const parts = new Map<string, Set<string>>();
  const add = (study: string, part: string): void => {
    if (part !== 'UNKNOWN') parts.set(study, (parts.get(study) ?? new Set()).add(part));
  };
  for (const item of planned) add(item.studyId, bodyPartFrom(item.fields));
  for (const { series } of rows.values()) add(series.studyId, series.bodyPart);
  return new Map([...parts].filter(([, set]) => set.size === 1).map(([study, [part]]) => [study, part!]));
}
