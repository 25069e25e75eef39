/** Heads on frozen features: how they are tuned and fitted on labelled cases. */
import { TaskError } from '../error.js';
import { calibrated, calibrationOf, type Calibration } from './calibrate.js';
import { givenFolds, stratifiedFolds } from './folds.js';
import { balancedWeights, fitLogisticPath } from './logistic.js';
import {
  evenly,
  predictHead,
  priorOf,
  rawLogits,
  unit,
  type Classifier,
  type Head,
  type Prediction,
  type Raw,
  type Target,
} from './prediction.js';
import { fitRidge, predictRidge } from './ridge.js';
import { fitSemi } from './semi.js';
import { SemiSpace } from './semi-space.js';

export { predictHead, type Head, type Prediction, type Target } from './prediction.js';

export type Method = 'logistic' | 'knn';

export interface Cases {
  /** [dim] for each case, all of one encoder. */
  readonly features: readonly Float32Array[];
  /** Cases of one patient never stand on both sides of a split. */
  readonly patients: readonly string[];
  /** Widths of the views that lie side by side in the features; one unless given. */
  readonly blocks?: readonly number[];
  /**
   * Cases of which nothing is told, to learn from as well (see `fitSemi`). While a fold is held out, those of its patients
   * are left out too; a null patient is known to be nobody of the labelled ones.
   */
  readonly unlabelled?: readonly Unlabelled[];
  /** Whether a class of one patient is learnt without tuning and calibration instead of being refused. */
  readonly untuned?: boolean;
}

export interface Unlabelled {
  readonly features: Float32Array;
  readonly patient: string | null;
}

/** Penalties tried, strongest first, so that each fit starts from the one before. */
const PENALTIES = [10, 1, 0.1, 0.01, 1e-3] as const;
/** Finer fits change no decision. */
const FIT_TOLERANCE = 1e-4;
const NEIGHBOURS = [1, 3, 5, 10, 20] as const;
const INNER_FOLDS = 4;
/** The penalty and the number of neighbours where there is nobody to tune them on. */
const UNTUNED = { logistic: 1, knn: 5 } as const;

/**
 * Tunes a head by cross-validation over patients, calibrates it on the cases that each fold did not see, and fits it on
 * all cases. Classes count alike in the fit, however many cases they have.
 *
 * @throws TaskError when a class has too few patients, or unlabelled cases are given for what cannot learn from them.
 */
export function fitHead(cases: Cases, target: Target, method: Method = 'logistic', seed = 0): Head {
  if (cases.unlabelled !== undefined && (target.kind === 'number' || method !== 'logistic'))
    throw new TaskError(
      'fit: series without labels teach a logistic probe of classes or labels, ' +
        `got ${target.kind === 'number' ? 'a number' : method}; leave --unlabeled out`,
    );
  if (target.kind === 'number') return fitNumber(cases, target, seed);
  const { names } = target;
  // One space does for all questions and inner folds: labels play no part in it.
  const space = cases.unlabelled && spaceOf(cases);
  const fit = (labels: readonly number[], classes: number): Classifier =>
    space
      ? fitWithUnlabelled(cases, labels, classes, space, seed)
      : fitClassifier(cases, labels, classes, method, seed);
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

/**
 * Predictions of every case by a head tuned and fitted without the case's patient: nested cross-validation (Varma &
 * Simon 2006), whose scores are not flattered by the tuning.
 */
export function crossPredict(
  cases: Cases,
  target: Target,
  options: CrossOptions = {},
): { predictions: Prediction[]; fold: Int32Array } {
  const { predict, fold } = crossFit(cases, target, options);
  return { predictions: cases.features.map((features, n) => predict(n, features)!), fold };
}

export interface CrossOptions {
  readonly method?: Method;
  readonly folds?: number;
  readonly seed?: number;
  /** The fold of each case where a split is published; -1 for cases that only teach. */
  readonly given?: ArrayLike<number>;
}

/**
 * The heads behind {@link crossPredict}. `predict(n, features)` asks the one that has not seen case n's patient, of the
 * case's own features or of others (the same image, altered); null for a case that only teaches.
 * @throws TaskError when a given split has a patient in two folds, or a class has too few patients.
 */
export function crossFit(
  cases: Cases,
  target: Target,
  { method = 'logistic', folds = 5, seed = 0, given }: CrossOptions = {},
): { predict: (n: number, features: Float32Array) => Prediction | null; fold: Int32Array } {
  const fold =
    given === undefined
      ? stratifiedFolds(cases.patients, strata(target), folds, seed)
      : givenFolds(cases.patients, given);
  const heads = new Map<number, Head>();
  for (const f of [...new Set(fold)].sort((a, b) => a - b)) {
    if (f < 0) continue;
    const train = indices(fold, (one) => one !== f);
    // Of a class of two patients one is held out now, and the other is all there is to learn from.
    const known = { ...subset(cases, train), untuned: true };
    heads.set(f, fitHead(known, subTarget(target, train), method, seed + f + 1));
  }
  return {
    fold,
    predict: (n, features) => (fold[n]! < 0 ? null : predictHead(heads.get(fold[n]!)!, features)),
  };
}

/**
 * Whether the patients suffice for {@link crossPredict}, before anything is encoded.
 * @throws TaskError when there are fewer patients than folds, or a class has one patient only.
 */
export function checkPatients(patients: readonly string[], target: Target, folds: number): void {
  stratifiedFolds(patients, strata(target), folds);
}

/** Class of each case for stratification: the rarest label present, or the quarter of a number. */
export function strata(target: Target): number[] {
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
  const prior = priorOf(labels, classes);
  if (cases.untuned && fewestPatients(cases.patients, labels) < 2) {
    const [fitted] = rawFits(cases, labels, classes, method, [UNTUNED[method]]);
    return { ...fitted!, calibration: uncalibrated(prior, method), prior };
  }
  const fold = innerFolds(cases.patients, labels, seed);
  const settings: readonly number[] = method === 'logistic' ? PENALTIES : NEIGHBOURS;
  const learn = (of: Cases, told: readonly number[]): Raw[] => rawFits(of, told, classes, method, settings);
  const logits = heldOutLogits(cases, labels, classes, fold, learn);
  const weights = balancedWeights(labels, classes);
  let best = 0;
  let least = Infinity;
  const calibrations = logits.map((rows) => calibrationOf(rows, labels));
  calibrations.forEach((calibration, s) => {
    // The loss that decides is balanced, or a rare class would count for nothing.
    const loss = logits[s]!.reduce((sum, row, n) => {
      const p = evenly(calibrated(calibration, row), prior);
      return sum - weights[n]! * Math.log(Math.max(p[labels[n]!]!, 1e-12));
    }, 0);
    if (loss < least - 1e-9) [best, least] = [s, loss];
  });
  const [fitted] = rawFits(cases, labels, classes, method, [settings[best]!]);
  return { ...fitted!, calibration: calibrations[best]!, prior };
}

/** No more than the classes' shares, which fits with balanced weights leave out (neighbours have them in their votes). */
function uncalibrated(prior: Float64Array, method: Method): Calibration {
  const shares = prior.map((p) => (method === 'knn' ? 0 : Math.log(Math.max(p, 1e-9))));
  const mean = shares.reduce((sum, one) => sum + one, 0) / shares.length;
  return { temperature: 1, bias: shares.map((one) => one - mean) };
}

const spaceOf = ({ features, unlabelled, blocks }: Cases): SemiSpace =>
  SemiSpace.of(
    [...features, ...unlabelled!.map((one) => one.features)],
    blocks ?? [features[0]?.length ?? 0],
  );

/** Nothing of the committee is tuned; it is calibrated as other classifiers are. */
function fitWithUnlabelled(
  cases: Cases,
  labels: readonly number[],
  classes: number,
  space: SemiSpace,
  seed: number,
): Classifier {
  const teach = ({ features, patients, unlabelled }: Cases, told: readonly number[]): Raw[] => {
    const others = unlabelled!.map((one) => one.features);
    return [{ method: 'logistic', model: fitSemi(features, told, others, classes, { patients, space }) }];
  };
  const prior = priorOf(labels, classes);
  const fitted = teach(cases, labels)[0]!;
  if (cases.untuned && fewestPatients(cases.patients, labels) < 2)
    return { ...fitted, calibration: uncalibrated(prior, 'logistic'), prior };
  const fold = innerFolds(cases.patients, labels, seed);
  const [logits] = heldOutLogits(cases, labels, classes, fold, teach);
  return { ...fitted, calibration: calibrationOf(logits!, labels), prior };
}

/** logits[fit][case] by fits that did not see the case's fold. */
function heldOutLogits(
  cases: Cases,
  labels: readonly number[],
  classes: number,
  fold: Int32Array,
  learn: (cases: Cases, labels: readonly number[]) => Raw[],
): Float64Array[][] {
  const logits: Float64Array[][] = [];
  for (const f of new Set(fold)) {
    const train = indices(fold, (one) => one !== f);
    const test = indices(fold, (one) => one === f);
    learn(
      subset(cases, train),
      train.map((n) => labels[n]!),
    ).forEach((raw, s) => {
      logits[s] ??= new Array<Float64Array>(labels.length);
      for (const n of test) logits[s][n] = rawLogits(raw, cases.features[n]!, classes);
    });
  }
  return logits;
}

function rawFits(
  { features, blocks }: Cases,
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
    ...(blocks && { blocks }),
  }).map((model) => ({ method, model }));
}

function fewestPatients(patients: readonly string[], labels: readonly number[]): number {
  const having = new Map<number, Set<string>>();
  labels.forEach((label, n) => having.set(label, (having.get(label) ?? new Set()).add(patients[n]!)));
  return Math.min(...[...having.values()].map((set) => set.size));
}

/** As many folds as the rarest class has patients for, at most {@link INNER_FOLDS}. */
function innerFolds(patients: readonly string[], labels: readonly number[], seed: number): Int32Array {
  const fewest = fewestPatients(patients, labels);
  if (fewest < 2)
    throw new TaskError(
      `fit: every class must have cases of at least two patients, but one has one; add labels or leave the class out`,
    );
  return stratifiedFolds(patients, labels, Math.min(INNER_FOLDS, fewest), seed);
}

const indices = (fold: Int32Array, wanted: (fold: number) => boolean): number[] =>
  Array.from(fold, (_, n) => n).filter((n) => wanted(fold[n]!));

/** Some of the cases; unlabelled ones of the patients that are not among them go too. */
function subset({ features, patients, blocks, unlabelled }: Cases, of: readonly number[]): Cases {
  const here = new Set(of.map((n) => patients[n]!));
  const gone = new Set(patients.filter((patient) => !here.has(patient)));
  return {
    features: of.map((n) => features[n]!),
    patients: of.map((n) => patients[n]!),
    ...(blocks && { blocks }),
    ...(unlabelled && {
      unlabelled: unlabelled.filter(({ patient }) => patient === null || !gone.has(patient)),
    }),
  };
}

function subTarget(target: Target, of: readonly number[]): Target {
  return { ...target, values: of.map((n) => target.values[n]!) } as Target;
}
