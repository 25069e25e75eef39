/** Train and held-out sets by patient, so that no patient is on both sides. */
import { createHash } from 'node:crypto';

export type Split = 'train' | 'held-out';

/**
 * The side a patient falls on: a hash of patient and seed, so that it depends on nothing else (not on the order or
 * number of patients) and never changes as a corpus grows. `heldOutFraction` is in [0, 1].
 */
export function splitOf(patientId: string, seed: number, heldOutFraction: number): Split {
  const digest = createHash('sha256').update(`${seed}:${patientId}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48 < heldOutFraction ? 'held-out' : 'train';
}
