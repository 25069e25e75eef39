/** Threads that cut the views of coming steps while the device computes. */
import { Worker } from 'node:worker_threads';
import type { Series } from '../corpus/series.js';
import type { TypedArray } from '../graph/index.js';
import type { ModelConfig } from '../models/sizes.js';
import type { CutBatch, CutRecipe } from './cut-batch.js';
import type { StepShare } from './loader.js';
import { DEFAULT_MEMORY, TrainError } from './loader.js';

export interface CutterOptions {
  readonly threads: number;
  /**
   * URL of a module that exports `openSource(data)`, which gives a VolumeSource or a promise of one. Each thread calls it
   * once: it needs a source of its own.
   */
  readonly module: string;
  /** What `openSource` is told; it is copied to every thread. */
  readonly data: unknown;
}

/** What a thread is started with. */
export interface CutterData {
  readonly module: string;
  readonly data: unknown;
  readonly series: readonly Series[];
  readonly config: ModelConfig;
  readonly memory: number;
}

/** A batch to be cut. */
export interface CutterTask {
  readonly id: number;
  readonly recipe: CutRecipe;
  readonly at: StepShare;
}

export type CutterAnswer =
  | {
      readonly id: number;
      readonly feeds: Record<string, TypedArray>;
      readonly tokens: number;
      readonly ids: string[];
    }
  | { readonly id: number; readonly error: string }
  | { readonly warning: string };

/** Tests import the TypeScript source; a thread needs the compiled file. */
const WORKER_FILE = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/train/cutter-worker.js' : './cutter-worker.js',
  import.meta.url,
);

interface Waiting {
  readonly resolve: (batch: CutBatch) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  /** Why it does nothing any more. */
  ended: TrainError | null;
}

/** Cuts batches of pretraining in threads, the same bit for bit as `cutBatch` does. */
export class Cutters {
  private readonly threads: Thread[];
  private readonly known: ReadonlyMap<string, Series>;
  private next = 0;

  /** @param memory bytes that the volumes of all threads together may take. */
  constructor(
    { threads, module, data }: CutterOptions,
    series: readonly Series[],
    config: ModelConfig,
    memory = DEFAULT_MEMORY,
    warn: (message: string) => void = () => undefined,
  ) {
    this.known = new Map(series.map((one) => [one.id, one]));
    const warned = new Set<string>();
    const workerData: CutterData = { module, data, series, config, memory: memory / threads };
    this.threads = Array.from({ length: threads }, () => {
      const worker = new Worker(WORKER_FILE, { execArgv: [], workerData });
      const waiting = new Map<number, Waiting>();
      const thread: Thread = { worker, waiting, ended: null };
      const fail = (why: string): void => {
        thread.ended ??= new TrainError(`train: views could not be cut: ${why}`);
        for (const { reject } of waiting.values()) reject(thread.ended);
        waiting.clear();
      };
      worker.on('message', (answer: CutterAnswer) => {
        if ('warning' in answer) {
          // Every thread meets what is wrong with a series.
          if (!warned.has(answer.warning)) warn(answer.warning);
          warned.add(answer.warning);
          return;
        }
        const one = waiting.get(answer.id);
        waiting.delete(answer.id);
        if ('error' in answer) one?.reject(new TrainError(answer.error));
        else one?.resolve({ ...answer, shown: answer.ids.map((id) => this.known.get(id)!) });
      });
      worker.on('error', ({ message }) => fail(message));
      worker.on('exit', () => fail('the thread that did ended'));
      // A run that ends does not wait for batches that nobody will ask for.
      worker.unref();
      return thread;
    });
  }

  /** How many batches are cut at a time. */
  get width(): number {
    return this.threads.length;
  }

  /** @throws TrainError where a thread fails or ends. */
  cut(recipe: CutRecipe, { seed, step, batch, ranks }: StepShare): Promise<CutBatch> {
    const { worker, waiting, ended } = this.threads.reduce((a, b) =>
      b.waiting.size < a.waiting.size ? b : a,
    );
    if (ended) return Promise.reject(ended);
    const id = this.next++;
    const at = { seed, step, batch, ...(ranks && { ranks: { rank: ranks.rank, size: ranks.size } }) };
    worker.ref();
    return new Promise<CutBatch>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, recipe, at } satisfies CutterTask);
    }).finally(() => {
      if (waiting.size === 0) worker.unref();
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map(({ worker }) => worker.terminate()));
  }
}
