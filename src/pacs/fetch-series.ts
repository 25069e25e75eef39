/** Fetches the MR series that a query finds, a few ahead of whoever takes them. */
import type { DicomWebClient } from './client.js';
import { PacsError } from './error.js';
import type { ReceivedSeries } from './held.js';
import { type FoundSeries, seriesOf, type SeriesQuery, studiesOf } from './query.js';
import { retrieveSeries } from './retrieve.js';

export interface FetchOptions {
  readonly query: SeriesQuery;
  /** Series that are fetched at a time; each is in memory until it is taken. */
  readonly concurrency: number;
  /** Bytes of a series; longer ones are left out. */
  readonly mostBytes: number;
  /** Whether the structured reports of the studies are wanted too. */
  readonly reports: boolean;
  /** Whether a series is not needed. */
  readonly isComplete: (series: FoundSeries) => Promise<boolean>;
  /** A series that could not be fetched and why, or (null) all series of a study. */
  readonly onFailed: (series: FoundSeries | null, reason: string) => void;
  readonly signal?: AbortSignal;
}

/** So many failures in a row, each after all its tries, mean that the server is gone. */
const MOST_FAILURES = 5;

/**
 * Series in the order of the search. One that fails is reported and the others go on; nothing more comes when the signal
 * is raised.
 *
 * @throws PacsError when the search for studies fails, or one series after the other.
 */
export async function* fetchSeries(
  client: DicomWebClient,
  options: FetchOptions,
): AsyncGenerator<ReceivedSeries> {
  yield* new Fetching(client, options).all();
}

class Fetching {
  private failures = 0;

  constructor(
    private readonly client: DicomWebClient,
    private readonly options: FetchOptions,
  ) {}

  async *all(): AsyncGenerator<ReceivedSeries> {
    const { concurrency, isComplete } = this.options;
    const ahead: Promise<ReceivedSeries | null>[] = [];
    try {
      for await (const study of this.untilStopped(studiesOf(this.client, this.options.query))) {
        let reports: Promise<Uint8Array[]> | null = null;
        for (const found of await this.seriesIn(study)) {
          if (this.stopped || (await isComplete(found))) continue;
          reports ??= this.reportsOf(study);
          ahead.push(this.fetch(found, reports));
          if (ahead.length >= concurrency) yield* await taken(ahead.shift()!);
        }
        this.giveUp();
      }
      while (ahead.length > 0 && !this.stopped) yield* await taken(ahead.shift()!);
      this.giveUp();
    } finally {
      // What is under way ends before the caller goes on; `fetch` rejects never.
      await Promise.all(ahead);
    }
  }

  private get stopped(): boolean {
    return this.options.signal?.aborted === true;
  }

  /** A raised signal makes requests fail, which is then no error. */
  private async *untilStopped<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      for await (const item of items) {
        if (this.stopped) return;
        yield item;
      }
    } catch (error) {
      if (!this.stopped) throw error;
    }
  }

  private async seriesIn(study: string): Promise<FoundSeries[]> {
    const wanted = [...this.options.query.series, ['Modality', 'MR'] as const];
    const found: FoundSeries[] = [];
    try {
      for await (const one of seriesOf(this.client, study, wanted)) found.push(one);
    } catch (error) {
      this.failed(null, error);
    }
    return found;
  }

  private async fetch(found: FoundSeries, reports: Promise<Uint8Array[]>): Promise<ReceivedSeries | null> {
    try {
      const files = await retrieveSeries(this.client, found, this.options.mostBytes);
      this.failures = 0;
      const { studyUid, seriesUid, instances } = found;
      return { studyUid, seriesUid, use: 'image', files, expected: instances, reports: await reports };
    } catch (error) {
      this.failed(found, error);
      return null;
    }
  }

  /** The structured reports of a study; none where they cannot be fetched. Never rejects. */
  private async reportsOf(study: string): Promise<Uint8Array[]> {
    const files: Uint8Array[] = [];
    if (!this.options.reports) return files;
    try {
      for await (const found of seriesOf(this.client, study, [['Modality', 'SR']]))
        files.push(...(await retrieveSeries(this.client, found, MOST_REPORT_BYTES)));
    } catch (error) {
      this.failed(null, error);
    }
    return files;
  }

  private failed(found: FoundSeries | null, error: unknown): void {
    if (this.stopped) return;
    this.failures++;
    this.options.onFailed(found, error instanceof Error ? error.message : String(error));
  }

  private giveUp(): void {
    if (this.failures >= MOST_FAILURES)
      throw new PacsError(
        `fetch series: ${this.client.root.host} must answer, but ${this.failures} requests in a row failed after all ` +
          'tries; run the same command again for the rest when it does',
      );
  }
}

const MOST_REPORT_BYTES = 16 * 2 ** 20;

async function taken(series: Promise<ReceivedSeries | null>): Promise<ReceivedSeries[]> {
  const one = await series;
  return one === null ? [] : [one];
}
