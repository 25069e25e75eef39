/** The graph: named values with static shapes, the ONNX nodes that compute them, and the tape gradients walk. */
import { encodeModel } from './onnx.js';

export type DType = 'float32' | 'float16' | 'int32' | 'int64' | 'bool';

/** Element storage by dtype: float16 as raw IEEE 754 half bits, bool as one byte (0 or 1). */
export interface DTypeArrays {
  float32: Float32Array;
  float16: Uint16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  bool: Uint8Array;
}
export type TypedArray = DTypeArrays[DType];

/** A tensor of static shape in one graph. `[]` is a scalar. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly graph: Graph;
}

/** A rule of an op or of the graph was broken by its caller. */
export class GraphError extends Error {
  override readonly name = 'GraphError';
}

export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly text: string }
  | { readonly ints: readonly number[] };

/** One ONNX node. `null` inputs are absent optional ones. */
export interface Node {
  readonly opType: string;
  /** 'ranks': no ONNX op but a collective, at which `stages` cuts the program. */
  readonly domain: '' | 'com.microsoft' | 'ranks';
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly Value[];
  /** Outputs from this index on are optional in ONNX and left out of the file when nothing reads them. */
  readonly requiredOutputs: number;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface NodeSpec {
  readonly domain?: 'com.microsoft' | 'ranks';
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly requiredOutputs?: number;
}

/**
 * The gradient rule of one op: from the gradients that arrived at its outputs (undefined where none did) to those
 * of its inputs. `wanted[i]` says whether input i's is used; a rule may leave out what is not wanted.
 */
export type Backward = (
  grads: readonly (Value | undefined)[],
  wanted: readonly boolean[],
) => readonly (Value | undefined)[];

/** What the reverse walk sees: an op with its differentiable inputs and its rule. */
export interface OpRecord {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** 'stop': the derivative is zero by definition; 'missing': there is no rule, reaching it is an error. */
  readonly backward: Backward | 'stop' | 'missing';
}

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** The place of the process that runs a program among those of its job. */
export interface Ranks {
  readonly rank: number;
  readonly size: number;
}

/**
 * Of the products of layers and of attention: float16 multiplies halves (mixed precision, Micikevicius et al. 2018); all
 * else, what is stored and what is summed up, stays float32.
 */
export type Precision = 'float32' | 'float16';

export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

const dtypeOf = (data: TypedArray): DType => {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof BigInt64Array) return 'int64';
  return data instanceof Uint16Array ? 'float16' : 'bool';
};

/** Constants up to this many elements are kept once per graph, however often they are asked for. */
const SHARED_CONSTANT_SIZE = 16;

/**
 * A program under construction. Values are made by `input`, `constant` and the op functions, in topological order.
 * `toOnnx` writes those nodes that the outputs need.
 */
export class Graph {
  readonly nodes: Node[] = [];
  readonly records: OpRecord[] = [];
  readonly #inputs: Value[] = [];
  readonly #outputs = new Map<string, Value>();
  readonly #constants = new Map<Value, TypedArray>();
  readonly #shared = new Map<string, Value>();
  readonly #names = new Set<string>();
  #counter = 0;

  constructor(
    readonly name = 'precess',
    /** For programs with collectives; a process alone unless said. */
    readonly ranks: Ranks = { rank: 0, size: 1 },
    readonly precision: Precision = 'float32',
  ) {}

  /** A tensor given at every run. Names are unique in the graph and hold no ':'. */
  input(name: string, dtype: DType, shape: readonly number[]): Value {
    this.#claim(name, 'input');
    const value = this.#value(name, dtype, shape);
    this.#inputs.push(value);
    return value;
  }

  /**
   * A tensor stored in the program. A number or number[] becomes `dtype` (float32 unless said); a typed array
   * keeps its own type, and is referenced, not copied, until `toOnnx`.
   * @throws GraphError when the shape does not hold the data.
   */
  constant(data: TypedArray | number | readonly number[], shape?: readonly number[], dtype?: DType): Value {
    const array = ArrayBuffer.isView(data)
      ? data
      : encodeNumbers(typeof data === 'number' ? [data] : data, dtype ?? 'float32');
    const type = dtypeOf(array);
    if (dtype !== undefined && dtype !== type) {
      throw new GraphError(
        `constant: the typed array is ${type}, got dtype ${dtype}; convert the data first`,
      );
    }
    const dims = shape ?? (typeof data === 'number' ? [] : [array.length]);
    if (sizeOf(dims) !== array.length) {
      throw new GraphError(`constant: shape [${dims.join(', ')}] does not hold ${array.length} elements`);
    }
    if (array.length > SHARED_CONSTANT_SIZE) {
      const value = this.#value(this.#fresh('const'), type, dims);
      this.#constants.set(value, array);
      return value;
    }
    const key = `${type}[${dims.join()}]${array.join()}`;
    let value = this.#shared.get(key);
    if (value === undefined) {
      value = this.#value(this.#fresh('const'), type, dims);
      this.#constants.set(value, array);
      this.#shared.set(key, value);
    }
    return value;
  }

  /** Names a value as a result of the program. One value may be given out under several names. */
  output(name: string, value: Value): void {
    this.own(value, 'output');
    this.#claim(name, 'output');
    this.#outputs.set(name, value);
  }

  get inputs(): readonly TensorInfo[] {
    return this.#inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  }

  get outputs(): readonly TensorInfo[] {
    return [...this.#outputs].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  }

  /** The values given out, by the names of the outputs. */
  get outputValues(): ReadonlyMap<string, Value> {
    return this.#outputs;
  }

  /** The stored data of a constant, undefined for every other value. */
  constantData(value: Value): TypedArray | undefined {
    return this.#constants.get(value);
  }

  /**
   * Emits one ONNX node and returns its outputs. For the op functions of this folder; a node without a record
   * (see `record`) is invisible to `gradients`.
   */
  emit(
    opType: string,
    inputs: readonly (Value | null)[],
    outputs: readonly { readonly dtype: DType; readonly shape: readonly number[] }[],
    spec: NodeSpec = {},
  ): Value[] {
    for (const input of inputs) if (input !== null) this.own(input, opType);
    const values = outputs.map(({ dtype, shape }) => this.#value(this.#fresh(opType), dtype, shape));
    this.nodes.push({
      opType,
      domain: spec.domain ?? '',
      inputs,
      outputs: values,
      requiredOutputs: spec.requiredOutputs ?? values.length,
      attributes: spec.attributes ?? {},
    });
    return values;
  }

  /** Puts an op on the tape. The latest record of a value is the one gradients follow. */
  record(
    op: string,
    inputs: readonly Value[],
    outputs: readonly Value[],
    backward: OpRecord['backward'],
  ): void {
    this.records.push({ op, inputs, outputs, backward });
  }

  /** @throws GraphError when `value` belongs to another graph. */
  own(value: Value, op: string): void {
    if (value.graph !== this) {
      throw new GraphError(
        `${op}: all values must belong to one graph, got "${value.name}" of graph "${value.graph.name}" in "${this.name}"`,
      );
    }
  }

  /**
   * ModelProto bytes: static shapes, ai.onnx opset 21 plus com.microsoft where an op uses it. `spelled` for a runtime that
   * lacks some of these ops: they are said by others.
   */
  toOnnx({ spelled = false }: { readonly spelled?: boolean } = {}): Uint8Array {
    if (this.#outputs.size === 0) throw new GraphError('toOnnx: a program needs an output; call output()');
    return encodeModel({
      name: this.name,
      inputs: this.#inputs,
      outputs: this.#outputs,
      nodes: this.nodes,
      constants: this.#constants,
      spelled,
    });
  }

  #claim(name: string, kind: string): void {
    if (name === '' || name.includes(':')) {
      throw new GraphError(`${kind}: a name is not empty and holds no ':', got "${name}"`);
    }
    if (this.#names.has(name)) throw new GraphError(`${kind}: the name "${name}" is taken; choose another`);
    this.#names.add(name);
  }

  #fresh(prefix: string): string {
    return `${prefix}:${this.#counter++}`;
  }

  #value(name: string, dtype: DType, shape: readonly number[]): Value {
    for (const d of shape) {
      // Only a constant may be empty: the int64 shape of a scalar is.
      if (!Number.isSafeInteger(d) || (d < 1 && !name.startsWith('const:'))) {
        throw new GraphError(
          `shape: dimensions are positive integers, got [${shape.join(', ')}] for "${name}"`,
        );
      }
    }
    return { name, dtype, shape: [...shape], graph: this };
  }
}

export const encodeNumbers = (numbers: readonly number[], dtype: DType): TypedArray => {
  switch (dtype) {
    case 'float32':
      return Float32Array.from(numbers);
    case 'float16':
      return Uint16Array.from(numbers, toHalf);
    case 'int32':
      return Int32Array.from(numbers);
    case 'int64':
      return BigInt64Array.from(numbers, BigInt);
    case 'bool':
      return Uint8Array.from(numbers, (n) => (n === 0 ? 0 : 1));
  }
};

const half = new DataView(new ArrayBuffer(4));

/** IEEE 754 binary16 bits of a number, rounded to nearest, ties to even. */
const toHalf = (x: number): number => {
  half.setFloat32(0, x);
  const bits = half.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  // Below the smallest normal number a half is a whole multiple of 2^-24.
  if (magnitude < 2 ** -14) return sign | roundEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(Math.fround(magnitude)));
  const e = magnitude < 2 ** exponent ? exponent - 1 : exponent;
  return sign | (((e + 15) << 10) + roundEven((magnitude / 2 ** e - 1) * 1024));
};

const roundEven = (x: number): number => {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
};
