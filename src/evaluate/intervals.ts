/** How sure a score is: intervals over patients, and tests between two models on the same cases. */
import { Random } from '../volume/random.js';
import { EvaluateError } from './error.js';
import { sameLength } from './ranking.js';

/** A score with its 95 % interval, and of how many patients (`n`) and cases it is. */
export interface Measured {
  readonly value: number;
  readonly ci95: readonly [low: number, high: number];
  readonly n: number;
  readonly cases: number;
}

/** Scores that no resample can have (one class only in it) are left out of the interval. */
const LEAST_SHARE = 0.5;

/**
 * A score over all cases, with the 2.5 and 97.5 percentiles of the score over resamples of patients with replacement
 * (Efron's bootstrap; whole patients, because images of one patient are not independent).
 *
 * @param patients the patient of every case. @param score the score of some cases, by index, with repeats; it may
 * throw EvaluateError for a resample that has none. @param rounds resamples, 1000 unless said.
 * @throws EvaluateError when the score of all cases does, or when more than half of the resamples have none.
 */
export function bootstrap(
  patients: readonly string[],
  score: (cases: readonly number[]) => number,
  { rounds = 1000, seed = 0 }: { rounds?: number; seed?: number } = {},
): Measured {
  const groups = byPatient(patients);
  const value = score(patients.map((_, n) => n));
  const random = new Random(seed, 0xb007);
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const drawn = Array.from({ length: groups.length }, () => groups[random.int(groups.length)]!).flat();
    try {
      const one = score(drawn);
      if (Number.isFinite(one)) values.push(one);
    } catch (error) {
      if (!(error instanceof EvaluateError)) throw error;
    }
  }
  if (values.length < LEAST_SHARE * rounds)
    throw new EvaluateError(
      `interval: at least half of the resamples of patients must have a score, got ${values.length} of ${rounds}; ` +
        `${groups.length} patients are too few for this score`,
    );
  values.sort((a, b) => a - b);
  return {
    value,
    ci95: [quantile(values, 0.025), quantile(values, 0.975)],
    n: groups.length,
    cases: patients.length,
  };
}

/** Linear interpolation between order statistics (Hyndman & Fan 1996, type 7) of sorted values. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

function byPatient(patients: readonly string[]): number[][] {
  const groups = new Map<string, number[]>();
  patients.forEach((patient, n) => {
    const group = groups.get(patient);
    if (group === undefined) groups.set(patient, [n]);
    else group.push(n);
  });
  return [...groups.values()];
}

export interface Comparison {
  readonly difference: number;
  /** Two-sided. */
  readonly p: number;
}

/**
 * Whether two models' AUROCs on the same cases differ: DeLong, DeLong & Clarke-Pearson 1988. Cases count as
 * independent; where patients have several, use {@link permutationTest}.
 *
 * @returns AUROC of `a` minus that of `b`, its standard error, z and the two-sided p; p is 1 where the models rank alike.
 * @throws EvaluateError when there is only one class.
 */
export function delong(
  labels: ArrayLike<number>,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): Comparison & { aurocs: readonly [number, number]; standardError: number; z: number } {
  sameLength('DeLong test', labels, a);
  sameLength('DeLong test', labels, b);
  const [first, second] = [placements(labels, a), placements(labels, b)];
  const variance =
    covariance(first.positive, first.positive) / first.positive.length +
    covariance(first.negative, first.negative) / first.negative.length +
    covariance(second.positive, second.positive) / second.positive.length +
    covariance(second.negative, second.negative) / second.negative.length -
    2 *
      (covariance(first.positive, second.positive) / first.positive.length +
        covariance(first.negative, second.negative) / first.negative.length);
  const difference = first.auroc - second.auroc;
  const standardError = Math.sqrt(Math.max(0, variance));
  const z = standardError > 0 ? difference / standardError : difference === 0 ? 0 : Infinity * difference;
  return {
    difference,
    aurocs: [first.auroc, second.auroc],
    standardError,
    z,
    p: 2 * (1 - normalCdf(Math.abs(z))),
  };
}

/** For every positive the share of negatives below it, and for every negative the share of positives above. */
function placements(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
): { positive: number[]; negative: number[]; auroc: number } {
  const of = (label: number): number[] => Array.from(scores).filter((_, n) => labels[n] === label);
  const [positives, negatives] = [of(1), of(0)];
  if (positives.length < 2 || negatives.length < 2)
    throw new EvaluateError(
      `DeLong test: there must be two cases of each class, got ${positives.length} and ${negatives.length}`,
    );
  const above = (x: number, y: number): number => (x > y ? 1 : x === y ? 0.5 : 0);
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const positive = positives.map((x) => mean(negatives.map((y) => above(x, y))));
  const negative = negatives.map((y) => mean(positives.map((x) => above(x, y))));
  return { positive, negative, auroc: mean(positive) };
}

function covariance(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((s, v) => s + v, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  return a.reduce((sum, value, n) => sum + (value - ma) * (b[n]! - mb), 0) / (a.length - 1);
}

/**
 * Whether two models differ in any score on the same cases: under the null hypothesis a patient's cases may swap their
 * models. Two-sided, with the observed arrangement counted among the permutations (Phipson & Smyth 2010).
 *
 * @param score the score of a model given, for every case, from which model it is taken (0 first, 1 second).
 */
export function permutationTest(
  patients: readonly string[],
  score: (model: Uint8Array) => number,
  { rounds = 2000, seed = 0 }: { rounds?: number; seed?: number } = {},
): Comparison {
  const groups = byPatient(patients);
  const random = new Random(seed, 0x9e7);
  const from = new Uint8Array(patients.length);
  const flipped = new Uint8Array(patients.length);
  const gap = (): number => {
    for (let n = 0; n < from.length; n++) flipped[n] = 1 - from[n]!;
    return score(from) - score(flipped);
  };
  const difference = gap();
  let extreme = 1;
  for (let round = 0; round < rounds; round++) {
    for (const group of groups) {
      const swap = random.chance(0.5) ? 1 : 0;
      for (const n of group) from[n] = swap;
    }
    // A hair of slack, so that sums in another order still count as equal.
    if (Math.abs(gap()) >= Math.abs(difference) - 1e-12) extreme++;
  }
  return { difference, p: extreme / (rounds + 1) };
}

/** Cumulative distribution of the standard normal, in double precision. */
export function normalCdf(z: number): number {
  return 1 - erfc(z / Math.SQRT2) / 2;
}

// Continued fraction for large arguments and the Taylor series for small ones: double precision without tables.
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) {
    let [term, total] = [x, x];
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total) && n < 200; n++) {
      term *= (-x * x) / n;
      total += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * total;
  }
  // Abramowitz & Stegun 7.1.14, evaluated backwards.
  let tail = 0;
  for (let n = 80; n > 0; n--) tail = n / 2 / (x + tail);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + tail);
}
