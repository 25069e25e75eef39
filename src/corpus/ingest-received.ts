/** Series that come over the network into a corpus: their files stay in memory and are taken in batch by batch. */
import { mountBytes, unmountBytes } from '../formats/bytes.js';
import type { FoundSeries, ReceivedSeries } from '../pacs/index.js';
// Not by way of the index, which loads the whole of DIMSE.
import { sopInstanceUid } from '../pacs/sop-instance.js';
import { type Ingest, type Ingested, type IngestOptions, withIngest } from './ingest.js';
import { ReceivedRecords } from './received.js';
import type { Skipped, SourceFile } from './walk.js';

/** What a supplier of series is told and may tell. */
export interface Receiving {
  /** Whether the corpus has all instances of a series already. Counts it as present then. */
  readonly isComplete: (series: FoundSeries) => Promise<boolean>;
  /** A series that did not arrive; null for a part of the archive that could not be searched. */
  readonly onFailed: (series: FoundSeries | null, reason: string) => void;
}

export interface ReceivedOptions extends IngestOptions {
  /** Name of the source; only its pseudonym is stored. */
  readonly source: string;
  /** Adds the row of each series at once, rather than now and then: for senders that do not send again. */
  readonly atOnce?: boolean;
  /** Called when a series was dealt with. */
  readonly onSeries?: (done: number) => void;
}

/** Rows that were added one by one are put together this often. */
const COMPACT_EVERY = 64;

/**
 * Takes in the series that `supply` yields, as `ingest` takes in files: same ids, same rules, each series whole or not
 * at all. The files of a series are let go when the next one is asked for. Series are named by pseudonyms in what was
 * skipped.
 *
 * @throws CorpusError as ingest; whatever `supply` throws, after what came before is stored.
 */
export async function ingestReceived(
  supply: (receiving: Receiving) => AsyncIterable<ReceivedSeries>,
  options: ReceivedOptions,
): Promise<Ingested> {
  const skipped: Skipped[] = [];
  return withIngest(options, skipped, async (ingest) => {
    await ingest.start([options.source]);
    const receiver = new Receiver(ingest, options);
    await ingest.audited({}, () => receiver.takeAll(supply(receiver)));
    return ingest.result();
  });
}

class Receiver implements Receiving {
  private readonly records: ReceivedRecords;
  /** Records to be written when the rows of their series are. */
  private readonly due = new Map<string, { instances: number; series: string[] }>();
  private readonly counted = new Set<string>();
  private readonly reports = new Recent<Uint8Array[]>(256);
  /** SOP Instance UIDs of series that came before, in memory only. */
  private readonly pieces = new Recent<Set<string>>(1000);

  constructor(
    private readonly ingest: Ingest,
    private readonly options: ReceivedOptions,
  ) {
    this.records = new ReceivedRecords(ingest.corpus.dir);
  }

  readonly isComplete = async (series: FoundSeries): Promise<boolean> => {
    const record = await this.records.read(this.idOf(series));
    if (record === null || series.instances === null || record.instances < series.instances) return false;
    return this.ingest.keepAll(record.series);
  };

  readonly onFailed = (series: FoundSeries | null, reason: string): void => {
    const { source } = this.options;
    const path = series === null ? source : `${source}: series ${this.idOf(series)}`;
    this.ingest.skipped.push({ path, reason });
  };

  async takeAll(all: AsyncIterable<ReceivedSeries>): Promise<void> {
    let done = 0;
    for await (const series of all) {
      if (series.use === 'report') {
        const known = this.reports.get(series.studyUid) ?? [];
        this.reports.set(series.studyUid, [...known, ...series.files]);
        continue;
      }
      await this.take(series);
      this.options.onSeries?.(++done);
      if (this.options.atOnce === true || this.ingest.isFlushDue) await this.settle();
      if (this.options.atOnce === true && done % COMPACT_EVERY === 0)
        await this.ingest.corpus.table.compact();
    }
    await this.settle();
  }

  private async take(series: ReceivedSeries): Promise<void> {
    const { ingest } = this;
    const id = this.idOf(series);
    const shown = `${this.options.source}: series ${id}`;
    const own = series.files.map((file, n) => this.mount(file, `${shown} instance ${n + 1}`));
    const reports = [...series.reports, ...(this.reports.get(series.studyUid) ?? [])].map((file, n) =>
      this.mount(file, `${this.options.source}: report ${n + 1} of study ${this.studyOf(series)}`),
    );
    try {
      const plan = await ingest.plan([...own, ...reports]);
      this.countReports(series.studyUid);
      await ingest.storeAll(plan.planned);
      if (this.options.atOnce === true) this.noteLostPieces(series, shown);
      if (ingest.options.signal?.aborted === true) return;
      const kept = [...new Set(plan.planned.map((one) => one.id))].filter((one) => ingest.holds(one));
      this.due.set(id, { instances: Math.max(series.expected ?? 0, own.length), series: kept });
    } finally {
      for (const { path } of [...own, ...reports]) unmountBytes(path);
    }
  }

  /** Every study once. Which reports belong to none is not known while more may come, so only the others are told. */
  private countReports(studyUid: string): void {
    const { ingest, counted } = this;
    const one = ingest.reports.summary;
    if (one === null || counted.has(studyUid)) return;
    counted.add(studyUid);
    const matched = (ingest.summary?.matched ?? 0) + one.matched;
    const before = ingest.summary ?? { ambiguous: [], skipped: [] };
    const all = [...before.skipped, ...one.skipped].map((path) => [path.path, path] as const);
    ingest.summary = {
      found: matched,
      matched,
      unmatched: [],
      ambiguous: one.ambiguous,
      skipped: [...new Map(all).values()],
    };
  }

  /** Of a series that comes in pieces the larger one is kept: voxels cannot be put together without all files. */
  private noteLostPieces({ seriesUid, files }: ReceivedSeries, shown: string): void {
    const now = new Set(files.map((file) => sopInstanceUid(file)));
    const before = this.pieces.get(seriesUid);
    this.pieces.set(seriesUid, now);
    if (before === undefined) return;
    const lost = [...before].some((uid) => !now.has(uid));
    if (lost && [...now].some((uid) => !before.has(uid)))
      this.ingest.notes.push({
        path: shown,
        reason: 'came in pieces, of which the larger is kept; send the whole series again in one association',
      });
  }

  private mount(file: Uint8Array, shown: string): SourceFile {
    const path = mountBytes(file, 'instance.dcm');
    return { path, shown, source: 0, root: path, size: file.length };
  }

  private async settle(): Promise<void> {
    await this.ingest.flush();
    for (const [id, record] of this.due) await this.records.write(id, record);
    this.due.clear();
  }

  private readonly idOf = ({ seriesUid }: { seriesUid: string }): string =>
    this.ingest.pseudonyms.series('dicom', seriesUid, '');
  private readonly studyOf = ({ studyUid }: { studyUid: string }): string =>
    this.ingest.pseudonyms.study('dicom', studyUid);
}

/** The last so many entries. */
class Recent<T> {
  private readonly entries = new Map<string, T>();

  constructor(private readonly most: number) {}

  get(key: string): T | undefined {
    return this.entries.get(key);
  }

  set(key: string, value: T): void {
    this.entries.delete(key);
    this.entries.set(key, value);
    for (const [oldest] of this.entries) {
      if (this.entries.size <= this.most) return;
      this.entries.delete(oldest);
    }
  }
}
