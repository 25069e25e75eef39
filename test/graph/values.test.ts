import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as g from '../../src/graph/index.js';
import { Graph, GraphError, type TypedArray, type Value } from '../../src/graph/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { evaluate, expectClose, type InputSpec } from './harness.js';

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

const of = (shape: number[], ...values: number[]): InputSpec => ({ shape, data: Float32Array.from(values) });
const ids = (shape: number[], ...values: number[]): InputSpec => ({
  shape,
  dtype: 'int64',
  data: BigInt64Array.from(values, BigInt),
});
const numbers = (data: TypedArray): number[] => Array.from(data as ArrayLike<number | bigint>, Number);
const check = async (
  inputs: InputSpec[],
  build: (...v: Value[]) => Value,
  expected: number[],
): Promise<void> => expectClose((await evaluate(device, inputs, build)).data, expected, 1e-5, 'values');

describe('elementwise functions against Math', () => {
  // erf from its Maclaurin series; Math has none.
  const erf = (x: number): number => {
    let [sum, term] = [0, x];
    for (let n = 0; n < 60; n++) {
      sum += term / (2 * n + 1);
      term *= -(x * x) / (n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  };
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const functions: [string, (x: Value) => Value, (x: number) => number, (readonly [number, number])?][] = [
    ['neg', g.neg, (x) => -x],
    ['exp', g.exp, Math.exp],
    ['log', g.log, Math.log, [0.1, 9]],
    ['sqrt', g.sqrt, Math.sqrt, [0, 9]],
    ['square', g.square, (x) => x * x],
    ['abs', g.abs, Math.abs],
    ['sign', g.sign, Math.sign],
    ['floor', g.floor, Math.floor],
    ['cos', g.cos, Math.cos, [-200, 200]],
    ['sin', g.sin, Math.sin, [-200, 200]],
    ['tanh', g.tanh, Math.tanh],
    ['sigmoid', g.sigmoid, sigmoid],
    ['softplus', g.softplus, (x) => Math.log1p(Math.exp(x))],
    ['logSigmoid', g.logSigmoid, (x) => Math.log(sigmoid(x))],
    ['erf', g.erf, erf],
    ['relu', g.relu, (x) => Math.max(x, 0)],
    ['gelu', g.gelu, (x) => (x * (1 + erf(x / Math.SQRT2))) / 2],
    ['silu', g.silu, (x) => x * sigmoid(x)],
    ['pow', (x) => g.pow(x, 2.5), (x) => x ** 2.5, [0, 4]],
  ];
  it.each(functions)('%s', async (_, op, reference, range = [-4, 4] as const) => {
    const { data, inputs } = await evaluate(device, [{ shape: [5, 13], range }], op);
    expectClose(data, Float64Array.from(inputs[0] as Float32Array, reference), 2e-6, 'values');
  });

  it('logSigmoid and softplus neither overflow nor vanish far out', async () => {
    await check([of([2], -1000, 1000)], g.logSigmoid, [-1000, 0]);
    await check([of([2], -1000, 1000)], g.softplus, [0, 1000]);
  });
});

describe('two operands', () => {
  const column = of([2, 1], 1, 4);
  const row = of([3], 1, 2, 5);
  it('broadcast as numpy does', async () => {
    await check([column, row], g.add, [2, 3, 6, 5, 6, 9]);
    await check([column, row], g.sub, [0, -1, -4, 3, 2, -1]);
    await check([column, row], g.mul, [1, 2, 5, 4, 8, 20]);
    await check([column, row], g.div, [1, 0.5, 0.2, 4, 2, 0.8]);
    await check([column, row], g.max, [1, 2, 5, 4, 4, 5]);
    await check([column, row], g.min, [1, 1, 1, 1, 2, 4]);
    await check([column, row], g.equal, [1, 0, 0, 0, 0, 0]);
    await check([column, row], g.greater, [0, 0, 0, 1, 1, 0]);
    await check([column, row], g.less, [0, 1, 1, 0, 0, 1]);
  });
  it('promote numbers on either side, also of integers', async () => {
    await check([row], (x) => g.sub(10, x), [9, 8, 5]);
    await check([ids([3], 1, 2, 3)], (x) => g.mul(x, 4), [4, 8, 12]);
    await check([row], (x) => g.where(g.greater(x, 1), x, -1), [-1, 2, 5]);
    await check([row], (x) => g.where(g.greater(x, 1), 3, -1), [-1, 3, 3]);
  });
  it('combine conditions', async () => {
    const ends = (x: Value): Value => g.logicalOr(g.less(x, 2), g.greater(x, 4));
    await check([row], (x) => g.logicalNot(ends(x)), [0, 1, 0]);
    await check([row], (x) => g.logicalAnd(ends(x), g.greater(x, 1)), [0, 0, 1]);
  });
  it('refuse shapes and dtypes that do not go together, saying which', () => {
    const graph = new Graph();
    const a = graph.input('a', 'float32', [2, 3]);
    const b = graph.input('b', 'float32', [2, 4]);
    const n = graph.input('n', 'int64', [2, 3]);
    expect(() => g.add(a, b)).toThrow('add: shapes must broadcast, got [2, 3] and [2, 4]');
    expect(() => g.mul(a, n)).toThrow('mul: dtypes must be equal, got float32 and int64; use cast()');
    expect(() => g.exp(n)).toThrow(/exp: dtype must be float32 or float16, got int64/);
    expect(() => g.add(a, new Graph().input('c', 'float32', [1]))).toThrow(GraphError);
  });
});

describe('casts', () => {
  it('round to half precision', async () => {
    // Halves have 11 significant bits: 2049 lies between 2048 and 2050 and goes to the even one.
    await check(
      [of([3], 2049, 0.1, -65504)],
      (x) => g.cast(g.cast(x, 'float16'), 'float32'),
      [2048, 0.0999755859375, -65504],
    );
  });
  it('truncate towards zero and test for zero', async () => {
    await check([of([4], -1.7, -0.2, 0, 2.9)], (x) => g.cast(x, 'int32'), [-1, 0, 0, 2]);
    await check([of([4], -1.7, -0.2, 0, 2.9)], (x) => g.cast(x, 'bool'), [1, 1, 0, 1]);
  });
  it('encode half constants', async () => {
    // Largest half, a subnormal of one unit, a tie to even, infinity.
    const values = [65504, 2 ** -24, 1 + 2 ** -11, 1 + 3 * 2 ** -11, -0.5, 2 ** -14];
    const expected = [65504, 2 ** -24, 1, 1 + 2 ** -9, -0.5, 2 ** -14];
    const { data } = await evaluate(device, [of([1], 0)], (x) =>
      g.add(g.cast(x.graph.constant(values, [6], 'float16'), 'float32'), x),
    );
    expect(numbers(data)).toEqual(expected);
  });
});

describe('matrix products', () => {
  const a = of([2, 3], 1, 2, 3, 4, 5, 6);
  const b = of([3, 2], 1, 0, 2, -1, 0, 3);
  it('multiply, with either side transposed and scaled', async () => {
    const product = [5, 7, 14, 13];
    await check([a, b], (x, y) => g.matmul(x, y), product);
    await check([of([3, 2], 1, 4, 2, 5, 3, 6), b], (x, y) => g.matmul(x, y, { transA: true }), product);
    await check(
      [a, of([2, 3], 1, 2, 0, 0, -1, 3)],
      (x, y) => g.matmul(x, y, { transB: true, scale: 2 }),
      [10, 14, 28, 26],
    );
  });
  it('broadcast batches', async () => {
    await check([of([2, 1, 2], 1, 2, 3, 4), of([2, 1], 1, 10)], (x, y) => g.matmul(x, y), [21, 43]);
    await check([of([1, 2], 1, 2), of([2, 2, 1], 1, 1, 2, 2)], (x, y) => g.matmul(x, y), [3, 6]);
  });
  it('affine adds the bias to every row', async () => {
    await check([a, b, of([2], 100, 200)], g.affine, [105, 207, 114, 213]);
  });
  it('refuses inner dimensions that differ', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2, 3]);
    expect(() => g.matmul(x, x)).toThrow('matmul: inner dimensions must be equal, got [2, 3] · [2, 3]');
    expect(g.matmul(x, x, { transB: true }).shape).toEqual([2, 2]);
  });
});

describe('layout', () => {
  const six = of([2, 3], 1, 2, 3, 4, 5, 6);
  it('moves elements', async () => {
    await check([six], (x) => g.transpose(x, [1, 0]), [1, 4, 2, 5, 3, 6]);
    await check([six], (x) => g.reshape(x, [-1, 2]), [1, 2, 3, 4, 5, 6]);
    await check([six], (x) => g.concat([x, g.slice(x, [0], [1], [1])], 1), [1, 2, 3, 1, 4, 5, 6, 4]);
    await check([six], (x) => g.split(x, [1, 2], 1)[1]!, [2, 3, 5, 6]);
    await check([six], (x) => g.slice(x, [-1, 0], [2, 3], [0, 1], [1, 2]), [4, 6]);
    await check([six], (x) => g.pad(x, [0, 1], [1, 0], 9), [9, 1, 2, 3, 9, 4, 5, 6, 9, 9, 9, 9]);
    await check([six], (x) => g.dilate(x, 1, 2), [1, 0, 2, 0, 3, 4, 0, 5, 0, 6]);
    await check([of([2], 1, 2)], (x) => g.tile(x, [3]), [1, 2, 1, 2, 1, 2]);
    await check([of([2, 1], 1, 2)], (x) => g.tile(x, [2, 2]), [1, 1, 2, 2, 1, 1, 2, 2]);
    await check([of([2, 1], 1, 2)], (x) => g.expand(x, [2, 2, 2]), [1, 1, 2, 2, 1, 1, 2, 2]);
  });
  it('knows its shapes', () => {
    const x = new Graph().input('x', 'float32', [2, 1, 3]);
    expect(g.squeeze(x, 1).shape).toEqual([2, 3]);
    expect(g.expandDims(x, -1).shape).toEqual([2, 1, 3, 1]);
    expect(g.transpose(x, [2, 0, 1]).shape).toEqual([3, 2, 1]);
    expect(() => g.squeeze(x, 0)).toThrow(/squeeze: axis 0 must have length 1/);
    expect(() => g.reshape(x, [4, -1])).toThrow(/reshape: the number of elements must stay/);
    expect(() => g.split(x, [1, 1], 2)).toThrow(/split: sizes must add up to 3/);
  });
});

describe('indexing', () => {
  const table = of([3, 2], 1, 2, 3, 4, 5, 6);
  it('reads and adds at positions', async () => {
    await check([table, ids([2, 1], 2, -3)], (x, i) => g.gather(x, i, 0), [5, 6, 1, 2]);
    await check([table, ids([2], 1, 1)], (x, i) => g.gather(x, i, 1), [2, 2, 4, 4, 6, 6]);
    await check([table, ids([3, 1], 1, 0, 1)], (x, i) => g.gatherElements(x, i, 1), [2, 3, 6]);
    await check(
      [table, ids([2, 2], 0, 2, 0, 2), of([2, 2], 10, 20, 30, 40)],
      (x, i, u) => g.scatterAdd(x, i, u, 0),
      [41, 2, 3, 4, 5, 66],
    );
  });
  it('finds the largest', async () => {
    const x = of([2, 3], 1, 9, 9, 7, -1, 2);
    await check([x], (v) => g.argMax(v, 1), [1, 0]);
    await check([x], (v) => g.topK(g.add(v, v), 2, 1).values, [18, 18, 14, 4]);
    await check([of([4], 3, 1, 4, 2)], (v) => g.topK(v, 3, 0).indices, [2, 0, 3]);
  });
});

describe('reductions and normalisation', () => {
  const x = of([2, 3], 1, 2, 6, -3, 0, 3);
  it('reduces', async () => {
    await check([x], (v) => g.reduceSum(v), [9]);
    await check([x], (v) => g.reduceSum(v, { axes: 0 }), [-2, 2, 9]);
    await check([x], (v) => g.reduceMean(v, { axes: -1, keepDims: true }), [3, 0]);
    await check([x], (v) => g.reduceMax(v, { axes: [0, 1] }), [6]);
    expect(g.reduceSum(new Graph().input('x', 'float32', [2, 3]), { axes: 1, keepDims: true }).shape).toEqual(
      [2, 1],
    );
  });
  const softmax = (row: number[]): number[] => {
    const sum = row.reduce((s, v) => s + Math.exp(v), 0);
    return row.map((v) => Math.exp(v) / sum);
  };
  it('softmax and its logarithm, also far out', async () => {
    await check([x], (v) => g.softmax(v), [...softmax([1, 2, 6]), ...softmax([-3, 0, 3])]);
    await check([x], (v) => g.logSoftmax(v), [...softmax([1, 2, 6]), ...softmax([-3, 0, 3])].map(Math.log));
    await check([of([2], 1000, 0)], (v) => g.logSoftmax(v), [0, -1000]);
  });
  it('layer norm has mean 0 and variance 1 before scale and bias', async () => {
    // Rows less their mean: [-2, -1, 3] with variance 14/3 and [-3, 0, 3] with variance 6.
    const first = [-2, -1, 3].map((v) => v / Math.sqrt(14 / 3));
    const second = [-3, 0, 3].map((v) => v / Math.sqrt(6));
    const [scale, bias] = [
      [1, 2, 3],
      [0, 1, 0],
    ] as const;
    const expected = [...first, ...second].map((v, i) => v * scale[i % 3]! + bias[i % 3]!);
    await check([x, of([3], ...scale), of([3], ...bias)], (v, s, b) => g.layerNorm(v, s, b, 1e-12), expected);
  });
  it('unit length', async () => {
    await check([of([2, 2], 3, 4, 0, -2)], (v) => g.l2Normalize(v), [0.6, 0.8, 0, -1]);
    await check([of([2], 0, 0)], (v) => g.l2Normalize(v), [0, 0]);
  });
  it('cross-entropy of labels and of probabilities', async () => {
    const p = softmax([1, 2, 6]);
    const q = softmax([-3, 0, 3]);
    await check([x, ids([2], 0, 2)], g.crossEntropy, [-Math.log(p[0]!), -Math.log(q[2]!)]);
    const target = of([2, 3], 0.5, 0.25, 0.25, 1, 0, 0);
    const mixed = -(Math.log(p[0]!) / 2 + Math.log(p[1]!) / 4 + Math.log(p[2]!) / 4);
    await check([x, target], g.crossEntropy, [mixed, -Math.log(q[0]!)]);
  });
});

describe('convolution', () => {
  it.each([
    [
      [0, 0, 0],
      [1, 1, 1],
    ],
    [
      [1, 1, 0],
      [1, 1, 1],
    ],
    [
      [1, 0, 1],
      [2, 3, 1],
    ],
  ] as [[number, number, number], [number, number, number]][])(
    'pads %j, strides %j',
    async (pads, strides) => {
      const [batch, ci, co] = [2, 2, 3];
      const [size, kernel] = [
        [4, 5, 3],
        [2, 3, 2],
      ] as const;
      const specs = [{ shape: [batch, ci, ...size] }, { shape: [co, ci, ...kernel] }];
      const { data, shape, inputs } = await evaluate(device, specs, (x, w) =>
        g.conv3d(x, w, { pads, strides }),
      );
      const [x, w] = inputs as [Float32Array, Float32Array];
      const expected: number[] = [];
      const out = shape.slice(2) as [number, number, number];
      for (let b = 0; b < batch; b++)
        for (let o = 0; o < co; o++)
          for (let z = 0; z < out[0]; z++)
            for (let y = 0; y < out[1]; y++)
              for (let c = 0; c < out[2]; c++) {
                let sum = 0;
                for (let i = 0; i < ci; i++)
                  for (let kz = 0; kz < kernel[0]; kz++)
                    for (let ky = 0; ky < kernel[1]; ky++)
                      for (let kx = 0; kx < kernel[2]; kx++) {
                        const [pz, py, px] = [
                          z * strides[0] + kz - pads[0],
                          y * strides[1] + ky - pads[1],
                          c * strides[2] + kx - pads[2],
                        ];
                        if (pz < 0 || py < 0 || px < 0 || pz >= size[0] || py >= size[1] || px >= size[2])
                          continue;
                        sum +=
                          x[(((b * ci + i) * size[0] + pz) * size[1] + py) * size[2] + px]! *
                          w[(((o * ci + i) * kernel[0] + kz) * kernel[1] + ky) * kernel[2] + kx]!;
                      }
                expected.push(sum);
              }
      expectClose(data, expected, 1e-5, 'naive correlation');
    },
  );
});

describe('attention and rotation', () => {
  it('rotates each pair by its angle', async () => {
    // Two heads of width 4: pairs (0, 2) and (1, 3) turn by 90° and 0°.
    const x = of([1, 1, 8], 1, 2, 3, 4, 5, 6, 7, 8);
    const angles = of([1, 1, 2], Math.PI / 2, 0);
    await check([x, angles], (v, t) => g.rotate(v, g.cos(t), g.sin(t)), [-3, 2, 1, 4, -7, 6, 5, 8]);
  });
  it('weights values by the softmax of scaled products, without hidden keys', async () => {
    const q = of([1, 2], 1, 0);
    const k = of([3, 2], 0, 5, 2, 1, 9, 9);
    const v = of([3, 1], 10, 20, 1000);
    const weight = Math.exp(1) / (1 + Math.exp(1));
    await check([q, k, v], (a, b, c) => g.dotProductAttention(a, b, c, 0.5, a.graph.constant([0, 0, -1e9])), [
      10 * (1 - weight) + 20 * weight,
    ]);
  });
});

describe('the graph', () => {
  it('gives out inputs, constants and one value under several names', async () => {
    const graph = new Graph('names');
    const x = graph.input('x', 'float32', [2]);
    const y = g.mul(x, 2);
    graph.output('same', x);
    graph.output('constant', graph.constant([7, 8], [2], 'int64'));
    graph.output('first', y);
    graph.output('second', y);
    const program = await device.load(graph);
    const out = await program.run({ x: Float32Array.of(1, 2) });
    expect(Object.fromEntries(Object.entries(out).map(([name, data]) => [name, numbers(data)]))).toEqual({
      same: [1, 2],
      constant: [7, 8],
      first: [2, 4],
      second: [2, 4],
    });
    expect(graph.outputs.map(({ dtype }) => dtype)).toEqual(['float32', 'int64', 'float32', 'float32']);
  });
  it('refuses taken names, empty programs and impossible shapes', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [2]);
    expect(() => graph.input('x', 'float32', [2])).toThrow(/the name "x" is taken/);
    expect(() => graph.output('a:b', x)).toThrow(GraphError);
    expect(() => graph.toOnnx()).toThrow(/a program needs an output/);
    expect(() => graph.input('y', 'float32', [2, 0])).toThrow(/dimensions are positive integers/);
    expect(() => graph.constant([1, 2, 3], [2])).toThrow(/does not hold 3 elements/);
  });
  it('writes only what its outputs need', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [4]);
    graph.output('y', g.neg(x));
    const small = graph.toOnnx().length;
    g.add(x, graph.constant(new Float32Array(4).fill(3), [4]));
    g.mul(x, graph.constant(new Float32Array(400), [100, 4]));
    expect(graph.toOnnx().length).toBe(small);
  });
});
