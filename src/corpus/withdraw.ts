/** Taking series back out of a corpus, for a patient who no longer consents or a source that is no longer licensed. */
import { type Corpus, removeOrphans } from './corpus.js';
import { writeFailure } from './error.js';
import { lock } from './lock.js';
import { readPseudonyms } from './pseudonym.js';
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
  const patient = PATIENT_ID.test(what.patient)
    ? what.patient
    : (await readPseudonyms(corpus.dir)).patient('dicom', what.patient.trim());
  return all.filter(({ patientId }) => patientId === patient);
}

/**
 * Removes the rows and voxels of what matches, for good: no file of the corpus holds them afterwards. Before that,
 * `alsoFrom` removes them from what was made of the corpus (the search index), under the same lock. Returns the series
 * as they were.
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
): Promise<Series[]> {
  try {
    const unlock = await lock(corpus.dir, 'withdraw');
    try {
      const gone = await withdrawn(corpus, what);
      const ids = new Set(gone.map(({ id }) => id));
      const kept = (await corpus.list()).filter(({ id }) => !ids.has(id));
      if (gone.length > 0) await alsoFrom(gone, kept);
      await corpus.table.erase(ids);
      await removeOrphans(corpus.dir, await corpus.table.rows());
      return gone;
    } finally {
      await unlock();
    }
  } catch (error) {
    throw writeFailure('withdraw', corpus.dir, error);
  }
}
