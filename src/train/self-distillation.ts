/** The losses of student-teacher pretraining, as graph functions with the paper of each. */
import {
  add,
  allGather,
  allReduceSum,
  argMax,
  div,
  exp,
  expandDims,
  gather,
  log,
  logSoftmax,
  matmul,
  mul,
  neg,
  reduceMean,
  reduceSum,
  reshape,
  sqrt,
  square,
  stopGradient,
  sub,
  l2Normalize,
  type Value,
} from '../graph/index.js';
import { linear, type Scope } from '../nn/index.js';
import { gelu } from '../graph/index.js';

export interface HeadConfig {
  readonly hidden: number;
  readonly bottleneck: number;
  readonly prototypes: number;
}

/**
 * Projection head of DINO (Caron et al. 2021, section 3.1): an MLP, an l2-normalised bottleneck and cosine similarity
 * to `prototypes` unit vectors. x [R, D] → [R, prototypes]. Its input is standardised over the batch of all ranks, as
 * in the heads of BYOL and MoCo v3: features of a young encoder differ little from row to row, and assignments would be
 * noise.
 */
export function prototypeHead(scope: Scope, x: Value, config: HeadConfig): Value {
  const { mean, variance } = moments(x);
  const deviation = stopGradient(sqrt(add(variance, 1e-6)));
  let h = gelu(linear(scope.child('fc1'), div(sub(x, stopGradient(mean)), deviation), config.hidden));
  h = linear(scope.child('fc2'), h, config.bottleneck);
  const prototypes = scope.param('prototypes', [config.bottleneck, config.prototypes], { normal: 0.02 });
  return matmul(l2Normalize(h, 1), l2Normalize(prototypes, 0));
}

/**
 * Mean and variance [1, D] of x [R, D] over the rows of all ranks, each of which holds as many. The ranks' own moments
 * are combined (Chan et al. 1979): one exchange, and none of the cancellation of a mean of squares.
 */
function moments(x: Value): { mean: Value; variance: Value } {
  const axes = { axes: [0], keepDims: true };
  const ownMean = reduceMean(x, axes);
  const ownVariance = reduceMean(square(sub(x, ownMean)), axes);
  if (x.graph.ranks.size === 1) return { mean: ownMean, variance: ownVariance };
  const means = allGather(stopGradient(ownMean)); // [ranks, D]
  const mean = reduceMean(means, axes);
  const within = reduceMean(allGather(stopGradient(ownVariance)), axes);
  return { mean, variance: add(within, reduceMean(square(sub(means, mean)), axes)) };
}

/** Keeps what carries no weight at zero instead of 0/0; far below the smallest sum that logits in [-1, 1] give. */
const TINY = 1e-30;
/** Keeps the distance of two equal vectors off zero, where log and square root have no slope. */
const SMALL = 1e-8;

/**
 * Sinkhorn-Knopp assignment of teacher outputs to prototypes (Caron et al. 2020; centring of DINOv2, Oquab et al.
 * 2023): softmax whose columns are balanced over the batch of all ranks by `iterations` of alternating normalisation.
 * logits [R, K] cosines, temperature a scalar, weight [R] (0 leaves a row out) → [R, K], rows sum to their weight.
 */
export function sinkhorn(logits: Value, temperature: Value, weight: Value | null, iterations = 3): Value {
  const k = logits.shape[1]!;
  // The largest that a cosine can be is taken off everywhere: a row's own maximum would already be a step of the
  // alternation, and that of the batch would be one more thing for the ranks to agree on.
  let q = exp(div(sub(logits, 1), temperature));
  const w = weight ? expandDims(weight, 1) : null;
  if (w) q = mul(q, w);
  for (let n = 0; n < iterations; n++) {
    q = div(q, add(mul(allReduceSum(reduceSum(q, { axes: [0], keepDims: true })), k), TINY));
    q = div(q, add(reduceSum(q, { axes: [1], keepDims: true }), TINY));
    if (w) q = mul(q, w);
  }
  return stopGradient(q);
}

/**
 * DINO loss over crops: every student crop against the teacher's view of the other global crops.
 * teacher [2, B, K] assignments of the two global crops; student logits [2, B, K] and local logits [L, B, K];
 * the mean cross-entropy over all pairs of one image's crops that are not the same crop. With several ranks, this
 * rank's part of that of all images.
 */
export function dinoLoss(
  teacher: Value,
  studentGlobal: Value,
  studentLocal: Value | null,
  temperature: number,
): Value {
  const b = teacher.shape[1]!;
  const k = teacher.shape[2]!;
  const logp = logSoftmax(div(studentGlobal, temperature), 2);
  const swapped = gather(teacher, teacher.graph.constant([1, 0], [2], 'int32'), 0);
  const globalSum = neg(reduceSum(mul(swapped, logp)));
  let sum = globalSum;
  let pairs = 2;
  if (studentLocal) {
    const local = logSoftmax(div(studentLocal, temperature), 2);
    // Cross-entropy is linear in the target, so both teacher crops can be summed before it.
    const both = reshape(reduceSum(teacher, { axes: [0] }), [1, b, k]);
    sum = add(sum, neg(reduceSum(mul(both, local))));
    pairs += 2 * studentLocal.shape[0]!;
  }
  return div(sum, pairs * b * teacher.graph.ranks.size);
}

/**
 * iBOT loss (Zhou et al. 2022): cross-entropy of the student's masked tokens against the teacher's assignment of the
 * same tokens unmasked. teacher and studentLogits [R, K]; weight [R], its sum over all ranks is the divisor, so that
 * this is the rank's part of the loss.
 */
export function ibotLoss(teacher: Value, studentLogits: Value, weight: Value, temperature: number): Value {
  const ce = neg(reduceSum(mul(teacher, logSoftmax(div(studentLogits, temperature), 1)), { axes: [1] }));
  return div(reduceSum(mul(ce, weight)), allReduceSum(reduceSum(weight)));
}

/**
 * KoLeo regulariser (Sablayrolles et al. 2019; DINOv2): minus the mean log distance of each unit vector to its nearest
 * neighbour in the batch of all ranks. x [B, D]; this rank's part of the mean.
 */
export function koleoLoss(x: Value): Value {
  const b = x.shape[0]!;
  const { rank, size } = x.graph.ranks;
  const unit = l2Normalize(x, 1);
  const all = allGather(unit);
  const own = new Float32Array(b * b * size);
  for (let n = 0; n < b; n++) own[n * b * size + rank * b + n] = 4;
  const similarity = sub(matmul(unit, all, { transB: true }), x.graph.constant(own, [b, b * size]));
  const nearest = gather(all, argMax(stopGradient(similarity), 1), 0);
  const distance = sqrt(add(reduceSum(square(sub(unit, nearest)), { axes: [1] }), SMALL));
  return neg(div(reduceSum(log(add(distance, SMALL))), b * size));
}

/**
 * Mean squared error over the measured samples of masked tokens (He et al. 2022; predicted by one linear layer from the
 * encoder that saw the mask token, as in SimMIM, Xie et al. 2022). said, truth [R, S]; measured [R, S] is 1 or 0, its sum
 * over all ranks the divisor: this rank's part of the mean.
 */
export function pixelLoss(said: Value, truth: Value, measured: Value): Value {
  const error = reduceSum(mul(square(sub(said, truth)), measured));
  return div(error, add(allReduceSum(reduceSum(measured)), 1e-6));
}
