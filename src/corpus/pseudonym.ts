/** Names for series, studies and patients that say nothing about them without the corpus's key. */
import { createHmac, randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CorpusError } from './error.js';

export const KEY_FILE = 'key';
const KEY_BYTES = 32;
/** 64 bits: two of a million series share a name with a chance of 3 in 100 million. */
const DIGITS = 16;

/** HMAC-SHA256 (RFC 2104) of a value under the corpus's key, shortened, with the kind as a prefix. */
export class Pseudonyms {
  constructor(private readonly key: Uint8Array) {}

  private name(prefix: string, values: readonly string[]): string {
    // Length before value, so that ["ab", "c"] and ["a", "bc"] differ.
    const hmac = createHmac('sha256', this.key);
    for (const value of [prefix, ...values]) hmac.update(`${Buffer.byteLength(value)}:${value}`);
    return `${prefix}-${hmac.digest('hex').slice(0, DIGITS)}`;
  }

  series(...values: string[]): string {
    return this.name('se', values);
  }
  study(...values: string[]): string {
    return this.name('st', values);
  }
  patient(...values: string[]): string {
    return this.name('pt', values);
  }
  source(...values: string[]): string {
    return this.name('so', values);
  }
}

const MASKED_ID = /^(anon(ymous|ymi[sz]ed)?|unknown|none|null|removed|patient ?id|0+|x+)?$/i;

/** The Patient ID that tells the patient of a DICOM file apart; '' for a masked one, which is nobody's. */
export function tellingPatientId(patientId: string): string {
  const id = patientId.trim();
  return /[\p{L}\p{N}]/u.test(id) && !MASKED_ID.test(id) ? id : '';
}

/** The patient of a DICOM file; without a telling Patient ID the study is all that is known to be one person. */
export function dicomPatient(names: Pseudonyms, patientId: string, studyUid: string): string {
  const id = tellingPatientId(patientId);
  return id === '' ? names.patient('study', studyUid) : names.patient('dicom', id);
}

/** Makes the key of a new corpus: 32 random bytes in hex, readable by the owner only. The caller holds the lock. */
export async function createKey(dir: string): Promise<void> {
  const path = join(dir, KEY_FILE);
  const fresh = `${path}.tmp`;
  await rm(fresh, { force: true });
  await writeFile(fresh, `${randomBytes(KEY_BYTES).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  // Renamed into place, so that a key is never half written.
  await rename(fresh, path);
}

/** @throws CorpusError when the key is missing or damaged. */
export async function readPseudonyms(dir: string): Promise<Pseudonyms> {
  return new Pseudonyms(await readKey(dir));
}

/** The corpus's key, 32 bytes. @throws CorpusError when it is missing or damaged. */
export async function readKey(dir: string): Promise<Buffer> {
  const path = join(dir, KEY_FILE);
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new CorpusError(
      `open corpus: ${path} must be readable, because the ids of new series are made with it; put the corpus's key ` +
        'back, or ingest into a new corpus',
      { cause: error },
    );
  }
  if (!new RegExp(`^[0-9a-f]{${KEY_BYTES * 2}}$`).test(text))
    throw new CorpusError(
      `open corpus: ${path} must hold ${KEY_BYTES} bytes in hex, got ${text.length} characters; put the corpus's ` +
        'key back, or ingest into a new corpus',
    );
  return Buffer.from(text, 'hex');
}
