/** Devices, programs and resident buffers: the caller's side of the thread that runs ONNX Runtime. */
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { add, Graph, sizeOf, type DType, type TensorInfo, type TypedArray } from '../graph/index.js';
import type {
  Answer,
  DeviceKind,
  DeviceOptions,
  HostInput,
  LoadOptions,
  ProgramInfo,
  Reply,
  Request,
  WorkerData,
} from './protocol.js';

/** A device, a program or a buffer could not do what it was asked. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
}

/** A tensor that stays on the device between runs. Made by `Device.buffer`. */
export interface DeviceBuffer {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** A copy of the elements. */
  read(): Promise<TypedArray>;
  /** Replaces the elements by a copy of `data`. */
  write(data: TypedArray): Promise<void>;
  free(): Promise<void>;
}

export type RunInput = TypedArray | DeviceBuffer | HostInput;

export interface RunOptions {
  /** Outputs to return as typed arrays; all that are not in `into` unless said. */
  readonly fetch?: readonly string[];
  /**
   * Outputs to keep on the device. A buffer may be input and target of one run: its old content is read, then
   * replaced.
   */
  readonly into?: Readonly<Record<string, DeviceBuffer>>;
}

/** A compiled graph on a device. */
export interface Program {
  readonly name: string;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** @throws RuntimeError naming the program and the input or output that does not fit. */
  run(inputs: Readonly<Record<string, RunInput>>, options?: RunOptions): Promise<Record<string, TypedArray>>;
  free(): Promise<void>;
}

export interface Device {
  readonly kind: DeviceKind;
  readonly threads: number;
  /** A resident tensor, zeros unless `data` is given (copied). */
  buffer(dtype: DType, shape: readonly number[], data?: TypedArray): Promise<DeviceBuffer>;
  /** Compiles a graph, the bytes of an ONNX file, or the ONNX file at a path. */
  load(model: Graph | Uint8Array | string, options?: LoadOptions): Promise<Program>;
  /** Frees everything and ends the thread; later calls are errors. */
  close(): Promise<void>;
}

/**
 * Starts a device: one thread in which ONNX Runtime loads and runs programs, one call at a time, in order.
 * An idle device does not keep the process alive.
 *
 * ONNX Runtime's published builds report their use to its makers (since 1.29) and keep a device id in the home folder.
 * That is turned off for this process, by a variable that must be in its real environment before the library loads;
 * only the main thread can set it. A program that opens devices in worker threads of its own sets it at its start.
 * @throws RuntimeError when the kind is not available here.
 */
export async function openDevice(options: DeviceOptions): Promise<Device> {
  const threads = options.threads ?? physicalCores();
  if (!Number.isInteger(threads) || threads < 1) {
    throw new RuntimeError(`openDevice: threads must be 1 or more, got ${threads}`);
  }
  process.env.ORT_DISABLE_TELEMETRY = '1';
  const device = new WorkerDevice({ kind: options.kind, threads });
  // A CPU is always there. Whether there is a GPU shows when it is first used.
  if (options.kind === 'cuda') {
    try {
      const one = await device.load(probe());
      await one.free();
    } catch (error) {
      await device.close();
      throw new RuntimeError(
        'openDevice: CUDA must be available, but ONNX Runtime cannot load its CUDA provider here; it needs an NVIDIA GPU ' +
          "with its driver, CUDA 12 with cuDNN 9, and the provider's library, which " +
          '"node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install=cuda12" fetches on 64-bit Linux; or use --device cpu',
        { cause: error },
      );
    }
  }
  if (options.kind === 'webgpu') {
    try {
      await (await device.buffer('float32', [1])).free();
    } catch (error) {
      await device.close();
      throw new RuntimeError(`openDevice: WebGPU is not available here; use the cpu device`, {
        cause: error,
      });
    }
  }
  return device;
}

/** The smallest program: loading it shows whether a provider is there. */
function probe(): Graph {
  const graph = new Graph('probe');
  const x = graph.input('x', 'float32', [1]);
  graph.output('y', add(x, x));
  return graph;
}

/** Cores that compute: two hardware threads of one core add nothing to matrix products. */
export function physicalCores(): number {
  const usable = availableParallelism();
  if (process.platform !== 'linux') return usable;
  try {
    const root = '/sys/devices/system/cpu';
    const siblings = readdirSync(root)
      .filter((entry) => /^cpu\d+$/.test(entry))
      .map((entry) => readFileSync(`${root}/${entry}/topology/thread_siblings_list`, 'utf8').trim());
    return Math.max(1, Math.min(usable, new Set(siblings).size));
  } catch {
    return usable; // a container may hide the topology
  }
}

class ResidentBuffer implements DeviceBuffer {
  constructor(
    readonly device: WorkerDevice,
    readonly number: number,
    readonly dtype: DType,
    readonly shape: readonly number[],
  ) {}

  async read(): Promise<TypedArray> {
    return (await this.device.send('read', { op: 'read', buffer: this.number })) as TypedArray;
  }

  async write(data: TypedArray): Promise<void> {
    checkData('write', this.dtype, this.shape, data);
    await this.device.send('write', { op: 'write', buffer: this.number, data });
  }

  async free(): Promise<void> {
    await this.device.send('free', { op: 'free', buffer: this.number });
  }
}

class WorkerDevice implements Device {
  readonly kind: DeviceKind;
  readonly threads: number;
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { what: string; resolve: (answer: Answer) => void; reject: (e: Error) => void }
  >();
  #next = 0;
  #ended: string | undefined;

  constructor(data: WorkerData) {
    this.kind = data.kind;
    this.threads = data.threads;
    // Tests import the TypeScript source; a thread needs the compiled file.
    const file = import.meta.url.endsWith('.ts') ? '../../dist/runtime/worker.js' : './worker.js';
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData: data, execArgv: [] });
    this.#worker.on('message', (reply: Reply) => this.#receive(reply));
    this.#worker.on('error', (error) => this.#end(error.message));
    this.#worker.on('exit', (code) => this.#end(`its thread ended with code ${code}`));
    this.#worker.unref();
  }

  async buffer(dtype: DType, shape: readonly number[], data?: TypedArray): Promise<DeviceBuffer> {
    if (data !== undefined) checkData('buffer', dtype, shape, data);
    const buffer = this.#next++;
    await this.send('buffer', { op: 'create', buffer, dtype, shape, ...(data && { data }) });
    return new ResidentBuffer(this, buffer, dtype, shape);
  }

  async load(model: Graph | Uint8Array | string, options: LoadOptions = {}): Promise<Program> {
    const isGraph = typeof model === 'object' && 'toOnnx' in model;
    const name = options.name ?? (isGraph ? model.name : typeof model === 'string' ? model : 'program');
    const bytes = isGraph ? model.toOnnx({ spelled: this.kind === 'webgpu' }) : model;
    const program = this.#next++;
    // The bytes of a graph were made for this call, so they may move to the thread.
    const moved = isGraph && bytes instanceof Uint8Array ? [bytes.buffer as ArrayBuffer] : [];
    const info = await this.send(
      `load "${name}"`,
      { op: 'load', program, model: bytes, options, ours: isGraph },
      moved,
    );
    return new LoadedProgram(this, program, name, info as ProgramInfo);
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exit = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    await this.send('close', { op: 'close' });
    this.#worker.ref();
    await exit;
  }

  /** One request to the thread; `what` starts the message of an error. */
  send(what: string, request: Request, transfer: readonly ArrayBuffer[] = []): Promise<Answer> {
    if (this.#ended !== undefined) {
      return Promise.reject(new RuntimeError(`${what}: the device is closed (${this.#ended}); open another`));
    }
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { what, resolve, reject });
      this.#worker.postMessage({ id, request }, transfer);
    });
  }

  #receive(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) return;
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('error' in reply) waiting.reject(new RuntimeError(`${waiting.what}: ${reply.error}`));
    else waiting.resolve(reply.answer);
  }

  #end(why: string): void {
    this.#ended ??= why;
    for (const { what, reject } of this.#waiting.values()) reject(new RuntimeError(`${what}: ${why}`));
    this.#waiting.clear();
  }
}

class LoadedProgram implements Program {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];

  constructor(
    readonly device: WorkerDevice,
    readonly number: number,
    readonly name: string,
    info: ProgramInfo,
  ) {
    this.inputs = info.inputs;
    this.outputs = info.outputs;
  }

  async run(
    inputs: Readonly<Record<string, RunInput>>,
    options: RunOptions = {},
  ): Promise<Record<string, TypedArray>> {
    const what = `run "${this.name}"`;
    const host: Record<string, HostInput> = {};
    const resident: Record<string, number> = {};
    for (const [name, input] of Object.entries(inputs)) {
      const info = find(what, 'input', name, this.inputs);
      if (input instanceof ResidentBuffer) resident[name] = this.#number(what, name, input, info);
      else if (ArrayBuffer.isView(input)) host[name] = this.#host(what, info, { data: input });
      else if ('data' in input) host[name] = this.#host(what, info, input);
      else throw new RuntimeError(`${what}: input "${name}" is not a typed array or a buffer of a device`);
    }
    const missing = this.inputs.find(({ name }) => !(name in inputs));
    if (missing !== undefined) throw new RuntimeError(`${what}: input "${missing.name}" is not given`);

    const into: Record<string, number> = {};
    for (const [name, buffer] of Object.entries(options.into ?? {})) {
      const info = find(what, 'output', name, this.outputs);
      if (!(buffer instanceof ResidentBuffer)) {
        throw new RuntimeError(`${what}: "into" of output "${name}" is not a buffer of a device`);
      }
      into[name] = this.#number(what, name, buffer, info);
    }
    const fetch = options.fetch ?? this.outputs.map(({ name }) => name).filter((name) => !(name in into));
    for (const name of fetch) find(what, 'output', name, this.outputs);
    const answer = await this.device.send(what, {
      op: 'run',
      program: this.number,
      host,
      resident,
      fetch,
      into,
    });
    return answer as Record<string, TypedArray>;
  }

  async free(): Promise<void> {
    await this.device.send(`free "${this.name}"`, { op: 'unload', program: this.number });
  }

  #number(what: string, name: string, buffer: ResidentBuffer, info: TensorInfo): number {
    if (buffer.device !== this.device) {
      throw new RuntimeError(`${what}: the buffer for "${name}" belongs to another device`);
    }
    if (buffer.dtype !== info.dtype || !fits(buffer.shape, info.shape)) {
      throw new RuntimeError(
        `${what}: "${name}" is ${info.dtype} [${info.shape.join(', ')}], got a buffer of ${buffer.dtype} [${buffer.shape.join(', ')}]`,
      );
    }
    return buffer.number;
  }

  #host(what: string, info: TensorInfo, input: HostInput): HostInput {
    const shape = input.shape ?? info.shape;
    if (!fits(shape, info.shape)) {
      throw new RuntimeError(
        `${what}: input "${info.name}" must have shape [${info.shape.join(', ')}], got [${shape.join(', ')}]`,
      );
    }
    checkData(`${what}: input "${info.name}"`, info.dtype, shape, input.data);
    return { data: input.data, shape };
  }
}

const find = (what: string, kind: string, name: string, infos: readonly TensorInfo[]): TensorInfo => {
  const info = infos.find((candidate) => candidate.name === name);
  if (info === undefined) {
    const names = infos.map((candidate) => candidate.name).join(', ');
    throw new RuntimeError(`${what}: there is no ${kind} "${name}"; it has ${names}`);
  }
  return info;
};

/** -1 in a program's shape is a dimension that each run decides. */
const fits = (shape: readonly number[], rule: readonly number[]): boolean =>
  shape.length === rule.length && rule.every((d, i) => (d === -1 ? shape[i]! >= 0 : d === shape[i]));

const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const;

function checkData(what: string, dtype: DType, shape: readonly number[], data: TypedArray): void {
  if (!(data instanceof ARRAYS[dtype])) {
    throw new RuntimeError(`${what}: ${dtype} needs a ${ARRAYS[dtype].name}, got a ${data.constructor.name}`);
  }
  if (data.length !== sizeOf(shape)) {
    throw new RuntimeError(
      `${what}: shape [${shape.join(', ')}] holds ${sizeOf(shape)} elements, got ${data.length}`,
    );
  }
}
