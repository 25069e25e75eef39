/** Logistic regression on frozen features: the linear probe. */
import { TaskError } from '../error.js';
import { minimise } from './lbfgs.js';

/** A linear map to one logit a class (one logit in all for two classes), on standardised features. */
export interface LogisticModel {
  readonly classes: number;
  /** Mean and 1 / standard deviation of each feature in the training set. */
  readonly mean: Float64Array;
  readonly scale: Float64Array;
  /** [rows, dim], rows = classes, or 1 for two classes. */
  readonly weights: Float64Array;
  /** [rows] */
  readonly bias: Float64Array;
}

export interface LogisticOptions {
  /** Weight of half the squared weights beside the mean loss; scikit-learn's C is 1 / (l2 · cases). */
  readonly l2: number;
  /** Weight of each case; all alike unless given. {@link balancedWeights} makes classes count alike. */
  readonly caseWeights?: ArrayLike<number>;
  /** Largest component of the gradient of the mean loss that counts as none; 1e-6 unless given. */
  readonly tolerance?: number;
  /** A model of the same shape to start from. */
  readonly from?: LogisticModel;
}

/** Mean and reciprocal standard deviation of each feature; features that never change get 0. */
export function standardisation(features: readonly ArrayLike<number>[]): {
  mean: Float64Array;
  scale: Float64Array;
} {
  const dim = features[0]?.length ?? 0;
  const mean = new Float64Array(dim);
  const scale = new Float64Array(dim);
  for (const row of features) for (let d = 0; d < dim; d++) mean[d]! += row[d]! / features.length;
  for (const row of features)
    for (let d = 0; d < dim; d++) scale[d]! += (row[d]! - mean[d]!) ** 2 / features.length;
  // Rounding leaves a variance of 1e-16 or so where a feature is constant.
  for (let d = 0; d < dim; d++)
    scale[d] = scale[d]! > 1e-14 * (1 + mean[d]! ** 2) ? 1 / Math.sqrt(scale[d]!) : 0;
  return { mean, scale };
}

/** Weights that make every class count alike: cases / (classes · cases of the class), as "balanced" in scikit-learn. */
export function balancedWeights(labels: ArrayLike<number>, classes: number): Float64Array {
  const counts = new Float64Array(classes);
  for (let n = 0; n < labels.length; n++) counts[labels[n]!]!++;
  const present = counts.filter((count) => count > 0).length;
  return Float64Array.from(labels, (label) => labels.length / (present * counts[label]!));
}

/**
 * Fits multinomial logistic regression with an L2 penalty on the weights (not the bias) of standardised features.
 *
 * @param features one row a case. @param labels the class of each case, 0 … classes-1.
 * @throws TaskError when there are fewer than two classes among the labels.
 */
export function fitLogistic(
  features: readonly ArrayLike<number>[],
  labels: ArrayLike<number>,
  classes: number,
  { l2, caseWeights, from, tolerance = 1e-6 }: LogisticOptions,
): LogisticModel {
  const present = new Set(Array.from(labels));
  if (present.size < 2)
    throw new TaskError(
      `fit: there must be cases of at least two classes, got ${present.size}; add labels of another class`,
    );
  const { mean, scale } = standardisation(features);
  const dim = mean.length;
  const count = features.length;
  const rows = classes === 2 ? 1 : classes;
  const x = new Float64Array(count * dim);
  features.forEach((row, n) => {
    for (let d = 0; d < dim; d++) x[n * dim + d] = (row[d]! - mean[d]!) * scale[d]!;
  });
  let total = 0;
  for (let n = 0; n < count; n++) total += caseWeights?.[n] ?? 1;

  const logits = new Float64Array(rows);
  const evaluate = (params: Float64Array, gradient: Float64Array): number => {
    let loss = 0;
    gradient.fill(0);
    for (let n = 0; n < count; n++) {
      for (let r = 0; r < rows; r++) {
        let z = params[rows * dim + r]!;
        for (let d = 0, w = r * dim, at = n * dim; d < dim; d++) z += params[w + d]! * x[at + d]!;
        logits[r] = z;
      }
      const weight = (caseWeights?.[n] ?? 1) / total;
      // Leaves in `logits` the gradient of the loss by the logits.
      loss += weight * lossOf(logits, labels[n]!);
      for (let r = 0; r < rows; r++) {
        const g = weight * logits[r]!;
        gradient[rows * dim + r]! += g;
        for (let d = 0, w = r * dim, at = n * dim; d < dim; d++) gradient[w + d]! += g * x[at + d]!;
      }
    }
    for (let w = 0; w < rows * dim; w++) {
      loss += (l2 / 2) * params[w]! ** 2;
      gradient[w]! += l2 * params[w]!;
    }
    return loss;
  };
  const start = new Float64Array(rows * dim + rows);
  if (from !== undefined) {
    start.set(from.weights);
    start.set(from.bias, rows * dim);
  }
  const { x: found } = minimise(evaluate, start, { tolerance });
  return {
    classes,
    mean,
    scale,
    weights: found.slice(0, rows * dim),
    bias: found.slice(rows * dim),
  };
}

/** Cross-entropy of one case; its gradient replaces the logits. */
function lossOf(logits: Float64Array, label: number): number {
  if (logits.length === 1) {
    const z = logits[0]!;
    const target = label === 1 ? 1 : 0;
    logits[0] = 1 / (1 + Math.exp(-z)) - target;
    return Math.max(z, 0) - z * target + Math.log1p(Math.exp(-Math.abs(z)));
  }
  const most = Math.max(...logits);
  let sum = 0;
  for (const z of logits) sum += Math.exp(z - most);
  const loss = Math.log(sum) + most - logits[label]!;
  for (let r = 0; r < logits.length; r++)
    logits[r] = Math.exp(logits[r]! - most) / sum - (r === label ? 1 : 0);
  return loss;
}

/** [classes] logits of one case; for two classes [0, z]. */
export function logitsOf(model: LogisticModel, features: ArrayLike<number>): Float64Array {
  const { mean, scale, weights, bias, classes } = model;
  const dim = mean.length;
  const rows = bias.length;
  const logits = new Float64Array(classes);
  for (let r = 0; r < rows; r++) {
    let z = bias[r]!;
    for (let d = 0; d < dim; d++) z += weights[r * dim + d]! * (features[d]! - mean[d]!) * scale[d]!;
    logits[rows === 1 ? 1 : r] = z;
  }
  return logits;
}

/** Probabilities of logits divided by a temperature. */
export function softmax(logits: ArrayLike<number>, temperature = 1): Float64Array {
  const most = Math.max(...Array.from(logits)) / temperature;
  const out = Float64Array.from(logits, (z) => Math.exp(z / temperature - most));
  const sum = out.reduce((total, value) => total + value, 0);
  return out.map((value) => value / sum);
}
