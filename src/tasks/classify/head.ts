/** Heads on frozen features: what they are, how they are tuned on labelled cases, and what they predict. */
import { TaskError } from '../error.js';
import { calibrated, calibrationOf, type Calibration } from './calibrate.js';
import { stratifiedFolds } from './folds.js';
import { balancedWeights, fitLogisticPath, logitsOf, type LogisticModel } from './logistic.js';
import { neighbourVote } from './neighbours.js';
import { fitRidge, predictRidge, type RidgeModel } from './ridge.js';

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

export type Method = 'logistic' | 'knn';

export interface Cases {
  /** [dim] for each case, all of one encoder. */
  readonly features: readonly Float32Array[];
  /** Cases of one patient never stand on both sides of a split. */
  readonly patients: readonly string[];
}

/** A probe of one question, with what turns its logits into probabilities. */
type Classifier = {
  readonly calibration: Calibration;
  /** Share of each class in the training cases. */ readonly prior: Float64Array;
} & (
  | { readonly method: 'logistic'; readonly model: LogisticModel }
  | {
      readonly method: 'knn';
      readonly k: number;
      readonly references: readonly { readonly vector: Float32Array; readonly label: number }[];
    }
);

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

/** Penalties tried, strongest first, so that each fit starts from the one before. */
const PENALTIES = [10, 1, 0.1, 0.01, 1e-3] as const;
/** Finer fits change no decision. */
const FIT_TOLERANCE = 1e-4;
const NEIGHBOURS = [1, 3, 5, 10, 20] as const;
const INNER_FOLDS = 4;

/**
 * Tunes a head by cross-validation over patients, calibrates it on the cases that each fold did not see, and fits it on
 * all cases. Classes count alike in the fit, however many cases they have.
 *
 * @throws TaskError when a class has too few patients.
 */
export function fitHead(cases: Cases, target: Target, method: Method = 'logistic', seed = 0): Head {
  if (target.kind === 'number') return fitNumber(cases, target, seed);
  const { names } = target;
  const fit = (labels: readonly number[], classes: number): Classifier =>
    fitClassifier(cases, labels, classes, method, seed);
  if (target.kind === 'labels')
    return {
      kind: 'labels',
      names,
      each: names.map((_, c) =>
        fit(
          target.values.map((row) => row[c]!),
          2,
        ),
      ),
    };
  if (target.kind === 'classes')
    return { kind: 'classes', names, classifier: fit(target.values, names.length) };
  return {
    kind: 'ordinal',
    names,
    steps: names.slice(1).map((_, c) =>
      fit(
        target.values.map((value) => (value > c ? 1 : 0)),
        2,
      ),
    ),
  };
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
 * Predictions of every case by a head tuned and fitted without the case's patient: nested cross-validation (Varma &
 * Simon 2006), whose scores are not flattered by the tuning.
 */
export function crossPredict(
  cases: Cases,
  target: Target,
  { method = 'logistic', folds = 5, seed = 0 }: { method?: Method; folds?: number; seed?: number } = {},
): { predictions: Prediction[]; fold: Int32Array } {
  const fold = stratifiedFolds(cases.patients, strata(target), folds, seed);
  const predictions = new Array<Prediction>(cases.features.length);
  for (let f = 0; f < folds; f++) {
    const train = indices(fold, (one) => one !== f);
    const head = fitHead(subset(cases, train), subTarget(target, train), method, seed + f + 1);
    for (const n of indices(fold, (one) => one === f)) predictions[n] = predictHead(head, cases.features[n]!);
  }
  return { predictions, fold };
}

/**
 * Whether the patients suffice for {@link crossPredict}, before anything is encoded.
 * @throws TaskError when there are fewer patients than folds, or a class has one patient only.
 */
export function checkPatients(patients: readonly string[], target: Target, folds: number): void {
  stratifiedFolds(patients, strata(target), folds);
}

/** Class of each case for stratification: the rarest label present, or the quarter of a number. */
function strata(target: Target): number[] {
  if (target.kind === 'labels') {
    const counts = target.names.map((_, c) => target.values.filter((row) => row[c] === 1).length);
    return target.values.map((row) => {
      const present = counts.map((count, c) => ({ count, c })).filter(({ c }) => row[c] === 1);
      return present.length === 0 ? 0 : 1 + present.sort((a, b) => a.count - b.count)[0]!.c;
    });
  }
  if (target.kind !== 'number') return [...target.values];
  const sorted = target.values.toSorted((a, b) => a - b);
  return target.values.map((value) => Math.min(3, Math.floor((4 * sorted.indexOf(value)) / sorted.length)));
}

function fitNumber(
  cases: Cases,
  target: Extract<Target, { kind: 'number' }>,
  seed: number,
): Extract<Head, { kind: 'number' }> {
  const fold = innerFolds(cases.patients, strata(target), seed);
  let best: number = PENALTIES[0];
  let least = Infinity;
  for (const l2 of PENALTIES) {
    let error = 0;
    for (const f of new Set(fold)) {
      const train = indices(fold, (one) => one !== f);
      const model = fitRidge(
        train.map((n) => cases.features[n]!),
        train.map((n) => target.values[n]!),
        l2,
      );
      for (const n of indices(fold, (one) => one === f))
        error += (predictRidge(model, cases.features[n]!) - target.values[n]!) ** 2;
    }
    if (error < least) [best, least] = [l2, error];
  }
  return { kind: 'number', names: target.names, model: fitRidge(cases.features, target.values, best) };
}

function fitClassifier(
  cases: Cases,
  labels: readonly number[],
  classes: number,
  method: Method,
  seed: number,
): Classifier {
  const fold = innerFolds(cases.patients, labels, seed);
  const settings: readonly number[] = method === 'logistic' ? PENALTIES : NEIGHBOURS;
  // logits[setting][case] of the fold that did not see the case
  const logits = settings.map(() => new Array<Float64Array>(labels.length));
  for (const f of new Set(fold)) {
    const train = indices(fold, (one) => one !== f);
    const test = indices(fold, (one) => one === f);
    const told = train.map((n) => labels[n]!);
    const features = train.map((n) => cases.features[n]!);
    rawFits(features, told, classes, method, settings).forEach((raw, s) => {
      for (const n of test) logits[s]![n] = rawLogits(raw, cases.features[n]!, classes);
    });
  }
  const weights = balancedWeights(labels, classes);
  let best = 0;
  let least = Infinity;
  const calibrations = logits.map((rows) => calibrationOf(rows, labels));
  calibrations.forEach((calibration, s) => {
    // The loss that decides is balanced, or a rare class would count for nothing.
    const prior = priorOf(labels, classes);
    const loss = logits[s]!.reduce((sum, row, n) => {
      const p = evenly(calibrated(calibration, row), prior);
      return sum - weights[n]! * Math.log(Math.max(p[labels[n]!]!, 1e-12));
    }, 0);
    if (loss < least - 1e-9) [best, least] = [s, loss];
  });
  const [fitted] = rawFits(cases.features, labels, classes, method, [settings[best]!]);
  return { ...fitted!, calibration: calibrations[best]!, prior: priorOf(labels, classes) };
}

type Raw =
  | { readonly method: 'logistic'; readonly model: LogisticModel }
  | {
      readonly method: 'knn';
      readonly k: number;
      readonly references: readonly { readonly vector: Float32Array; readonly label: number }[];
    };

function rawFits(
  features: readonly Float32Array[],
  labels: readonly number[],
  classes: number,
  method: Method,
  settings: readonly number[],
): Raw[] {
  if (method === 'knn') {
    const references = features.map((row, n) => ({ vector: unit(row), label: labels[n]! }));
    return settings.map((k) => ({ method, k, references }));
  }
  const caseWeights = balancedWeights(labels, classes);
  return fitLogisticPath(features, labels, classes, settings, {
    caseWeights,
    tolerance: FIT_TOLERANCE,
  }).map((model) => ({ method, model }));
}

/** A vote is turned into logits with half a case of doubt, since a share of 0 has none. */
function rawLogits(raw: Raw, features: Float32Array, classes: number): Float64Array {
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

function evenly(probabilities: Float64Array, prior: Float64Array): Float64Array {
  const ratio = probabilities.map((p, c) => (prior[c]! > 0 ? p / prior[c]! : 0));
  const sum = ratio.reduce((total, value) => total + value, 0);
  return ratio.map((value) => value / sum);
}

function priorOf(labels: readonly number[], classes: number): Float64Array {
  const prior = new Float64Array(classes);
  for (const label of labels) prior[label]! += 1 / labels.length;
  return prior;
}

/** As many folds as the rarest class has patients for, at most {@link INNER_FOLDS}. */
function innerFolds(patients: readonly string[], labels: readonly number[], seed: number): Int32Array {
  const having = new Map<number, Set<string>>();
  labels.forEach((label, n) => having.set(label, (having.get(label) ?? new Set()).add(patients[n]!)));
  const fewest = Math.min(...[...having.values()].map((set) => set.size));
  if (fewest < 2)
    throw new TaskError(
      `fit: every class must have cases of at least two patients, got one of ${fewest}; add labels or leave the class out`,
    );
  return stratifiedFolds(patients, labels, Math.min(INNER_FOLDS, fewest), seed);
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

const indices = (fold: Int32Array, wanted: (fold: number) => boolean): number[] =>
  Array.from(fold, (_, n) => n).filter((n) => wanted(fold[n]!));

const subset = ({ features, patients }: Cases, of: readonly number[]): Cases => ({
  features: of.map((n) => features[n]!),
  patients: of.map((n) => patients[n]!),
});

function subTarget(target: Target, of: readonly number[]): Target {
  return { ...target, values: of.map((n) => target.values[n]!) } as Target;
}
