/** Ops that move, repeat, cut and join elements without computing. */
import { GraphError, sizeOf, type Value } from '../graph.js';
import { broadcast, formatShape, int64s, normalizeAxes, normalizeAxis, sameShape } from '../shapes.js';
import { reduceTo } from './reduce.js';

/** Same elements in the same order, other shape; one dimension may be -1 and is worked out. */
export function reshape(x: Value, shape: readonly number[]): Value {
  const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
  const full = shape.map((d) => (d === -1 ? Math.floor(sizeOf(x.shape) / known) : d));
  if (shape.filter((d) => d === -1).length > 1 || sizeOf(full) !== sizeOf(x.shape)) {
    throw new GraphError(
      `reshape: the number of elements must stay, got ${formatShape(x.shape)} to ${formatShape(shape)}`,
    );
  }
  if (sameShape(full, x.shape)) return x;
  const [y] = x.graph.emit('Reshape', [x, int64s(x.graph, full)], [{ dtype: x.dtype, shape: full }]) as [
    Value,
  ];
  x.graph.record('reshape', [x], [y], ([dy]) => [reshape(dy!, x.shape)]);
  return y;
}

/** Axis i of the result is axis permutation[i] of x. */
export function transpose(x: Value, permutation: readonly number[]): Value {
  const perm = permutation.map((axis) => normalizeAxis('transpose', axis, x.shape.length));
  if (perm.length !== x.shape.length || new Set(perm).size !== perm.length) {
    throw new GraphError(
      `transpose: the permutation must name each of ${x.shape.length} axes once, got ${formatShape(permutation)}`,
    );
  }
  if (perm.every((axis, i) => axis === i)) return x;
  const shape = perm.map((axis) => x.shape[axis]!);
  const [y] = x.graph.emit('Transpose', [x], [{ dtype: x.dtype, shape }], {
    attributes: { perm: { ints: perm } },
  }) as [Value];
  const inverse = perm.map((_, i) => perm.indexOf(i));
  x.graph.record('transpose', [x], [y], ([dy]) => [transpose(dy!, inverse)]);
  return y;
}

/** Inserts an axis of length 1 so that it becomes axis `axis` of the result. */
export function expandDims(x: Value, axis: number): Value {
  const a = normalizeAxis('expandDims', axis, x.shape.length + 1);
  return reshape(x, [...x.shape.slice(0, a), 1, ...x.shape.slice(a)]);
}

/** Removes axes of length 1: the named ones, or all. */
export function squeeze(x: Value, axes?: number | readonly number[]): Value {
  const all = x.shape.flatMap((d, i) => (d === 1 ? [i] : []));
  const list = axes === undefined ? all : normalizeAxes('squeeze', axes, x.shape.length);
  const bad = list.find((axis) => x.shape[axis] !== 1);
  if (bad !== undefined) {
    throw new GraphError(`squeeze: axis ${bad} must have length 1, got shape ${formatShape(x.shape)}`);
  }
  return reshape(
    x,
    x.shape.filter((_, i) => !list.includes(i)),
  );
}

/** Repeats x along its axes of length 1 (and new leading ones) to fill `shape`. */
export function expand(x: Value, shape: readonly number[]): Value {
  if (!sameShape(broadcast('expand', x.shape, shape), shape)) {
    throw new GraphError(`expand: ${formatShape(x.shape)} does not broadcast to ${formatShape(shape)}`);
  }
  if (sameShape(x.shape, shape)) return x;
  const [y] = x.graph.emit('Expand', [x, int64s(x.graph, shape)], [{ dtype: x.dtype, shape }]) as [Value];
  x.graph.record('expand', [x], [y], ([dy]) => [reduceTo(dy!, x.shape)]);
  return y;
}

/** Puts `repeats[i]` copies of x one after another along axis i. */
export function tile(x: Value, repeats: readonly number[]): Value {
  if (repeats.length !== x.shape.length) {
    throw new GraphError(`tile: one count for each of ${x.shape.length} axes, got ${formatShape(repeats)}`);
  }
  // [r0, d0, r1, d1, …] by broadcasting, then read as [r0·d0, r1·d1, …].
  const apart = x.shape.flatMap((d) => [1, d]);
  const filled = x.shape.flatMap((d, i) => [repeats[i]!, d]);
  return reshape(
    expand(reshape(x, apart), filled),
    x.shape.map((d, i) => d * repeats[i]!),
  );
}

/** Joins values along an axis; all other dimensions are equal. */
export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values;
  if (first === undefined) throw new GraphError('concat: at least one value is needed, got none');
  const a = normalizeAxis('concat', axis, first.shape.length);
  for (const v of values) {
    if (v.dtype !== first.dtype || !sameShape(v.shape.with(a, 1), first.shape.with(a, 1))) {
      throw new GraphError(
        `concat: shapes must agree except along axis ${a}, got ${first.dtype} ${formatShape(first.shape)} and ${v.dtype} ${formatShape(v.shape)}`,
      );
    }
  }
  if (values.length === 1) return first;
  const sizes = values.map((v) => v.shape[a]!);
  const shape = first.shape.with(
    a,
    sizes.reduce((n, d) => n + d, 0),
  );
  const [y] = first.graph.emit('Concat', values, [{ dtype: first.dtype, shape }], {
    attributes: { axis: { int: a } },
  }) as [Value];
  first.graph.record('concat', values, [y], ([dy]) => split(dy!, sizes, a));
  return y;
}

/** Cuts x along an axis into pieces of the given sizes, which add up to the axis. */
export function split(x: Value, sizes: readonly number[], axis: number): Value[] {
  const a = normalizeAxis('split', axis, x.shape.length);
  if (sizes.reduce((n, d) => n + d, 0) !== x.shape[a]) {
    throw new GraphError(`split: sizes must add up to ${x.shape[a]!}, got ${formatShape(sizes)}`);
  }
  if (sizes.length === 1) return [x];
  const shapes = sizes.map((d) => x.shape.with(a, d));
  const parts = sizes.length > SPLIT_LIMIT ? slices(x, sizes, a) : splitNode(x, sizes, a);
  x.graph.record('split', [x], parts, (grads) => [
    concat(
      grads.map((dy, i) => dy ?? zeros(x, shapes[i]!)),
      a,
    ),
  ]);
  return parts;
}

/** A WebGPU shader binds few buffers (8 are guaranteed): one for the input and one for each piece. */
const SPLIT_LIMIT = 7;

const splitNode = (x: Value, sizes: readonly number[], axis: number): Value[] =>
  x.graph.emit(
    'Split',
    [x, int64s(x.graph, sizes)],
    sizes.map((d) => ({ dtype: x.dtype, shape: x.shape.with(axis, d) })),
    { attributes: { axis: { int: axis } } },
  );

function slices(x: Value, sizes: readonly number[], axis: number): Value[] {
  const { graph } = x;
  let start = 0;
  return sizes.map((size) => {
    const range = [start, start + size, axis].map((n) => int64s(graph, [n]));
    start += size;
    const out = [{ dtype: x.dtype, shape: x.shape.with(axis, size) }];
    return (graph.emit('Slice', [x, ...range], out) as [Value])[0];
  });
}

/** Zeros of another value's graph and dtype, stored as one element. */
export const zeros = (like: Value, shape: readonly number[]): Value =>
  expand(like.graph.constant(0, [], like.dtype), shape);

/** x[…, start:end, …] on the axes named; negative positions count from the end. */
export function slice(
  x: Value,
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] = starts.map((_, i) => i),
  steps: readonly number[] = starts.map(() => 1),
): Value {
  const list = axes.map((axis) => normalizeAxis('slice', axis, x.shape.length));
  const shape = [...x.shape];
  const before = x.shape.map(() => 0);
  list.forEach((axis, i) => {
    const size = x.shape[axis]!;
    const at = (p: number): number => Math.min(Math.max(p < 0 ? p + size : p, 0), size);
    const from = at(starts[i]!);
    const step = steps[i]!;
    const count = Math.ceil((at(ends[i]!) - from) / step);
    if (!(count > 0) || step < 1) {
      throw new GraphError(
        `slice: axis ${axis} of length ${size} must keep an element and step forwards, got ${starts[i]!}:${ends[i]!}:${step}`,
      );
    }
    shape[axis] = count;
    before[axis] = from;
  });
  const { graph } = x;
  const [y] = graph.emit(
    'Slice',
    [x, int64s(graph, starts), int64s(graph, ends), int64s(graph, list), int64s(graph, steps)],
    [{ dtype: x.dtype, shape }],
  ) as [Value];
  graph.record('slice', [x], [y], ([dy]) => {
    let spread = dy!;
    list.forEach((axis, i) => (spread = dilate(spread, axis, steps[i]!)));
    return [
      pad(
        spread,
        before,
        x.shape.map((d, i) => d - before[i]! - spread.shape[i]!),
      ),
    ];
  });
  return y;
}

/** Puts step-1 zeros between neighbours along an axis. */
export function dilate(x: Value, axis: number, step: number): Value {
  if (step === 1) return x;
  const a = normalizeAxis('dilate', axis, x.shape.length);
  const size = x.shape[a]!;
  const apart = reshape(x, [...x.shape.slice(0, a + 1), 1, ...x.shape.slice(a + 1)]);
  const none = apart.shape.map(() => 0);
  const filled = pad(apart, none, none.with(a + 1, step - 1));
  const joined = reshape(filled, x.shape.with(a, size * step));
  return slice(joined, [0], [(size - 1) * step + 1], [a]);
}

/** Zeros (or another constant) before and after each axis. */
export function pad(x: Value, before: readonly number[], after: readonly number[], fill = 0): Value {
  if (before.length !== x.shape.length || after.length !== x.shape.length) {
    throw new GraphError(`pad: one count for each of ${x.shape.length} axes, got ${formatShape(before)}`);
  }
  if ([...before, ...after].some((n) => n < 0)) {
    throw new GraphError(`pad: counts are 0 or more, got ${formatShape([...before, ...after])}; use slice()`);
  }
  if ([...before, ...after].every((n) => n === 0)) return x;
  const shape = x.shape.map((d, i) => d + before[i]! + after[i]!);
  const { graph } = x;
  const [y] = graph.emit(
    'Pad',
    [x, int64s(graph, [...before, ...after]), graph.constant(fill, [], x.dtype)],
    [{ dtype: x.dtype, shape }],
  ) as [Value];
  graph.record('pad', [x], [y], ([dy]) => [
    slice(
      dy!,
      before,
      x.shape.map((d, i) => before[i]! + d),
    ),
  ]);
  return y;
}
