/** Shared by the tests of the engine: seeded numbers, running a graph, and gradients by finite differences. */
import { expect } from 'vitest';
import {
  Graph,
  gradients,
  mul,
  reduceSum,
  sizeOf,
  type DType,
  type TypedArray,
  type Value,
} from '../../src/graph/index.js';
import type { Device } from '../../src/runtime/index.js';

export interface InputSpec {
  readonly shape: readonly number[];
  /** float32 unless said. */
  readonly dtype?: DType;
  /** Numbers are drawn evenly from [low, high); [-1.5, 1.5) unless said. */
  readonly range?: readonly [number, number];
  /** Drawn numbers become multiples of 0.1 plus this, so that two inputs with offsets 0.05 apart never meet. */
  readonly offset?: number;
  /** Given instead of drawn. */
  readonly data?: TypedArray;
}

export interface OpCase {
  readonly name: string;
  readonly inputs: readonly InputSpec[];
  readonly build: (...inputs: Value[]) => Value;
}

/** Numbers in [0, 1): a 32-bit linear congruential generator with the constants of Numerical Recipes. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Draws the inputs of a case, always the same ones. */
export function drawInputs(specs: readonly InputSpec[]): TypedArray[] {
  const next = randomNumbers(7);
  return specs.map(({ shape, dtype = 'float32', range: [low, high] = [-1.5, 1.5], offset, data }) => {
    if (data !== undefined) return data;
    const size = sizeOf(shape);
    // A shuffled uneven grid: no two are equal, so that relu and topK have neither ties nor corners.
    const order = Array.from({ length: size }, (_, i) => i);
    for (let i = size - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    const values = order.map((k) => low + ((high - low) * (k + 0.3 + 0.4 * next())) / size);
    if (offset !== undefined) return Float32Array.from(values, (v) => Math.round(v * 10) / 10 + offset);
    if (dtype === 'bool') return Uint8Array.from(values, (v) => (v > (low + high) / 2 ? 1 : 0));
    if (dtype === 'int64') return BigInt64Array.from(values, (v) => BigInt(Math.floor(v)));
    if (dtype === 'int32') return Int32Array.from(values, Math.floor);
    return Float32Array.from(values);
  });
}

const inputName = (i: number): string => `x${i}`;

const declare = (graph: Graph, specs: readonly InputSpec[]): Value[] =>
  specs.map(({ shape, dtype = 'float32' }, i) => graph.input(inputName(i), dtype, shape));

const feed = (data: readonly TypedArray[]): Record<string, TypedArray> =>
  Object.fromEntries(data.map((array, i) => [inputName(i), array]));

/** The op's graph with gradients of Σ weight·y for every float input, the weights being fixed and uneven. */
export function gradientGraph({ name, inputs, build }: OpCase): { graph: Graph; weight: Float32Array } {
  const graph = new Graph(name);
  const values = declare(graph, inputs);
  const y = build(...values);
  const next = randomNumbers(99);
  const weight = Float32Array.from({ length: sizeOf(y.shape) }, () => 0.5 + next());
  graph.output('y', y);
  const loss = reduceSum(mul(y, graph.constant(weight, y.shape)));
  const floats = values.filter((v) => v.dtype === 'float32');
  gradients(loss, floats).forEach((grad, i) => graph.output(`d${floats[i]!.name}`, grad));
  return { graph, weight };
}

/** Runs a graph of values only; the result of `build` is returned. */
export async function evaluate(
  device: Device,
  specs: readonly InputSpec[],
  build: (...inputs: Value[]) => Value,
): Promise<{ data: TypedArray; shape: readonly number[]; inputs: TypedArray[] }> {
  const graph = new Graph('evaluate');
  const y = build(...declare(graph, specs));
  graph.output('y', y);
  const program = await device.load(graph);
  const inputs = drawInputs(specs);
  const { y: data } = await program.run(feed(inputs));
  await program.free();
  return { data: data!, shape: y.shape, inputs };
}

/**
 * Compares each gradient with central differences, extrapolated from two step sizes (Richardson): the error is of
 * fourth order in the step, and the sum over outputs is taken in double precision.
 */
export async function checkGradients(device: Device, op: OpCase, tolerance = 2e-3): Promise<void> {
  const { graph, weight } = gradientGraph(op);
  const program = await device.load(graph);
  const data = drawInputs(op.inputs);
  const results = await program.run(feed(data));

  const lossAt = async (): Promise<number> => {
    const { y } = await program.run(feed(data), { fetch: ['y'] });
    return weight.reduce((sum, w, i) => sum + w * Number(y![i]), 0);
  };
  const slope = async (array: Float32Array, i: number, step: number): Promise<number> => {
    const at = array[i]!;
    array[i] = at + step;
    const [above, high] = [array[i], await lossAt()];
    array[i] = at - step;
    const [below, low] = [array[i], await lossAt()];
    array[i] = at;
    return (high - low) / (above - below);
  };
  for (const [i, array] of data.entries()) {
    if (!(array instanceof Float32Array)) continue;
    const found = results[`d${inputName(i)}`] as Float32Array;
    const expected = new Float64Array(array.length);
    for (let k = 0; k < array.length; k++) {
      expected[k] = (4 * (await slope(array, k, 0.005)) - (await slope(array, k, 0.01))) / 3;
    }
    expectClose(found, expected, tolerance, `${op.name} input ${i}`);
  }
  await program.free();
}

/** Largest difference over the largest expected magnitude (or over 1e-3, if that is larger). */
export function expectClose(
  found: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
  tolerance: number,
  label: string,
): void {
  expect(found.length, label).toBe(expected.length);
  let scale = 1e-3;
  let error = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(Number(expected[i])));
    const difference = Math.abs(Number(found[i]) - Number(expected[i]));
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
  }
  expect(error / scale, `${label}: largest relative error`).toBeLessThan(tolerance);
}
