/** Threads that store series side by side. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { storeSeries, type StoredVoxels, type StoreTask } from './store-series.js';
import { resultOf, type StoreAnswer } from './store-answer.js';
import { isBoundToThread } from './voxel-source.js';

const FROM_SOURCE = import.meta.url.endsWith('.ts');
// Tests import the TypeScript source; a thread needs the compiled file.
const WORKER_FILE = new URL(
  FROM_SOURCE ? '../../dist/corpus/store-worker.js' : './store-worker.js',
  import.meta.url,
);

/** One thread a core; none where the TypeScript source runs, because the compiled file may be older than it. */
export const DEFAULT_WORKERS = FROM_SOURCE ? 0 : availableParallelism();

/** A thread that does not come round to its events for this long is caught: no slab and no decoder takes minutes. */
const SILENT_MS = 180_000;
/** It must be silent this many times in a row, so that a machine that slept or was overloaded counts as once. */
const LOOKS = 6;

/** Where series are stored. */
export interface SeriesStorer {
  /** Series at a time. */
  readonly width: number;
  /** @throws what must stop the ingest: the corpus cannot be written. */
  store(task: StoreTask): Promise<StoredVoxels | string>;
  close(): Promise<void>;
}

export interface PoolOptions {
  /** The program of a thread. */
  readonly file?: URL;
  readonly silentMs?: number;
}

/**
 * Stores series in up to `workers` threads; with fewer than two in the calling thread. A thread that dies, or is caught in
 * an endless loop, takes only its series with it, which is left out with a reason, and is replaced.
 */
export class StorePool implements SeriesStorer {
  private readonly idle: Worker[] = [];
  private readonly all = new Set<Worker>();
  /** Counts up as long as the thread is not caught. */
  private readonly beats = new Map<Worker, Int32Array>();
  private readonly waiting: ((worker: Worker) => void)[] = [];
  readonly width: number;
  private readonly file: URL;
  private readonly silentMs: number;

  constructor(
    private readonly workers: number,
    { file = WORKER_FILE, silentMs = SILENT_MS }: PoolOptions = {},
  ) {
    this.width = Math.max(1, workers);
    this.file = file;
    this.silentMs = silentMs;
  }

  async store(task: StoreTask): Promise<StoredVoxels | string> {
    if (this.workers < 2 || isBoundToThread(task.voxels, task.identifying)) return storeSeries(task);
    const worker = await this.take();
    const answer = await this.ask(worker, task);
    if (answer === 'ended') return 'its voxels could not be read: the thread that did ended';
    if (answer === 'caught')
      return `its voxels could not be read: decoding did not come to an end in ${this.silentMs / 1000} s`;
    this.giveBack(worker);
    return resultOf(answer);
  }

  async close(): Promise<void> {
    await Promise.all([...this.all].map((worker) => worker.terminate()));
  }

  private take(): Promise<Worker> {
    const idle = this.idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (this.all.size >= this.workers) return new Promise((resolve) => this.waiting.push(resolve));
    return Promise.resolve(this.start());
  }

  private start(): Worker {
    const shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const worker = new Worker(this.file, { execArgv: [], workerData: shared });
    this.all.add(worker);
    this.beats.set(worker, new Int32Array(shared));
    return worker;
  }

  private giveBack(worker: Worker): void {
    const next = this.waiting.shift();
    if (next === undefined) this.idle.push(worker);
    else next(worker);
  }

  private ask(worker: Worker, task: StoreTask): Promise<StoreAnswer | 'ended' | 'caught'> {
    return new Promise((resolve) => {
      const beats = this.beats.get(worker)!;
      let [known, silent] = [Atomics.load(beats, 0), 0];
      const look = setInterval(() => {
        const now = Atomics.load(beats, 0);
        silent = now === known ? silent + 1 : 0;
        known = now;
        if (silent >= LOOKS) void worker.terminate();
      }, this.silentMs / LOOKS);
      const done = (answer: StoreAnswer | 'ended' | 'caught'): void => {
        clearInterval(look);
        worker.off('message', done).off('error', died).off('exit', died);
        resolve(answer);
      };
      const died = (): void => {
        this.all.delete(worker);
        this.beats.delete(worker);
        done(silent >= LOOKS ? 'caught' : 'ended');
        // Whoever waits for a thread gets a new one.
        const next = this.waiting.shift();
        if (next !== undefined) next(this.start());
      };
      worker.on('message', done).on('error', died).on('exit', died);
      worker.postMessage(task);
    });
  }
}
