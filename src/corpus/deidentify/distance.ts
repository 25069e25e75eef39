/** Exact Euclidean distances on a grid (Felzenszwalb and Huttenlocher 2012: lower envelopes of parabolas, axis by axis). */
import type { Vec3 } from '../../volume/volume.js';

const FAR = 1e9;

/** Distance in cells from each cell to the nearest one where `from` is 1; far where there is none. */
export function distanceTo(from: Uint8Array, shape: Vec3): Float32Array {
  const squared = new Float32Array(from.length);
  for (let n = 0; n < from.length; n++) squared[n] = from[n] === 1 ? 0 : FAR;
  const strides = [1, shape[0], shape[0] * shape[1]];
  const longest = Math.max(...shape);
  const line = new Float64Array(longest);
  const apex = new Int32Array(longest);
  const bound = new Float64Array(longest + 1);
  for (const axis of [0, 1, 2] as const) {
    const [count, step] = [shape[axis], strides[axis]!];
    const [b, c] = ([0, 1, 2] as const).filter((other) => other !== axis) as [0 | 1 | 2, 0 | 1 | 2];
    for (let at = 0; at < shape[b]; at++)
      for (let also = 0; also < shape[c]; also++)
        alongLine(squared, at * strides[b]! + also * strides[c]!, step, count, { line, apex, bound });
  }
  return squared.map(Math.sqrt);
}

interface Room {
  readonly line: Float64Array;
  readonly apex: Int32Array;
  readonly bound: Float64Array;
}

function alongLine(
  squared: Float32Array,
  start: number,
  step: number,
  count: number,
  { line, apex, bound }: Room,
): void {
  for (let q = 0; q < count; q++) line[q] = squared[start + q * step]!;
  let last = 0;
  apex[0] = 0;
  bound[0] = -Infinity;
  bound[1] = Infinity;
  const meets = (q: number, p: number): number => (line[q]! + q * q - (line[p]! + p * p)) / (2 * (q - p));
  for (let q = 1; q < count; q++) {
    let s = meets(q, apex[last]!);
    while (s <= bound[last]!) s = meets(q, apex[--last]!);
    apex[++last] = q;
    bound[last] = s;
    bound[last + 1] = Infinity;
  }
  last = 0;
  for (let q = 0; q < count; q++) {
    while (bound[last + 1]! < q) last++;
    const p = apex[last]!;
    squared[start + q * step] = (q - p) ** 2 + line[p]!;
  }
}
