/** The Basic Application Level Confidentiality Profile (PS3.15 table E.1-1) with the options that Precess offers. */
import { PROFILE, TYPES } from './profile-table.js';

/** Each is on where it is not given, but for the patient characteristics. */
export interface DeidentifyOptions {
  /** E.3.5 Clean Descriptors: keep what descriptions and comments say without naming anybody. */
  readonly cleanDescriptions?: boolean;
  /** E.3.6 Retain Longitudinal Temporal Information with Modified Dates. */
  readonly modifiedDates?: boolean;
  /** E.3.8 Retain Device Identity. */
  readonly deviceIdentity?: boolean;
  /** E.3.7 Retain Patient Characteristics: sex, age, weight, … Off unless asked for. */
  readonly patientCharacteristics?: boolean;
  /** E.3.10 Retain Safe Private: numbers of diffusion weighting and mosaics. */
  readonly safePrivate?: boolean;
}

export type ResolvedOptions = Required<DeidentifyOptions>;

export function resolveOptions(options: DeidentifyOptions = {}): ResolvedOptions {
  return {
    cleanDescriptions: true,
    modifiedDates: true,
    deviceIdentity: true,
    patientCharacteristics: false,
    safePrivate: true,
    ...options,
  };
}

/** Remove, empty, replace by a dummy, keep, clean, replace a UID (table E.1-1a). */
export type Action = 'X' | 'Z' | 'D' | 'K' | 'C' | 'U';

interface Row {
  readonly basic: string;
  readonly descriptions: string;
  readonly dates: string;
  readonly device: string;
  readonly patient: string;
}

const rows = new Map<number, Row>(
  PROFILE.trim()
    .split('\n')
    .map((line) => {
      const [tag, basic, descriptions, dates, device, patient] = line.split(' ') as [string, ...string[]];
      return [
        parseInt(tag, 16),
        { basic: basic!, descriptions: descriptions!, dates: dates!, device: device!, patient: patient! },
      ];
    }),
);

const levels = new Map<string, number>();
for (const [sopClass, places] of Object.entries(TYPES))
  for (const [place, list] of Object.entries(places))
    for (const entry of list.split(/,\s*/)) {
      const [tag, level] = entry.split(' ');
      levels.set(`${sopClass}/${place}/${parseInt(tag!, 16)}`, Number(level));
    }

export interface Place {
  readonly sopClass: string;
  /** Whether the attribute is inside a sequence. */
  readonly nested: boolean;
}

/** Type of the attribute there (1, 2 or 3; conditional as unconditional); null where it is not known. */
export const typeOf = (tag: number, { sopClass, nested }: Place): number | null =>
  levels.get(`${sopClass}/${nested ? 'nested' : 'root'}/${tag}`) ?? null;

/**
 * What to do with an attribute; null for one that the table does not list. An option that lists it overrides the
 * profile. Of several actions ("X/Z/D") the one is taken that removes most and keeps the object valid: remove what is of
 * type 3, empty type 2, replace type 1; where the type is not known, what is valid for all types.
 */
export function actionFor(tag: number, place: Place, options: ResolvedOptions): Action | null {
  const row = rows.get(tag);
  if (row === undefined) return null;
  if (options.patientCharacteristics && row.patient !== '-') return row.patient as Action;
  if (options.deviceIdentity && row.device !== '-' && row.dates === '-') return row.device as Action;
  if (options.modifiedDates && row.dates !== '-') return row.dates as Action;
  if (options.cleanDescriptions && row.descriptions !== '-') return row.descriptions as Action;
  return resolve(row.basic.split('/'), typeOf(tag, place));
}

function resolve(choices: readonly string[], type: number | null): Action {
  const [only] = choices;
  if (choices.length === 1) return only as Action;
  if (type === 3) return only as Action;
  if (choices.includes('U*')) return 'U';
  if (type === 2 && choices.includes('Z')) return 'Z';
  return choices.at(-1) as Action;
}

/** Codes of CID 7050 for (0012,0064): [value, meaning]. */
export function methodCodes(options: ResolvedOptions): (readonly [string, string])[] {
  const all: (readonly [boolean, string, string])[] = [
    [true, '113100', 'Basic Application Confidentiality Profile'],
    [options.cleanDescriptions, '113105', 'Clean Descriptors Option'],
    [options.modifiedDates, '113107', 'Retain Longitudinal Temporal Information Modified Dates Option'],
    [options.patientCharacteristics, '113108', 'Retain Patient Characteristics Option'],
    [options.deviceIdentity, '113109', 'Retain Device Identity Option'],
    [options.safePrivate, '113111', 'Retain Safe Private Option'],
  ];
  return all.filter(([on]) => on).map(([, value, meaning]) => [value, meaning]);
}
