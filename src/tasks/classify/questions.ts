/** A target as outputs of one linear layer: what is asked of them, and how they become a head. */
import { logSoftmax, mul, neg, reduceSum, softplus, square, sub, type Value } from '../../graph/index.js';
import { calibrationOf } from './calibrate.js';
import { balancedWeights, fitLogistic, standardisation, type LogisticModel } from './logistic.js';
import { priorOf, type Classifier, type Head, type Target } from './prediction.js';
import { fitRidge } from './ridge.js';

/** z = weights (x - mean) scale + bias, one row an output. */
export interface Linear {
  /** [dim] */
  readonly mean: Float64Array;
  readonly scale: Float64Array;
  /** [outputs, dim] */
  readonly weights: Float64Array;
  /** [outputs] */
  readonly bias: Float64Array;
}

/** Penalty of the linear probe that fine-tuning starts from. */
const PROBE_L2 = 0.1;

/**
 * Outputs: one a class; one a label; one for each "beyond class c" of ordered classes; one for a number, in standard
 * deviations about its mean.
 */
export const outputsOf = ({ kind, names }: Target): number =>
  kind === 'ordinal' ? names.length - 1 : kind === 'number' ? 1 : names.length;

/** The classes of each question with its labels: one question of classes, or one of two classes an output. */
function questionsOf(target: Target): { labels: number[]; classes: number }[] {
  const { kind, names } = target;
  if (kind === 'number') return [];
  if (kind === 'classes') return [{ labels: [...target.values], classes: names.length }];
  return Array.from({ length: outputsOf(target) }, (_, c) => ({
    labels: target.values.map((value) => (typeof value === 'number' ? (value > c ? 1 : 0) : value[c]!)),
    classes: 2,
  }));
}

/** What the outputs should say of each case and how much it counts: [outputs] of both a case. */
export function answersOf(target: Target): { truth: Float32Array; weight: Float32Array }[] {
  const outputs = outputsOf(target);
  if (target.kind === 'number') {
    const { mean, scale } = spreadOf(target.values);
    return target.values.map((value) => ({
      truth: Float32Array.of((value - mean) * scale),
      weight: Float32Array.of(1),
    }));
  }
  const questions = questionsOf(target).map(({ labels, classes }) => ({
    labels,
    weights: balancedWeights(labels, classes),
  }));
  const several = target.kind !== 'classes';
  return target.values.map((_, n) => ({
    truth: Float32Array.from({ length: outputs }, (_, k) =>
      several ? questions[k]!.labels[n]! : questions[0]!.labels[n] === k ? 1 : 0,
    ),
    weight: Float32Array.from({ length: outputs }, (_, k) => questions[several ? k : 0]!.weights[n]!),
  }));
}

const spreadOf = (values: readonly number[]): { mean: number; scale: number } => {
  const { mean, scale } = standardisation(values.map((value) => [value]));
  return { mean: mean[0]!, scale: scale[0]! };
};

/**
 * Mean loss of outputs z [B, K] against `truth` [B, K], each counted `weight` [B, K] times: cross-entropy over the classes;
 * binary cross-entropy of each output; half the squared error of a number. Classes count alike.
 */
export function lossOf(kind: Target['kind'], z: Value, truth: Value, weight: Value): Value {
  const each =
    kind === 'classes'
      ? mul(truth, neg(logSoftmax(z)))
      : kind === 'number'
        ? mul(square(sub(z, truth)), 0.5)
        : sub(softplus(z), mul(truth, z));
  return mul(reduceSum(mul(each, weight)), 1 / z.shape[0]!);
}

/** The linear probe that fine-tuning starts from (Kumar et al. 2022). @throws TaskError for one class only. */
export function probeOf(features: readonly Float32Array[], target: Target): Linear {
  if (target.kind === 'number') {
    const { mean, scale } = spreadOf(target.values);
    const ridge = fitRidge(
      features,
      target.values.map((value) => (value - mean) * scale),
      PROBE_L2,
    );
    return { ...ridge, bias: Float64Array.of(ridge.bias) };
  }
  const models = questionsOf(target).map(({ labels, classes }) =>
    fitLogistic(features, labels, classes, {
      l2: PROBE_L2,
      caseWeights: balancedWeights(labels, classes),
      tolerance: 1e-4,
    }),
  );
  const { mean, scale } = models[0]!;
  const dim = mean.length;
  const outputs = outputsOf(target);
  const weights = new Float64Array(outputs * dim);
  const bias = new Float64Array(outputs);
  // A question of two classes has one row: of two outputs the first then says nothing.
  const first = target.kind === 'classes' && outputs === 2 ? 1 : 0;
  models.forEach((model, n) => {
    weights.set(model.weights, (first + n) * dim);
    bias.set(model.bias, first + n);
  });
  return { mean, scale, weights, bias };
}

/** [outputs] z of one case. */
export function applyLinear({ mean, scale, weights, bias }: Linear, x: ArrayLike<number>): Float64Array {
  const dim = mean.length;
  return bias.map((b, k) => {
    let z = b;
    for (let d = 0; d < dim; d++) z += weights[k * dim + d]! * (x[d]! - mean[d]!) * scale[d]!;
    return z;
  });
}

/**
 * A head from a linear layer and outputs of cases that it did not see, which calibrate it.
 * @param heldOut outputs and the target of those cases.
 */
export function headOf(
  linear: Linear,
  target: Target,
  heldOut: { readonly outputs: readonly Float64Array[]; readonly target: Target },
): Head {
  if (target.kind === 'number') {
    // Back from standard deviations to the number's own units.
    const { mean, scale } = spreadOf(target.values);
    const factor = scale === 0 ? 0 : 1 / scale;
    const { weights, bias } = linear;
    const model = { ...linear, weights: weights.map((w) => w * factor), bias: mean + bias[0]! * factor };
    return { kind: 'number', names: target.names, model };
  }
  const classifiers = questionsOf(target).map(({ labels, classes }, k): Classifier => {
    const model = rowsOf(linear, target.kind === 'classes' ? null : k, classes);
    const own = (row: Float64Array): Float64Array =>
      target.kind === 'classes' ? row : Float64Array.of(0, row[k]!);
    const calibration = calibrationOf(heldOut.outputs.map(own), questionsOf(heldOut.target)[k]!.labels);
    return { method: 'logistic', model, calibration, prior: priorOf(labels, classes) };
  });
  const { names, kind } = target;
  if (kind === 'classes') return { kind, names, classifier: classifiers[0]! };
  return kind === 'labels' ? { kind, names, each: classifiers } : { kind, names, steps: classifiers };
}

/** All outputs as the logits of classes, or output `k` as that of the second of two. */
function rowsOf({ mean, scale, weights, bias }: Linear, k: number | null, classes: number): LogisticModel {
  const dim = mean.length;
  if (k !== null)
    return {
      classes,
      mean,
      scale,
      weights: weights.slice(k * dim, (k + 1) * dim),
      bias: bias.slice(k, k + 1),
    };
  if (classes > 2) return { classes, mean, scale, weights, bias };
  return {
    classes,
    mean,
    scale,
    weights: Float64Array.from({ length: dim }, (_, d) => weights[dim + d]! - weights[d]!),
    bias: Float64Array.of(bias[1]! - bias[0]!),
  };
}
