/** The thread of one device: holds ONNX Runtime sessions and resident tensors, and runs one request after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sizeOf, type DType, type TensorInfo, type TypedArray } from '../graph/index.js';
import type { Answer, LoadOptions, Reply, Request, RunRequest, WorkerData } from './protocol.js';

const port = parentPort;
if (port === null) throw new Error('internal: the worker must be started as a thread');
const { kind, threads } = workerData as WorkerData;

/** A tensor that stays. On a CPU it owns an array; a spare of the same size lets a run replace what it reads. */
interface Resident {
  readonly dtype: DType;
  readonly shape: readonly number[];
  tensor: Tensor;
  spare: Tensor | undefined;
}

interface LoadedProgram {
  readonly session: InferenceSession;
  readonly inputs: ReadonlyMap<string, TensorInfo>;
  readonly outputs: ReadonlyMap<string, TensorInfo>;
  readonly profiled: boolean;
}

const programs = new Map<number, LoadedProgram>();
const buffers = new Map<number, Resident>();

const allocate = (dtype: DType, size: number): TypedArray => {
  switch (dtype) {
    case 'float32':
      return new Float32Array(size);
    case 'float16':
      return new Uint16Array(size);
    case 'int32':
      return new Int32Array(size);
    case 'int64':
      return new BigInt64Array(size);
    case 'bool':
      return new Uint8Array(size);
  }
};

const toTensor = (dtype: DType, shape: readonly number[], data: TypedArray): Tensor =>
  new Tensor(dtype, data, shape);

async function load(number: number, model: Uint8Array | string, options: LoadOptions): Promise<Answer> {
  const settings: InferenceSession.SessionOptions = {
    executionProviders: kind === 'webgpu' ? ['webgpu', 'cpu'] : ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Errors go to the caller; ONNX Runtime need not print them as well.
    logSeverityLevel: 4,
    ...(kind === 'webgpu' && { preferredOutputLocation: 'gpu-buffer' as const }),
    ...(options.profile !== undefined && { enableProfiling: true, profileFilePrefix: options.profile }),
  };
  const session =
    typeof model === 'string'
      ? await InferenceSession.create(model, settings)
      : await InferenceSession.create(model, settings);
  const inputs = session.inputMetadata.map(describe);
  const outputs = session.outputMetadata.map(describe);
  programs.set(number, {
    session,
    inputs: new Map(inputs.map((info) => [info.name, info])),
    outputs: new Map(outputs.map((info) => [info.name, info])),
    profiled: options.profile !== undefined,
  });
  return { inputs, outputs };
}

function describe(metadata: InferenceSession.ValueMetadata): TensorInfo {
  if (!metadata.isTensor) throw new Error(`"${metadata.name}" is not a tensor`);
  return {
    name: metadata.name,
    dtype: metadata.type as DType,
    // A dimension with a name instead of a size is decided by each run.
    shape: metadata.shape.map((d) => (typeof d === 'number' ? d : -1)),
  };
}

async function run({
  program: number,
  host,
  resident,
  fetch,
  into,
}: RunRequest): Promise<Record<string, TypedArray>> {
  const program = get(programs, number, 'program');
  const feeds: Record<string, Tensor> = {};
  for (const [name, { data, shape }] of Object.entries(host)) {
    const info = program.inputs.get(name)!;
    feeds[name] = toTensor(info.dtype, shape ?? info.shape, data);
  }
  for (const [name, buffer] of Object.entries(resident)) feeds[name] = get(buffers, buffer, 'buffer').tensor;

  const fetches: Record<string, Tensor | null> = {};
  for (const name of fetch) {
    const { dtype, shape } = program.outputs.get(name)!;
    const known = kind === 'cpu' && !shape.includes(-1);
    fetches[name] = known ? toTensor(dtype, shape, allocate(dtype, sizeOf(shape))) : null;
  }
  const read = new Set(Object.values(resident));
  for (const [name, buffer] of Object.entries(into)) {
    const target = get(buffers, buffer, 'buffer');
    if (kind === 'webgpu') fetches[name] = null;
    else if (!read.has(buffer)) fetches[name] = target.tensor;
    else {
      target.spare ??= toTensor(target.dtype, target.shape, allocate(target.dtype, sizeOf(target.shape)));
      fetches[name] = target.spare;
    }
  }

  const results = (await program.session.run(feeds, fetches, { logSeverityLevel: 4 })) as Record<
    string,
    Tensor
  >;
  for (const [name, buffer] of Object.entries(into)) {
    const target = get(buffers, buffer, 'buffer');
    if (kind === 'webgpu') {
      target.tensor.dispose();
      target.tensor = results[name]!;
    } else if (read.has(buffer)) [target.tensor, target.spare] = [results[name]!, target.tensor];
  }
  const answer: Record<string, TypedArray> = {};
  for (const name of fetch) {
    const result = results[name]!;
    answer[name] = (result.location === 'cpu' ? result.data : await result.getData(true)) as TypedArray;
  }
  return answer;
}

async function handle(request: Request): Promise<Answer> {
  switch (request.op) {
    case 'load':
      return load(request.program, request.model, request.options);
    case 'unload': {
      const { session, profiled } = get(programs, request.program, 'program');
      if (profiled) session.endProfiling();
      programs.delete(request.program);
      await session.release();
      return undefined;
    }
    case 'run':
      return run(request);
    case 'create': {
      const { buffer, dtype, shape, data } = request;
      const tensor = toTensor(dtype, shape, data ?? allocate(dtype, sizeOf(shape)));
      buffers.set(buffer, { dtype, shape, tensor, spare: undefined });
      return undefined;
    }
    case 'write': {
      const target = get(buffers, request.buffer, 'buffer');
      target.tensor.dispose();
      target.tensor = toTensor(target.dtype, target.shape, request.data);
      return undefined;
    }
    case 'read': {
      const { tensor } = get(buffers, request.buffer, 'buffer');
      return tensor.location === 'cpu'
        ? (tensor.data as TypedArray).slice()
        : ((await tensor.getData()) as TypedArray);
    }
    case 'free':
      get(buffers, request.buffer, 'buffer').tensor.dispose();
      buffers.delete(request.buffer);
      return undefined;
    case 'close':
      for (const { session } of programs.values()) await session.release();
      for (const { tensor } of buffers.values()) tensor.dispose();
      return undefined;
  }
}

function get<T>(map: ReadonlyMap<number, T>, key: number, kindOfThing: string): T {
  const found = map.get(key);
  if (found === undefined) throw new Error(`the ${kindOfThing} has been freed`);
  return found;
}

/** What may move to the caller instead of being copied: arrays made for this answer. */
const arraysOf = (answer: Answer): ArrayBuffer[] => {
  if (answer === undefined || 'inputs' in answer) return [];
  const arrays = ArrayBuffer.isView(answer) ? [answer] : Object.values(answer);
  return [...new Set(arrays.map((array) => array.buffer as ArrayBuffer))];
};

let last: Promise<void> = Promise.resolve();
port.on('message', ({ id, request }: { id: number; request: Request }) => {
  last = last.then(async () => {
    let reply: Reply;
    let moved: ArrayBuffer[] = [];
    try {
      const answer = await handle(request);
      moved = arraysOf(answer);
      reply = { id, answer };
    } catch (error) {
      reply = { id, error: error instanceof Error ? error.message : String(error) };
    }
    port.postMessage(reply, moved);
    if (request.op === 'close') port.close();
  });
});
