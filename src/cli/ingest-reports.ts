/** The options of `precess ingest` about reports, and what it says of them. */
import type { Command } from 'commander';
import type { ReportOptions, ReportSummary } from '../corpus/index.js';
import { log, UsageError } from './shared.js';

export interface ReportFlags {
  readonly reports?: readonly string[];
  readonly reportColumns?: string;
  readonly reportMatch?: string;
}

export function withReports(command: Command): Command {
  return command
    .option(
      '--reports <path...>',
      'files and folders with reports: DICOM structured reports, CSV, TSV, JSON lines, text files',
    )
    .option(
      '--report-columns <columns>',
      'columns of tables, as "accession=Acc No,text=Report" (roles: accession, study, patient, date, path, text, ' +
        'findings, impression; default: by their names)',
    )
    .option(
      '--report-match <rules>',
      'how reports find their study, tried in turn: accession, study, patient, path:TEMPLATE with {stem}, {folder}, ' +
        '{folder2}, {folder3} of an image (default: "accession,study,patient,path:{stem}")',
    );
}

/** @throws UsageError when columns or rules are not as they must be, or no reports are named. */
export async function reportsFrom(flags: ReportFlags): Promise<ReportOptions | undefined> {
  const { CorpusError, parseColumns, parseRules } = await import('../corpus/index.js');
  if (flags.reports === undefined) {
    if (flags.reportColumns !== undefined || flags.reportMatch !== undefined)
      throw new UsageError('--report-columns and --report-match are about reports: name them with --reports');
    return undefined;
  }
  try {
    return {
      sources: flags.reports,
      ...(flags.reportColumns !== undefined && { columns: parseColumns(flags.reportColumns) }),
      ...(flags.reportMatch !== undefined && { rules: parseRules(flags.reportMatch) }),
    };
  } catch (error) {
    if (error instanceof CorpusError) throw new UsageError(error.message);
    throw error;
  }
}

const MOST_LINES = 20;

/** How many reports found their study, and those that did not. */
export function logReports(summary: ReportSummary | null): void {
  if (summary === null) return;
  const { found, matched, unmatched, ambiguous, skipped } = summary;
  log(
    `${matched} of ${found} reports belong to a study` +
      ` (${unmatched.length} fit none, ${ambiguous.length} are ambiguous)`,
  );
  const lines = [...ambiguous, ...unmatched, ...skipped].map(
    ({ path, reason }) => `report: ${path}: ${reason}`,
  );
  for (const line of lines.slice(0, MOST_LINES)) log(line);
  if (lines.length > MOST_LINES) log(`report: ${lines.length - MOST_LINES} more; --json lists all`);
}
