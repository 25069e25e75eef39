import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ops from '../../src/graph/index.js';
import { add, Graph, GraphError, gradients, mul, reduceSum, stopGradient } from '../../src/graph/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { opCases, roundingCases } from './cases.js';
import { checkGradients, drawInputs, evaluate, expectClose, gradientGraph } from './harness.js';

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

/** Exported functions that have no gradient of their own to check. */
const NOT_OPS = ['sizeOf', 'gradients', 'stages', 'zeros'];
/** Tried on several ranks in test/train/staged.test.ts; on one rank they are no nodes. */
const BETWEEN_RANKS = ['allGather', 'allReduceSum', 'reduceScatterSum'];
const ZERO_GRADIENT = [
  'equal',
  'greater',
  'less',
  'logicalAnd',
  'logicalOr',
  'logicalNot',
  'argMax',
  'sign',
  'floor',
];

describe('gradients against central differences', () => {
  it.each(opCases.map((op) => [op.name, op] as const))('%s', async (_, op) => {
    await checkGradients(device, op);
  });

  it('passes a cast between floats straight through', async () => {
    const [cast] = roundingCases;
    const { graph, weight } = gradientGraph(cast!);
    const program = await device.load(graph);
    const { dx0 } = await program.run({ x0: drawInputs(cast!.inputs)[0]! });
    expectClose(dx0!, weight, 1e-3, 'half precision');
  });

  it('covers every exported op', () => {
    const names = Object.entries(ops)
      .filter(([, value]) => typeof value === 'function' && !/^class\b/.test(String(value)))
      .map(([name]) => name)
      .filter((name) => ![...NOT_OPS, ...ZERO_GRADIENT, ...BETWEEN_RANKS].includes(name));
    const covered = new Set([...opCases, ...roundingCases].flatMap(({ name }) => name.split(' ')));
    expect(names.filter((name) => !covered.has(name))).toEqual([]);
  });
});

describe('the reverse walk', () => {
  it('adds up the gradients of a value used several times', async () => {
    const { data } = await evaluate(device, [{ shape: [3], data: Float32Array.of(1, 2, 3) }], (x) => {
      const loss = reduceSum(add(add(mul(x, x), mul(x, 3)), add(x, mul(x, mul(x, x)))));
      return gradients(loss, [x])[0]!;
    });
    expectClose(
      data,
      [1, 2, 3].map((x) => 2 * x + 3 + 1 + 3 * x * x),
      1e-6,
      'x² + 3x + x + x³',
    );
  });

  it('differentiates a gradient again', async () => {
    const { data } = await evaluate(device, [{ shape: [3], data: Float32Array.of(0.5, -1, 2) }], (x) => {
      const first = gradients(reduceSum(ops.tanh(x)), [x])[0]!;
      return gradients(reduceSum(first), [x])[0]!;
    });
    const second = (x: number): number => -2 * Math.tanh(x) * (1 - Math.tanh(x) ** 2);
    expectClose(data, [0.5, -1, 2].map(second), 1e-5, 'tanh″');
  });

  it('gives the gradient of an intermediate value', async () => {
    const { data } = await evaluate(device, [{ shape: [2], data: Float32Array.of(1, 2) }], (x) => {
      const y = mul(x, 5);
      return gradients(reduceSum(mul(y, y)), [y])[0]!;
    });
    expect([...data]).toEqual([10, 20]);
  });

  it('stops where it is told to', async () => {
    const { data } = await evaluate(
      device,
      [{ shape: [2], data: Float32Array.of(3, 4) }],
      (x) => gradients(reduceSum(mul(x, stopGradient(x))), [x])[0]!,
    );
    expect([...data]).toEqual([3, 4]);
  });

  it('names the op that has no rule', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    const [y] = graph.emit('Round', [x], [x]) as [ops.Value];
    graph.record('round', [x], [y], 'missing');
    expect(() => gradients(reduceSum(y), [x])).toThrow(/op "round" has no gradient rule/);
  });

  it('refuses a loss of several elements, and one that does not depend on the variable', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    const other = graph.input('other', 'float32', [2]);
    expect(() => gradients(x, [x])).toThrow(GraphError);
    expect(() => gradients(reduceSum(x), [other])).toThrow(/does not depend on "other"/);
    expect(() => gradients(reduceSum(stopGradient(x)), [x])).toThrow(/does not depend on "x"/);
  });
});
