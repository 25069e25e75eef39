/** A probe that also learns from cases without labels: a committee of views labels them, where it is sure. */
import { TaskError } from '../error.js';
import { stratifiedFolds } from './folds.js';
import { balancedWeights, fitLogistic, logitsOf, softmax, type LogisticModel } from './logistic.js';
import { SemiSpace, type Linear } from './semi-space.js';

export interface SemiOptions {
  readonly l2?: number;
  /** Widths of the views that lie side by side in the features; one unless given. */
  readonly blocks?: readonly number[];
  /** Of each labelled case, so that what it means to be sure is asked of patients apart; all apart unless given. */
  readonly patients?: readonly string[];
  /** The class of which the teacher is sure most often is taken above this probability; others above less. */
  readonly threshold?: number;
  readonly rounds?: number;
  /** Made from these cases before, for several fits. */
  readonly space?: SemiSpace;
}

/** Penalty of a member; what is found hardly depends on it. */
const L2 = 0.1;
/** Lowest threshold of a class. */
const FLOOR = 0.5;
const FOLDS = 4;
const TOLERANCE = 1e-3;

/** The members' maps, and their mean spread of logits over the unlabelled cases: a member says logits / spread. */
interface Committee {
  readonly maps: readonly Linear[];
  readonly spreads: readonly number[];
}

/** What is known of a committee from patients left out. */
interface Trust {
  /** Of each member; they add up to 1. */
  readonly weights: readonly number[];
  /** What the weighted sum of the members' logits is multiplied by to be as sure as is justified; null where none can be. */
  readonly sharpness: number | null;
}

/**
 * Co-training of views (Blum & Mitchell 1998) as a student and a teacher (Tarvainen & Valpola 2017). A committee has one
 * linear probe for each view (see {@link SemiSpace}); the sum of their logits is the teacher, each weighted by how sure
 * it may be. How sure that is follows from patients left out (a temperature; Guo et al. 2017), so that a view that says nothing of these
 * classes hardly counts, and a teacher that is often wrong labels little; classes that it is seldom sure of need less (FlexMatch, Zhang et al. 2021). A student committee learns these labels too; how many of a class there
 * are among them is not held against its share of the labels. The next teacher is the first moved towards the student by
 * the share of cases that it was sure of: with none, the committee of the labels alone is what remains.
 *
 * @param labels class of each labelled case. @throws TaskError when there are fewer than two classes among them.
 */
export function fitSemi(
  labelled: readonly Float32Array[],
  labels: ArrayLike<number>,
  unlabelled: readonly Float32Array[],
  classes: number,
  options: SemiOptions = {},
): LogisticModel {
  if (unlabelled.length === 0)
    throw new TaskError(
      'fit: there must be series without labels to learn from, got none; leave --unlabeled out',
    );
  const { l2 = L2, threshold = 0.6, rounds = 4, blocks = [labelled[0]?.length ?? 0] } = options;
  const space = options.space ?? SemiSpace.of([...labelled, ...unlabelled], blocks);
  const known = labelled.map((features) => space.see(features));
  const asked = unlabelled.map((features) => space.see(features));
  const fit = (
    cases: readonly (readonly Float64Array[])[],
    told: ArrayLike<number>,
    weights?: Float64Array,
  ) => committeeOf(space, cases, told, classes, l2, asked, weights);

  const first = fit(known, labels);
  const { weights, sharpness } = trustOf(known, labels, classes, options.patients, fit);
  const before = asked.map((rows) => logitsBy(first, rows, weights));
  let teacher = before;
  let [student, share] = [first, 0];
  for (let round = 0; round < rounds && sharpness !== null; round++) {
    const chosen = confident(
      teacher.map((z) => softmax(z, 1 / sharpness)),
      classes,
      threshold,
    );
    const sure = [...chosen.keys()].filter((n) => chosen[n]! >= 0);
    const told = sure.map((n) => chosen[n]!);
    share = sure.length / asked.length;
    if (share === 0) break;
    const own = balancedWeights(labels, classes).map((w) => w / labelled.length);
    const taught = balancedWeights(told, classes).map((w) => (w / told.length) * share);
    student = fit(
      [...known, ...sure.map((n) => asked[n]!)],
      [...Array.from(labels), ...told],
      Float64Array.of(...own, ...taught),
    );
    const after = asked.map((rows) => logitsBy(student, rows, weights));
    teacher = before.map((z, n) => z.map((value, c) => (1 - share) * value + share * after[n]![c]!));
  }
  return toModel(space, classes, weights, [
    [first, 1 - share],
    [student, share],
  ]);
}

function committeeOf(
  space: SemiSpace,
  cases: readonly (readonly Float64Array[])[],
  labels: ArrayLike<number>,
  classes: number,
  l2: number,
  asked: readonly (readonly Float64Array[])[],
  caseWeights: Float64Array = balancedWeights(labels, classes),
): Committee {
  const maps = Array.from({ length: space.members }, (_, m) => {
    const rows = cases.map((sights) => sights[m]!);
    const model = fitLogistic(rows, labels, classes, {
      ...{ l2, caseWeights, tolerance: TOLERANCE, standardise: false },
    });
    return centred(model);
  });
  const spreads = maps.map((map, m) => {
    let squares = 0;
    for (const sights of asked) for (const z of logits(map, sights[m]!)) squares += z * z;
    return Math.sqrt(squares / (asked.length * classes)) || 1;
  });
  return { maps, spreads };
}

/** A row of weights for each class, whose sum is 0. */
function centred({ classes, weights, bias }: LogisticModel): Linear {
  const dim = weights.length / bias.length;
  const rows = Array.from({ length: bias.length }, (_, r) => weights.slice(r * dim, (r + 1) * dim));
  if (classes === 2)
    return {
      weights: [rows[0]!.map((w) => -w / 2), rows[0]!.map((w) => w / 2)],
      bias: Float64Array.of(-bias[0]! / 2, bias[0]! / 2),
    };
  const mean = Float64Array.from(
    { length: dim },
    (_, d) => rows.reduce((sum, row) => sum + row[d]!, 0) / classes,
  );
  const middle = bias.reduce((sum, b) => sum + b, 0) / classes;
  return { weights: rows.map((row) => row.map((w, d) => w - mean[d]!)), bias: bias.map((b) => b - middle) };
}

function logits({ weights, bias }: Linear, x: Float64Array): Float64Array {
  return bias.map((b, c) => {
    const row = weights[c]!;
    let z = b;
    for (let d = 0; d < x.length; d++) z += row[d]! * x[d]!;
    return z;
  });
}

/** What each member says. */
const saidBy = ({ maps, spreads }: Committee, sights: readonly Float64Array[]): Float64Array[] =>
  maps.map((map, m) => logits(map, sights[m]!).map((z) => z / spreads[m]!));

function weighted(said: readonly Float64Array[], weights: readonly number[]): Float64Array {
  const out = new Float64Array(said[0]!.length);
  said.forEach((row, m) => row.forEach((z, c) => (out[c]! += weights[m]! * z)));
  return out;
}

const logitsBy = (committee: Committee, sights: readonly Float64Array[], weights: readonly number[]) =>
  weighted(saidBy(committee, sights), weights);

/** How far members and committee can be trusted, by cross-validation over the labelled patients; evenly where there are too few. */
function trustOf(
  known: readonly (readonly Float64Array[])[],
  labels: ArrayLike<number>,
  classes: number,
  patients: readonly string[] = known.map((_, n) => String(n)),
  fit: (cases: readonly (readonly Float64Array[])[], labels: ArrayLike<number>) => Committee,
): Trust {
  const members = known[0]!.length;
  const even: Trust = { weights: Array.from({ length: members }, () => 1 / members), sharpness: null };
  const having = Array.from({ length: classes }, () => new Set<string>());
  patients.forEach((patient, n) => having[labels[n]!]!.add(patient));
  const fewest = Math.min(...having.filter((set) => set.size > 0).map((set) => set.size));
  if (fewest < 2) return even;
  const fold = stratifiedFolds(patients, labels, Math.min(FOLDS, fewest));
  const said: Float64Array[][] = new Array<Float64Array[]>(known.length);
  for (const f of new Set(fold)) {
    const train = [...fold.keys()].filter((n) => fold[n] !== f);
    const told = train.map((n) => labels[n]!);
    if (new Set(told).size < 2) return even;
    const committee = fit(
      train.map((n) => known[n]!),
      told,
    );
    fold.forEach((of, n) => {
      if (of === f) said[n] = saidBy(committee, known[n]!);
    });
  }
  const balanced = balancedWeights(labels, classes);
  const sharpest = (rows: readonly Float64Array[]): number => {
    let [best, least] = [1, Infinity];
    for (let e = -2; e <= 2.5; e += 0.25) {
      const loss = rows.reduce((sum, z, n) => {
        const p = softmax(z, Math.exp(-e))[labels[n]!]!;
        return sum - balanced[n]! * Math.log(Math.max(p, 1e-9));
      }, 0);
      if (loss < least) [best, least] = [Math.exp(e), loss];
    }
    return best;
  };
  const own = Array.from({ length: members }, (_, m) => sharpest(said.map((rows) => rows[m]!)));
  const total = own.reduce((sum, one) => sum + one, 0);
  const weights = own.map((one) => one / total);
  return { weights, sharpness: sharpest(said.map((rows) => weighted(rows, weights))) };
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
  // FlexMatch's convex map of the share of sure answers, but calibrated answers are not trusted below a floor.
  const floor = Math.min(FLOOR, threshold);
  const limits = sure.map((count) => {
    const status = count / largest;
    return floor + ((threshold - floor) * status) / (2 - status);
  });
  return Int32Array.from(best, ({ most, label }) => (most >= limits[label]! ? label : -1));
}

/** The weighted sum of committees as one linear probe. */
function toModel(
  space: SemiSpace,
  classes: number,
  trust: readonly number[],
  parts: readonly (readonly [Committee, number])[],
): LogisticModel {
  const { mean, scale } = space;
  const weights = Array.from({ length: classes }, () => new Float64Array(mean.length));
  const bias = new Float64Array(classes);
  for (const [{ maps, spreads }, share] of parts)
    maps.forEach((map, m) => {
      const part = (share * trust[m]!) / spreads[m]!;
      space.unfold(m, map).forEach((row, c) => {
        const sum = weights[c]!;
        for (let d = 0; d < row.length; d++) sum[d]! += part * row[d]!;
      });
      map.bias.forEach((b, c) => (bias[c]! += part * b));
    });
  if (classes > 2) {
    const flat = new Float64Array(classes * mean.length);
    weights.forEach((row, c) => flat.set(row, c * mean.length));
    return { classes, mean, scale, weights: flat, bias };
  }
  // Two classes have one row of weights: the difference of theirs.
  const [none, some] = weights as [Float64Array, Float64Array];
  return {
    ...{ classes, mean, scale },
    weights: some.map((w, d) => w - none[d]!),
    bias: Float64Array.of(bias[1]! - bias[0]!),
  };
}

/** The class that a model decides for; for tests of few labels. */
export function decides(model: LogisticModel, features: Float32Array): number {
  const z = logitsOf(model, features);
  return z.indexOf(Math.max(...z));
}
