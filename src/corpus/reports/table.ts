/** Reports in tables: CSV, TSV and semicolon-separated values, JSON lines, and JSON arrays. */
import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { splitReport } from '../../text/report-sections.js';
import { type Columns, columnsOf, isOfPeople } from './columns.js';
import { daysOf, type FoundReport, type SkippedReport } from './found.js';

/** A report longer than this is no report. */
const LONGEST_RECORD = 1 << 20;

type Row = Readonly<Record<string, string>>;

/** The rows of a table that hold a report. Rows without text are counted in one entry of `skipped`. */
export async function tableReports(
  bytes: Uint8Array,
  shown: string,
  given: Columns,
  skipped: SkippedReport[],
): Promise<FoundReport[]> {
  const found: FoundReport[] = [];
  let columns: Columns | null = null;
  let names = new Set<string>();
  let line = 0;
  let empty = 0;
  for await (const row of rowsOf(bytes, shown)) {
    line++;
    // Lines of JSON may differ in their keys.
    if (columns === null || Object.keys(row).some((name) => !names.has(name))) {
      names = new Set([...names, ...Object.keys(row)]);
      columns = columnsOf([...names], given, shown);
    }
    const report = reportOf(row, columns, `${shown} row ${line}`);
    if (report === null) empty++;
    else found.push(report);
  }
  if (line > 0 && found.length === 0)
    skipped.push({
      path: shown,
      reason: `no column holds a report (there are ${[...names].join(', ')}); name it with --report-columns text=…`,
    });
  else if (empty > 0) skipped.push({ path: shown, reason: `${empty} of ${line} rows have no text` });
  return found;
}

function reportOf(row: Row, columns: Columns, shown: string): FoundReport | null {
  const value = (role: keyof Columns): string => {
    const name = columns[role];
    return name === undefined ? '' : (row[name] ?? '').trim();
  };
  const split = splitReport(value('text'));
  const own = { findings: value('findings'), impression: value('impression') };
  const sections = {
    findings: own.findings || split.findings,
    impression: own.impression || split.impression,
    other: split.other,
  };
  if (Object.values(sections).every((text) => text === '')) return null;
  const text = new Set([columns.text, columns.findings, columns.impression]);
  const people = Object.entries(row)
    .filter(([name, content]) => !text.has(name) && isOfPeople(name) && content.trim() !== '')
    .map(([, content]) => content.trim());
  const keys = {
    accession: value('accession'),
    studyUid: value('study'),
    patient: value('patient'),
    dates: daysOf(value('date')),
    path: value('path'),
  };
  const identifying = [
    ...people,
    ...people.flatMap(partsOfName),
    keys.accession,
    keys.studyUid,
    keys.patient,
  ];
  return { keys, sections, identifying: identifying.filter((one) => one !== ''), shown };
}

/** "Doe, John" → Doe and John. */
const partsOfName = (name: string): string[] => name.split(/[\s,^]+/).filter((part) => part.length > 2);

async function* rowsOf(bytes: Uint8Array, shown: string): AsyncGenerator<Row> {
  if (/\.(jsonl|ndjson|json)$/i.test(shown)) yield* jsonRows(new TextDecoder().decode(bytes), shown);
  else yield* separatedRows(bytes);
}

async function* separatedRows(bytes: Uint8Array): AsyncGenerator<Row> {
  const encoding = isUtf8(bytes) ? 'utf8' : 'latin1';
  const parser = Readable.from([bytes]).pipe(
    parse({
      columns: (names: string[]) => names.map((name, at) => name.trim() || `column ${at + 1}`),
      delimiter: separatorOf(Buffer.from(bytes.subarray(0, 65536)).toString(encoding)),
      bom: true,
      encoding,
      relax_quotes: true,
      relax_column_count: true,
      skip_empty_lines: true,
      max_record_size: LONGEST_RECORD,
    }),
  );
  for await (const row of parser) yield row as Row;
}

/** The one of comma, tab, semicolon and bar that occurs most in the first line, quoted parts aside. */
function separatorOf(start: string): string {
  const line = /^(?:"(?:[^"]|"")*"|[^"\r\n])*/.exec(start)![0].replace(/"(?:[^"]|"")*"/g, '');
  const count = (mark: string): number => line.split(mark).length;
  return [',', '\t', ';', '|'].reduce((best, mark) => (count(mark) > count(best) ? mark : best));
}

function* jsonRows(text: string, shown: string): Generator<Row> {
  if (/\.json$/i.test(shown)) {
    const whole: unknown = JSON.parse(text);
    const list = Array.isArray(whole) ? (whole as unknown[]) : [whole];
    for (const one of list) yield flat(one);
    return;
  }
  for (const line of text.split('\n')) if (line.trim() !== '') yield flat(JSON.parse(line));
}

/** An object's values as text, those of objects in it under their own names. */
function flat(value: unknown): Row {
  const row: Record<string, string> = {};
  const add = (object: object, depth: number): void => {
    for (const [name, inner] of Object.entries(object)) {
      if (typeof inner === 'string' || typeof inner === 'number') row[name] ??= String(inner);
      else if (typeof inner === 'object' && inner !== null && !Array.isArray(inner) && depth < 4)
        add(inner as object, depth + 1);
    }
  };
  if (typeof value === 'object' && value !== null) add(value, 0);
  return row;
}
