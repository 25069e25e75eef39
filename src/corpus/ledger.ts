/** The ledger of a corpus: the rights of its series by source, and their change. */
import { recordAudit } from './audit.js';
import type { Corpus } from './corpus.js';
import { CorpusError, writeFailure } from './error.js';
import { lock, requireLock } from './lock.js';
import { checkRights, type Rights } from './rights.js';

/** Series of one source with the same rights. */
export interface LedgerEntry {
  readonly source: string;
  readonly rights: Rights;
  readonly series: number;
  readonly patients: number;
  /** Whether the rights have ended. */
  readonly expired: boolean;
  /** Series that are quarantined and so may not be used at all. */
  readonly quarantined: number;
}

/** The rights in a corpus by source, the source with the most series first. The rows of the series table are the ledger. */
export async function readLedger(
  corpus: Pick<Corpus, 'list'>,
  now: Date = new Date(),
): Promise<LedgerEntry[]> {
  const today = now.toISOString().slice(0, 10);
  const groups = new Map<string, { entry: LedgerEntry; patients: Set<string> }>();
  for (const { source, rights, patientId, quarantined } of await corpus.list()) {
    const key = JSON.stringify([source, rights]);
    const group = groups.get(key);
    const patients = (group?.patients ?? new Set()).add(patientId);
    const expired = rights.expires !== null && today > rights.expires;
    const entry = {
      source,
      rights,
      series: (group?.entry.series ?? 0) + 1,
      patients: patients.size,
      expired,
      quarantined: (group?.entry.quarantined ?? 0) + (quarantined === null ? 0 : 1),
    };
    groups.set(key, { entry, patients });
  }
  return [...groups.values()]
    .map(({ entry }) => entry)
    .sort((a, b) => b.series - a.series || (a.source < b.source ? -1 : 1));
}

/** What of a source's rights is to change; null takes an optional part away. */
export type RightsChange = Partial<Rights>;

/**
 * Changes the rights of every series of a source and returns how many that were. The change is in the audit log before
 * it is in the table.
 *
 * @throws CorpusError when the corpus has no such source, the rights make no sense, another command is writing, or
 * the corpus cannot be written.
 */
export async function setRights(
  corpus: Corpus,
  source: string,
  change: RightsChange,
  operator: string | null = null,
): Promise<number> {
  try {
    const unlock = await lock(corpus.dir, 'rights');
    try {
      const rows = (await corpus.table.rows()).filter(({ series }) => series.source === source);
      if (rows.length === 0)
        throw new CorpusError(
          `rights: the corpus must have the source, got "${source}"; "precess corpus rights --corpus ${corpus.dir}" ` +
            'lists them',
        );
      const changed = rows.map((row) => {
        const rights = checkRights({ ...row.series.rights, ...change });
        return { ...row, series: { ...row.series, rights } };
      });
      const before = [...new Set(rows.map(({ series }) => JSON.stringify(series.rights)))].map(
        (text) => JSON.parse(text) as Rights,
      );
      await recordAudit(corpus.dir, 'rights', { source, series: rows.length, before, change }, operator);
      await requireLock(corpus.dir, 'rights');
      await corpus.table.put(changed);
      return rows.length;
    } finally {
      await unlock();
    }
  } catch (error) {
    throw writeFailure('rights', corpus.dir, error);
  }
}
