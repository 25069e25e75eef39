/** From a table of labels to the series they are about. */
import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import type { Pseudonyms } from '../../corpus/pseudonym.js';
import type { Series } from '../../corpus/series.js';
import { TaskError } from '../error.js';
import type { Target } from './head.js';

/** What one row of the table is about: predictions are judged once for each of these. */
export type Level = 'series' | 'study' | 'patient';

export interface LabelOptions {
  /** Columns that hold what is to be told; the only column beside the key unless given. Several are yes-or-no labels. */
  readonly target?: readonly string[];
  /** How to read the target; told from its values unless given. */
  readonly kind?: Target['kind'];
  /** Classes of an ordinal target from low to high; numbers are ordered by value and need no list. */
  readonly order?: readonly string[];
}

export interface Labelled {
  readonly level: Level;
  /** The series with a label, with {@link target}'s values in the same order. */
  readonly series: readonly Series[];
  readonly target: Target;
  /** What each series' label is about: its own id, its study's or its patient's. */
  readonly units: readonly string[];
  /** Line numbers (the header is line 1) whose key no series of the corpus has. */
  readonly unmatched: readonly number[];
  /** Series of the corpus without a label. */
  readonly unlabelled: readonly Series[];
}

const KEYS: Readonly<Record<Level, RegExp>> = {
  series: /^(series(_?(id|uid|instance_?uid))?|id)$/i,
  study: /^(study|session)(_?(id|uid|instance_?uid))?$/i,
  patient: /^(patient|participant|subject|case)(_?id)?$/i,
};
/** A number with more different values than this is a quantity, not a class. */
const MOST_CLASSES = 10;
const MISSING = /^(|na|n\/a|nan|null|none|\?|unknown)$/i;

/**
 * Reads a CSV or TSV file of labels and matches its rows with series. The key is the first column named series, study
 * or patient (or series_id, StudyInstanceUID, participant_id …). Its values are ids of the corpus ("pt-…"), or the
 * archive's own identifiers (Patient ID, UIDs, "DATASET/sub-01" for files in BIDS folders), which `pseudonyms` turns
 * into the corpus's ids; they are kept nowhere.
 *
 * Rows without a value are left out. @throws TaskError for a table without key or target, with values that contradict
 * each other for one key, of one class only, or that matches no series.
 */
export async function readLabels(
  path: string,
  series: readonly Series[],
  pseudonyms: Pseudonyms | null,
  options: LabelOptions = {},
): Promise<Labelled> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new TaskError(
      `labels: ${path} must be a readable file, got ${reason(error)}; give a CSV or TSV file`,
    );
  });
  const rows = table(path, text);
  const columns = Object.keys(rows[0]!.values);
  const [level, key] = keyColumn(path, columns);
  const names = targetColumns(path, columns, key, options.target);

  const idOf = { series: 'id', study: 'studyId', patient: 'patientId' } as const;
  const byUnit = new Map<string, Series[]>();
  for (const one of series) {
    const unit = one[idOf[level]];
    byUnit.set(unit, [...(byUnit.get(unit) ?? []), one]);
  }
  const told = new Map<string, { values: string[]; line: number }>();
  const unmatched: number[] = [];
  for (const { values, line } of rows) {
    const cells = names.map((name) => values[name]!.trim());
    if (cells.some((cell) => MISSING.test(cell))) continue;
    const unit = candidates(values[key]!.trim(), level, pseudonyms).find((id) => byUnit.has(id));
    if (unit === undefined) {
      unmatched.push(line);
      continue;
    }
    const before = told.get(unit);
    if (before !== undefined && before.values.join('\t') !== cells.join('\t'))
      throw new TaskError(
        `labels: ${path} must say one thing of each ${level}, but lines ${before.line} and ${line} differ for the same ` +
          'one; keep one of them',
      );
    told.set(unit, { values: cells, line });
  }
  if (told.size === 0)
    throw new TaskError(
      `labels: ${path} must name series of the corpus in its column "${key}", but none of its ${rows.length} rows does; ` +
        '"precess corpus ls --json" shows the ids',
    );
  const labelled: Series[] = [];
  const cells: string[][] = [];
  const units: string[] = [];
  for (const one of series) {
    const label = told.get(one[idOf[level]]);
    if (label === undefined) continue;
    labelled.push(one);
    cells.push(label.values);
    units.push(one[idOf[level]]);
  }
  const target = targetOf(path, names, cells, options);
  const has = new Set(labelled.map(({ id }) => id));
  return {
    level,
    series: labelled,
    target,
    units,
    unmatched,
    unlabelled: series.filter(({ id }) => !has.has(id)),
  };
}

interface Row {
  readonly values: Readonly<Record<string, string>>;
  readonly line: number;
}

function table(path: string, text: string): Row[] {
  const firstLine = text.slice(0, text.indexOf('\n') < 0 ? text.length : text.indexOf('\n'));
  const delimiter = ['\t', ';', ','].find((one) => firstLine.includes(one)) ?? ',';
  let records: { record: Record<string, string>; info: { lines: number } }[];
  try {
    records = parse(text, {
      columns: true,
      delimiter,
      bom: true,
      trim: true,
      skip_empty_lines: true,
      info: true,
    });
  } catch (error) {
    throw new TaskError(
      `labels: ${path} must be a table with a header line, got ${reason(error)}; correct the line`,
    );
  }
  if (records.length === 0)
    throw new TaskError(
      `labels: ${path} must have rows below its header, got none; add a row for each label`,
    );
  return records.map(({ record, info }) => ({ values: record, line: info.lines }));
}

function keyColumn(path: string, columns: readonly string[]): [Level, string] {
  for (const column of columns)
    for (const level of ['series', 'study', 'patient'] as const)
      if (KEYS[level].test(column)) return [level, column];
  throw new TaskError(
    `labels: ${path} must have a column named series, study or patient, got ${columns.join(', ')}; name one so`,
  );
}

function targetColumns(
  path: string,
  columns: readonly string[],
  key: string,
  wanted?: readonly string[],
): readonly string[] {
  const others = columns.filter((column) => column !== key);
  if (wanted === undefined) {
    if (others.length === 1) return others;
    throw new TaskError(
      `labels: it must be clear which column of ${path} is to be told, got ${others.join(', ') || 'none'} beside "${key}"; ` +
        'name it with --target',
    );
  }
  const absent = wanted.find((name) => !others.includes(name));
  if (absent !== undefined)
    throw new TaskError(`labels: ${path} must have the target column "${absent}", got ${others.join(', ')}`);
  return wanted;
}

/** The corpus ids that a key may stand for, the likeliest first. */
function candidates(value: string, level: Level, pseudonyms: Pseudonyms | null): string[] {
  if (pseudonyms === null) return [value];
  if (level === 'series') return [value, pseudonyms.series('dicom', value, '')];
  if (level === 'study') return [value, pseudonyms.study('dicom', value)];
  const [folder, name] = value.split('/').slice(-2);
  return [
    value,
    pseudonyms.patient('dicom', value),
    ...(name === undefined ? [] : [pseudonyms.patient('nifti', folder!, name.toLowerCase())]),
  ];
}

function targetOf(
  path: string,
  names: readonly string[],
  cells: readonly (readonly string[])[],
  { kind, order }: LabelOptions,
): Target {
  if (names.length > 1 || kind === 'labels') {
    if (kind !== undefined && kind !== 'labels')
      throw new TaskError(
        `labels: one column is the target of ${kind}, got ${names.length} (${names.join(', ')})`,
      );
    return { kind: 'labels', names, values: cells.map((row) => row.map((cell) => yesOrNo(path, cell))) };
  }
  const texts = cells.map((row) => row[0]!);
  const numbers = texts.map(Number);
  const numeric = numbers.every(Number.isFinite);
  const distinct = [...new Set(texts)];
  const found = kind ?? (numeric && distinct.length > MOST_CLASSES ? 'number' : 'classes');
  if (found === 'number') {
    const bad = texts.find((text) => !Number.isFinite(Number(text)));
    if (bad !== undefined)
      throw new TaskError(`labels: the column "${names[0]!}" of ${path} must hold numbers, got "${bad}"`);
    return { kind: 'number', names: [names[0]!], values: numbers };
  }
  const classes =
    order ?? distinct.sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0));
  const strange = texts.find((text) => !classes.includes(text));
  if (strange !== undefined)
    throw new TaskError(`labels: every value of "${names[0]!}" must be in --order, got "${strange}"`);
  if (distinct.length < 2)
    throw new TaskError(
      `labels: there must be at least two classes, but every matched row of ${path} says "${distinct[0]!}"; add others`,
    );
  return { kind: found, names: classes, values: texts.map((text) => classes.indexOf(text)) };
}

function yesOrNo(path: string, cell: string): number {
  if (/^(1|1\.0|y|yes|true|positive|present)$/i.test(cell)) return 1;
  if (/^(0|0\.0|n|no|false|negative|absent)$/i.test(cell)) return 0;
  throw new TaskError(`labels: several targets of ${path} are each 0 or 1, got "${cell}"`);
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
