/** Elementwise functions of one operand. */
import type { Value } from '../graph.js';
import { requireDtype } from '../shapes.js';
import { add, div, mul, sub } from './arithmetic.js';
import { cast, greater } from './logic.js';

/** One ONNX node; the gradient as a function of dy, x and y. */
function unary(
  name: string,
  opType: string,
  x: Value,
  rule: (dy: Value, x: Value, y: Value) => Value,
): Value {
  requireDtype(name, x, 'float32', 'float16');
  const [y] = x.graph.emit(opType, [x], [x]) as [Value];
  x.graph.record(name, [x], [y], ([dy]) => [rule(dy!, x, y)]);
  return y;
}

export const neg = (x: Value): Value => unary('neg', 'Neg', x, (dy) => neg(dy));
export const exp = (x: Value): Value => unary('exp', 'Exp', x, (dy, _, y) => mul(dy, y));
/** Natural logarithm. */
export const log = (x: Value): Value => unary('log', 'Log', x, (dy) => div(dy, x));
export const sqrt = (x: Value): Value => unary('sqrt', 'Sqrt', x, (dy, _, y) => div(mul(dy, 0.5), y));
export const cos = (x: Value): Value => unary('cos', 'Cos', x, (dy) => neg(mul(dy, sin(x))));
export const sin = (x: Value): Value => unary('sin', 'Sin', x, (dy) => mul(dy, cos(x)));
/** |x|; the gradient at 0 is 0. */
export const abs = (x: Value): Value => unary('abs', 'Abs', x, (dy) => mul(dy, sign(x)));
/** -1, 0 or 1; its gradient is 0. */
export function sign(x: Value): Value {
  requireDtype('sign', x, 'float32', 'float16', 'int32', 'int64');
  const [y] = x.graph.emit('Sign', [x], [x]) as [Value];
  x.graph.record('sign', [x], [y], 'stop');
  return y;
}
/** The largest whole number that is not larger than x; its gradient is 0. */
export function floor(x: Value): Value {
  requireDtype('floor', x, 'float32', 'float16');
  const [y] = x.graph.emit('Floor', [x], [x]) as [Value];
  x.graph.record('floor', [x], [y], 'stop');
  return y;
}
export const tanh = (x: Value): Value => unary('tanh', 'Tanh', x, (dy, _, y) => mul(dy, sub(1, square(y))));
/** 1 / (1 + e⁻ˣ). */
export const sigmoid = (x: Value): Value =>
  unary('sigmoid', 'Sigmoid', x, (dy, _, y) => mul(dy, sub(y, square(y))));
/** log(1 + eˣ), without overflow. */
export const softplus = (x: Value): Value => unary('softplus', 'Softplus', x, (dy) => mul(dy, sigmoid(x)));
/** log(sigmoid(x)) = -softplus(-x), without overflow. */
export const logSigmoid = (x: Value): Value => neg(softplus(neg(x)));
/** Gauss error function, 2/√π ∫₀ˣ e^(-t²) dt. */
export const erf = (x: Value): Value =>
  unary('erf', 'Erf', x, (dy) => mul(dy, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))));

export function square(x: Value): Value {
  requireDtype('square', x, 'float32', 'float16', 'int32', 'int64');
  const [y] = x.graph.emit('Mul', [x, x], [x]) as [Value];
  x.graph.record('square', [x], [y], ([dy]) => [mul(dy!, mul(x, 2))]);
  return y;
}

/** max(x, 0); the gradient at 0 is 0. */
export const relu = (x: Value): Value =>
  unary('relu', 'Relu', x, (dy, _, y) => mul(dy, cast(greater(y, 0), x.dtype)));

/** x · Φ(x) with Φ the normal distribution function: the exact GELU, by erf (Hendrycks & Gimpel 2016). */
export const gelu = (x: Value): Value =>
  unary('gelu', 'Gelu', x, (dy) => {
    // Φ + x φ = ½ (1 + erf(a) + 2/√π a exp(-a²)) for a = x/√2, the factor moved into the exponent.
    const a = mul(x, Math.SQRT1_2);
    const bell = exp(sub(Math.log(2 / Math.sqrt(Math.PI)), square(a)));
    return mul(mul(dy, add(add(erf(a), mul(a, bell)), 1)), 0.5);
  });

/** x · sigmoid(x), also called swish. */
export function silu(x: Value): Value {
  requireDtype('silu', x, 'float32', 'float16');
  const [y] = x.graph.emit('QuickGelu', [x], [x], {
    domain: 'com.microsoft',
    attributes: { alpha: { float: 1 } },
  }) as [Value];
  // s + x s (1 - s) = s + y - y s
  x.graph.record('silu', [x], [y], ([dy]) => {
    const s = sigmoid(x);
    return [mul(dy!, add(s, sub(y, mul(y, s))))];
  });
  return y;
}
