/** Splits for cross-validation: all cases of a patient on one side, classes spread evenly. */
import { Random } from '../../volume/random.js';
import { TaskError } from '../error.js';

/**
 * The fold, 0 … folds-1, of every case. Patients are never divided. Patients with the rarest classes are placed first,
 * each where its classes are fewest so far (a greedy form of stratified group k-fold), so that every fold has about the
 * same share of each class.
 *
 * @param labels class of each case; for numbers, their quantile bin.
 * @throws TaskError when there are fewer patients than folds, or a class has patients in one fold only.
 */
export function stratifiedFolds(
  patients: readonly string[],
  labels: ArrayLike<number>,
  folds: number,
  seed = 0,
): Int32Array {
  const classes = Math.max(...Array.from(labels)) + 1;
  const byPatient = new Map<string, { cases: number[]; counts: Float64Array }>();
  patients.forEach((patient, n) => {
    const entry = byPatient.get(patient) ?? { cases: [], counts: new Float64Array(classes) };
    entry.cases.push(n);
    entry.counts[labels[n]!]!++;
    byPatient.set(patient, entry);
  });
  if (byPatient.size < folds)
    throw new TaskError(
      `cross-validation: there must be at least as many patients as folds (${folds}), got ${byPatient.size}; ` +
        'use fewer folds or more patients',
    );
  const totals = new Float64Array(classes);
  const having = new Float64Array(classes);
  for (const { counts } of byPatient.values())
    counts.forEach((count, c) => {
      totals[c]! += count;
      having[c]! += count > 0 ? 1 : 0;
    });
  const short = having.findIndex((count) => count === 1);
  if (short >= 0)
    throw new TaskError(
      `cross-validation: every class must have cases of at least two patients, but class ${short} has one; ` +
        'add patients or leave the class out',
    );

  const random = new Random(seed, 0xf01d);
  const order = [...byPatient.values()].map((entry) => ({
    entry,
    rarest: Math.min(...Array.from(entry.counts, (count, c) => (count > 0 ? having[c]! : Infinity))),
    tie: random.uniform(),
  }));
  order.sort((a, b) => a.rarest - b.rarest || b.entry.cases.length - a.entry.cases.length || a.tie - b.tie);
  const filled = Array.from({ length: folds }, () => new Float64Array(classes));
  const sizes = new Float64Array(folds);
  const fold = new Int32Array(patients.length);
  for (const { entry } of order) {
    let best = 0;
    let least = Infinity;
    for (let f = 0; f < folds; f++) {
      let crowd = 0;
      entry.counts.forEach((count, c) => {
        if (count > 0) crowd += (count * filled[f]![c]!) / totals[c]!;
      });
      const cost = crowd + 1e-6 * sizes[f]!;
      if (cost < least) [best, least] = [f, cost];
    }
    entry.counts.forEach((count, c) => (filled[best]![c]! += count));
    sizes[best]! += entry.cases.length;
    for (const n of entry.cases) fold[n] = best;
  }
  return fold;
}

/**
 * A published split as folds, checked.
 * @param given fold of each case, -1 for cases that only teach.
 * @throws TaskError naming the patients that stand in two folds.
 */
export function givenFolds(patients: readonly string[], given: ArrayLike<number>): Int32Array {
  const fold = Int32Array.from(given);
  const first = new Map<string, number>();
  const twice = new Set<string>();
  patients.forEach((patient, n) => {
    const before = first.get(patient) ?? fold[n]!;
    if (before !== fold[n]) twice.add(patient);
    first.set(patient, before);
  });
  if (twice.size > 0)
    throw new TaskError(
      `split: a patient must stand on one side only, but ${[...twice].slice(0, 5).join(', ')}` +
        `${twice.size > 5 ? ` and ${twice.size - 5} more` : ''} ${twice.size === 1 ? 'stands' : 'stand'} on two; correct the split`,
    );
  return fold;
}
