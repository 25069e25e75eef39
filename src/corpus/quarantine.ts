/** Series that may not be used until a person has looked at them. */
import { recordAudit, subjectOf } from './audit.js';
import type { Corpus } from './corpus.js';
import { CorpusError, writeFailure } from './error.js';
import { lock, requireLock } from './lock.js';
import { readKey } from './pseudonym.js';
import type { Series } from './series.js';

/** The reason of series that a person put into quarantine; no free text, which could name somebody. */
const BY_HAND = 'a person put it there';

/**
 * Puts series into quarantine: nothing uses them until they are released. Returns those that were not there before. The
 * audit log tells of it before the table does, and names series so that only who has the key and an id can tell.
 *
 * @throws CorpusError for an id that the corpus has not, before anything is changed; while another command writes.
 */
export function quarantine(
  corpus: Corpus,
  ids: readonly string[],
  operator: string | null = null,
): Promise<Series[]> {
  return change(corpus, ids, { action: 'quarantine', to: BY_HAND, operator });
}

/** Lets series be used again as their rights say; returns those that were quarantined. @throws as `quarantine`. */
export function release(
  corpus: Corpus,
  ids: readonly string[],
  operator: string | null = null,
): Promise<Series[]> {
  return change(corpus, ids, { action: 'release', to: null, operator });
}

interface Change {
  readonly action: 'quarantine' | 'release';
  readonly to: string | null;
  readonly operator: string | null;
}

async function change(
  corpus: Corpus,
  ids: readonly string[],
  { action, to, operator }: Change,
): Promise<Series[]> {
  const { dir } = corpus;
  try {
    const unlock = await lock(dir, action);
    try {
      const rows = await corpus.table.rows();
      const known = new Set(rows.map(({ series }) => series.id));
      const unknown = ids.find((id) => !known.has(id));
      if (unknown !== undefined)
        throw new CorpusError(
          `${action}: the corpus must have the series, got id "${unknown}"; "precess corpus quarantine ls --corpus ` +
            `${dir}" lists those in quarantine`,
        );
      const wanted = new Set(ids);
      const changing = rows.filter(
        ({ series }) => wanted.has(series.id) && (series.quarantined === null) !== (to === null),
      );
      if (changing.length > 0)
        await recordQuarantine(
          dir,
          action,
          changing.map(({ series }) => series),
          operator,
        );
      const changed = changing.map((row) => ({ ...row, series: { ...row.series, quarantined: to } }));
      await requireLock(dir, action);
      await corpus.table.put(changed);
      return changed.map(({ series }) => series);
    } finally {
      await unlock();
    }
  } catch (error) {
    throw writeFailure(action, dir, error);
  }
}

/** Tells the audit log which series, under names that only the key can make, and for what reasons they are or were there. */
export async function recordQuarantine(
  dir: string,
  action: 'quarantine' | 'release',
  series: readonly Pick<Series, 'id' | 'quarantined'>[],
  operator: string | null,
): Promise<void> {
  const key = await readKey(dir);
  const subjects = series.map(({ id }) => subjectOf(key, id));
  const reasons = [...new Set(series.map(({ quarantined }) => quarantined ?? BY_HAND))].sort();
  await recordAudit(dir, action, { subjects: subjects.sort(), reasons }, operator);
}
