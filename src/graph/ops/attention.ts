/** Scaled dot-product attention as one op with a gradient of its own. */
import { GraphError, type Value } from '../graph.js';
import { formatShape, sameShape } from '../shapes.js';
import { add, mul } from './arithmetic.js';
import { concat, expand } from './layout.js';
import { cast } from './logic.js';
import { matmul } from './matmul.js';
import { softmax } from './normalize.js';
import { reduceSum } from './reduce.js';

/**
 * softmax(scale · q kᵀ + bias) v for q [..., n, d], k [..., m, d], v [..., m, e] (Vaswani et al. 2017).
 * @param bias added to the scores, broadcast to [..., n, m]: a large negative number where a key must not be seen.
 *   It has no gradient.
 * Products are in the precision of the graph, scores and softmax in that of q.
 */
export function dotProductAttention(q: Value, k: Value, v: Value, scale: number, bias?: Value): Value {
  const { graph } = q;
  if (
    !sameShape(q.shape.slice(0, -2), k.shape.slice(0, -2)) ||
    !sameShape(k.shape.slice(0, -1), v.shape.slice(0, -1))
  ) {
    throw new GraphError(
      `dotProductAttention: shapes must be [..., n, d], [..., m, d], [..., m, e], got ${formatShape(q.shape)}, ${formatShape(k.shape)}, ${formatShape(v.shape)}`,
    );
  }
  if (graph.precision === 'float16' && q.dtype === 'float32') {
    const [q16, k16, v16] = [q, k, v].map((x) => cast(x, 'float16')) as [Value, Value, Value];
    const scores = cast(matmul(q16, k16, { transB: true, scale }), 'float32');
    const p = softmax(bias === undefined ? scores : add(scores, bias));
    return cast(matmul(cast(p, 'float16'), v16), 'float32');
  }
  const raw = matmul(q, k, { transB: true, scale });
  const scores = bias === undefined ? raw : add(raw, bias);
  const p = softmax(scores);
  const out = matmul(p, v);
  graph.record('dotProductAttention', bias ? [q, k, v, bias] : [q, k, v], [out], ([dy], wanted) => {
    if (wanted[3])
      throw new GraphError('gradients: op "dotProductAttention" has no gradient rule for its bias');
    // dS = P ∘ (dP - δ) with δᵢ = Σⱼ Pᵢⱼ dPᵢⱼ = dyᵢ · outᵢ, a sum over the head instead of over all keys (Dao et al.
    // 2022, eq. 4). One more column, [dy δ] · [v -1]ᵀ, subtracts δ within the product: a pass over n·m numbers less.
    const delta = reduceSum(mul(dy!, out), { axes: -1, keepDims: true });
    const minusOne = expand(graph.constant(-1, [], v.dtype), v.shape.with(-1, 1));
    const ds = mul(p, matmul(concat([dy!, delta], -1), concat([v, minusOne], -1), { transB: true }));
    return [
      wanted[0] ? matmul(ds, k, { scale }) : undefined,
      wanted[1] ? matmul(ds, q, { transA: true, scale }) : undefined,
      wanted[2] ? matmul(p, dy!, { transA: true }) : undefined,
    ];
  });
  return out;
}
