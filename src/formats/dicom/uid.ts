/** UIDs that Precess makes. */
import { createHash } from 'node:crypto';

/** A UID under the "2.25." root (PS3.5 section B.2) made from a hash of `seed`: the same seed, the same UID. */
export function newUid(seed: string): string {
  const hash = createHash('sha256').update(seed).digest('hex').slice(0, 32);
  return `2.25.${BigInt(`0x${hash}`)}`;
}

/** Implementation Class UID (0002,0012) of the files that Precess writes. */
export const IMPLEMENTATION = newUid('precess');
