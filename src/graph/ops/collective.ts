/**
 * Ops between the ranks of a job: every rank runs the same program on its share of the batch, and these are where it
 * learns of the others'. Their gradients follow from what they are as linear maps, so that the sum over ranks of each
 * rank's gradient is the gradient of the sum over ranks of the loss. In a job of one rank they are no nodes at all; in
 * others the program is cut at them (see `stages`).
 */
import { GraphError, type Value } from '../graph.js';
import { requireDtype } from '../shapes.js';

/** What is done with the values of all ranks. */
export type Collective = 'allReduceSum' | 'allGather' | 'reduceScatterSum';

function collective(
  op: Collective,
  x: Value,
  shape: readonly number[],
  gradient: (dy: Value) => Value,
): Value {
  requireDtype(op, x, 'float32');
  if (x.graph.ranks.size === 1) return x;
  const [y] = x.graph.emit(op, [x], [{ dtype: x.dtype, shape }], { domain: 'ranks' }) as [Value];
  x.graph.record(op, [x], [y], ([dy]) => [gradient(dy!)]);
  return y;
}

/** The elementwise sum of all ranks' x. */
export const allReduceSum = (x: Value): Value => collective('allReduceSum', x, x.shape, allReduceSum);

/** All ranks' x [n, …], one after another along axis 0: [ranks n, …]. */
export const allGather = (x: Value): Value =>
  collective(
    'allGather',
    x,
    [first('allGather', x) * x.graph.ranks.size, ...x.shape.slice(1)],
    reduceScatterSum,
  );

/** Of the sum of all ranks' x [ranks n, …], this rank's n rows along axis 0. */
export function reduceScatterSum(x: Value): Value {
  const n = first('reduceScatterSum', x) / x.graph.ranks.size;
  if (!Number.isInteger(n))
    throw new GraphError(
      `reduceScatterSum: axis 0 must divide over ${x.graph.ranks.size} ranks, got ${x.shape[0]!} rows`,
    );
  return collective('reduceScatterSum', x, [n, ...x.shape.slice(1)], allGather);
}

function first(op: Collective, { shape }: Value): number {
  if (shape[0] === undefined) throw new GraphError(`${op}: a value with an axis 0 is needed, got a scalar`);
  return shape[0];
}
