/** What a device's thread needs of a kind of device, and what the kinds share. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sizeOf, type DType, type TensorInfo, type TypedArray } from '../graph/index.js';
import type { LoadRequest, ProgramInfo, RunRequest } from './protocol.js';

/** Programs and resident tensors of one device, by number. Calls never overlap. */
export interface Backend {
  load(request: LoadRequest): Promise<ProgramInfo>;
  unload(program: number): Promise<void>;
  run(request: RunRequest): Promise<Record<string, TypedArray>>;
  /** `data` now belongs to the backend; without it the tensor is zeros. */
  create(buffer: number, dtype: DType, shape: readonly number[], data: TypedArray | undefined): Promise<void>;
  write(buffer: number, data: TypedArray): Promise<void>;
  /** A copy of the elements. */
  read(buffer: number): Promise<TypedArray>;
  free(buffer: number): Promise<void>;
  close(): Promise<void>;
}

export function allocate(dtype: DType, shape: readonly number[]): TypedArray {
  const size = sizeOf(shape);
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
}

export const toTensor = (dtype: DType, shape: readonly number[], data: TypedArray): Tensor =>
  new Tensor(dtype, data, shape);

/** Errors go to the caller; ONNX Runtime need not print them as well. */
export const QUIET = { logSeverityLevel: 4 } as const;

export function createSession(
  model: Uint8Array | string,
  settings: InferenceSession.SessionOptions,
): Promise<InferenceSession> {
  // Two signatures, so that the type of `model` must be known.
  return typeof model === 'string'
    ? InferenceSession.create(model, settings)
    : InferenceSession.create(model, settings);
}

export const describe = (session: InferenceSession): ProgramInfo => ({
  inputs: session.inputMetadata.map(tensorInfo),
  outputs: session.outputMetadata.map(tensorInfo),
});

function tensorInfo(metadata: InferenceSession.ValueMetadata): TensorInfo {
  if (!metadata.isTensor) throw new Error(`"${metadata.name}" is not a tensor`);
  return {
    name: metadata.name,
    dtype: metadata.type as DType,
    // A dimension with a name instead of a size is decided by each run.
    shape: metadata.shape.map((d) => (typeof d === 'number' ? d : -1)),
  };
}

export function get<T>(map: ReadonlyMap<number, T>, key: number, kind: 'program' | 'buffer'): T {
  const found = map.get(key);
  if (found === undefined) throw new Error(`the ${kind} has been freed`);
  return found;
}

/** The inputs given by value, as tensors. */
export function hostFeeds(info: ProgramInfo, host: RunRequest['host']): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const { name, dtype, shape } of info.inputs) {
    const input = host[name];
    if (input !== undefined) feeds[name] = toTensor(dtype, input.shape ?? shape, input.data);
  }
  return feeds;
}
