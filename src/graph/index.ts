/** Typed ONNX programs with reverse-mode gradients. */
export { Graph, GraphError, sizeOf } from './graph.js';
export type { DType, DTypeArrays, Precision, Ranks, TensorInfo, TypedArray, Value } from './graph.js';
export { gradients } from './gradients.js';
export { stages, type Exchange, type Stage } from './stages.js';
export type { Operand } from './shapes.js';
export { add, addAll, div, max, min, mul, pow, sub } from './ops/arithmetic.js';
export { dotProductAttention } from './ops/attention.js';
export { allGather, allReduceSum, reduceScatterSum, type Collective } from './ops/collective.js';
export { conv3d, type Conv3dOptions } from './ops/conv.js';
export { gather, gatherElements, scatterAdd, topK } from './ops/indexing.js';
export {
  concat,
  dilate,
  expand,
  expandDims,
  pad,
  reshape,
  slice,
  split,
  squeeze,
  tile,
  transpose,
  zeros,
} from './ops/layout.js';
export {
  cast,
  equal,
  greater,
  less,
  logicalAnd,
  logicalNot,
  logicalOr,
  stopGradient,
  where,
} from './ops/logic.js';
export { crossEntropy } from './ops/losses.js';
export { affine, matmul, type MatmulOptions } from './ops/matmul.js';
export { l2Normalize, layerNorm, logSoftmax, softmax } from './ops/normalize.js';
export { argMax, reduceMax, reduceMean, reduceSum, reduceTo, type ReduceOptions } from './ops/reduce.js';
export { rotate } from './ops/rotary.js';
export {
  abs,
  cos,
  erf,
  exp,
  floor,
  gelu,
  log,
  logSigmoid,
  neg,
  relu,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  tanh,
} from './ops/unary.js';
