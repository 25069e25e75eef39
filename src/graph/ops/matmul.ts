/** Matrix products. */
import { GraphError, sizeOf, type Value } from '../graph.js';
import { broadcast, formatShape, requireDtype } from '../shapes.js';
import { add } from './arithmetic.js';
import { cast } from './logic.js';
import { reduceTo } from './reduce.js';
import { expand, reshape } from './layout.js';

export interface MatmulOptions {
  /** Use the last two axes of a swapped. */
  readonly transA?: boolean;
  /** Use the last two axes of b swapped. */
  readonly transB?: boolean;
  /** Factor on the product, 1 unless said; costs nothing. */
  readonly scale?: number;
}

/**
 * scale · op(a) · op(b) over the last two axes; leading axes broadcast. Transposed operands are read as they lie,
 * not copied. Both operands have at least two axes.
 */
export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
  const { transA = false, transB = false, scale = 1 } = options;
  requireDtype('matmul', a, 'float32', 'float16');
  if (a.dtype !== b.dtype)
    throw new GraphError(`matmul: dtypes must be equal, got ${a.dtype} and ${b.dtype}`);
  if (a.shape.length < 2 || b.shape.length < 2) {
    throw new GraphError(
      `matmul: operands have two axes or more, got ${formatShape(a.shape)} and ${formatShape(b.shape)}; use expandDims()`,
    );
  }
  const [m, ka] = lastTwo(a, transA);
  const [kb, n] = lastTwo(b, transB);
  if (ka !== kb) {
    throw new GraphError(
      `matmul: inner dimensions must be equal, got ${formatShape(a.shape)}${transA ? 'ᵀ' : ''} · ${formatShape(b.shape)}${transB ? 'ᵀ' : ''}`,
    );
  }
  const shape = [...broadcast('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
  const out = [{ dtype: a.dtype, shape }];
  const { graph } = a;
  const plain = !transA && !transB && scale === 1;
  const flat = a.shape.length === 2 && b.shape.length === 2;
  const flags = { transA: { int: Number(transA) }, transB: { int: Number(transB) }, alpha: { float: scale } };
  const [y] = (
    plain
      ? graph.emit('MatMul', [a, b], out)
      : flat
        ? graph.emit('Gemm', [a, b], out, { attributes: flags })
        : graph.emit('FusedMatMul', [a, b], out, { domain: 'com.microsoft', attributes: flags })
  ) as [Value];
  graph.record('matmul', [a, b], [y], ([dy], wanted) => [
    wanted[0] ? gradientA(dy!, a, b, { transA, transB, scale }) : undefined,
    wanted[1] ? gradientB(dy!, a, b, { transA, transB, scale }) : undefined,
  ]);
  return y;
}

const lastTwo = ({ shape }: Value, swapped: boolean): [number, number] => {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return swapped ? [columns, rows] : [rows, columns];
};

function gradientA(dy: Value, a: Value, b: Value, { transA, transB, scale }: Required<MatmulOptions>): Value {
  // Y = A·B: dA = dY·Bᵀ; for A given transposed: (dA)ᵀ = B·dYᵀ.
  const grad = transA
    ? matmul(b, dy, { transA: transB, transB: true, scale })
    : matmul(dy, b, { transB: !transB, scale });
  return reduceTo(grad, a.shape);
}

function gradientB(dy: Value, a: Value, b: Value, { transA, transB, scale }: Required<MatmulOptions>): Value {
  if (b.shape.length === 2 && a.shape.length > 2 && !transA) {
    // One matrix used by a whole batch: one product over all rows instead of a batch of products and their sum.
    const rows = reshape(a, [-1, a.shape.at(-1)!]);
    const dRows = reshape(dy, [-1, dy.shape.at(-1)!]);
    return transB
      ? matmul(dRows, rows, { transA: true, scale })
      : matmul(rows, dRows, { transA: true, scale });
  }
  const grad = transB
    ? matmul(dy, a, { transA: true, transB: transA, scale })
    : matmul(a, dy, { transA: !transA, scale });
  return reduceTo(grad, b.shape);
}

/**
 * x · w + bias over the last axis: x [..., k], w [k, n], bias [n] (may be absent) → [..., n]. Its gradients are one
 * matrix product each over all rows. In the precision of the graph.
 */
export function affine(x: Value, w: Value, bias?: Value): Value {
  const [k, n] = w.shape as [number, number];
  if (
    w.shape.length !== 2 ||
    x.shape.at(-1) !== k ||
    (bias && formatShape(bias.shape) !== formatShape([n]))
  ) {
    throw new GraphError(
      `affine: shapes must be [..., k], [k, n], [n], got ${formatShape(x.shape)}, ${formatShape(w.shape)}, ${formatShape(bias?.shape ?? [n])}`,
    );
  }
  if (x.graph.precision === 'float16' && x.dtype === 'float32') {
    const y = cast(affine(cast(x, 'float16'), cast(w, 'float16')), 'float32');
    return bias ? add(y, bias) : y;
  }
  const shape = [...x.shape.slice(0, -1), n];
  const out = [{ dtype: x.dtype, shape }];
  // Not MatMul, which ONNX Runtime would fuse with Add into Gemm, whose bias is copied by one thread.
  let [y] = x.graph.emit('FusedMatMul', [x, w], out, { domain: 'com.microsoft' }) as [Value];
  if (bias !== undefined) [y] = x.graph.emit('Add', [y, bias], out) as [Value];
  x.graph.record('affine', bias ? [x, w, bias] : [x, w], [y], ([dy], wanted) => {
    const dRows = reshape(dy!, [-1, n]);
    return [
      wanted[0] ? reshape(matmul(dRows, w, { transB: true }), x.shape) : undefined,
      wanted[1] ? matmul(reshape(x, [-1, k]), dRows, { transA: true }) : undefined,
      wanted[2] ? sumRows(dRows) : undefined,
    ];
  });
  return y;
}

/** Sum over all axes but the last, [..., n] → [n]: a product with ones, which runs on all threads. */
export function sumRows(x: Value): Value {
  const n = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / n;
  const ones = expand(x.graph.constant(1, [], x.dtype), [1, rows]);
  return reshape(matmul(ones, reshape(x, [rows, n])), [n]);
}
