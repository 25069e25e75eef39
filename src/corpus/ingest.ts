/** From files and folders to rows and voxels of a corpus. */
import { basename, resolve } from 'node:path';
import { spacing } from '../volume/affine.js';
import { closeArchives } from '../formats/archive/index.js';
import { planeOf } from '../volume/orientation.js';
import { bodyPart } from '../text/body-parts.js';
import { describeHeader, judgeBodyPart } from '../text/header.js';
import { type AuditDetail, recordAudit } from './audit.js';
import { Corpus, removeOrphans, voxelsPath } from './corpus.js';
import type { BurnedInHeader } from './deidentify/burned-in.js';
import { daysBack, isoDate, movedDate } from './deidentify/keyed.js';
import { CorpusError, writeFailure } from './error.js';
import type { Ingested, IngestOptions } from './ingest-options.js';
import { lock, requireLock } from './lock.js';
import { MetadataTable } from './metadata-csv.js';
import type { Plan, Planned } from './plan.js';
import { bySeries, studyBodyParts } from './plan-order.js';
import { DEFAULT_WORKERS, type SeriesStorer, StorePool } from './pool.js';
import { type Pseudonyms, readKey, readPseudonyms } from './pseudonym.js';
import { RankPool } from './rank-pool.js';
import { cleanReport } from './report.js';
import type { Reports } from './reports/read.js';
import { reportText } from './reports/store.js';
import { givenReports, StudyReports, type ReportSummary } from './reports/studies.js';
import { recordQuarantine } from './quarantine.js';
import { DEFAULT_RIGHTS, type Rights, rightsBySource } from './rights.js';
import { scan } from './scan.js';
import type { Series } from './series.js';
import { openStore, rootOf } from './store.js';
import type { StoredVoxels, StoreTask } from './store-series.js';
import type { StoredSeries } from './table.js';
import { type PlainInstance, readIdentifying } from './voxel-source.js';
import { type Skipped, type SourceFile, walk } from './walk.js';

export type { Ingested, IngestOptions, IngestProgress } from './ingest-options.js';

/** Rows are added this many at a time or this often: each addition is a new version of the table. */
const ROWS_AT_ONCE = 32;
const ROWS_EVERY_MS = 5000;
const COMPACT_ABOVE = 4;

/**
 * Brings every MR series under `sources` (files and folders, DICOM by content, NIfTI by name) into a corpus. Ids come
 * from the sources' own identity under the corpus's key, so that the same series gets the same id wherever its files
 * are, and is never stored twice. Each thread holds the voxels of one series at a time.
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
  for await (const file of walk(sources, rootOf(options.corpus), (one) => skipped.push(one)))
    files.push(file);
  if (files.length === 0 && skipped.length === 0)
    throw new CorpusError(
      `ingest: the sources must hold image files, but there is none in ${sources.join(', ')} ` +
        '(hidden files and the corpus itself do not count); name a folder with DICOM or NIfTI files',
    );

  return withIngest(options, skipped, (run) =>
    run.files(
      files,
      sources.map((source) => basename(resolve(source))),
    ),
  );
}

/** Opens the corpus, alone, for one ingest. */
export async function withIngest(
  options: IngestOptions,
  skipped: Skipped[],
  work: (ingest: Ingest) => Promise<Ingested>,
): Promise<Ingested> {
  const { ranks, workers = DEFAULT_WORKERS } = options;
  const shared = ranks === undefined || ranks.size === 1 ? null : new RankPool(ranks, workers);
  let corpus: Corpus | null = null;
  try {
    corpus = await Corpus.create(options.corpus);
    const unlock = await lock(corpus.dir).catch((error: unknown) => {
      throw writeFailure('ingest', options.corpus, error);
    });
    try {
      return await work(new Ingest(corpus, options, skipped, shared));
    } finally {
      await unlock();
    }
  } finally {
    await shared?.close();
    corpus?.close();
    await closeArchives();
  }
}

const burnedInHeader = (header: PlainInstance): BurnedInHeader => ({
  burnedInAnnotation: header.burnedInAnnotation,
  conversionType: header.conversionType,
  sopClassUid: header.sopClassUid,
  imageType: header.imageType,
});

/** Whether a face may be in the image: its own words say so, or what the other series of its study agree on. */
function isOfHead({ fields }: Planned, studyBodyPart: string | null): boolean {
  const own = judgeBodyPart(fields).part;
  const part = own === 'UNKNOWN' ? studyBodyPart : own;
  return part !== null && (part === 'BRAIN' || bodyPart(part)?.within === 'BRAIN');
}

/** PS3.15 E.3.7 lets sex and age be kept; HIPAA's safe harbour lets no age above 89 be told. */
function characteristicsOf(item: Planned, retain: boolean): Pick<Series, 'sex' | 'ageYears'> {
  const { sex = null, ageYears = null } = item;
  return retain
    ? { sex, ageYears: ageYears === null ? null : Math.min(90, ageYears) }
    : { sex: null, ageYears: null };
}

/** PS3.15 E.3.6 lets dates be kept that are moved by the same days for all studies of a patient. */
const shiftedDay = ({ date = '', patientId }: Planned, key: Uint8Array): string | null =>
  isoDate(movedDate(date, daysBack(key, patientId)));

/** One ingest: started, given files in one or more batches, ended. */
export class Ingest {
  readonly notes: Skipped[] = [];
  /** id → row, as stored or about to be. */
  private rows = new Map<string, StoredSeries>();
  private sources: { readonly id: string; readonly name: string }[] = [];
  private given: Reports | null = null;
  private key: Uint8Array = new Uint8Array(0);
  pseudonyms!: Pseudonyms;
  private pending: StoredSeries[] = [];
  /** Voxels that the pending rows take out of use. */
  private outdated: string[] = [];
  /** Ids of series that were quarantined and of which the audit log does not tell yet. */
  private readonly unlogged = new Set<string>();
  /** Series whose faces were taken out and of which the audit log does not tell yet. */
  private undefaced = 0;
  private flushes = 0;
  private lastFlush = Date.now();
  private readonly found = new Map<string, Series>();
  private readonly count = { added: 0, replaced: 0, present: 0 };
  /** source → the rights that were given for it. */
  private rights = new Map<string, Rights>();
  reports!: StudyReports;
  summary: ReportSummary | null = null;

  constructor(
    readonly corpus: Corpus,
    readonly options: IngestOptions,
    readonly skipped: Skipped[],
    /** Where series are stored; threads of each storeAll's own where null. */
    private readonly shared: SeriesStorer | null = null,
  ) {}

  /** All files at once, of sources of these names. */
  async files(files: readonly SourceFile[], names: readonly string[]): Promise<Ingested> {
    await this.start(names);
    const plan = await this.plan(files);
    this.summary = this.reports.summary;
    await this.audited({ series: plan.planned.length }, () => this.storeAll(plan.planned));
    return this.result();
  }

  /** Reads what the corpus holds, and what is given for the sources of these names. */
  async start(names: readonly string[]): Promise<void> {
    const { dir } = this.corpus;
    this.key = await readKey(dir);
    this.pseudonyms = await readPseudonyms(dir);
    this.given = await givenReports(this.options.reports);
    this.sources = names.map((name) => ({ id: this.pseudonyms.source(name), name }));
    this.rights = rightsBySource(this.options.rights, this.sources);
    const stored = await this.corpus.table.rows();
    await removeOrphans(dir, stored);
    this.rows = new Map(stored.map((row) => [row.series.id, row]));
  }

  /** The series of files; their reports take the place of those of the files before. */
  async plan(files: readonly SourceFile[]): Promise<Plan> {
    const { onProgress, signal, metadata, everyVolume } = this.options;
    const plan = await scan(
      files,
      this.pseudonyms,
      this.sources.map(({ name }) => name),
      (done) => onProgress?.({ phase: 'scan', done, total: files.length }),
      signal,
      metadata === undefined ? null : await MetadataTable.read(metadata),
      everyVolume,
    );
    this.skipped.push(...plan.skipped);
    this.notes.push(...plan.notes);
    const rules = this.options.reports?.rules;
    this.reports = await StudyReports.of(this.given, plan.documents, plan.planned, rules);
    return plan;
  }

  /** Does the storing, noted in the audit log before and after. */
  async audited(detail: AuditDetail, work: () => Promise<void>): Promise<void> {
    const sources = [...new Set(this.sources.map(({ id }) => id))];
    try {
      const rights = sources.map((source) => ({ source, rights: this.rights.get(source) ?? null }));
      await this.record('ingest', { sources: rights, ...detail });
      await work();
      await this.flush();
      if (this.flushes > COMPACT_ABOVE) await this.corpus.table.compact();
      const interrupted = this.options.signal?.aborted === true;
      await this.record('ingested', { sources, ...this.outcome(), interrupted });
    } catch (error) {
      // What was written before the failure stays, if its rows can still be added.
      await this.flush().catch(() => undefined);
      await this.record('ingested', { sources, ...this.outcome(), failed: true }).catch(() => undefined);
      throw writeFailure('ingest', this.options.corpus, error);
    }
  }

  holds(id: string): boolean {
    return this.rows.has(id);
  }

  /** Counts series as present, if all of them are, with the rights that are given now. */
  async keepAll(ids: readonly string[]): Promise<boolean> {
    const rows = ids.map((id) => this.rows.get(id));
    if (rows.some((row) => row === undefined)) return false;
    for (const row of rows) await this.keep(null, row!, null);
    return true;
  }

  /** Whether rows have waited long enough to be added. */
  get isFlushDue(): boolean {
    return this.pending.length >= ROWS_AT_ONCE || Date.now() - this.lastFlush > ROWS_EVERY_MS;
  }

  result(): Ingested {
    return {
      series: [...this.found.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
      skipped: this.skipped,
      notes: this.notes,
      reports: this.summary,
      ...this.count,
      interrupted: this.options.signal?.aborted === true,
    };
  }

  private async record(action: 'ingest' | 'ingested' | 'deface', detail: AuditDetail): Promise<void> {
    await recordAudit(this.corpus.dir, action, detail, this.options.operator ?? null);
  }

  /** Counts for the audit log. */
  private outcome(): Record<string, number> {
    const found = [...this.found.values()];
    return {
      ...this.count,
      skipped: this.skipped.length,
      quarantined: found.filter(({ quarantined }) => quarantined !== null).length,
      defaced: found.filter(({ defaced }) => defaced).length,
    };
  }

  /** Stores what the corpus does not hold yet. Rows are added now and then; `flush` adds the rest. */
  async storeAll(all: readonly Planned[]): Promise<void> {
    const { key } = this;
    const { onProgress, signal, workers = DEFAULT_WORKERS } = this.options;
    const studyParts = studyBodyParts(all, this.rows);
    const wanted: Planned[][] = [];
    let done = 0;
    const finished = (count: number): void =>
      onProgress?.({ phase: 'store', done: (done += count), total: all.length });
    for (const same of bySeries(all)) {
      const row = this.rows.get(same[0]!.id);
      if (row === undefined || row.instances < same[0]!.instances) wanted.push(same);
      else {
        await this.keep(same[0]!, row, studyParts.get(same[0]!.studyId) ?? null);
        this.copies(same.slice(1));
        finished(same.length);
      }
    }
    const pool = this.shared ?? new StorePool(Math.min(workers, wanted.length));
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < wanted.length && !signal?.aborted) {
        const same = wanted[next++]!;
        let at = 0;
        while (at < same.length && !(await this.store(same[at++]!, pool, key, studyParts)));
        this.copies(same.slice(at));
        finished(same.length);
        if (this.isFlushDue) await this.flush();
      }
    };
    try {
      const lanes = await Promise.allSettled(
        Array.from({ length: pool.width }, () =>
          lane().catch((error: unknown) => {
            // The other lanes stop after the series at hand.
            next = wanted.length;
            throw error;
          }),
        ),
      );
      for (const one of lanes) if (one.status === 'rejected') throw one.reason;
    } finally {
      if (pool !== this.shared) await pool.close();
    }
  }

  private copies(items: readonly Planned[]): void {
    for (const { shown } of items)
      this.skipped.push({ path: shown, reason: 'the same image as another file' });
  }

  /** Whether the series is in the corpus now; where it is not, the reason is among the skipped. */
  private async store(
    item: Planned,
    pool: SeriesStorer,
    key: Uint8Array,
    studyParts: ReadonlyMap<string, string>,
  ): Promise<boolean> {
    const studyBodyPart = studyParts.get(item.studyId) ?? null;
    const before = this.rows.get(item.id);
    const revision = before === undefined ? 0 : before.revision + 1;
    const path = voxelsPath(item.id, revision);
    const stored = await pool.store(this.taskFor(item, path, key, studyBodyPart));
    if (typeof stored === 'string') {
      this.skipped.push({ path: item.shown, reason: stored });
      return false;
    }
    const series = this.describe(item, stored, studyBodyPart, before?.series.report ?? null);
    if (before === undefined) this.count.added++;
    else {
      this.count.replaced++;
      this.outdated.push(voxelsPath(item.id, before.revision));
    }
    if (series.quarantined !== null) this.unlogged.add(series.id);
    if (series.defaced) this.undefaced++;
    this.put({ series, revision, instances: item.instances });
    return true;
  }

  private taskFor(item: Planned, path: string, key: Uint8Array, studyBodyPart: string | null): StoreTask {
    const { voxels, identifying, name, fields, missingSlices, shown } = item;
    const about = {
      ...{ kind: voxels.kind, name, fields, studyBodyPart, missingSlices },
      ...(this.options.deface === true && { deface: isOfHead(item, studyBodyPart) }),
      ...(voxels.kind === 'dicom' && { burnedIn: burnedInHeader(voxels.series.header) }),
    };
    const corpus = this.corpus.dir;
    return { voxels, identifying, about, corpus, path, key, shown };
  }

  private put(row: StoredSeries): void {
    this.rows.set(row.series.id, row);
    this.found.set(row.series.id, row.series);
    this.pending.push(row);
  }

  /**
   * Counts a series that is there, with the rights that are given now and, where its files are at hand (`item`), the
   * report.
   */
  private async keep(item: Planned | null, row: StoredSeries, studyBodyPart: string | null): Promise<void> {
    this.count.present++;
    let { series } = row;
    if (item !== null && this.reports.has(item.studyId)) {
      const { plane, spacingMm } = series;
      const identifying = await readIdentifying(item.identifying);
      const { text, report } = this.words(
        item,
        { plane, spacingMm },
        identifying,
        studyBodyPart,
        series.report,
      );
      series = { ...series, text, report };
    }
    const source = item?.source ?? this.sources[0]!.id;
    const rights = this.rights.get(source) ?? series.rights;
    series = { ...series, rights };
    if (JSON.stringify(series) !== JSON.stringify(row.series)) this.put({ ...row, series });
    else this.found.set(row.series.id, row.series);
  }

  /** What is said of a series: normalised terms, its report, and the text of both. */
  private words(
    item: Planned,
    geometry: Pick<Series, 'plane' | 'spacingMm'>,
    identifying: readonly string[] | null,
    studyBodyPart: string | null,
    before: Series['report'],
  ) {
    const { text: sentence, ...described } = describeHeader(item.fields, {
      ...geometry,
      id: item.id,
      identifying: identifying ?? [],
      ...(studyBodyPart !== null && { studyBodyPart }),
    });
    const report = (identifying === null ? null : this.reports.get(item.studyId, identifying)) ?? before;
    // Comments are kept only where it is known what to take out of them.
    const comments = identifying === null ? '' : cleanReport(item.comments, identifying);
    const rest = this.options.text === 'header' ? [] : [report === null ? '' : reportText(report), comments];
    return { described, report, text: [sentence, ...rest].filter((part) => part !== '').join(' ') };
  }

  /** The row of a series. `before` is the report that it had when it was less complete. */
  private describe(
    item: Planned,
    stored: StoredVoxels,
    studyBodyPart: string | null,
    before: Series['report'],
  ): Series {
    const { identifying, affine, shape } = stored;
    const plane = planeOf(affine, shape);
    const spacingMm: Series['spacingMm'] = [...spacing(affine)];
    const words = this.words(item, { plane, spacingMm }, identifying, studyBodyPart, before);
    return {
      id: item.id,
      studyId: item.studyId,
      patientId: item.patientId,
      ...words.described,
      plane,
      fieldStrengthT: item.fields.fieldStrengthT,
      shape: [...shape],
      spacingMm,
      affine: affine.map((row) => [...row]) as Series['affine'],
      validFraction: stored.validFraction,
      missingSlices: [...item.missingSlices],
      text: words.text,
      // A series that came back with more slices keeps what it may be used for.
      rights: this.rights.get(item.source) ?? this.rows.get(item.id)?.series.rights ?? DEFAULT_RIGHTS,
      source: item.source,
      axes: [...(item.axes ?? [])],
      ...characteristicsOf(item, this.options.retainCharacteristics === true),
      date: this.options.dates === false ? null : shiftedDay(item, this.key),
      report: words.report,
      contentHash: stored.contentHash,
      quality: stored.quality,
      quarantined: stored.quarantined,
      defaced: stored.defaced,
    };
  }

  async flush(): Promise<void> {
    const rows = this.pending;
    const outdated = this.outdated;
    this.pending = [];
    this.outdated = [];
    this.lastFlush = Date.now();
    if (rows.length === 0) return;
    this.flushes++;
    if (this.undefaced > 0) await this.record('deface', { series: this.undefaced });
    this.undefaced = 0;
    // Those that come back as they were are in the log already.
    const fresh = rows.filter(({ series }) => series.quarantined !== null && this.unlogged.delete(series.id));
    if (fresh.length > 0) {
      const { dir } = this.corpus;
      await recordQuarantine(
        dir,
        'quarantine',
        fresh.map(({ series }) => series),
        this.options.operator ?? null,
      );
    }
    await requireLock(this.corpus.dir, 'ingest');
    await this.corpus.table.put(rows);
    const store = await openStore(this.corpus.dir);
    for (const path of outdated) await store.remove(path);
  }
}
