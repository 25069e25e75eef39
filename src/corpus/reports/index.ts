/** Reports: found in DICOM, tables and text files, matched to studies, cleaned. */
export { COLUMN_ROLES, type Columns, parseColumns } from './columns.js';
export type { FoundReport, ReportKeys, SkippedReport } from './found.js';
export {
  DEFAULT_RULES,
  type Matched,
  matchReports,
  type MatchRule,
  parseRules,
  type StudyKeys,
} from './match.js';
export { readReports, type Reports } from './read.js';
export { reportText, storedReport } from './store.js';
export { givenReports, type ReportOptions, type ReportSummary, StudyReports } from './studies.js';
