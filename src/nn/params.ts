/** Parameters: a model is written against a scope; all of its tensors live in one flat float32 vector. */
import { Graph, GraphError, reshape, sizeOf, split, type Value } from '../graph/index.js';
import { fillTruncatedNormal, hashName } from './random.js';

/** How a tensor starts: `normal` is the standard deviation of a normal distribution cut at two of them. */
export type Init = 'zeros' | 'ones' | { readonly normal: number } | { readonly constant: number };

export interface ParamOptions {
  /** Whether the optimiser's weight decay applies: for tensors of two axes or more unless said. */
  readonly weightDecay?: boolean;
}

/** Where a model function gets its parameters from. Asking twice for one name gives the same tensor. */
export interface Scope {
  param(name: string, shape: readonly number[], init: Init, options?: ParamOptions): Value;
  /** A scope whose names start with `name` and a dot. */
  child(name: string): Scope;
}

/** One tensor's place in the flat vector, in elements. */
export interface ParamSlice {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly shape: readonly number[];
  readonly decay: boolean;
}

interface Declaration extends ParamSlice {
  readonly init: Init;
}

/** The layout of a model's parameters, in the order in which the model first asks for them. */
export class Params {
  readonly #declarations: Declaration[] = [];
  readonly #byName = new Map<string, Declaration>();
  #size = 0;

  /**
   * Runs a model once, on a graph that is thrown away, to learn its parameters. The callback makes whatever inputs
   * the model needs.
   */
  static collect(build: (graph: Graph, scope: Scope) => void): Params {
    const params = new Params();
    const graph = new Graph('layout');
    const made = new Map<string, Value>();
    build(
      graph,
      scopeOf((name, shape, init, options) => {
        params.declare(name, shape, init, options);
        const value = made.get(name) ?? graph.input(name, 'float32', shape);
        made.set(name, value);
        return value;
      }),
    );
    return params;
  }

  /** Appends a tensor; declaring it again with the same shape changes nothing. */
  declare(name: string, shape: readonly number[], init: Init, options: ParamOptions = {}): void {
    const known = this.#byName.get(name);
    if (known !== undefined) {
      checkShape(known, shape);
      return;
    }
    const declaration = {
      name,
      offset: this.#size,
      size: sizeOf(shape),
      shape: [...shape],
      decay: options.weightDecay ?? shape.filter((d) => d > 1).length > 1,
      init,
    };
    this.#declarations.push(declaration);
    this.#byName.set(name, declaration);
    this.#size += declaration.size;
  }

  /** Elements of the flat vector. */
  get size(): number {
    return this.#size;
  }

  get slices(): readonly ParamSlice[] {
    return this.#declarations;
  }

  /** Starting values. Each tensor's depend on the seed and on its own name only. */
  initialize(seed: number): Float32Array {
    const flat = new Float32Array(this.#size);
    for (const { name, offset, size, init } of this.#declarations) {
      const part = flat.subarray(offset, offset + size);
      if (init === 'zeros') continue;
      if (init === 'ones') part.fill(1);
      else if ('constant' in init) part.fill(init.constant);
      else fillTruncatedNormal(part, init.normal, hashName(name, seed));
    }
    return flat;
  }

  /** 1 for each element that weight decay applies to, else 0. */
  decayMask(): Float32Array {
    const mask = new Float32Array(this.#size);
    for (const { offset, size, decay } of this.#declarations) if (decay) mask.fill(1, offset, offset + size);
    return mask;
  }

  /** The tensors as pieces of a flat vector [size] of the graph, usually an input. */
  bind(flat: Value): Scope {
    if (flat.shape.length !== 1 || flat.shape[0] !== this.#size) {
      throw new GraphError(`bind: the flat vector must be [${this.#size}], got [${flat.shape.join(', ')}]`);
    }
    const pieces = split(
      flat,
      this.#declarations.map(({ size }) => size),
      0,
    );
    const tensors = new Map(this.#declarations.map((d, i) => [d.name, reshape(pieces[i]!, d.shape)]));
    return this.#scope((name) => tensors.get(name)!);
  }

  /** The tensors as constants stored in the program, for inference. `flat` is referenced until `toOnnx`. */
  bindConstants(graph: Graph, flat: Float32Array): Scope {
    if (flat.length !== this.#size) {
      throw new GraphError(
        `bindConstants: the flat vector must hold ${this.#size} elements, got ${flat.length}`,
      );
    }
    const tensors = new Map<string, Value>();
    return this.#scope((name, { offset, size, shape }) => {
      const tensor = tensors.get(name) ?? graph.constant(flat.subarray(offset, offset + size), shape);
      tensors.set(name, tensor);
      return tensor;
    });
  }

  #scope(tensor: (name: string, declaration: Declaration) => Value): Scope {
    return scopeOf((name, shape) => {
      const declaration = this.#byName.get(name);
      if (declaration === undefined) {
        throw new GraphError(`param: "${name}" is not in the layout; collect() must run the same model`);
      }
      checkShape(declaration, shape);
      return tensor(name, declaration);
    });
  }
}

function scopeOf(param: Scope['param'], prefix = ''): Scope {
  return {
    param: (name, shape, init, options) => param(prefix + name, shape, init, options),
    child: (name) => scopeOf(param, `${prefix}${name}.`),
  };
}

function checkShape({ name, shape }: ParamSlice, asked: readonly number[]): void {
  if (shape.join() !== asked.join()) {
    throw new GraphError(
      `param: "${name}" is [${shape.join(', ')}] in the layout, got [${asked.join(', ')}]`,
    );
  }
}
