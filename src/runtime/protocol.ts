/** What the device's thread and its caller say to each other. */
import type { DType, TensorInfo, TypedArray } from '../graph/index.js';

export const DEVICE_KINDS = ['cpu', 'webgpu', 'cuda'] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

export interface DeviceOptions {
  readonly kind: DeviceKind;
  /** Threads of one operator; the physical cores unless said. */
  readonly threads?: number;
}

export interface LoadOptions {
  /** Shown in errors; the graph's own name, or the file's path, unless said. */
  readonly name?: string;
  /** Write ONNX Runtime's trace of every operator to `<profile>_<time>.json` when the program is freed. */
  readonly profile?: string;
}

export interface WorkerData extends DeviceOptions {
  readonly threads: number;
}

/** An input given by value. */
export interface HostInput {
  readonly data: TypedArray;
  readonly shape?: readonly number[];
}

export interface RunRequest {
  readonly program: number;
  readonly host: Readonly<Record<string, HostInput>>;
  /** Inputs that are resident buffers, by number. */
  readonly resident: Readonly<Record<string, number>>;
  readonly fetch: readonly string[];
  /** Outputs to keep in resident buffers. */
  readonly into: Readonly<Record<string, number>>;
}

export interface LoadRequest {
  readonly program: number;
  /** Bytes of an ONNX file, or its path. */
  readonly model: Uint8Array | string;
  readonly options: LoadOptions;
  /** Made by src/graph: there is nothing in it for the runtime's costlier rewrites to find. */
  readonly ours: boolean;
}

export type Request =
  | ({ readonly op: 'load' } & LoadRequest)
  | { readonly op: 'unload'; readonly program: number }
  | ({ readonly op: 'run' } & RunRequest)
  | {
      readonly op: 'create';
      readonly buffer: number;
      readonly dtype: DType;
      readonly shape: readonly number[];
      readonly data?: TypedArray;
    }
  | { readonly op: 'write'; readonly buffer: number; readonly data: TypedArray }
  | { readonly op: 'read'; readonly buffer: number }
  | { readonly op: 'free'; readonly buffer: number }
  | { readonly op: 'close' };

export interface ProgramInfo {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
}

export type Answer = ProgramInfo | Record<string, TypedArray> | TypedArray | undefined;

export type Reply =
  { readonly id: number; readonly answer: Answer } | { readonly id: number; readonly error: string };
