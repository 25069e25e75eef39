/** Convolution of volumes. */
import { GraphError, sizeOf, type Value } from '../graph.js';
import { formatShape, int64s, requireDtype } from '../shapes.js';
import { concat, dilate, expandDims, pad, reshape, slice, transpose } from './layout.js';
import { matmul } from './matmul.js';
import { reduceSum } from './reduce.js';

type Three = readonly [number, number, number];

export interface Conv3dOptions {
  /** Zeros on both sides of each axis; 0 unless said. */
  readonly pads?: Three;
  /** 1 unless said. */
  readonly strides?: Three;
}

/**
 * Correlation of x [b, ci, d, h, w] with w [co, ci, kd, kh, kw] → [b, co, d', h', w'] where
 * d' = ⌊(d + 2 pad - kd) / stride⌋ + 1.
 */
export function conv3d(x: Value, w: Value, options: Conv3dOptions = {}): Value {
  const { pads = [0, 0, 0], strides = [1, 1, 1] } = options;
  requireDtype('conv3d', x, 'float32', 'float16');
  if (x.shape.length !== 5 || w.shape.length !== 5 || x.shape[1] !== w.shape[1] || x.dtype !== w.dtype) {
    throw new GraphError(
      `conv3d: shapes must be [b, ci, d, h, w] and [co, ci, kd, kh, kw] of one dtype, got ${formatShape(x.shape)} and ${formatShape(w.shape)}`,
    );
  }
  const kernel = w.shape.slice(2) as unknown as Three;
  const space = [0, 1, 2].map(
    (i) => Math.floor((x.shape[i + 2]! + 2 * pads[i]! - kernel[i]!) / strides[i]!) + 1,
  );
  const [y] = x.graph.emit(
    'Conv',
    [x, w],
    [{ dtype: x.dtype, shape: [x.shape[0]!, w.shape[0]!, ...space] }],
    {
      attributes: {
        kernel_shape: { ints: kernel },
        pads: { ints: [...pads, ...pads] },
        strides: { ints: strides },
      },
    },
  ) as [Value];
  x.graph.record('conv3d', [x, w], [y], ([dy], wanted) => [
    wanted[0] ? inputGradient(dy!, x, w, pads, strides) : undefined,
    wanted[1] ? weightGradient(dy!, x, w, pads, strides) : undefined,
  ]);
  return y;
}

/** The correlation of the spread-out dy with the kernel, mirrored in space and with its channel axes swapped. */
function inputGradient(dy: Value, x: Value, w: Value, pads: Three, strides: Three): Value {
  let spread = dy;
  strides.forEach((stride, i) => (spread = dilate(spread, i + 2, stride)));
  // Zeros around it so that a plain correlation gives exactly x's extent; where a pad exceeds the kernel, less is read.
  const before = [0, 0, ...pads.map((p, i) => w.shape[i + 2]! - 1 - p)];
  const after = before.map((n, i) => (i < 2 ? 0 : x.shape[i]! + w.shape[i]! - 1 - n - spread.shape[i]!));
  const padded = padOrCut(spread, before, after);
  return conv3d(padded, transpose(mirror(w), [1, 0, 2, 3, 4]));
}

function padOrCut(x: Value, before: readonly number[], after: readonly number[]): Value {
  const cut = [...before, ...after].some((n) => n < 0)
    ? slice(
        x,
        before.map((n) => Math.max(-n, 0)),
        x.shape.map((d, i) => d - Math.max(-after[i]!, 0)),
      )
    : x;
  const positive = (n: number): number => Math.max(n, 0);
  return pad(cut, before.map(positive), after.map(positive));
}

/** w with its three spatial axes reversed. */
function mirror(w: Value): Value {
  const { graph } = w;
  const fill = (n: number): Value => int64s(graph, [n, n, n]);
  const [y] = graph.emit(
    'Slice',
    [w, fill(-1), fill(-(2 ** 31)), int64s(graph, [2, 3, 4]), fill(-1)],
    [w],
  ) as [Value];
  graph.record('mirror', [w], [y], ([dy]) => [mirror(dy!)]);
  return y;
}

/** For each kernel position, the product of dy with the part of x that the position met. */
function weightGradient(dy: Value, x: Value, w: Value, pads: Three, strides: Three): Value {
  const [co, ci, kd, kh, kw] = w.shape as [number, number, number, number, number];
  const [batch] = x.shape as [number];
  const space = dy.shape.slice(2);
  const rows = reshape(dy, [batch, co, sizeOf(space)]);
  const around = [0, 0, ...pads];
  const padded = pad(x, around, around);
  const pieces: Value[] = [];
  for (let z = 0; z < kd; z++) {
    for (let j = 0; j < kh; j++) {
      for (let i = 0; i < kw; i++) {
        const start = [z, j, i];
        const end = start.map((s, axis) => s + (space[axis]! - 1) * strides[axis]! + 1);
        const met = reshape(slice(padded, start, end, [2, 3, 4], strides), [batch, ci, sizeOf(space)]);
        const product = matmul(rows, met, { transB: true });
        pieces.push(expandDims(reduceSum(product, { axes: 0 }), -1));
      }
    }
  }
  return reshape(concat(pieces, -1), w.shape);
}
