/** Low-rank adaptation: chosen weights of a frozen model move by products of two thin matrices. */
import { add, matmul, type Value } from '../graph/index.js';
import type { Scope } from './params.js';

export interface LoraOptions {
  /** Columns of the first factor and rows of the second. */
  readonly rank: number;
  /** The product counts alpha / rank times. */
  readonly alpha: number;
  /** Names of the weights [k, n] that move, within the adapted scope. */
  readonly targets: RegExp;
}

/**
 * A scope over frozen weights in which each target W reads as W + alpha/rank · A B, with A [k, rank] and B [rank, n] of
 * `adapters` under the names "<weight>.a" and "<weight>.b" (Hu et al. 2021, section 4.1). A starts normal and B at zero,
 * so that the model starts as it was.
 */
export function loraScope(frozen: Scope, adapters: Scope, options: LoraOptions, prefix = ''): Scope {
  const { rank, alpha, targets } = options;
  const made = new Map<string, Value>();
  return {
    param(name, shape, init, more) {
      const weight = frozen.param(name, shape, init, more);
      const [k, n] = shape;
      if (!targets.test(prefix + name) || k === undefined || n === undefined) return weight;
      const known = made.get(name);
      if (known) return known;
      const adapter = adapters.child(name);
      const a = adapter.param('a', [k, rank], { normal: 1 / Math.sqrt(k) });
      const b = adapter.param('b', [rank, n], 'zeros');
      const moved = add(weight, matmul(a, b, { scale: alpha / rank }));
      made.set(name, moved);
      return moved;
    },
    child: (name) => loraScope(frozen.child(name), adapters.child(name), options, `${prefix}${name}.`),
  };
}

/** W + alpha/rank · A B worked out: [k, n] from W [k, n], A [k, rank] and B [rank, n], row by row. */
export function mergeLora(
  weight: Float32Array,
  a: Float32Array,
  b: Float32Array,
  { rank, alpha }: Pick<LoraOptions, 'rank' | 'alpha'>,
): Float32Array {
  const k = a.length / rank;
  const n = b.length / rank;
  const out = weight.slice();
  for (let i = 0; i < k; i++)
    for (let r = 0; r < rank; r++) {
      const factor = (alpha / rank) * a[i * rank + r]!;
      for (let j = 0; j < n; j++) out[i * n + j]! += factor * b[r * n + j]!;
    }
  return out;
}
