/** Names for series, studies and patients that say nothing about them without the corpus's key. */
import { createHmac, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { CorpusError } from './error.js';
import { insideOf, openStore } from './store.js';

export const KEY_FILE = 'key';
const KEY_BYTES = 32;
/** Names the file with the key of a corpus that is not to hold it itself. */
const KEY_VARIABLE = 'PRECESS_KEY_FILE';
/** What the key of such a corpus begins with; its check follows. */
const OUTSIDE = 'elsewhere ';
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

/**
 * Makes the key of a new corpus: 32 random bytes in hex, readable by the owner only. Where PRECESS_KEY_FILE names a file,
 * the key is that file's (made where it is missing), and the corpus holds only what tells it from others. The caller holds
 * the lock.
 *
 * @throws CorpusError when that file cannot be read or made, or holds no key.
 */
export async function createKey(dir: string): Promise<void> {
  const outside = process.env[KEY_VARIABLE] ?? '';
  const text = outside === '' ? newKey() : OUTSIDE + checkOf(await outsideKey(outside, true));
  await (await openStore(dir)).write(KEY_FILE, Buffer.from(`${text}\n`), { mode: 0o600 });
}

const newKey = (): string => randomBytes(KEY_BYTES).toString('hex');

/** What tells a key from others, and nothing else of it. */
const checkOf = (key: Uint8Array): string =>
  createHmac('sha256', key).update('precess key check').digest('hex').slice(0, DIGITS);

async function outsideKey(path: string, make: boolean): Promise<Buffer> {
  try {
    if (make)
      await writeFile(path, `${newKey()}\n`, { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      });
    return keyFrom(await readFile(path, 'utf8'), path);
  } catch (error) {
    if (error instanceof CorpusError) throw error;
    throw new CorpusError(
      `open corpus: ${KEY_VARIABLE} must name a file that can be read, got "${path}"; put the key back`,
      { cause: error },
    );
  }
}

function keyFrom(text: string, path: string): Buffer {
  const hex = text.trim();
  if (!new RegExp(`^[0-9a-f]{${KEY_BYTES * 2}}$`).test(hex))
    throw new CorpusError(
      `open corpus: ${path} must hold ${KEY_BYTES} bytes in hex, got ${hex.length} characters; put the corpus's ` +
        'key back, or ingest into a new corpus',
    );
  return Buffer.from(hex, 'hex');
}

/** @throws CorpusError when the key is missing or damaged. */
export async function readPseudonyms(dir: string): Promise<Pseudonyms> {
  return new Pseudonyms(await readKey(dir));
}

/** The corpus's key, 32 bytes. @throws CorpusError when it is missing or damaged, or not the one that the corpus has. */
export async function readKey(dir: string): Promise<Buffer> {
  const path = insideOf(dir, KEY_FILE);
  const missing = (cause?: unknown): CorpusError =>
    new CorpusError(
      `open corpus: ${path} must be readable, because the ids of new series are made with it; put the corpus's key ` +
        'back, or ingest into a new corpus',
      { cause },
    );
  const bytes = await (await openStore(dir)).read(KEY_FILE).catch((error: unknown) => {
    throw error instanceof CorpusError ? error : missing(error);
  });
  if (bytes === null) throw missing();
  const text = Buffer.from(bytes).toString('utf8');
  if (!text.startsWith(OUTSIDE)) return keyFrom(text, path);
  const outside = process.env[KEY_VARIABLE] ?? '';
  if (outside === '')
    throw new CorpusError(
      `open corpus: the key of ${dir} is kept elsewhere; name the file that holds it in ${KEY_VARIABLE}`,
    );
  const key = await outsideKey(outside, false);
  if (checkOf(key) !== text.slice(OUTSIDE.length).trim())
    throw new CorpusError(
      `open corpus: ${outside} must hold the key of ${dir}, but it holds that of another corpus; name the right ` +
        `file in ${KEY_VARIABLE}`,
    );
  return key;
}
