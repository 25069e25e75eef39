/** Threads that store series side by side. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { storeSeries, type StoredVoxels, type StoreTask } from './store-series.js';
import type { StoreAnswer } from './store-worker.js';
import { isBoundToThread } from './voxel-source.js';

const FROM_SOURCE = import.meta.url.endsWith('.ts');
// Tests import the TypeScript source; a thread needs the compiled file.
const WORKER_FILE = new URL(
  FROM_SOURCE ? '../../dist/corpus/store-worker.js' : './store-worker.js',
  import.meta.url,
);

/** One thread a core; none where the TypeScript source runs, because the compiled file may be older than it. */
export const DEFAULT_WORKERS = FROM_SOURCE ? 0 : availableParallelism();

/**
 * Stores series in up to `workers` threads; with fewer than two in the calling thread. A thread that dies takes only its
 * series with it, which is left out with a reason, and is replaced.
 */
export class StorePool {
  private readonly idle: Worker[] = [];
  private readonly all = new Set<Worker>();
  private readonly waiting: ((worker: Worker) => void)[] = [];
  /** Series at a time. */
  readonly width: number;

  constructor(private readonly workers: number) {
    this.width = Math.max(1, workers);
  }

  /** @throws what must stop the ingest: the corpus cannot be written. */
  async store(task: StoreTask): Promise<StoredVoxels | string> {
    if (this.workers < 2 || isBoundToThread(task.voxels, task.identifying)) return storeSeries(task);
    const worker = await this.take();
    const answer = await this.ask(worker, task);
    if (answer === null) return 'its voxels could not be read: the thread that did ended';
    this.giveBack(worker);
    if ('stored' in answer) return answer.stored;
    const { message, code } = answer.failed;
    throw Object.assign(new Error(message), code === undefined ? {} : { code });
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
    const worker = new Worker(WORKER_FILE, { execArgv: [] });
    this.all.add(worker);
    return worker;
  }

  private giveBack(worker: Worker): void {
    const next = this.waiting.shift();
    if (next === undefined) this.idle.push(worker);
    else next(worker);
  }

  /** null when the thread died. */
  private ask(worker: Worker, task: StoreTask): Promise<StoreAnswer | null> {
    return new Promise((resolve) => {
      const done = (answer: StoreAnswer | null): void => {
        worker.off('message', done).off('error', died).off('exit', died);
        resolve(answer);
      };
      const died = (): void => {
        this.all.delete(worker);
        done(null);
        // Whoever waits for a thread gets a new one.
        const next = this.waiting.shift();
        if (next !== undefined) next(this.start());
      };
      worker.on('message', done).on('error', died).on('exit', died);
      worker.postMessage(task);
    });
  }
}
