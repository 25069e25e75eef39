/** Layers as functions of a scope (parameters) and values. */
import * as graph from '../graph/index.js';
import {
  add,
  affine,
  dotProductAttention,
  gather,
  GraphError,
  mul,
  reshape,
  rotate,
  split,
  sub,
  transpose,
  type Value,
} from '../graph/index.js';
import type { Init, Scope } from './params.js';
import type { Rope } from './rope.js';

export interface LinearOptions {
  readonly bias?: boolean;
  /** Of the weight; normal with deviation 0.02 unless said. */
  readonly init?: Init;
}

/** x [..., k] → [..., size] by "weight" [k, size] and, unless switched off, "bias" [size]. */
export function linear(scope: Scope, x: Value, size: number, options: LinearOptions = {}): Value {
  const { bias = true, init = { normal: 0.02 } } = options;
  const weight = scope.param('weight', [x.shape.at(-1)!, size], init);
  return affine(x, weight, bias ? scope.param('bias', [size], 'zeros') : undefined);
}

/** Layer normalisation over the last axis with "scale" and "bias". */
export function layerNorm(scope: Scope, x: Value, eps = 1e-6): Value {
  const size = [x.shape.at(-1)!];
  return graph.layerNorm(x, scope.param('scale', size, 'ones'), scope.param('bias', size, 'zeros'), eps);
}

/** Rows of "table" [count, size]: ids [...] (int32 or int64) → [..., size]. */
export const embedding = (scope: Scope, ids: Value, count: number, size: number): Value =>
  gather(scope.param('table', [count, size], { normal: 0.02 }), ids, 0);

export interface AttentionOptions {
  readonly heads: number;
  /** [b, n]: 1 keeps a token, 0 hides it from all others. */
  readonly mask?: Value;
  /** Rotary positions of the tokens, see `rope3d`. */
  readonly rope?: Rope;
}

/** Added to the score of a hidden token: far below any score, and finite, so that a row of hidden tokens has no NaN. */
const HIDDEN = -1e9;

/**
 * What the first token of x [b, n, d] attends to in `attention`: [b, n], the mean over the heads, which adds up to 1.
 * For looking at; the layer itself does not keep it.
 */
export function firstTokenAttention(scope: Scope, x: Value, { heads, mask, rope }: AttentionOptions): Value {
  const [b, n, d] = x.shape as [number, number, number];
  const size = d / heads;
  const [q, k] = split(linear(scope.child('qkv'), x, 3 * d), [d, d, d], 2) as [Value, Value];
  const turn = (t: Value): Value => (rope ? rotate(t, rope.cos, rope.sin) : t);
  const byHead = (t: Value): Value => transpose(reshape(t, [b, n, heads, size]), [0, 2, 1, 3]);
  const first = graph.slice(byHead(turn(q)), [0], [1], [2]); // [b, heads, 1, size]
  let scores = graph.matmul(first, byHead(turn(k)), { transB: true, scale: 1 / Math.sqrt(size) });
  if (mask) scores = graph.add(scores, reshape(mul(sub(mask, 1), -HIDDEN), [b, 1, 1, n]));
  return reshape(graph.reduceMean(graph.softmax(scores), { axes: [1] }), [b, n]);
}

/** Multi-head self-attention (Vaswani et al. 2017): x [b, n, d] → [b, n, d] by "qkv" and "out". */
export function attention(scope: Scope, x: Value, { heads, mask, rope }: AttentionOptions): Value {
  const [b, n, d] = x.shape as [number, number, number];
  const size = d / heads;
  if (!Number.isInteger(size)) throw new GraphError(`attention: width ${d} must divide into ${heads} heads`);
  const qkv = linear(scope.child('qkv'), x, 3 * d); // [b, n, 3 d]
  const [q, k, v] = split(qkv, [d, d, d], 2) as [Value, Value, Value];
  const turn = (t: Value): Value => (rope ? rotate(t, rope.cos, rope.sin) : t);
  const byHead = (t: Value): Value => transpose(reshape(t, [b, n, heads, size]), [0, 2, 1, 3]); // [b, h, n, size]
  const bias = mask && reshape(mul(sub(mask, 1), -HIDDEN), [b, 1, 1, n]);
  const y = dotProductAttention(byHead(turn(q)), byHead(turn(k)), byHead(v), 1 / Math.sqrt(size), bias); // [b, h, n, size]
  const joined = reshape(transpose(y, [0, 2, 1, 3]), [b, n, d]);
  return linear(scope.child('out'), joined, d);
}

export interface MlpOptions {
  /** Width inside; 4 times that of x unless said. */
  readonly hidden?: number;
  /** gelu unless said. */
  readonly activation?: (x: Value) => Value;
}

/** Two linear layers, "fc1" and "fc2", with a nonlinearity between: x [..., d] → [..., d]. */
export function mlp(scope: Scope, x: Value, options: MlpOptions = {}): Value {
  const d = x.shape.at(-1)!;
  const { hidden = 4 * d, activation = graph.gelu } = options;
  return linear(scope.child('fc2'), activation(linear(scope.child('fc1'), x, hidden)), d);
}

export interface BlockOptions extends AttentionOptions {
  /** Hidden width of the MLP over the width of x; 4 unless said. */
  readonly mlpRatio?: number;
  readonly activation?: (x: Value) => Value;
  /** Starting value of a learned factor on each branch (Touvron et al. 2021); without it there is no factor. */
  readonly layerScale?: number;
}

/** Pre-norm transformer block: x + attention(norm1 x), then + mlp(norm2 ·); x [b, n, d] → [b, n, d]. */
export function transformerBlock(scope: Scope, x: Value, options: BlockOptions): Value {
  const d = x.shape.at(-1)!;
  const { mlpRatio = 4, activation, layerScale } = options;
  const scaled = (branch: Value, name: string): Value =>
    layerScale === undefined
      ? branch
      : mul(branch, scope.param(name, [d], { constant: layerScale }, { weightDecay: false }));
  const attended = attention(scope.child('attention'), layerNorm(scope.child('norm1'), x), options);
  const mid = add(x, scaled(attended, 'scale1'));
  const inside = { hidden: mlpRatio * d, ...(activation && { activation }) };
  return add(mid, scaled(mlp(scope.child('mlp'), layerNorm(scope.child('norm2'), mid), inside), 'scale2'));
}
