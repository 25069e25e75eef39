/** Series that are arriving: their files in memory, within a limit, until each is complete enough to be taken. */

/** A series that arrived, each instance a DICOM file in memory. */
export interface ReceivedSeries {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly use: 'image' | 'report';
  readonly files: readonly Uint8Array[];
  /** Instances that the sender says there are; null where it does not say. */
  readonly expected: number | null;
  /** Structured reports of the study, each a DICOM file. */
  readonly reports: readonly Uint8Array[];
}

interface Arriving {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly use: 'image' | 'report';
  /** By SOP Instance UID: an instance that comes again replaces itself. */
  readonly files: Map<string, Uint8Array>;
  /** Associations that brought instances, with how many. */
  readonly from: Map<object, number>;
  timer: NodeJS.Timeout | null;
}

export interface HeldOptions {
  /** Bytes of all instances in memory, those included that are still arriving or being stored by the taker. */
  readonly mostBytes: number;
  /** A series is ready when nothing of it has come for so long, ms. */
  readonly quietMs: number;
}

export class HeldSeries {
  private bytes = 0;
  private readonly arriving = new Map<string, Arriving>();
  private readonly ready: ReceivedSeries[] = [];
  private readonly waiting: (() => void)[] = [];
  private closed = false;
  /** A series is with the taker. */
  private busy = false;

  constructor(private readonly options: HeldOptions) {}

  /** Bytes in memory. */
  get held(): number {
    return this.bytes;
  }

  /** Whether more than `share` of the room is taken, and some of it will be free before long. */
  isCrowded(share: number): boolean {
    return this.bytes > share * this.options.mostBytes && (this.ready.length > 0 || this.busy);
  }

  /** Reserves room for bytes that came; false where there is none. */
  reserve(bytes: number): boolean {
    if (this.bytes + bytes > this.options.mostBytes) return false;
    this.bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.bytes -= bytes;
    this.wake();
  }

  /** Keeps an instance for which room of its length is reserved. */
  add(
    instance: {
      readonly studyUid: string;
      readonly seriesUid: string;
      readonly sopInstanceUid: string;
      readonly use: 'image' | 'report';
    },
    file: Uint8Array,
    association: object,
  ): void {
    const { studyUid, seriesUid, sopInstanceUid, use } = instance;
    const series = this.arriving.get(seriesUid) ?? {
      studyUid,
      seriesUid,
      use,
      files: new Map<string, Uint8Array>(),
      from: new Map<object, number>(),
      timer: null,
    };
    this.arriving.set(seriesUid, series);
    this.release(series.files.get(sopInstanceUid)?.length ?? 0);
    series.files.set(sopInstanceUid, file);
    series.from.set(association, (series.from.get(association) ?? 0) + 1);
    if (series.timer !== null) clearTimeout(series.timer);
    series.timer = setTimeout(() => this.finish(series), this.options.quietMs);
  }

  /**
   * The association ended: series that it brought alone, more than one instance of each, are ready. Senders that open an
   * association for every image are waited for.
   */
  ended(association: object): void {
    for (const series of this.reportsFirst()) {
      const brought = series.from.get(association) ?? 0;
      if (brought === 0) continue;
      if (brought > 1 && series.from.size === 1) this.finish(series);
      else if (brought > 1) series.from.delete(association);
    }
  }

  /** Makes everything ready that came; `taken` ends after it. */
  close(): void {
    for (const series of this.reportsFirst()) this.finish(series);
    this.closed = true;
    this.wake();
  }

  /** Series as they become ready. The room of each is free again when the next one is asked for. */
  async *taken(): AsyncGenerator<ReceivedSeries> {
    for (;;) {
      const series = this.ready.shift();
      if (series === undefined) {
        if (this.closed) return;
        await this.change();
        continue;
      }
      this.busy = true;
      try {
        yield series;
      } finally {
        this.busy = false;
        this.release(series.files.reduce((sum, { length }) => sum + length, 0));
      }
    }
  }

  /** Waits until `fits` says so or `mostMs` have passed. */
  async until(fits: () => boolean, mostMs: number): Promise<void> {
    const end = Date.now() + mostMs;
    while (!fits() && Date.now() < end && !this.closed) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        this.change(),
        new Promise((resolve) => (timer = setTimeout(resolve, end - Date.now()))),
      ]);
      clearTimeout(timer);
    }
  }

  /** So that the images of a study find its report. */
  private reportsFirst(): Arriving[] {
    return [...this.arriving.values()].sort(
      (a, b) => Number(b.use === 'report') - Number(a.use === 'report'),
    );
  }

  private finish(series: Arriving): void {
    if (series.timer !== null) clearTimeout(series.timer);
    this.arriving.delete(series.seriesUid);
    const { studyUid, seriesUid, use } = series;
    // What came of the same series before and was not taken yet belongs to it.
    const earlier = this.ready.findIndex((one) => one.seriesUid === seriesUid);
    const [before] = earlier < 0 ? [] : this.ready.splice(earlier, 1);
    const files = [...(before?.files ?? []), ...series.files.values()];
    this.ready.push({ studyUid, seriesUid, use, files, expected: null, reports: [] });
    this.wake();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
