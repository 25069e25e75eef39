/** The corpus: ingest, store, series table, splits. */
export {
  type Audit,
  type AuditAction,
  type AuditEntry,
  type AuditFinding,
  auditSubject,
  readAudit,
  recordAudit,
  recordUse,
} from './audit.js';
export { type Checked, checkCorpus, type Finding, type SeriesCheck } from './check.js';
export { Corpus, type ListOptions } from './corpus.js';
export { CorpusError } from './error.js';
export { type Exported, exportNifti, type ExportOptions } from './export.js';
export { type BidsExported, exportBids } from './export-bids.js';
export { exportDicom } from './export-dicom.js';
export { deidentifyDicom } from './deidentify/dicom.js';
export { type DeidentifyOptions } from './deidentify/profile.js';
export { ingestReceived, type ReceivedOptions, type Receiving } from './ingest-received.js';
export { storeForRank0 } from './rank-pool.js';
export { ingest, type Ingested, type IngestOptions, type IngestProgress } from './ingest.js';
export { type LedgerEntry, readLedger, type RightsChange, setRights } from './ledger.js';
export {
  allowed,
  checkRights,
  DEFAULT_RIGHTS,
  describeRefusals,
  type GivenRights,
  parseRights,
  parseRightsFile,
  type Refusal,
  refusalOf,
  requireUse,
  type Rights,
  rightsFor,
  type RightsDetails,
  type Use,
  USES,
} from './rights.js';
export { quarantine, release } from './quarantine.js';
export { readRuns, registerRun, type RunRecord, runsThatSaw, type StartedRun } from './runs.js';
export { SeenSet } from './seen.js';
export {
  type Columns,
  type MatchRule,
  parseColumns,
  parseRules,
  type ReportOptions,
  type ReportSummary,
} from './reports/index.js';
export { type Series, seriesSchema } from './series.js';
export { type Split, splitOf } from './split.js';
export { COLUMNS } from './table.js';
export { type Skipped } from './walk.js';
export { patientIdOf, type Withdrawal, withdraw, type Withdrawn, withdrawn } from './withdraw.js';
