/** Scores by what is known of patients and scanners: where a model works, and where it does not. */
import { EvaluateError } from './error.js';
import type { Measured } from './intervals.js';
import { withScores, type Judged } from './judged.js';
import type { Evaluated } from './suites.js';
import { measureAll, type ScoreOptions } from './task-scores.js';

/** Fewer patients than this give no interval that could be believed: percentiles of a resampled handful are too narrow. */
export const FEWEST_PATIENTS = 10;

export interface Subgroup {
  readonly name: string;
  /** Patients. */
  readonly n: number;
  readonly cases: number;
  /** Absent where the group is too small. */
  readonly metrics?: Readonly<Record<string, Measured>>;
  readonly tooSmall?: string;
}

export interface SubgroupTable {
  readonly by: (typeof DIVISIONS)[number]['by'];
  readonly groups: readonly Subgroup[];
}

const UNKNOWN = 'unknown';
const word = (text: string): string => (text.trim() === '' ? UNKNOWN : text);

const DIVISIONS = [
  { by: 'manufacturer', of: ({ manufacturer }: Evaluated): string => word(manufacturer) },
  { by: 'site', of: ({ source }: Evaluated): string => word(source) },
  { by: 'field strength', of: ({ fieldStrengthT }: Evaluated): string => fieldBand(fieldStrengthT) },
  { by: 'sex', of: ({ sex }: Evaluated): string => sex ?? UNKNOWN },
  { by: 'age', of: ({ ageYears }: Evaluated): string => ageBand(ageYears) },
] as const;

/** Nominal field strengths: headers say 1.494, 2.89 and the like. */
function fieldBand(tesla: number | null): string {
  if (tesla === null) return UNKNOWN;
  if (tesla < 1.2) return 'below 1.2 T';
  if (tesla < 2) return '1.5 T';
  return tesla < 4 ? '3 T' : 'above 4 T';
}

function ageBand(years: number | null): string {
  if (years === null) return UNKNOWN;
  const from = [80, 60, 40, 18].find((least) => years >= least);
  return { 80: '80 and above', 60: '60 to 79', 40: '40 to 59', 18: '18 to 39' }[from ?? 0] ?? 'below 18';
}

/**
 * Every score in every group of manufacturer, site (source of the corpus), nominal field strength, sex and age. A case
 * with series of several groups is "mixed". Ranks of retrieval are those among all candidates. Divisions of which nothing
 * is known are left out; a group with fewer than {@link FEWEST_PATIENTS} patients, or one without a score (one class
 * only), says so instead.
 */
export function subgroups(
  judged: Judged,
  series: readonly Evaluated[],
  options: ScoreOptions = {},
): SubgroupTable[] {
  const byId = new Map(series.map((one) => [one.id, one]));
  return withScores(judged, (scores, cases) =>
    DIVISIONS.flatMap(({ by, of }) => {
      const groups = new Map<string, (typeof cases)[number][]>();
      for (const one of cases) {
        const named = new Set(one.series.map((id) => of(byId.get(id)!)));
        const name = named.size === 1 ? [...named][0]! : 'mixed';
        groups.set(name, [...(groups.get(name) ?? []), one]);
      }
      if ([...groups.keys()].every((name) => name === UNKNOWN)) return [];
      const names = [...groups.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
      return [{ by, groups: names.map((name) => measured(name, groups.get(name)!, scores, options)) }];
    }),
  );
}

/** What says nothing stands last. */
const rank = (name: string): number => (name === UNKNOWN ? 2 : name === 'mixed' ? 1 : 0);

function measured<T extends { readonly patient: string }>(
  name: string,
  cases: readonly T[],
  scores: Parameters<typeof measureAll<T>>[0],
  options: ScoreOptions,
): Subgroup {
  const n = new Set(cases.map(({ patient }) => patient)).size;
  const size = { name, n, cases: cases.length };
  if (n < FEWEST_PATIENTS) return { ...size, tooSmall: `fewer than ${FEWEST_PATIENTS} patients` };
  const metrics: Record<string, Measured> = {};
  let why = '';
  for (const [metric, score] of Object.entries(scores))
    try {
      Object.assign(metrics, measureAll({ [metric]: score }, cases, options));
    } catch (error) {
      if (!(error instanceof EvaluateError)) throw error;
      why = error.message;
    }
  return Object.keys(metrics).length > 0 ? { ...size, metrics } : { ...size, tooSmall: why };
}
