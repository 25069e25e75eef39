/** Every op that has a gradient, at several shapes: input to the finite-difference test and to the ONNX checker. */
import * as g from '../../src/graph/index.js';
import type { InputSpec, OpCase } from './harness.js';

const x = (...shape: number[]): InputSpec => ({ shape });
const positive = (...shape: number[]): InputSpec => ({ shape, range: [0.3, 2] });
const ids = (values: number[], ...shape: number[]): InputSpec => ({
  shape,
  dtype: 'int64',
  data: BigInt64Array.from(values, BigInt),
});

const all: OpCase[] = [];
const add = (name: string, inputs: readonly InputSpec[], build: OpCase['build']): void => {
  all.push({ name, inputs, build });
};

// Two operands: same shape, both sides broadcast, scalar tensor, number on either side, one value twice.
const apart = (offset: number) => (input: InputSpec) => ({ ...input, offset });
const binary = {
  add: [g.add, x, [0, 0]],
  sub: [g.sub, x, [0, 0]],
  mul: [g.mul, x, [0, 0]],
  div: [g.div, positive, [0, 0]],
  max: [g.max, x, [0.02, 0.07]],
  min: [g.min, x, [0.02, 0.07]],
} as const;
for (const [name, [op, draw, [first, second]]] of Object.entries(binary)) {
  const a = (...shape: number[]): InputSpec => apart(first)(draw(...shape));
  const b = (...shape: number[]): InputSpec => apart(second)(draw(...shape));
  add(`${name} same shape`, [a(2, 3), b(2, 3)], (p, q) => op(p, q));
  add(`${name} both broadcast`, [a(2, 1, 3), b(4, 1)], (p, q) => op(p, q));
  add(`${name} row`, [a(4, 5), b(5)], (p, q) => op(p, q));
  add(`${name} scalar first`, [a(), b(2, 2)], (p, q) => op(p, q));
  add(`${name} number`, [a(3, 2)], (p) => op(op(p, 1.15), op(0.75, p)));
}
add('mul by itself', [x(5)], (a) => g.mul(a, a));
add('addAll', [x(2, 3), x(2, 3), x(2, 3)], (a, b, c) => g.addAll([a, b, c, a]));
add('pow cube', [x(2, 4)], (a) => g.pow(a, 3));
add('pow square', [x(7)], (a) => g.pow(a, 2));
add('pow -1.5', [positive(3, 2)], (a) => g.pow(a, -1.5));

const unary = {
  neg: x,
  exp: x,
  log: positive,
  sqrt: positive,
  square: x,
  abs: x,
  cos: x,
  sin: x,
  tanh: x,
  sigmoid: x,
  softplus: x,
  logSigmoid: x,
  erf: x,
  relu: x,
  gelu: x,
  silu: x,
} as const;
for (const [name, draw] of Object.entries(unary)) {
  const op = g[name as keyof typeof unary];
  add(`${name} vector`, [draw(9)], (a) => op(a));
  add(`${name} matrix`, [draw(3, 4)], (a) => op(a));
  add(`${name} scalar`, [draw()], (a) => op(a));
}

const mask: InputSpec = { shape: [2, 1, 3], dtype: 'bool' };
add('where same shape', [{ shape: [2, 3], dtype: 'bool' }, x(2, 3), x(2, 3)], (c, a, b) => g.where(c, a, b));
add('where broadcast', [mask, x(4, 3), x(1)], (c, a, b) => g.where(c, a, b));
add('where number', [mask, x(2, 4, 3)], (c, a) => g.where(c, a, -2));
add('stopGradient beside a path', [x(2, 3)], (a) =>
  g.add(g.mul(a, 2), g.sub(g.stopGradient(a), g.stopGradient(a))),
);

add('matmul', [x(3, 4), x(4, 2)], (a, b) => g.matmul(a, b));
add('matmul transA', [x(4, 3), x(4, 2)], (a, b) => g.matmul(a, b, { transA: true }));
add('matmul transB scaled', [x(3, 4), x(2, 4)], (a, b) => g.matmul(a, b, { transB: true, scale: 0.3 }));
add('matmul transA transB', [x(4, 3), x(2, 4)], (a, b) => g.matmul(a, b, { transA: true, transB: true }));
add('matmul batched', [x(2, 3, 4), x(2, 4, 2)], (a, b) => g.matmul(a, b));
add('matmul batched transB', [x(2, 2, 3, 4), x(2, 2, 2, 4)], (a, b) =>
  g.matmul(a, b, { transB: true, scale: 0.5 }),
);
add('matmul batched transA', [x(2, 4, 3), x(2, 4, 2)], (a, b) => g.matmul(a, b, { transA: true, scale: 2 }));
add('matmul batched transA transB', [x(2, 4, 3), x(2, 2, 4)], (a, b) =>
  g.matmul(a, b, { transA: true, transB: true }),
);
add('matmul batch broadcast', [x(2, 1, 2, 3), x(3, 3, 2)], (a, b) => g.matmul(a, b));
add('matmul batch with one matrix', [x(2, 3, 4), x(4, 2)], (a, b) => g.matmul(a, b));
add('matmul batch with one matrix transB', [x(2, 3, 4), x(2, 4)], (a, b) => g.matmul(a, b, { transB: true }));
add('matmul one matrix with batch', [x(2, 3), x(2, 3, 2)], (a, b) => g.matmul(a, b));
add('affine', [x(2, 3, 4), x(4, 5), x(5)], (a, w, b) => g.affine(a, w, b));
add('affine without bias', [x(3, 4), x(4, 2)], (a, w) => g.affine(a, w));

add('reshape', [x(2, 6)], (a) => g.reshape(a, [3, -1]));
add('transpose', [x(2, 3, 4)], (a) => g.transpose(a, [2, 0, 1]));
add('expandDims squeeze', [x(2, 3)], (a) => g.squeeze(g.expandDims(g.expandDims(a, 0), -1), 0));
add('squeeze all', [x(1, 3, 1)], (a) => g.squeeze(a));
add('expand', [x(2, 1, 3)], (a) => g.expand(a, [4, 2, 5, 3]));
add('tile', [x(2, 3)], (a) => g.tile(a, [2, 3]));
add('concat', [x(2, 3), x(2, 1), x(2, 2)], (a, b, c) => g.concat([a, b, c], 1));
add('split', [x(2, 6)], (a) => g.mul(g.split(a, [2, 2, 2], 1)[0]!, g.split(a, [1, 2, 3], -1)[1]!));
add('split with an unused piece', [x(6, 2)], (a) => g.split(a, [1, 3, 2], 0)[1]!);
add('slice', [x(4, 5)], (a) => g.slice(a, [1, -4], [3, -1]));
add('slice with steps', [x(7, 5)], (a) => g.slice(a, [1, 0], [7, 5], [0, 1], [3, 2]));
add('pad', [x(2, 3)], (a) => g.pad(a, [1, 0], [0, 2]));
add('dilate', [x(2, 3, 2)], (a) => g.dilate(a, 1, 3));

add('gather rows', [x(4, 3), ids([2, 0, 2, 3], 2, 2)], (a, i) => g.gather(a, i, 0));
add('gather columns', [x(2, 5, 2), ids([4, 4, -5], 3)], (a, i) => g.gather(a, i, 1));
add('gatherElements', [x(2, 3), ids([0, 2, 1, 1, 0, 0, 2, 2], 2, 4)], (a, i) => g.gatherElements(a, i, 1));
add('gatherElements shorter', [x(3, 4), ids([2, 0], 1, 2)], (a, i) => g.gatherElements(a, i, 0));
add('scatterAdd', [x(3, 2), ids([0, 2, 0, 0], 2, 2), x(2, 2)], (a, i, u) => g.scatterAdd(a, i, u, 0));
add('topK', [x(3, 5)], (a) => g.topK(a, 2, 1).values);

for (const name of ['reduceSum', 'reduceMean', 'reduceMax'] as const) {
  const op = g[name];
  add(`${name} all`, [x(2, 3)], (a) => op(a));
  add(`${name} first axis`, [x(3, 2, 2)], (a) => op(a, { axes: 0 }));
  add(`${name} kept axes`, [x(2, 3, 2)], (a) => op(a, { axes: [0, -1], keepDims: true }));
}
add('reduceTo', [x(2, 3, 4)], (a) => g.reduceTo(a, [3, 1]));

add('softmax last axis', [x(2, 3, 4)], (a) => g.softmax(a));
add('softmax first axis', [x(4, 3)], (a) => g.softmax(a, 0));
add('logSoftmax last axis', [x(2, 5)], (a) => g.logSoftmax(a));
add('logSoftmax middle axis', [x(2, 4, 3)], (a) => g.logSoftmax(a, 1));
add('layerNorm', [x(3, 6), x(6), x(6)], (a, s, b) => g.layerNorm(a, s, b));
add('layerNorm of a batch', [x(2, 2, 5), x(5), x(5)], (a, s, b) => g.layerNorm(a, s, b, 1e-3));
add('l2Normalize', [x(3, 4)], (a) => g.l2Normalize(a));
add('l2Normalize first axis', [x(3, 4)], (a) => g.l2Normalize(a, 0));
add('crossEntropy labels', [x(3, 4), ids([1, 0, 3], 3)], (a, t) => g.crossEntropy(a, t));
add('crossEntropy labels of a batch', [x(2, 2, 3), ids([1, 0, 2, 2], 2, 2)], (a, t) => g.crossEntropy(a, t));
add('crossEntropy probabilities', [x(3, 4), positive(3, 4)], (a, t) =>
  g.crossEntropy(a, g.div(t, g.reduceSum(t, { axes: -1, keepDims: true }))),
);

add('conv3d', [x(2, 2, 3, 4, 3), x(3, 2, 2, 3, 1)], (a, w) => g.conv3d(a, w));
add('conv3d padded', [x(1, 2, 3, 3, 3), x(2, 2, 3, 3, 3)], (a, w) => g.conv3d(a, w, { pads: [1, 1, 1] }));
add('conv3d strided', [x(1, 1, 6, 5, 4), x(2, 1, 3, 2, 2)], (a, w) =>
  g.conv3d(a, w, { pads: [1, 0, 1], strides: [2, 2, 3] }),
);
add('conv3d patches', [x(1, 1, 4, 4, 4), x(3, 1, 2, 2, 2)], (a, w) => g.conv3d(a, w, { strides: [2, 2, 2] }));
add('conv3d padded beyond its kernel', [x(1, 1, 2, 2, 2), x(1, 1, 1, 2, 1)], (a, w) =>
  g.conv3d(a, w, { pads: [1, 2, 0] }),
);

add('rotate', [x(2, 3, 8)], (a) => {
  const angles = a.graph.constant(
    Float32Array.from({ length: 12 }, (_, i) => i),
    [2, 3, 2],
  );
  return g.rotate(a, g.cos(angles), g.sin(angles));
});
add('dotProductAttention', [x(2, 2, 3, 4), x(2, 2, 5, 4), x(2, 2, 5, 3)], (q, k, v) =>
  g.dotProductAttention(q, k, v, 0.5),
);
add('dotProductAttention masked', [x(2, 3, 4), x(2, 3, 4), x(2, 3, 4)], (q, k, v) =>
  g.dotProductAttention(q, k, v, 0.5, q.graph.constant([0, -1e9, 0, 0, 0, -1e9], [2, 1, 3])),
);

export const opCases: readonly OpCase[] = all;

/** Rounding hides the slope of these from finite differences. */
export const roundingCases: readonly OpCase[] = [
  {
    name: 'cast to half and back',
    inputs: [x(2, 3)],
    build: (a) => g.cast(g.cast(a, 'float16'), 'float32'),
  },
];
