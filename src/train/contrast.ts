/** The image-text loss. */
import {
  add,
  allGather,
  div,
  exp,
  logSigmoid,
  matmul,
  mul,
  neg,
  reduceSum,
  type Value,
} from '../graph/index.js';

/**
 * Sigmoid contrastive loss (SigLIP, Zhai et al. 2023, algorithm 1): every pair of the batch is its own yes-or-no
 * question. images, texts [B, D] unit vectors; logScale and bias scalars; pairs [B, ranks B] is +1 where image and text
 * belong together (several texts of a batch may say the same), -1 where not, 0 to leave the pair out. With several
 * ranks, the part of this rank's images against the texts of all.
 */
export function sigmoidContrastiveLoss(
  images: Value,
  texts: Value,
  logScale: Value,
  bias: Value,
  pairs: Value,
): Value {
  const logits = add(mul(matmul(images, allGather(texts), { transB: true }), exp(logScale)), bias);
  const counted = mul(pairs, pairs);
  return neg(
    div(reduceSum(mul(logSigmoid(mul(pairs, logits)), counted)), images.shape[0]! * images.graph.ranks.size),
  );
}
