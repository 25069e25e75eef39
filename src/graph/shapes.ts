/** Shape rules shared by the ops. */
import { GraphError, type Graph, type Value } from './graph.js';

/** A value, or a number that becomes a scalar constant of the other operand's dtype. */
export type Operand = Value | number;

export const formatShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** numpy's broadcasting rule. */
export function broadcast(op: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const da = a[a.length - rank + i] ?? 1;
    const db = b[b.length - rank + i] ?? 1;
    if (da !== db && da !== 1 && db !== 1) {
      throw new GraphError(`${op}: shapes must broadcast, got ${formatShape(a)} and ${formatShape(b)}`);
    }
    return Math.max(da, db);
  });
}

/** Axis in 0..rank-1; negative axes count from the end. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= rank) {
    throw new GraphError(`${op}: axis must be in [${-rank}, ${rank - 1}], got ${axis}`);
  }
  return positive;
}

/** Several axes, each once, ascending; undefined means all. */
export function normalizeAxes(
  op: string,
  axes: number | readonly number[] | undefined,
  rank: number,
): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === 'number' ? [axes] : axes).map((axis) => normalizeAxis(op, axis, rank));
  if (new Set(list).size !== list.length) {
    throw new GraphError(`${op}: axes must differ, got ${formatShape(list)}`);
  }
  return list.sort((x, y) => x - y);
}

/** int64 vector constant: the form in which ONNX takes shapes, axes and indices. */
export const int64s = (graph: Graph, numbers: readonly number[]): Value =>
  graph.constant(BigInt64Array.from(numbers, BigInt), [numbers.length]);

export function requireDtype(op: string, value: Value, ...allowed: readonly Value['dtype'][]): void {
  if (!allowed.includes(value.dtype)) {
    throw new GraphError(`${op}: dtype must be ${allowed.join(' or ')}, got ${value.dtype}; use cast()`);
  }
}

export const isFloat = (value: Value): boolean => value.dtype === 'float32' || value.dtype === 'float16';

/** Gives both operands as values of one graph and one dtype. */
export function promote(op: string, a: Operand, b: Operand): [Value, Value] {
  if (typeof a === 'number') {
    if (typeof b === 'number') throw new GraphError(`${op}: one operand must be a Value, got ${a} and ${b}`);
    return [b.graph.constant(a, [], b.dtype), b];
  }
  const right = typeof b === 'number' ? a.graph.constant(b, [], a.dtype) : b;
  if (a.dtype !== right.dtype) {
    throw new GraphError(`${op}: dtypes must be equal, got ${a.dtype} and ${right.dtype}; use cast()`);
  }
  return [a, right];
}
