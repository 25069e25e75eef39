/**
 * The CPU: resident tensors are arrays of the thread, and runs write into them directly. CUDA by the same way: programs run
 * on the GPU, and what goes in and out of them lies in this memory, since onnxruntime-node binds no CUDA buffers.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { DType, TypedArray } from '../graph/index.js';
import {
  allocate,
  createSession,
  describe,
  get,
  hostFeeds,
  QUIET,
  toTensor,
  type Backend,
} from './backend.js';
import type { LoadRequest, ProgramInfo, RunRequest } from './protocol.js';

interface Resident {
  readonly dtype: DType;
  readonly shape: readonly number[];
  tensor: Tensor;
  /** A second array, so that a run can replace what it reads. */
  spare: Tensor | undefined;
}

interface Loaded {
  readonly session: InferenceSession;
  readonly info: ProgramInfo;
  readonly profiled: boolean;
}

const SESSION = {
  // Products of denormal numbers are many times slower on some processors, and below any tolerance here.
  set_denormal_as_zero: '1',
  // Waiting threads spin this long before they sleep. By default they spin on, and where another process (or the
  // caller, cutting the next batch) wants a core, a thread that computes is taken off it for one that waits: twice
  // the time of a single thread was measured. 50 µs bridges the gap between two operators and costs nothing.
  intra_op: { spin_duration_us: '50' },
} as const;

/** Where a program runs: what CUDA has no kernel for, on the CPU. */
export const providersOf = (kind: 'cpu' | 'cuda'): string[] => (kind === 'cuda' ? ['cuda', 'cpu'] : ['cpu']);

export class CpuBackend implements Backend {
  readonly #programs = new Map<number, Loaded>();
  readonly #buffers = new Map<number, Resident>();

  constructor(
    readonly threads: number,
    readonly kind: 'cpu' | 'cuda' = 'cpu',
  ) {}

  async load({ program, model, options, ours }: LoadRequest): Promise<ProgramInfo> {
    const session = await createSession(model, {
      executionProviders: providersOf(this.kind),
      intraOpNumThreads: this.threads,
      interOpNumThreads: 1,
      extra: { session: SESSION },
      graphOptimizationLevel: ours ? 'basic' : 'all',
      ...QUIET,
      ...(options.profile !== undefined && { enableProfiling: true, profileFilePrefix: options.profile }),
    });
    const info = describe(session);
    this.#programs.set(program, { session, info, profiled: options.profile !== undefined });
    return info;
  }

  async unload(program: number): Promise<void> {
    const { session, profiled } = get(this.#programs, program, 'program');
    this.#programs.delete(program);
    if (profiled) session.endProfiling();
    await session.release();
  }

  async run({ program, host, resident, fetch, into }: RunRequest): Promise<Record<string, TypedArray>> {
    const { session, info } = get(this.#programs, program, 'program');
    const feeds = hostFeeds(info, host);
    for (const [name, buffer] of Object.entries(resident)) {
      feeds[name] = get(this.#buffers, buffer, 'buffer').tensor;
    }
    // Results of known shape are written where they are wanted; the runtime's own allocation costs a copy.
    const fetches: Record<string, Tensor | null> = {};
    for (const { name, dtype, shape } of info.outputs) {
      if (!fetch.includes(name)) continue;
      fetches[name] = shape.includes(-1) ? null : toTensor(dtype, shape, allocate(dtype, shape));
    }
    const read = new Set(Object.values(resident));
    const swapped: Resident[] = [];
    for (const [name, buffer] of Object.entries(into)) {
      const target = get(this.#buffers, buffer, 'buffer');
      if (read.has(buffer)) {
        target.spare ??= toTensor(target.dtype, target.shape, allocate(target.dtype, target.shape));
        fetches[name] = target.spare;
        swapped.push(target);
      } else fetches[name] = target.tensor;
    }
    const results = await session.run(feeds, fetches, QUIET);
    for (const target of swapped) [target.tensor, target.spare] = [target.spare!, target.tensor];
    return Object.fromEntries(fetch.map((name) => [name, results[name]!.data as TypedArray]));
  }

  create(
    buffer: number,
    dtype: DType,
    shape: readonly number[],
    data: TypedArray | undefined,
  ): Promise<void> {
    const tensor = toTensor(dtype, shape, data ?? allocate(dtype, shape));
    this.#buffers.set(buffer, { dtype, shape, tensor, spare: undefined });
    return Promise.resolve();
  }

  write(buffer: number, data: TypedArray): Promise<void> {
    const target = get(this.#buffers, buffer, 'buffer');
    target.tensor = toTensor(target.dtype, target.shape, data);
    return Promise.resolve();
  }

  read(buffer: number): Promise<TypedArray> {
    return Promise.resolve((get(this.#buffers, buffer, 'buffer').tensor.data as TypedArray).slice());
  }

  free(buffer: number): Promise<void> {
    get(this.#buffers, buffer, 'buffer');
    this.#buffers.delete(buffer);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    for (const { session } of this.#programs.values()) await session.release();
    this.#programs.clear();
    this.#buffers.clear();
  }
}
