/** Rotary position embedding. */
import { GraphError, type Value } from '../graph.js';
import { formatShape, sameShape } from '../shapes.js';
import { neg } from './unary.js';
import { reshape } from './layout.js';

/**
 * Rotates each pair (xᵢ, xᵢ₊ₕ), h = headDim / 2, of every head by its token's angle: [b, n, heads · headDim] with
 * cos, sin [b, n, headDim / 2] → the same shape (Su et al. 2021, halves convention). Angles have no gradient.
 */
export function rotate(x: Value, cos: Value, sin: Value): Value {
  const [b, n, width] = x.shape as [number, number, number];
  const half = cos.shape[2]!;
  if (
    x.shape.length !== 3 ||
    !sameShape(cos.shape, [b, n, half]) ||
    !sameShape(sin.shape, cos.shape) ||
    width % (2 * half)
  ) {
    throw new GraphError(
      `rotate: shapes must be [b, n, heads · headDim] and [b, n, headDim / 2] twice, got ${formatShape(x.shape)}, ${formatShape(cos.shape)}, ${formatShape(sin.shape)}`,
    );
  }
  const { graph } = x;
  const rows = BigInt64Array.from({ length: b * n }, (_, i) => BigInt(i));
  const table = [b * n, half];
  const [y] = graph.emit(
    'RotaryEmbedding',
    [x, graph.constant(rows, [b, n]), reshape(cos, table), reshape(sin, table)],
    [x],
    { domain: 'com.microsoft', attributes: { interleaved: { int: 0 } } },
  ) as [Value];
  graph.record('rotate', [x, cos, sin], [y], ([dy], wanted) => {
    if (wanted[1] || wanted[2]) {
      throw new GraphError(
        'gradients: op "rotate" has no gradient rule for its angles; use stopGradient() on them',
      );
    }
    return [rotate(dy!, cos, neg(sin))];
  });
  return y;
}
