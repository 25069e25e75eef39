/** Logistic regression on frozen features: the linear probe. */
import { TaskError } from '../error.js';
import { curvatureAt, designOf, lossOver, regularised, solveCholesky } from './design.js';
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

export interface FitOptions {
  /** Weight of each case; all alike unless given. {@link balancedWeights} makes classes count alike. */
  readonly caseWeights?: ArrayLike<number>;
  /** Largest component of the gradient of the mean loss that counts as none; 1e-6 unless given. */
  readonly tolerance?: number;
  /** False takes the features as they are. */
  readonly standardise?: boolean;
  /** Widths of views that lie side by side and count alike, as if each were as wide as the first. */
  readonly blocks?: readonly number[];
}

export interface LogisticOptions extends FitOptions {
  /** Weight of half the squared weights beside the mean loss; scikit-learn's C is 1 / (l2 · cases). */
  readonly l2: number;
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
  { l2, ...options }: LogisticOptions,
): LogisticModel {
  return fitLogisticPath(features, labels, classes, [l2], options)[0]!;
}

/**
 * {@link fitLogistic} at several penalties, which share the standardised features. Each fit starts from the one before, so
 * that penalties are best given from strong to weak.
 */
export function fitLogisticPath(
  features: readonly ArrayLike<number>[],
  labels: ArrayLike<number>,
  classes: number,
  penalties: readonly number[],
  { caseWeights, tolerance = 1e-6, standardise = true, blocks = [] }: FitOptions = {},
): LogisticModel[] {
  const seen = new Set(Array.from(labels)).size;
  if (seen < 2)
    throw new TaskError(`fit: the labels must be of at least two classes, got ${seen}; add cases of another`);
  const { mean, scale } = standardise ? standardisation(features) : asTheyAre(features[0]?.length ?? 0);
  let at = 0;
  for (const width of blocks)
    for (const end = at + width; at < end; at++) scale[at]! *= Math.sqrt(blocks[0]! / width);
  const standard = features.map((row) => Float64Array.from(mean, (m, d) => (row[d]! - m) * scale[d]!));
  const design = designOf(standard, caseWeights);
  const rows = classes === 2 ? 1 : classes;
  const { width } = design;
  let params = new Float64Array(rows * width);
  return penalties.map((l2) => {
    const loss = lossOver(design, labels, rows, l2);
    const metric = regularised(design, l2, curvatureAt(design, rows, params));
    const precondition = (q: Float64Array): void => {
      for (let r = 0; r < rows; r++) solveCholesky(metric, width, q.subarray(r * width, (r + 1) * width));
    };
    params = minimise(loss, params, { tolerance, precondition }).x as Float64Array<ArrayBuffer>;
    const weights = new Float64Array(rows * mean.length);
    for (let r = 0; r < rows; r++)
      weights.set(design.back(params.subarray(r * width, (r + 1) * width - 1)), r * mean.length);
    return {
      classes,
      mean,
      scale,
      weights,
      bias: Float64Array.from({ length: rows }, (_, r) => params[(r + 1) * width - 1]!),
    };
  });
}

const asTheyAre = (dim: number) => ({ mean: new Float64Array(dim), scale: new Float64Array(dim).fill(1) });

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
