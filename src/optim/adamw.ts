/** One training step over flat vectors as one program: gradient clipping, AdamW, moving average of the weights. */
import {
  add,
  div,
  Graph,
  greater,
  min,
  mul,
  reduceSum,
  reshape,
  slice,
  sqrt,
  square,
  sub,
  where,
  type Value,
} from '../graph/index.js';

export interface AdamWConfig {
  /** Elements of the flat vectors. */
  readonly size: number;
  /** Decay of the gradient's mean; 0.9 unless said. */
  readonly beta1?: number;
  /** Decay of the squared gradient's mean; 0.999 unless said. */
  readonly beta2?: number;
  /** 1e-8 unless said. */
  readonly eps?: number;
  /** Longest gradient (2-norm of the whole vector); longer ones are scaled down to it. No limit unless said. */
  readonly clipNorm?: number;
  /** The length of the whole gradient is an input `gradNorm`, because these are only some of its elements. */
  readonly shard?: boolean;
  /** Nothing changes in a step whose gradient is not finite, as happens where products are of halves. */
  readonly guarded?: boolean;
  /** Also keep an exponential moving average of the weights, the teacher. */
  readonly teacher?: boolean;
  /** Each element has a learning rate of its own: an input `rate`, by which that of the step is multiplied. */
  readonly rates?: boolean;
}

export interface StepScalars {
  /** Number of this update, the first is 1. */
  readonly step: number;
  readonly learningRate: number;
  /** Decoupled weight decay of the elements whose `decay` is 1; 0 unless said. */
  readonly weightDecay?: number;
  /** Share of the old teacher that stays, for a program with a teacher. */
  readonly momentum?: number;
}

/**
 * AdamW (Loshchilov & Hutter 2019) in PyTorch's order of operations, after clipping by the global norm.
 *
 * Inputs [size]: `params`, `grads`, `m`, `v`, `decay` (1 where weight decay applies, else 0), `rate`, `teacher`; and the
 * scalars made by `stepInputs`. Outputs: `newParams`, `newM`, `newV`, `newTeacher` [size], `gradNorm` [] (before
 * clipping; not finite when a gradient is not). With `shard`, `gradNorm` is an input instead.
 */
export function adamw(config: AdamWConfig): Graph {
  const { size, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, clipNorm } = config;
  const { shard = false, teacher = false, guarded = false, rates = false } = config;
  const graph = new Graph('adamw');
  const vector = (name: string): Value => graph.input(name, 'float32', [size]);
  const scalar = (name: string): Value => graph.input(name, 'float32', []);
  const params = vector('params');
  const raw = vector('grads');
  const decayRate = scalar('decayRate');
  const stepSize = scalar('stepSize');
  const correction = scalar('correction');

  const gradNorm = shard ? scalar('gradNorm') : sqrt(sumOfSquares(raw));
  if (!shard) graph.output('gradNorm', gradNorm);
  const grads = clipNorm === undefined ? raw : mul(raw, min(div(clipNorm, add(gradNorm, 1e-6)), 1));

  // Neither infinity nor what is no number lies below.
  const kept = guarded ? greater(LARGEST, gradNorm) : null;
  const unless = (value: Value, before: Value): Value => (kept ? where(kept, value, before) : value);
  const [oldM, oldV] = [vector('m'), vector('v')];
  const m = add(mul(oldM, beta1), mul(grads, 1 - beta1));
  const v = add(mul(oldV, beta2), mul(square(grads), 1 - beta2));
  const rate = rates ? vector('rate') : null;
  const rated = (value: Value): Value => (rate ? mul(value, rate) : value);
  const decayed = mul(params, sub(1, mul(rated(vector('decay')), decayRate)));
  const updated = sub(decayed, mul(rated(div(m, add(mul(sqrt(v), correction), eps))), stepSize));
  graph.output('newParams', unless(updated, params));
  graph.output('newM', unless(m, oldM));
  graph.output('newV', unless(v, oldV));
  if (teacher) {
    const momentum = scalar('momentum');
    const before = vector('teacher');
    const after = add(mul(before, momentum), mul(updated, sub(1, momentum)));
    graph.output('newTeacher', unless(after, before));
  }
  return graph;
}

/** Of a float32. */
const LARGEST = 3.4028234e38;

const ROW = 4096;

/** The sum of x [n] squared, by rows: one sum in single precision over millions of elements is 0.2 % off. */
function sumOfSquares(x: Value): Value {
  const n = x.shape[0]!;
  const whole = n - (n % ROW);
  if (whole === 0) return reduceSum(square(x));
  const rows = reshape(whole === n ? x : slice(x, [0], [whole]), [whole / ROW, ROW]);
  const sum = reduceSum(reduceSum(square(rows), { axes: [1] }));
  return whole === n ? sum : add(sum, reduceSum(square(slice(x, [whole], [n]))));
}

/** The scalar inputs of one step. Bias corrections are worked out here, in double precision. */
export function stepInputs(config: AdamWConfig, scalars: StepScalars): Record<string, Float32Array> {
  const { beta1 = 0.9, beta2 = 0.999 } = config;
  const { step, learningRate, weightDecay = 0, momentum = 1 } = scalars;
  return {
    decayRate: Float32Array.of(learningRate * weightDecay),
    stepSize: Float32Array.of(learningRate / (1 - beta1 ** step)),
    correction: Float32Array.of(1 / Math.sqrt(1 - beta2 ** step)),
    ...(config.teacher === true && { momentum: Float32Array.of(momentum) }),
  };
}
