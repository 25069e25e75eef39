/** A table of what is known of image files: whose they are, and what they show. */
import { dirname, resolve } from 'node:path';
import { ageOf, sexOf } from './bids.js';
import { CorpusError } from './error.js';
import { readTable } from './table-file.js';

export interface FileMetadata {
  /** As in the table. */
  readonly path: string;
  readonly patient: string;
  readonly study: string;
  readonly description: string;
  readonly contrast: string;
  readonly bodyPart: string;
  readonly sex: 'F' | 'M' | 'O' | null;
  readonly ageYears: number | null;
  readonly report: string;
  /** Other fields of the row, which may identify the person. */
  readonly others: readonly string[];
}

/** Names of columns, the first that is there counts. */
const COLUMNS = {
  path: ['path', 'file', 'filename', 'file_name', 'filepath', 'file_path', 'image', 'image_path'],
  patient: ['patient', 'patient_id', 'patientid', 'subject', 'subject_id', 'participant_id', 'participant'],
  study: ['study', 'study_id', 'studyid', 'session', 'session_id', 'visit', 'timepoint'],
  description: ['description', 'series_description', 'seriesdescription', 'series', 'protocol'],
  contrast: ['contrast', 'sequence', 'weighting'],
  bodyPart: ['bodypart', 'body_part', 'body part', 'anatomy', 'region'],
  sex: ['sex', 'gender'],
  age: ['age', 'ageyears', 'age_years', 'patient_age'],
  report: ['report', 'report_text', 'findings', 'impression'],
} as const;

const tidy = (path: string): string =>
  path
    .replaceAll('\\', '/')
    .replace(/^(\.\/+)+/, '')
    .replace(/\/+$/, '');

/** The rows of a table, each looked up by the file that it is about. */
export class MetadataTable {
  private readonly used = new Set<number>();
  /** Last part of the path → rows. */
  private readonly byName = new Map<string, number[]>();

  private constructor(
    private readonly rows: readonly FileMetadata[],
    private readonly folder: string,
  ) {
    rows.forEach(({ path }, n) => {
      const name = tidy(path).split('/').at(-1)!;
      this.byName.set(name, [...(this.byName.get(name) ?? []), n]);
    });
  }

  /**
   * Reads a CSV or TSV file. The column "path" names image files, or folders of them, from the table's folder or from
   * any folder around the file; "patient", "study", "description", "contrast", "bodyPart", "sex", "age" and "report"
   * say what is known, each optional, in any order and case.
   *
   * @throws CorpusError when it is no table, has no column for the path, or a row has none or one that another has.
   */
  static async read(path: string): Promise<MetadataTable> {
    const table = await readTable(path);
    const columnOf = (names: readonly string[]): string | undefined =>
      names.find((name) => table.columns.includes(name));
    const pathColumn = columnOf(COLUMNS.path);
    if (pathColumn === undefined)
      throw new CorpusError(
        `read metadata: ${path} must have a column "path", got ${table.columns.join(', ')}; name the column of the files so`,
      );
    const columns = Object.fromEntries(
      Object.entries(COLUMNS).map(([what, names]) => [what, columnOf(names)]),
    ) as Record<keyof typeof COLUMNS, string | undefined>;
    const seen = new Set<string>();
    const rows = table.rows.map((row, n): FileMetadata => {
      const get = (what: keyof typeof COLUMNS): string => {
        const column = columns[what];
        return (column === undefined ? undefined : row.get(column)) ?? '';
      };
      const file = tidy(get('path'));
      if (file === '' || seen.has(file))
        throw new CorpusError(
          `read metadata: every row of ${path} must name another file, but row ${n + 2} names ` +
            `${file === '' ? 'none' : `"${file}" again`}; correct it`,
        );
      seen.add(file);
      const known = new Set<string | undefined>(Object.values(columns));
      return {
        path: file,
        patient: get('patient'),
        study: get('study'),
        description: get('description'),
        contrast: get('contrast'),
        bodyPart: get('bodyPart'),
        sex: sexOf(get('sex')),
        ageYears: ageOf(get('age')),
        report: get('report'),
        others: [...row].filter(([column]) => !known.has(column)).map(([, value]) => value),
      };
    });
    return new MetadataTable(rows, dirname(resolve(path)));
  }

  /** The row about the file at absolute `path`, or about a folder around it, the nearest; null where there is none. */
  of(path: string): FileMetadata | null {
    const file = tidy(path);
    for (let part = file; part.includes('/'); part = part.slice(0, part.lastIndexOf('/'))) {
      const name = part.slice(part.lastIndexOf('/') + 1);
      const rows = (this.byName.get(name) ?? []).filter((n) => {
        const wanted = this.rows[n]!.path;
        return part === wanted || part === tidy(resolve(this.folder, wanted)) || part.endsWith(`/${wanted}`);
      });
      // Of "a.nii" and "sub/a.nii" the longer says more.
      const best = rows.sort((a, b) => this.rows[b]!.path.length - this.rows[a]!.path.length)[0];
      if (best !== undefined) {
        this.used.add(best);
        return this.rows[best]!;
      }
    }
    return null;
  }

  /** Paths of the rows that no file was looked up for. */
  unused(): string[] {
    return this.rows.filter((_, n) => !this.used.has(n)).map(({ path }) => path);
  }
}
