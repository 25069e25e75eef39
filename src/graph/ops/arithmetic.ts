/** Elementwise arithmetic of two operands with numpy broadcasting. */
import { GraphError, type Value } from '../graph.js';
import { broadcast, promote, requireDtype, sameShape, type Operand } from '../shapes.js';
import { cast, equal, greater, where } from './logic.js';
import { neg, square } from './unary.js';
import { reduceTo } from './reduce.js';

type Rule = (dy: Value, y: Value) => Value;

/** One ONNX node and, per operand, the gradient before broadcasting is undone. */
function binary(
  name: string,
  opType: string,
  a: Operand,
  b: Operand,
  rules: (a: Value, b: Value) => [Rule, Rule],
): Value {
  const [x, y] = promote(name, a, b);
  requireDtype(name, x, 'float32', 'float16', 'int32', 'int64');
  const shape = broadcast(name, x.shape, y.shape);
  const [out] = x.graph.emit(opType, [x, y], [{ dtype: x.dtype, shape }]) as [Value];
  const [ruleX, ruleY] = rules(x, y);
  x.graph.record(name, [x, y], [out], ([dy], wanted) => [
    wanted[0] ? reduceTo(ruleX(dy!, out), x.shape) : undefined,
    wanted[1] ? reduceTo(ruleY(dy!, out), y.shape) : undefined,
  ]);
  return out;
}

/** a + b. */
export const add = (a: Operand, b: Operand): Value =>
  binary('add', 'Add', a, b, () => [(dy) => dy, (dy) => dy]);

/** a - b. */
export const sub = (a: Operand, b: Operand): Value =>
  binary('sub', 'Sub', a, b, (x, y) => [
    (dy) => dy,
    // The sign is cheapest after broadcasting is undone.
    (dy) => (sameShape(x.shape, y.shape) ? neg(dy) : neg(reduceTo(dy, y.shape))),
  ]);

/** a · b, elementwise. */
export const mul = (a: Operand, b: Operand): Value =>
  binary('mul', 'Mul', a, b, (x, y) => [(dy) => mul(dy, y), (dy) => mul(dy, x)]);

/** a / b. */
export const div = (a: Operand, b: Operand): Value =>
  binary('div', 'Div', a, b, (_, y) => [(dy) => div(dy, y), (dy, out) => neg(mul(dy, div(out, y)))]);

/** The larger of the two; where they are equal each gets half of the gradient. */
export const max = (a: Operand, b: Operand): Value =>
  binary('max', 'Max', a, b, (x, y) => [(dy) => mul(dy, share(x, y)), (dy) => mul(dy, share(y, x))]);

/** The smaller of the two; where they are equal each gets half of the gradient. */
export const min = (a: Operand, b: Operand): Value =>
  binary('min', 'Min', a, b, (x, y) => [(dy) => mul(dy, share(y, x)), (dy) => mul(dy, share(x, y))]);

/** 1 where winner > other, ½ where they are equal, else 0. */
const share = (winner: Value, other: Value): Value =>
  where(equal(winner, other), 0.5, cast(greater(winner, other), winner.dtype));

/** xᵖ for a constant p. */
export function pow(x: Value, exponent: number): Value {
  requireDtype('pow', x, 'float32', 'float16');
  if (exponent === 1) return x;
  if (exponent === 2) return square(x);
  const [y] = x.graph.emit('Pow', [x, x.graph.constant(exponent, [], x.dtype)], [x]) as [Value];
  x.graph.record('pow', [x], [y], ([dy]) => [mul(dy!, mul(pow(x, exponent - 1), exponent))]);
  return y;
}

/** Sum of values of one shape: one node however many there are. */
export function addAll(values: readonly Value[]): Value {
  const [first, second] = values;
  if (first === undefined) throw new GraphError('addAll: at least one value is needed, got none');
  if (second === undefined) return first;
  if (values.length === 2) return add(first, second);
  const bad = values.find((v) => !sameShape(v.shape, first.shape) || v.dtype !== first.dtype);
  if (bad !== undefined)
    throw new GraphError(`addAll: shapes and dtypes must be equal, got "${bad.name}" beside "${first.name}"`);
  const [sum] = first.graph.emit('Sum', values, [first]) as [Value];
  first.graph.record('addAll', values, [sum], ([dy]) => values.map(() => dy));
  return sum;
}
