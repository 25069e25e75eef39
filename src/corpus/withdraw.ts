/** Taking series back out of a corpus, for a patient who no longer consents or a source that is no longer licensed. */
import { auditSubject, recordAudit } from './audit.js';
import { type Corpus, removeOrphans } from './corpus.js';
import { writeFailure } from './error.js';
import { lock, requireLock } from './lock.js';
import { readPseudonyms } from './pseudonym.js';
import { type RunRecord, runsThatSaw } from './runs.js';
import type { Series } from './series.js';

/** What is to go: exactly one of a patient, a source, or a series. */
export type Withdrawal = { readonly patient: string } | { readonly source: string } | { readonly id: string };

const PATIENT_ID = /^pt-[0-9a-f]{16}$/;

/**
 * The series that a withdrawal names. A patient is named by the corpus's id (`pt-…`) or by the Patient ID of the
 * DICOM files, from which the id is computed with the corpus's key.
 *
 * @throws CorpusError when a Patient ID is given and the key is missing.
 */
export async function withdrawn(corpus: Corpus, what: Withdrawal): Promise<Series[]> {
  const all = await corpus.list();
  if ('source' in what) return all.filter(({ source }) => source === what.source);
  if ('id' in what) return all.filter(({ id }) => id === what.id);
  const patient = await patientIdOf(corpus.dir, what.patient);
  return all.filter(({ patientId }) => patientId === patient);
}

/** The corpus's id of a patient who is named by it, or by the Patient ID of the DICOM files. */
export async function patientIdOf(dir: string, named: string): Promise<string> {
  const name = named.trim();
  return PATIENT_ID.test(name) ? name : (await readPseudonyms(dir)).patient('dicom', name);
}

export interface Withdrawn {
  /** The series as they were. */
  readonly series: Series[];
  /** The registered runs whose checkpoints saw any of them, and how many. */
  readonly runs: readonly { readonly run: RunRecord; readonly saw: number }[];
}

/**
 * Removes the rows and voxels of what matches, for good: no file of the corpus holds them afterwards. Before that,
 * `alsoFrom` removes them from what was made of the corpus (the search index), under the same lock. The audit log tells
 * of the beginning and the end of it, by counts and without an id of a series or patient.
 *
 * Cut off at any moment, the same call again completes it: what is derived goes first, then the rows, then the voxels,
 * and voxels without a row are removed even where nothing matches any more.
 *
 * @throws CorpusError while another process writes to the corpus, or when it cannot be written.
 */
export async function withdraw(
  corpus: Corpus,
  what: Withdrawal,
  alsoFrom: (gone: readonly Series[], kept: readonly Series[]) => Promise<void>,
  operator: string | null = null,
): Promise<Withdrawn> {
  const { dir } = corpus;
  try {
    const unlock = await lock(dir, 'withdraw');
    try {
      const gone = await withdrawn(corpus, what);
      const ids = new Set(gone.map(({ id }) => id));
      const kept = (await corpus.list()).filter(({ id }) => !ids.has(id));
      const runs = await runsThatSaw(dir, [...ids]);
      const detail = {
        ...(await subjectOf(dir, what)),
        series: gone.length,
        sources: [...new Set(gone.map(({ source }) => source))].sort(),
        runs: runs.map(({ run, saw }) => ({ run: run.id, saw })),
      };
      if (gone.length > 0) {
        await recordAudit(dir, 'withdraw', detail, operator);
        await alsoFrom(gone, kept);
      }
      await requireLock(dir, 'withdraw');
      await corpus.table.erase(ids);
      await removeOrphans(dir, await corpus.table.rows());
      if (gone.length > 0) await recordAudit(dir, 'withdrawn', detail, operator);
      return { series: gone, runs };
    } finally {
      await unlock();
    }
  } catch (error) {
    throw writeFailure('withdraw', dir, error);
  }
}

/** What the audit log says of whom a withdrawal was about. */
async function subjectOf(dir: string, what: Withdrawal): Promise<Record<string, string>> {
  if ('source' in what) return { by: 'source' };
  if ('id' in what) return { by: 'id', subject: await auditSubject(dir, what.id) };
  return { by: 'patient', subject: await auditSubject(dir, await patientIdOf(dir, what.patient)) };
}
