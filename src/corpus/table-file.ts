/** Tables in text files: comma, semicolon or tab between the fields, a header line, quotes as in RFC 4180. */
import { parse } from 'csv-parse/sync';
import { openBytes } from '../formats/bytes.js';
import { CorpusError } from './error.js';

export interface Table {
  /** Names of the columns, in lower case without spaces around. */
  readonly columns: readonly string[];
  /** Fields by column; "n/a" and empty fields are left out. */
  readonly rows: readonly ReadonlyMap<string, string>[];
}

const LARGEST = 256 << 20;

/**
 * Reads the table at `path`, as openBytes takes it.
 *
 * @throws CorpusError when it is too large, has no header, or quotes do not end.
 */
export async function readTable(path: string): Promise<Table> {
  const source = await openBytes(path);
  try {
    if (source.size > LARGEST)
      throw new CorpusError(
        `read table: ${path} must have at most ${LARGEST} bytes, got ${source.size}; split it`,
      );
    return parseTable(Buffer.from(await source.read(0, source.size)).toString('utf8'), path);
  } finally {
    await source.close();
  }
}

/** @throws CorpusError as readTable. */
export function parseTable(text: string, name: string): Table {
  const first = text.slice(0, text.search(/[\r\n]|$/));
  const count = (delimiter: string): number => first.split(delimiter).length;
  const delimiter = ['\t', ';', ','].reduce((best, one) => (count(one) > count(best) ? one : best), ',');
  let records: string[][];
  try {
    records = parse(text, {
      bom: true,
      delimiter,
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      trim: true,
    });
  } catch (error) {
    throw new CorpusError(
      `read table: ${name} must be a table of text, but: ${(error as Error).message}; correct it`,
      { cause: error },
    );
  }
  const [header, ...rest] = records;
  if (header === undefined || header.every((column) => column === ''))
    throw new CorpusError(`read table: ${name} must start with the names of its columns, but is empty`);
  const columns = header.map((column) => column.trim().toLowerCase());
  const repeated = columns.find((column, n) => column !== '' && columns.indexOf(column) !== n);
  if (repeated !== undefined)
    throw new CorpusError(
      `read table: ${name} must name every column once, got "${repeated}" twice; rename one`,
    );
  const rows = rest.map(
    (fields) =>
      new Map(
        columns.flatMap((column, n) => {
          const value = fields[n]?.trim() ?? '';
          return column === '' || value === '' || value.toLowerCase() === 'n/a'
            ? []
            : [[column, value] as const];
        }),
      ),
  );
  return { columns, rows };
}
