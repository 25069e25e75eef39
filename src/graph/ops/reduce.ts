/** Reductions over axes. */
import { GraphError, type Value } from '../graph.js';
import { int64s, normalizeAxes, normalizeAxis, requireDtype, sameShape, formatShape } from '../shapes.js';
import { mul, div } from './arithmetic.js';
import { cast, equal } from './logic.js';
import { expand, reshape } from './layout.js';

export interface ReduceOptions {
  /** All axes unless said. */
  readonly axes?: number | readonly number[];
  /** Keep reduced axes with length 1; false unless said. */
  readonly keepDims?: boolean;
}

const without = (shape: readonly number[], axes: readonly number[], keep: boolean): number[] =>
  keep ? shape.map((d, i) => (axes.includes(i) ? 1 : d)) : shape.filter((_, i) => !axes.includes(i));

function reduce(
  name: string,
  opType: string,
  x: Value,
  { axes, keepDims = false }: ReduceOptions,
  rule: (dy: Value, y: Value, count: number) => Value,
): Value {
  requireDtype(name, x, 'float32', 'float16', 'int32', 'int64');
  const list = normalizeAxes(name, axes, x.shape.length);
  if (list.length === 0) return x;
  const kept = without(x.shape, list, true);
  const [y] = x.graph.emit(
    opType,
    [x, int64s(x.graph, list)],
    [{ dtype: x.dtype, shape: without(x.shape, list, keepDims) }],
    { attributes: { keepdims: { int: keepDims ? 1 : 0 } } },
  ) as [Value];
  const count = list.reduce((n, axis) => n * x.shape[axis]!, 1);
  x.graph.record(name, [x], [y], ([dy]) => [rule(reshape(dy!, kept), reshape(y, kept), count)]);
  return y;
}

export const reduceSum = (x: Value, options: ReduceOptions = {}): Value =>
  reduce('reduceSum', 'ReduceSum', x, options, (dy) => expand(dy, x.shape));

export const reduceMean = (x: Value, options: ReduceOptions = {}): Value =>
  reduce('reduceMean', 'ReduceMean', x, options, (dy, _, count) => expand(mul(dy, 1 / count), x.shape));

/** The largest element; where several are, they share the gradient equally. */
export const reduceMax = (x: Value, options: ReduceOptions = {}): Value =>
  reduce('reduceMax', 'ReduceMax', x, options, (dy, y) => {
    const chosen = cast(equal(x, y), x.dtype);
    const axes = x.shape.flatMap((d, i) => (d === y.shape[i] ? [] : [i]));
    const ties = axes.length === 0 ? chosen : reduceSum(chosen, { axes, keepDims: true });
    return mul(chosen, div(dy, ties));
  });

/** int64 position of the largest element along an axis, the first one of equals; has no gradient. */
export function argMax(x: Value, axis: number, keepDims = false): Value {
  const a = normalizeAxis('argMax', axis, x.shape.length);
  const [y] = x.graph.emit('ArgMax', [x], [{ dtype: 'int64', shape: without(x.shape, [a], keepDims) }], {
    attributes: { axis: { int: a }, keepdims: { int: keepDims ? 1 : 0 } },
  }) as [Value];
  x.graph.record('argMax', [x], [y], 'stop');
  return y;
}

/** The inverse of broadcasting: sums `x` over the axes along which a value of `shape` was repeated. */
export function reduceTo(x: Value, shape: readonly number[]): Value {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []));
  if (lead < 0) throw new GraphError(`internal: reduceTo ${formatShape(shape)} from ${formatShape(x.shape)}`);
  return reshape(reduceSum(x, { axes, keepDims: true }), shape);
}
