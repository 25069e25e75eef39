/** The reports of the studies of one ingest. */
import { readBytes } from '../../formats/bytes.js';
import type { ReportSections } from '../../text/report-sections.js';
import type { Planned } from '../plan.js';
import { reasonOf } from '../reason.js';
import type { SourceFile } from '../walk.js';
import type { Columns } from './columns.js';
import type { FoundReport, SkippedReport } from './found.js';
import { DEFAULT_RULES, type Matched, matchReports, type MatchRule, type StudyKeys } from './match.js';
import { readReports, type Reports } from './read.js';
import { structuredReport } from './sr.js';
import { storedReport } from './store.js';

export interface ReportOptions {
  /** Files and folders with reports. */
  readonly sources: readonly string[];
  /** Columns of tables, where their names do not say what they hold. */
  readonly columns?: Columns;
  /** How reports find their study, tried in turn. */
  readonly rules?: readonly MatchRule[];
}

/** What became of the reports. Paths are for the person, and stored nowhere. */
export interface ReportSummary {
  readonly found: number;
  /** Reports that belong to a study of these sources. */
  readonly matched: number;
  readonly unmatched: readonly SkippedReport[];
  readonly ambiguous: readonly SkippedReport[];
  /** Files that hold no report, and rows without text. */
  readonly skipped: readonly SkippedReport[];
}

export class StudyReports {
  private constructor(
    private readonly matched: Matched,
    private readonly all: Reports,
  ) {}

  /**
   * Matches reports with the planned series' studies: those of `given` (from readReports), and structured reports among
   * the images (`documents`).
   */
  static async of(
    given: Reports | null,
    documents: readonly SourceFile[],
    planned: readonly Planned[],
    rules: readonly MatchRule[] = DEFAULT_RULES,
  ): Promise<StudyReports> {
    const found = [...(given?.found ?? [])];
    const skipped = [...(given?.skipped ?? [])];
    for (const { path, shown } of documents) {
      const report = await document(path, shown);
      if (typeof report === 'string') skipped.push({ path: shown, reason: report });
      else found.push(report);
    }
    return new StudyReports(matchReports(found, studiesOf(planned), rules), { found, skipped });
  }

  /** The cleaned report of a study; `identifying` are the values to take out besides those of the report's own source. */
  get(studyId: string, identifying: readonly string[]): ReportSections | null {
    const report = this.matched.byStudy.get(studyId);
    return report === undefined ? null : storedReport(report, identifying);
  }

  has(studyId: string): boolean {
    return this.matched.byStudy.has(studyId);
  }

  /** Null where there was no report and none was asked for. */
  get summary(): ReportSummary | null {
    const { found, skipped } = this.all;
    if (found.length === 0 && skipped.length === 0) return null;
    const { unmatched, ambiguous } = this.matched;
    const matched = found.length - unmatched.length - ambiguous.length;
    return { found: found.length, matched, unmatched, ambiguous, skipped };
  }
}

/** Reads what `options` name; null where it names nothing. @throws CorpusError as readReports. */
export async function givenReports(options: ReportOptions | undefined): Promise<Reports | null> {
  return options === undefined ? null : readReports(options.sources, options.columns);
}

async function document(path: string, shown: string): Promise<FoundReport | string> {
  try {
    return structuredReport(await readBytes(path), shown);
  } catch (error) {
    return reasonOf(error, path);
  }
}

function studiesOf(planned: readonly Planned[]): StudyKeys[] {
  const studies = new Map<string, StudyKeys & { readonly paths: string[] }>();
  for (const { studyId, keys } of planned) {
    if (keys === undefined) continue;
    const { path, ...own } = keys;
    const study = studies.get(studyId) ?? { studyId, ...own, paths: [] };
    study.paths.push(path);
    studies.set(studyId, study);
  }
  return [...studies.values()];
}
