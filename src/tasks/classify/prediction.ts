/** Heads on features: what they are and what they say. */
import { calibrated, type Calibration } from './calibrate.js';
import { logitsOf, type LogisticModel } from './logistic.js';
import { neighbourVote } from './neighbours.js';
import { predictRidge, type RidgeModel } from './ridge.js';

/**
 * What is to be told. `classes`: one of several. `ordinal`: one of several in order. `labels`: each of several, yes or
 * no. `number`: a quantity.
 */
export type Target =
  | {
      readonly kind: 'classes' | 'ordinal';
      readonly names: readonly string[];
      readonly values: readonly number[];
    }
  | {
      readonly kind: 'labels';
      readonly names: readonly string[];
      readonly values: readonly (readonly number[])[];
    }
  | { readonly kind: 'number'; readonly names: readonly [string]; readonly values: readonly number[] };

/** A probe of one question: features to logits. */
export type Raw =
  | { readonly method: 'logistic'; readonly model: LogisticModel }
  | {
      readonly method: 'knn';
      readonly k: number;
      readonly references: readonly { readonly vector: Float32Array; readonly label: number }[];
    };

/** A probe of one question, with what turns its logits into probabilities. */
export type Classifier = Raw & {
  readonly calibration: Calibration;
  /** Share of each class in the training cases. */
  readonly prior: Float64Array;
};

export type Head =
  | { readonly kind: 'classes'; readonly names: readonly string[]; readonly classifier: Classifier }
  /** One classifier for each "beyond class c" (Frank & Hall 2001). */
  | { readonly kind: 'ordinal'; readonly names: readonly string[]; readonly steps: readonly Classifier[] }
  | { readonly kind: 'labels'; readonly names: readonly string[]; readonly each: readonly Classifier[] }
  | { readonly kind: 'number'; readonly names: readonly [string]; readonly model: RidgeModel };

export interface Prediction {
  /** Probability of each class or label; empty for a number. */
  readonly probabilities: Float64Array;
  /** Index of the decided class, or the number; for labels -1. */
  readonly value: number;
  /** For labels, which are decided to be there. */
  readonly present: readonly boolean[];
}

/** What a head says of the features of one case. */
export function predictHead(head: Head, features: Float32Array): Prediction {
  if (head.kind === 'number')
    return { probabilities: new Float64Array(), value: predictRidge(head.model, features), present: [] };
  if (head.kind === 'classes') {
    const { probabilities, decided } = classify(head.classifier, features);
    return { probabilities, value: decided, present: [] };
  }
  if (head.kind === 'labels') {
    const each = head.each.map((one) => classify(one, features));
    return {
      probabilities: Float64Array.from(each, ({ probabilities }) => probabilities[1]!),
      value: -1,
      present: each.map(({ decided }) => decided === 1),
    };
  }
  const beyond = head.steps.map((step) => classify(step, features));
  // Steps are fitted apart; their probabilities must not rise with the class.
  const survival = [1];
  for (const { probabilities } of beyond) survival.push(Math.min(survival.at(-1)!, probabilities[1]!));
  survival.push(0);
  return {
    probabilities: Float64Array.from(head.names, (_, c) => survival[c]! - survival[c + 1]!),
    value: beyond.filter(({ decided }) => decided === 1).length,
    present: [],
  };
}

/**
 * The prediction of a unit (a patient with several series) from those of its series: probabilities and numbers are
 * averaged; decided is the most frequent class, the first among equals, and the labels that more than half have.
 */
export function joinPredictions(of: readonly Prediction[]): Prediction {
  const probabilities = of[0]!.probabilities.map(
    (_, c) => of.reduce((sum, one) => sum + one.probabilities[c]!, 0) / of.length,
  );
  const number = of.reduce((sum, one) => sum + one.value, 0) / of.length;
  return {
    probabilities,
    value: probabilities.length === 0 ? number : mostFrequent(of.map(({ value }) => value)),
    present: of[0]!.present.map((_, c) => of.filter(({ present }) => present[c]).length * 2 > of.length),
  };
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]![0];
}

/** A vote is turned into logits with half a case of doubt, since a share of 0 has none. */
export function rawLogits(raw: Raw, features: Float32Array, classes: number): Float64Array {
  if (raw.method === 'logistic') return logitsOf(raw.model, features);
  const votes = neighbourVote(raw.references, unit(features), classes, raw.k);
  return votes.map((vote) => Math.log((vote * raw.k + 0.5 / classes) / (raw.k + 0.5)));
}

function classify(
  classifier: Classifier,
  features: Float32Array,
): { probabilities: Float64Array; decided: number } {
  const { calibration, prior } = classifier;
  const probabilities = calibrated(calibration, rawLogits(classifier, features, prior.length));
  // Decided as if classes were equally frequent, so that a rare class can be decided at all.
  const even = evenly(probabilities, prior);
  return { probabilities, decided: even.indexOf(Math.max(...even)) };
}

export function evenly(probabilities: Float64Array, prior: Float64Array): Float64Array {
  const ratio = probabilities.map((p, c) => (prior[c]! > 0 ? p / prior[c]! : 0));
  const sum = ratio.reduce((total, value) => total + value, 0);
  return ratio.map((value) => value / sum);
}

export function priorOf(labels: readonly number[], classes: number): Float64Array {
  const prior = new Float64Array(classes);
  for (const label of labels) prior[label]! += 1 / labels.length;
  return prior;
}

export function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}
