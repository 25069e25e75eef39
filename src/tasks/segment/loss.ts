/** What a segmentation is taught by: overlap and cross entropy of voxels, and the same of tokens. */
import {
  add,
  cast,
  crossEntropy,
  div,
  equal,
  expandDims,
  mul,
  reduceMean,
  reduceSum,
  reshape,
  slice,
  softmax,
  sub,
  type Value,
} from '../../graph/index.js';

/** Keeps the overlap of a label that is nowhere defined; MONAI's default. */
const SMOOTH = 1e-5;

export interface OverlapLosses {
  /** [] 1 - Dice, the mean over labels. */
  readonly dice: Value;
  /** [] mean over the counted voxels. */
  readonly crossEntropy: Value;
}

/**
 * Soft Dice loss (Milletari et al. 2016) over all rows together, background left out, and cross entropy: MONAI's
 * `DiceCELoss(softmax=True, to_onehot_y=True, include_background=False, batch=True)`.
 *
 * @param logits [..., L] @param target int32 [...] label numbers @param weight [...] 1 where a voxel counts, else 0.
 */
export function overlapLosses(logits: Value, target: Value, weight: Value): OverlapLosses {
  const count = logits.shape.at(-1)!;
  const { graph } = logits;
  const numbers = graph.constant(Int32Array.from({ length: count }, (_, n) => n));
  const truth = cast(equal(expandDims(target, -1), numbers), 'float32');
  const counted = expandDims(weight, -1);
  const sum = (v: Value): Value => reduceSum(reshape(v, [-1, count]), { axes: [0] });
  const said = mul(softmax(logits), counted);
  const present = mul(truth, counted);
  const foreground = (v: Value): Value => slice(v, [1], [count]);
  const both = foreground(sum(mul(said, present)));
  const total = foreground(add(sum(said), sum(present)));
  const overlap = div(add(mul(both, 2), SMOOTH), add(total, SMOOTH));
  return {
    dice: sub(1, reduceMean(overlap)),
    crossEntropy: weightedMean(crossEntropy(logits, truth), weight),
  };
}

/**
 * Cross entropy of tokens with the shares that labels take of their cubes (deep supervision).
 * @param logits [B, N, L] @param shares [B, N, L] rows that add up to 1 @param keep [B, N] 1 for a token.
 */
export const shareLoss = (logits: Value, shares: Value, keep: Value): Value =>
  weightedMean(crossEntropy(logits, shares), keep);

const weightedMean = (loss: Value, weight: Value): Value =>
  div(reduceSum(mul(loss, weight)), add(reduceSum(weight), 1e-6));
