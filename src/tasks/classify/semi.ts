/** A linear probe that also learns from cases without labels: its teacher labels them, where it is sure. */
import { TaskError } from '../error.js';
import { balancedWeights, fitLogistic, logitsOf, standardisation, type LogisticModel } from './logistic.js';

/** Features of one case: the image as it is, and altered views of it (crops, noise, gaps); the steps take turns at them. */
export interface Viewed {
  readonly whole: Float32Array;
  readonly views: readonly Float32Array[];
}

export interface SemiOptions {
  readonly l2: number;
  /** Steps of gradient descent over all cases. */
  readonly steps?: number;
  /** A class's most frequent confident answers are taken above this probability; rarer classes' above less. */
  readonly threshold?: number;
  /** Share of the teacher that stays at each step. */
  readonly momentum?: number;
  /** Weight of the unlabelled loss beside the labelled one. */
  readonly weight?: number;
}

const LEARNING_RATE = 0.02;

/**
 * FixMatch (Sohn et al. 2020) on frozen features, with a mean teacher (Tarvainen & Valpola 2017), the thresholds of
 * FlexMatch (Zhang et al. 2021: a class that the teacher is seldom sure of needs less certainty) and distribution
 * alignment (Berthelot et al. 2020: the teacher's answers as a whole keep the classes' shares of the labels). The teacher
 * sees the whole image, the student its altered views. Starts from the supervised probe.
 *
 * @param labels class of each labelled case. @throws TaskError when there are fewer than two classes among them.
 */
export function fitSemi(
  labelled: readonly Viewed[],
  labels: ArrayLike<number>,
  unlabelled: readonly Viewed[],
  classes: number,
  { l2, steps = 200, threshold = 0.9, momentum = 0.95, weight = 1 }: SemiOptions,
): LogisticModel {
  if (unlabelled.length === 0)
    throw new TaskError(
      'fit: there must be series without labels to learn from, got none; leave --unlabeled out',
    );
  // Both kinds of cases say how features are spread.
  const { mean, scale } = standardisation([...labelled, ...unlabelled].map(({ whole }) => whole));
  const dim = mean.length;
  const standard = (features: Float32Array): Float64Array =>
    Float64Array.from(features, (x, d) => (x - mean[d]!) * scale[d]!);
  const known = labelled.map(({ whole, views }) => [whole, ...views].map(standard));
  const asked = unlabelled.map(({ whole }) => standard(whole));
  const altered = unlabelled.map(({ whole, views }) => (views.length === 0 ? [whole] : views).map(standard));

  const start = fitLogistic(
    known.map((rows) => rows[0]!),
    labels,
    classes,
    { l2, caseWeights: balancedWeights(labels, classes), tolerance: 1e-4 },
  );
  const student = fullWeights(start, dim);
  const teacher = student.slice();
  const caseWeights = balancedWeights(labels, classes);
  const shares = sharesOf(labels, classes);
  const seen = Float64Array.from(shares);
  const moments = { m: new Float64Array(student.length), v: new Float64Array(student.length) };
  const gradient = new Float64Array(student.length);
  const p = new Float64Array(classes);
  for (let step = 1; step <= steps; step++) {
    const chosen = confident(answersOf(teacher, asked, shares, seen), classes, threshold);
    gradient.fill(0);
    known.forEach((rows, n) => {
      const x = rows[step % rows.length]!;
      addGradient(gradient, student, x, labels[n]!, caseWeights[n]! / known.length, p);
    });
    altered.forEach((rows, n) => {
      if (chosen[n]! < 0) return;
      addGradient(gradient, student, rows[step % rows.length]!, chosen[n]!, weight / altered.length, p);
    });
    for (let w = 0; w < classes * dim; w++) gradient[w]! += l2 * student[w]!;
    adam(student, gradient, moments, step, LEARNING_RATE * 0.5 * (1 + Math.cos((Math.PI * step) / steps)));
    for (let w = 0; w < teacher.length; w++)
      teacher[w] = momentum * teacher[w]! + (1 - momentum) * student[w]!;
  }
  return toModel(teacher, classes, dim, mean, scale);
}

/** What the teacher says of each case, moved so that its answers as a whole (their running mean is `seen`) keep `shares`. */
function answersOf(
  teacher: Float64Array,
  asked: readonly Float64Array[],
  shares: Float64Array,
  seen: Float64Array,
): Float64Array[] {
  const classes = shares.length;
  return asked.map((x) => {
    const p = new Float64Array(classes);
    answer(teacher, x, p);
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      seen[c] = 0.999 * seen[c]! + 0.001 * p[c]!;
      p[c]! *= shares[c]! / Math.max(seen[c]!, 1e-6);
      sum += p[c]!;
    }
    for (let c = 0; c < classes; c++) p[c]! /= sum;
    return p;
  });
}

function sharesOf(labels: ArrayLike<number>, classes: number): Float64Array {
  const shares = new Float64Array(classes);
  for (let n = 0; n < labels.length; n++) shares[labels[n]!]! += 1 / labels.length;
  return shares;
}

/** The class of each answer that passes its class's threshold; -1 for the others. */
function confident(answers: readonly Float64Array[], classes: number, threshold: number): Int32Array {
  const best = answers.map((p) => {
    let label = 0;
    for (let c = 1; c < classes; c++) if (p[c]! > p[label]!) label = c;
    return { most: p[label]!, label };
  });
  const sure = new Float64Array(classes);
  for (const { most, label } of best) if (most >= threshold) sure[label]!++;
  const largest = Math.max(1, ...sure);
  // FlexMatch's convex map of the share of sure answers.
  const limits = sure.map((count) => {
    const status = count / largest;
    return Math.max(1.2 / classes, (threshold * status) / (2 - status));
  });
  return Int32Array.from(best, ({ most, label }) => (most >= limits[label]! ? label : -1));
}

/** Weights of every class as [classes, dim] and then [classes] biases. */
function fullWeights({ weights, bias, mean, scale, classes }: LogisticModel, dim: number): Float64Array {
  const full = new Float64Array(classes * dim + classes);
  const rows = bias.length;
  for (let r = 0; r < rows; r++) {
    const c = rows === 1 ? 1 : r;
    full[classes * dim + c] = bias[r]!;
    for (let d = 0; d < dim; d++) {
      const w = weights[r * dim + d]! * scale[d]!;
      full[c * dim + d] = w;
      full[classes * dim + c]! -= w * mean[d]!;
    }
  }
  return full;
}

/** Probabilities of each class by weights laid out as in {@link fullWeights}, written to `out`. */
function answer(weights: Float64Array, x: Float64Array, out: Float64Array): void {
  const [dim, classes] = [x.length, out.length];
  let most = -Infinity;
  for (let c = 0; c < classes; c++) {
    let z = weights[classes * dim + c]!;
    for (let d = 0, w = c * dim; d < dim; d++, w++) z += weights[w]! * x[d]!;
    out[c] = z;
    most = Math.max(most, z);
  }
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += out[c] = Math.exp(out[c]! - most);
  for (let c = 0; c < classes; c++) out[c]! /= sum;
}

/** @param p room for the classes' probabilities. */
function addGradient(
  gradient: Float64Array,
  weights: Float64Array,
  x: Float64Array,
  label: number,
  share: number,
  p: Float64Array,
): void {
  const [dim, classes] = [x.length, p.length];
  answer(weights, x, p);
  for (let c = 0; c < classes; c++) {
    const g = share * (p[c]! - (c === label ? 1 : 0));
    gradient[classes * dim + c]! += g;
    for (let d = 0, w = c * dim; d < dim; d++, w++) gradient[w]! += g * x[d]!;
  }
}

/** Kingma & Ba 2015. */
function adam(
  weights: Float64Array,
  gradient: Float64Array,
  { m, v }: { m: Float64Array; v: Float64Array },
  step: number,
  rate: number,
): void {
  for (let w = 0; w < weights.length; w++) {
    const g = gradient[w]!;
    m[w] = 0.9 * m[w]! + 0.1 * g;
    v[w] = 0.999 * v[w]! + 0.001 * g * g;
    weights[w]! -= (rate * (m[w]! / (1 - 0.9 ** step))) / (Math.sqrt(v[w]! / (1 - 0.999 ** step)) + 1e-8);
  }
}

/** Two classes have one row of weights: the difference of theirs. */
function toModel(
  full: Float64Array,
  classes: number,
  dim: number,
  mean: Float64Array,
  scale: Float64Array,
): LogisticModel {
  if (classes > 2)
    return { classes, mean, scale, weights: full.slice(0, classes * dim), bias: full.slice(classes * dim) };
  return {
    classes,
    mean,
    scale,
    weights: Float64Array.from({ length: dim }, (_, d) => full[dim + d]! - full[d]!),
    bias: Float64Array.of(full[2 * dim + 1]! - full[2 * dim]!),
  };
}

/** Whether a model's answer for a case is right; for tests of few labels. */
export function decides(model: LogisticModel, features: Float32Array): number {
  const z = logitsOf(model, features);
  return z.indexOf(Math.max(...z));
}
