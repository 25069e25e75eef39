/** Comparison, boolean logic, choice and conversion. */
import type { DType, Value } from '../graph.js';
import { broadcast, isFloat, promote, requireDtype, type Operand } from '../shapes.js';
import { reduceTo } from './reduce.js';

function compare(name: string, opType: string, a: Operand, b: Operand): Value {
  const [x, y] = promote(name, a, b);
  const shape = broadcast(name, x.shape, y.shape);
  const [out] = x.graph.emit(opType, [x, y], [{ dtype: 'bool', shape }]) as [Value];
  x.graph.record(name, [x, y], [out], 'stop');
  return out;
}

/** a = b, as bool. */
export const equal = (a: Operand, b: Operand): Value => compare('equal', 'Equal', a, b);
/** a > b, as bool. */
export const greater = (a: Operand, b: Operand): Value => compare('greater', 'Greater', a, b);
/** a < b, as bool. */
export const less = (a: Operand, b: Operand): Value => compare('less', 'Less', a, b);

function logical(name: string, opType: string, a: Value, b: Value): Value {
  requireDtype(name, a, 'bool');
  requireDtype(name, b, 'bool');
  return compare(name, opType, a, b);
}

export const logicalAnd = (a: Value, b: Value): Value => logical('logicalAnd', 'And', a, b);
export const logicalOr = (a: Value, b: Value): Value => logical('logicalOr', 'Or', a, b);

export function logicalNot(a: Value): Value {
  requireDtype('logicalNot', a, 'bool');
  const [out] = a.graph.emit('Not', [a], [a]) as [Value];
  a.graph.record('logicalNot', [a], [out], 'stop');
  return out;
}

/** a where the condition (bool) holds, else b; all three broadcast. */
export function where(condition: Value, a: Operand, b: Operand): Value {
  requireDtype('where', condition, 'bool');
  const { graph } = condition;
  const scalar = (n: Operand, other: Operand): Value =>
    typeof n === 'number' ? graph.constant(n, [], typeof other === 'number' ? 'float32' : other.dtype) : n;
  const [x, y] = promote('where', scalar(a, b), scalar(b, a));
  const shape = broadcast('where', condition.shape, broadcast('where', x.shape, y.shape));
  const [out] = graph.emit('Where', [condition, x, y], [{ dtype: x.dtype, shape }]) as [Value];
  graph.record('where', [x, y], [out], ([dy], wanted) => [
    wanted[0] ? reduceTo(where(condition, dy!, 0), x.shape) : undefined,
    wanted[1] ? reduceTo(where(condition, 0, dy!), y.shape) : undefined,
  ]);
  return out;
}

const DATA_TYPE: Record<DType, number> = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10 };

/** Converts the elements: floats to integers truncate towards zero, anything to bool is "≠ 0". */
export function cast(x: Value, dtype: DType): Value {
  if (x.dtype === dtype) return x;
  const [y] = x.graph.emit('Cast', [x], [{ dtype, shape: x.shape }], {
    attributes: { to: { int: DATA_TYPE[dtype] } },
  }) as [Value];
  x.graph.record('cast', [x], [y], isFloat(y) ? ([dy]) => [cast(dy!, x.dtype)] : 'stop');
  return y;
}

/** x, through which no gradient flows. */
export function stopGradient(x: Value): Value {
  const [y] = x.graph.emit('Identity', [x], [x]) as [Value];
  x.graph.record('stopGradient', [x], [y], 'stop');
  return y;
}
