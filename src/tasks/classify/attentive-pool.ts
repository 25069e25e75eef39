/** The attentive probe's pooling: learned queries say which tokens of an image count. */
import {
  dotProductAttention,
  expand,
  matmul,
  mul,
  reshape,
  sub,
  transpose,
  type Value,
} from '../../graph/index.js';
import { layerNorm, linear, type ParamSlice, type Scope } from '../../nn/index.js';
import { TaskError } from '../error.js';

/** The learnt parameters by name, as {@link attentivePool} asks for them. */
export interface Pool {
  readonly heads: number;
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

const HIDDEN = -1e9;
const EPS = 1e-6;

/**
 * Cross-attention of one learned query over the tokens, then a norm (the attentive probes of Chen et al. 2022, CAE, and
 * Bardes et al. 2024, V-JEPA): tokens [B, N, D], keep [B, N] → [B, D]. A query and its key projection only meet as their
 * product, so "query" [heads, D] is that product (scale included), which starts at zero: the mean of the tokens. The
 * value projection comes after the weighted mean, which is the same and takes a step in N less.
 */
export function attentivePool(scope: Scope, tokens: Value, keep: Value, heads: number): Value {
  const [b, n, d] = tokens.shape as [number, number, number];
  const size = d / heads;
  const init = { normal: 1 / Math.sqrt(d) } as const;
  const query = expand(reshape(scope.param('query', [heads, d], 'zeros'), [1, heads, d]), [b, heads, d]);
  const bias = reshape(mul(sub(keep, 1), -HIDDEN), [b, 1, n]);
  const pooled = dotProductAttention(query, tokens, tokens, 1, bias); // [B, H, D]
  const value = scope.param('value', [heads, d, size], init);
  const each = matmul(transpose(pooled, [1, 0, 2]), value); // [H, B, D / H]
  const joined = reshape(transpose(each, [1, 0, 2]), [b, d]);
  return layerNorm(scope.child('norm'), linear(scope.child('out'), joined, d, { init }), EPS);
}

/** The parameters of a flat vector, by name. */
export function poolOf(slices: readonly ParamSlice[], flat: Float32Array, heads: number): Pool {
  const own = slices.filter(({ name }) => name.startsWith('pool.'));
  return {
    heads,
    tensors: Object.fromEntries(
      own.map(({ name, offset, size }) => [name.slice('pool.'.length), flat.slice(offset, offset + size)]),
    ),
  };
}

/**
 * What {@link attentivePool} makes of one image, without a graph: tokens [count, D] → [D].
 * @throws TaskError when the tokens are of another width than the pool's.
 */
export function poolTokens({ heads, tensors }: Pool, tokens: Float32Array): Float32Array {
  const d = tensors['norm.scale']!.length;
  const size = d / heads;
  const query = tensors.query!;
  if (tokens.length === 0 || tokens.length % d !== 0)
    throw new TaskError(
      `head: it was fitted on tokens ${d} wide; use it with the encoder it was fitted with`,
    );
  const count = tokens.length / d;
  const joined = new Float64Array(d);
  for (let h = 0; h < heads; h++) {
    const scores = Float64Array.from({ length: count }, (_, t) => {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += query[h * d + i]! * tokens[t * d + i]!;
      return sum;
    });
    const most = scores.reduce((a, z) => Math.max(a, z), -Infinity);
    const shares = scores.map((z) => Math.exp(z - most));
    const total = shares.reduce((a, z) => a + z, 0);
    const pooled = new Float64Array(d);
    for (let t = 0; t < count; t++)
      for (let i = 0; i < d; i++) pooled[i]! += (shares[t]! / total) * tokens[t * d + i]!;
    for (let i = 0; i < d; i++)
      for (let s = 0; s < size; s++)
        joined[h * size + s]! += pooled[i]! * tensors.value![(h * d + i) * size + s]!;
  }
  const out = Float64Array.from(tensors['out.bias']!);
  for (let i = 0; i < d; i++)
    for (let j = 0; j < d; j++) out[j]! += joined[i]! * tensors['out.weight']![i * d + j]!;
  const mean = out.reduce((a, z) => a + z, 0) / d;
  const variance = out.reduce((a, z) => a + (z - mean) ** 2, 0) / d;
  return Float32Array.from(
    out,
    (z, i) =>
      ((z - mean) / Math.sqrt(variance + EPS)) * tensors['norm.scale']![i]! + tensors['norm.bias']![i]!,
  );
}
