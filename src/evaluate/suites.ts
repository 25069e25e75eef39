/** Named evaluations of a model on a corpus: what it knows of its series, measured on patients apart. */
import type { Series } from '../corpus/series.js';
import type { Features } from '../models/encoder.js';
import { checkPatients, crossFit, type Method, type Target } from '../tasks/classify/index.js';
import { EvaluateError } from './error.js';
import type { Measured } from './intervals.js';
import type { Judged } from './judged.js';
import { checkApart } from './leakage.js';
import { joinUnits, scoresByLabel, taskScores, type LabelResult } from './task-scores.js';

export { imageRetrievalSuite, retrievalSuite } from './retrieval-suites.js';

/** Suites that ask for a field of the series, and how they are told apart. */
export const FIELD_SUITES = { contrast: 'contrast', plane: 'plane', 'body-part': 'bodyPart' } as const;
export type FieldSuite = keyof typeof FIELD_SUITES;
export const SUITES = [
  ...(Object.keys(FIELD_SUITES) as FieldSuite[]),
  'retrieval',
  'image-retrieval',
  'labels',
] as const;
export type Suite = (typeof SUITES)[number];

/** What a suite knows of a series beside its image. */
export type Evaluated = Pick<
  Series,
  | 'id'
  | 'patientId'
  | 'contentHash'
  | 'text'
  | 'manufacturer'
  | 'fieldStrengthT'
  | 'sex'
  | 'ageYears'
  | 'source'
>;

export interface SuiteResult {
  readonly suite: string;
  readonly metrics: Readonly<Record<string, Measured>>;
  /** Of several labels, the scores of each; `metrics` are their means. */
  readonly labels?: readonly LabelResult[];
  readonly series: number;
  readonly patients: number;
  /** What was left out, and why. */
  readonly notes: readonly string[];
  /** What was found of each case, for comparisons, groups and the report. */
  readonly judged: Judged;
}

export interface SuiteOptions {
  readonly method?: Method;
  readonly folds?: number;
  readonly seed?: number;
  readonly rounds?: number;
  /** False for altered copies of images that were checked as they are: they may become alike. */
  readonly checkLeakage?: boolean;
}

/** One patient is asked about, another is learnt from. */
const FEWEST = 2;

/** The target of a field suite: known values that at least two patients have. */
export function fieldTarget(
  suite: FieldSuite,
  series: readonly Series[],
): { series: Series[]; target: Target; notes: string[] } {
  const field = FIELD_SUITES[suite];
  const known = series.filter((one) => one[field].toLowerCase() !== 'unknown');
  const patients = new Map<string, Set<string>>();
  for (const one of known)
    patients.set(one[field], (patients.get(one[field]) ?? new Set()).add(one.patientId));
  const names = [...patients].filter(([, of]) => of.size >= FEWEST).map(([name]) => name);
  names.sort();
  if (names.length < 2)
    throw new EvaluateError(
      `evaluate ${suite}: the corpus must have at least two kinds of ${suite} with two patients each, got ` +
        `${names.length} (${names.join(', ') || 'none'}); ingest more`,
    );
  const kept = known.filter((one) => names.includes(one[field]));
  const few = [...patients.keys()].filter((name) => !names.includes(name));
  return {
    series: kept,
    target: { kind: 'classes', names, values: kept.map((one) => names.indexOf(one[field])) },
    notes: [
      ...(known.length < series.length ? [`${series.length - known.length} series of unknown ${suite}`] : []),
      ...(few.length > 0 ? [`${few.sort().join(', ')}: fewer than ${FEWEST} patients`] : []),
    ],
  };
}

export interface HeadQuestion {
  readonly suite: string;
  readonly series: readonly Evaluated[];
  /** Values in the order of `series`. */
  readonly target: Target;
  /** What each label is about, the series itself unless given. */
  readonly units?: readonly string[];
  /** A published fold of each series, -1 where it only teaches. */
  readonly split?: readonly number[];
}

/**
 * Scores of a head on frozen features that is tuned and fitted without each patient in turn.
 * @param features summaries by series id.
 */
export function headSuite(
  question: HeadQuestion,
  features: ReadonlyMap<string, Features>,
  options: SuiteOptions = {},
): SuiteResult {
  return fitSuite(question, features, options)(features);
}

/**
 * The heads of {@link headSuite}, ready to be asked of the same series' features however they were made (of the images
 * as they are, or of altered ones). Series without features are left out.
 */
export function fitSuite(
  { suite, series, target, units, split }: HeadQuestion,
  features: ReadonlyMap<string, Features>,
  { method = 'logistic', folds = 5, seed = 0, rounds = 1000 }: SuiteOptions = {},
): (asked: ReadonlyMap<string, Features>) => SuiteResult {
  const seen = series.map((_, n) => n).filter((n) => features.has(series[n]!.id));
  const of = seen.map((n) => series[n]!);
  const cases = {
    features: of.map(({ id }) => features.get(id)!.summary),
    patients: of.map(({ patientId }) => patientId),
  };
  checkApart(of, cases.features);
  const kept = { ...target, values: seen.map((n) => target.values[n]!) } as Target;
  const splits = Math.min(folds, new Set(cases.patients).size);
  if (split === undefined) checkPatients(cases.patients, kept, splits);
  const given = split && { given: seen.map((n) => split[n]!) };
  const { predict } = crossFit(cases, kept, { method, folds: splits, seed, ...given });
  return (asked) => {
    const predictions = of.map(({ id }, n) => {
      const one = asked.get(id);
      return one === undefined ? null : predict(n, one.summary);
    });
    const told = predictions.flatMap((one, n) => (one === null ? [] : [n]));
    const pick = <T>(from: (n: number) => T): T[] => told.map(from);
    const outcomes = joinUnits(
      pick((n) => predictions[n]!),
      pick((n) => kept.values[n]!),
      pick((n) => units?.[seen[n]!] ?? of[n]!.id),
      pick((n) => cases.patients[n]!),
      pick((n) => of[n]!.id),
    );
    const missing = series.filter(({ id }) => !asked.has(id)).length;
    return {
      suite,
      metrics: taskScores(kept, outcomes, { rounds, seed }),
      ...(kept.kind === 'labels' && { labels: scoresByLabel(kept, outcomes, { rounds, seed }) }),
      series: told.length,
      patients: new Set(pick((n) => cases.patients[n]!)).size,
      notes: missing > 0 ? [`${missing} series that show nothing`] : [],
      judged: { kind: 'outcomes', target: { kind: kept.kind, names: kept.names }, cases: outcomes },
    };
  };
}
