/** Minimising a smooth function of many variables. */

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  /** Whether the gradient fell below the tolerance. */
  readonly converged: boolean;
}

export interface MinimiseOptions {
  readonly tolerance?: number;
  readonly maxIterations?: number;
  readonly precondition?: (q: Float64Array) => void;
}

const MEMORY = 10;

interface Pair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  readonly rho: number;
}

/**
 * L-BFGS (Nocedal & Wright 2006, algorithms 7.4 and 7.5) with backtracking to sufficient decrease.
 *
 * @param evaluate the value at `x`; writes the gradient into `gradient`. Smooth and bounded below.
 * @param tolerance the largest component of the gradient that counts as none.
 * @param precondition multiplies a vector, in place, by a symmetric positive estimate of the inverse Hessian up to scale;
 * the closer it is, the fewer the iterations.
 */
export function minimise(
  evaluate: (x: Float64Array, gradient: Float64Array) => number,
  start: Float64Array,
  { tolerance = 1e-6, maxIterations = 500, precondition = () => undefined }: MinimiseOptions = {},
): Minimum {
  const n = start.length;
  let x: Float64Array = Float64Array.from(start);
  let gradient: Float64Array = new Float64Array(n);
  let value = evaluate(x, gradient);
  const pairs: Pair[] = [];
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    if (gradient.every((g) => Math.abs(g) <= tolerance))
      return { x, value, iterations: iteration, converged: true };
    const direction = descent(gradient, pairs, precondition);
    let slope = dot(direction, gradient);
    if (!(slope < 0)) {
      // Rounding has spoilt the curvature that was remembered.
      pairs.length = 0;
      direction.set(gradient.map((g) => -g));
      slope = -dot(gradient, gradient);
    }
    // Without curvature the first step's length is unknown.
    let step = pairs.length === 0 ? Math.min(1, 1 / Math.sqrt(-slope)) : 1;
    const nextGradient = new Float64Array(n);
    let next: Float64Array;
    let nextValue: number;
    for (;;) {
      next = x.map((at, d) => at + step * direction[d]!);
      nextValue = evaluate(next, nextGradient);
      if (nextValue <= value + 1e-4 * step * slope) break;
      step /= 2;
      // The value cannot be made smaller in double precision.
      if (step < 1e-20) return { x, value, iterations: iteration, converged: false };
    }
    const s = next.map((at, d) => at - x[d]!);
    const y = nextGradient.map((g, d) => g - gradient[d]!);
    const curvature = dot(s, y);
    if (curvature > 1e-12 * dot(y, y)) {
      pairs.push({ s, y, rho: 1 / curvature });
      if (pairs.length > MEMORY) pairs.shift();
    }
    [x, value, gradient] = [next, nextValue, nextGradient];
  }
  return { x, value, iterations: maxIterations, converged: false };
}

/** The two-loop recursion: minus the inverse Hessian's estimate times the gradient. */
function descent(
  gradient: Float64Array,
  pairs: readonly Pair[],
  precondition: (q: Float64Array) => void,
): Float64Array {
  const q = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (const { s, y, rho } of pairs.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.push(alpha);
    for (let d = 0; d < q.length; d++) q[d]! -= alpha * y[d]!;
  }
  precondition(q);
  const last = pairs[pairs.length - 1];
  if (last !== undefined) {
    const turned = last.y.slice();
    precondition(turned);
    const scale = 1 / (last.rho * dot(last.y, turned));
    for (let d = 0; d < q.length; d++) q[d]! *= scale;
  }
  for (const { s, y, rho } of pairs) {
    const change = alphas.pop()! - rho * dot(y, q);
    for (let d = 0; d < q.length; d++) q[d]! += change * s[d]!;
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
