/** Softmax, layer normalisation and unit length: ops that normalise along one axis. */
import { GraphError, type Value } from '../graph.js';
import { formatShape, normalizeAxis, requireDtype } from '../shapes.js';
import { add, div, mul, sub } from './arithmetic.js';
import { exp, sqrt, square } from './unary.js';
import { reduceSum } from './reduce.js';
import { matmul, sumRows } from './matmul.js';
import { reshape } from './layout.js';

export function softmax(x: Value, axis = -1): Value {
  requireDtype('softmax', x, 'float32', 'float16');
  const a = normalizeAxis('softmax', axis, x.shape.length);
  const [y] = x.graph.emit('Softmax', [x], [x], { attributes: { axis: { int: a } } }) as [Value];
  x.graph.record('softmax', [x], [y], ([dy]) => [
    mul(y, sub(dy!, reduceSum(mul(dy!, y), { axes: a, keepDims: true }))),
  ]);
  return y;
}

/** log(softmax(x)), without underflow. */
export function logSoftmax(x: Value, axis = -1): Value {
  requireDtype('logSoftmax', x, 'float32', 'float16');
  const a = normalizeAxis('logSoftmax', axis, x.shape.length);
  const [y] = x.graph.emit('LogSoftmax', [x], [x], { attributes: { axis: { int: a } } }) as [Value];
  x.graph.record('logSoftmax', [x], [y], ([dy]) => [
    sub(dy!, mul(exp(y), reduceSum(dy!, { axes: a, keepDims: true }))),
  ]);
  return y;
}

/**
 * (x - mean) / √(variance + eps) · scale + bias over the last axis (Ba, Kiros & Hinton 2016); scale and bias have
 * the length of that axis.
 */
export function layerNorm(x: Value, scale: Value, bias: Value, eps = 1e-5): Value {
  requireDtype('layerNorm', x, 'float32');
  const size = x.shape.at(-1) ?? 0;
  for (const parameter of [scale, bias]) {
    if (parameter.shape.length !== 1 || parameter.shape[0] !== size) {
      throw new GraphError(
        `layerNorm: scale and bias must be [${size}], got ${formatShape(parameter.shape)}`,
      );
    }
  }
  const statistic = { dtype: x.dtype, shape: x.shape.with(-1, 1) };
  const [y, mean, inverse] = x.graph.emit('LayerNormalization', [x, scale, bias], [x, statistic, statistic], {
    attributes: { axis: { int: -1 }, epsilon: { float: eps } },
    requiredOutputs: 1,
  }) as [Value, Value, Value];
  x.graph.record('layerNorm', [x, scale, bias], [y, mean, inverse], ([dy, dMean, dInverse], wanted) => {
    if (dMean !== undefined || dInverse !== undefined) {
      throw new GraphError(
        'gradients: op "layerNorm" has no second derivative; compose it from reduceMean()',
      );
    }
    // With x̂ = (x - mean) · inverse and g = dy · scale: dx = inverse · (g - mean(g) - x̂ · mean(g · x̂)).
    const centred = sub(x, mean);
    const product = mul(dy!, centred);
    const column = (vector: Value): Value => reshape(vector, [-1, 1]);
    const meanOf = (rows: Value): Value => matmul(rows, column(scale), { scale: 1 / size });
    const dx = (): Value => {
      const slope = mul(mul(square(inverse), meanOf(product)), centred);
      return mul(sub(sub(mul(dy!, scale), slope), meanOf(dy!)), inverse);
    };
    const dScale = (): Value =>
      reshape(matmul(column(inverse), reshape(product, [-1, size]), { transA: true }), scale.shape);
    return [
      wanted[0] ? dx() : undefined,
      wanted[1] ? dScale() : undefined,
      wanted[2] ? sumRows(dy!) : undefined,
    ];
  });
  return y;
}

/** x / √(Σx² + eps) along an axis: unit length. `eps` keeps the gradient of a zero vector finite. */
export function l2Normalize(x: Value, axis = -1, eps = 1e-12): Value {
  const a = normalizeAxis('l2Normalize', axis, x.shape.length);
  return div(x, sqrt(add(reduceSum(square(x), { axes: a, keepDims: true }), eps)));
}
