/** WebGPU (Dawn, bundled with ONNX Runtime): resident tensors are buffers of the GPU, bound to runs as they lie. */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { Graph, type DType, type TypedArray } from '../graph/index.js';
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

interface Loaded {
  readonly model: Uint8Array | string;
  readonly info: ProgramInfo;
  /**
   * Where outputs go is fixed when a session is made, so there is one for each set of outputs that stay on the GPU,
   * keyed by their names; made when first asked for.
   */
  readonly sessions: Map<string, InferenceSession>;
}

interface Resident {
  readonly dtype: DType;
  readonly shape: readonly number[];
  tensor: Tensor;
}

export class WebgpuBackend implements Backend {
  readonly #programs = new Map<number, Loaded>();
  readonly #buffers = new Map<number, Resident>();
  /** Programs that copy one tensor to or from the GPU. */
  readonly #copies = new Map<string, InferenceSession>();

  async load({ program, model, options }: LoadRequest): Promise<ProgramInfo> {
    if (options.profile !== undefined) throw new Error('profile is for the cpu device');
    const session = await createSession(model, settings([]));
    const info = describe(session);
    this.#programs.set(program, { model, info, sessions: new Map([['', session]]) });
    return info;
  }

  async unload(program: number): Promise<void> {
    const { sessions } = get(this.#programs, program, 'program');
    this.#programs.delete(program);
    for (const session of sessions.values()) await session.release();
  }

  async run({ program, host, resident, fetch, into }: RunRequest): Promise<Record<string, TypedArray>> {
    const loaded = get(this.#programs, program, 'program');
    const feeds = hostFeeds(loaded.info, host);
    for (const [name, buffer] of Object.entries(resident)) {
      feeds[name] = get(this.#buffers, buffer, 'buffer').tensor;
    }
    for (const buffer of Object.values(into)) get(this.#buffers, buffer, 'buffer');
    // An output that nobody asked for stays on the GPU as well: reading it back would cost more.
    const staying = loaded.info.outputs
      .map(({ name }) => name)
      .filter((name) => !fetch.includes(name) || name in into);
    const session = await this.#session(loaded, staying);
    const results = (await session.run(feeds, QUIET)) as Record<string, Tensor>;
    for (const name of staying) {
      const result = results[name]!;
      const target = into[name] === undefined ? undefined : this.#buffers.get(into[name]);
      if (target === undefined) result.dispose();
      else {
        target.tensor.dispose();
        target.tensor = result;
      }
    }
    const answer: Record<string, TypedArray> = {};
    for (const name of fetch) {
      const kept = into[name];
      answer[name] = kept === undefined ? (results[name]!.data as TypedArray) : await this.read(kept);
    }
    return answer;
  }

  async create(
    buffer: number,
    dtype: DType,
    shape: readonly number[],
    data: TypedArray | undefined,
  ): Promise<void> {
    const tensor = await this.#copy(
      'in',
      dtype,
      shape,
      toTensor(dtype, shape, data ?? allocate(dtype, shape)),
    );
    this.#buffers.set(buffer, { dtype, shape, tensor });
  }

  async write(buffer: number, data: TypedArray): Promise<void> {
    const target = get(this.#buffers, buffer, 'buffer');
    const { dtype, shape } = target;
    const tensor = await this.#copy('in', dtype, shape, toTensor(dtype, shape, data));
    target.tensor.dispose();
    target.tensor = tensor;
  }

  async read(buffer: number): Promise<TypedArray> {
    const { dtype, shape, tensor } = get(this.#buffers, buffer, 'buffer');
    return (await this.#copy('out', dtype, shape, tensor)).data as TypedArray;
  }

  free(buffer: number): Promise<void> {
    get(this.#buffers, buffer, 'buffer').tensor.dispose();
    this.#buffers.delete(buffer);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    for (const { tensor } of this.#buffers.values()) tensor.dispose();
    for (const { sessions } of this.#programs.values()) {
      for (const session of sessions.values()) await session.release();
    }
    for (const session of this.#copies.values()) await session.release();
    this.#buffers.clear();
    this.#programs.clear();
    this.#copies.clear();
  }

  async #session({ model, sessions }: Loaded, staying: readonly string[]): Promise<InferenceSession> {
    const key = [...staying].sort().join(':');
    let session = sessions.get(key);
    if (session === undefined) {
      session = await createSession(model, settings(staying));
      sessions.set(key, session);
    }
    return session;
  }

  /** A copy of the tensor on the other side. */
  async #copy(way: 'in' | 'out', dtype: DType, shape: readonly number[], tensor: Tensor): Promise<Tensor> {
    const key = `${way} ${dtype} ${shape.join()}`;
    let session = this.#copies.get(key);
    if (session === undefined) {
      const graph = new Graph('copy');
      graph.output('y', graph.input('x', dtype, shape));
      session = await createSession(graph.toOnnx(), settings(way === 'in' ? ['y'] : []));
      this.#copies.set(key, session);
    }
    return (await session.run({ x: tensor }, QUIET))['y'] as Tensor;
  }
}

const settings = (staying: readonly string[]): InferenceSession.SessionOptions => ({
  executionProviders: ['webgpu'],
  preferredOutputLocation: Object.fromEntries(staying.map((name) => [name, 'gpu-buffer' as const])),
  ...QUIET,
});
