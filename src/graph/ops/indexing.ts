/** Reading and adding at positions given by a tensor of indices. */
import { GraphError, sizeOf, type Value } from '../graph.js';
import { formatShape, normalizeAxis, requireDtype, sameShape } from '../shapes.js';
import { expand, reshape, zeros } from './layout.js';

/** Takes whole slices: the axis is replaced by the shape of `indices` (int32 or int64, negative from the end). */
export function gather(x: Value, indices: Value, axis: number): Value {
  requireDtype('gather', indices, 'int32', 'int64');
  const a = normalizeAxis('gather', axis, x.shape.length);
  const shape = [...x.shape.slice(0, a), ...indices.shape, ...x.shape.slice(a + 1)];
  const [y] = x.graph.emit('Gather', [x, indices], [{ dtype: x.dtype, shape }], {
    attributes: { axis: { int: a } },
  }) as [Value];
  x.graph.record('gather', [x], [y], ([dy]) => {
    const count = sizeOf(indices.shape);
    const updates = reshape(dy!, x.shape.with(a, count));
    const column = reshape(
      indices,
      x.shape.map((_, i) => (i === a ? count : 1)),
    );
    return [scatterAdd(zeros(x, x.shape), expand(column, updates.shape), updates, a)];
  });
  return y;
}

/** y[…, i, …] = x[…, indices[…, i, …], …] along one axis; indices and result have one shape. */
export function gatherElements(x: Value, indices: Value, axis: number): Value {
  requireDtype('gatherElements', indices, 'int32', 'int64');
  const a = checkElements('gatherElements', x, indices, axis);
  const [y] = x.graph.emit('GatherElements', [x, indices], [{ dtype: x.dtype, shape: indices.shape }], {
    attributes: { axis: { int: a } },
  }) as [Value];
  x.graph.record('gatherElements', [x], [y], ([dy]) => [scatterAdd(zeros(x, x.shape), indices, dy!, a)]);
  return y;
}

/** x with updates[…, i, …] added at position indices[…, i, …] of the axis; equal positions add up in order. */
export function scatterAdd(x: Value, indices: Value, updates: Value, axis: number): Value {
  requireDtype('scatterAdd', indices, 'int32', 'int64');
  const a = checkElements('scatterAdd', x, indices, axis);
  if (!sameShape(indices.shape, updates.shape) || updates.dtype !== x.dtype) {
    throw new GraphError(
      `scatterAdd: updates must have the dtype of x and the shape of indices, got ${updates.dtype} ${formatShape(updates.shape)} and ${formatShape(indices.shape)}`,
    );
  }
  const [y] = x.graph.emit('ScatterElements', [x, indices, updates], [x], {
    attributes: { axis: { int: a }, reduction: { text: 'add' } },
  }) as [Value];
  x.graph.record('scatterAdd', [x, updates], [y], ([dy], wanted) => [
    dy,
    wanted[1] ? gatherElements(dy!, indices, a) : undefined,
  ]);
  return y;
}

/** The k largest elements along an axis, largest first, and their int64 positions. */
export function topK(x: Value, k: number, axis: number): { values: Value; indices: Value } {
  const a = normalizeAxis('topK', axis, x.shape.length);
  if (!Number.isInteger(k) || k < 1 || k > x.shape[a]!) {
    throw new GraphError(`topK: k must be in [1, ${x.shape[a]!}], got ${k}`);
  }
  const shape = x.shape.with(a, k);
  const count = x.graph.constant(BigInt64Array.of(BigInt(k)), [1]);
  const [values, indices] = x.graph.emit(
    'TopK',
    [x, count],
    [
      { dtype: x.dtype, shape },
      { dtype: 'int64', shape },
    ],
    { attributes: { axis: { int: a } } },
  ) as [Value, Value];
  x.graph.record('topK', [x], [values, indices], ([dy]) => [
    dy === undefined ? undefined : scatterAdd(zeros(x, x.shape), indices, dy, a),
  ]);
  return { values, indices };
}

function checkElements(op: string, x: Value, indices: Value, axis: number): number {
  const a = normalizeAxis(op, axis, x.shape.length);
  const fits =
    indices.shape.length === x.shape.length && indices.shape.every((d, i) => i === a || d <= x.shape[i]!);
  if (!fits) {
    throw new GraphError(
      `${op}: indices must have the rank of x and fit it except along axis ${a}, got ${formatShape(indices.shape)} for ${formatShape(x.shape)}`,
    );
  }
  return a;
}
