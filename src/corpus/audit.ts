/**
 * The audit log of a corpus: what was done to it and with it, in a file that only grows.
 *
 * `audit.jsonl` holds an entry a line. Each has the SHA-256 of its own content and of the entry before it, so that
 * anyone can tell a changed, removed or moved line, and an HMAC of that under the corpus's key, so that only who has the
 * key can add one. `audit.head` holds the number and hash of the newest entry with an HMAC, so that entries missing at the
 * end are noticed. Who has the key and may write can still put back an older state of both files: note the head of
 * `precess corpus audit` elsewhere where that matters.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { CorpusError, ServiceError } from './error.js';
import { lock } from './lock.js';
import { readKey } from './pseudonym.js';
import { type CorpusStore, openStore } from './store.js';

export const AUDIT_FILE = 'audit.jsonl';
export const HEAD_FILE = 'audit.head';
const LOCK_FILE = 'audit.lock';
/** Entries take milliseconds to write; who holds the lock for longer is stuck. */
const WAIT_MS = 20_000;
/** What the first entry names as the one before it. */
const NONE = '0'.repeat(64);

export const ACTIONS = [
  'create',
  'ingest',
  'ingested',
  'rights',
  'train',
  'index',
  'export',
  'withdraw',
  'withdrawn',
  'quarantine',
  'release',
  'deface',
  'repair',
] as const;
export type AuditAction = (typeof ACTIONS)[number];

/** Counts, pseudonymous ids of sources and runs, rights; never anything that identifies a person. */
export type AuditDetail = Readonly<Record<string, unknown>>;

const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const entrySchema = z.strictObject({
  /** From 0. */
  n: z.number().int().nonnegative(),
  /** ISO 8601, UTC. */
  at: z.string(),
  action: z.enum(ACTIONS),
  /** Who did it, where the person said so. */
  operator: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()),
  /** `hash` of the entry before; zeros for the first. */
  previous: hex64,
  /** SHA-256 of the JSON array [n, at, action, operator, detail, previous]. */
  hash: hex64,
  /** HMAC-SHA256 of `hash` under the corpus's key. */
  mac: hex64,
});
export type AuditEntry = z.infer<typeof entrySchema>;

const headSchema = z.strictObject({
  count: z.number().int().nonnegative(),
  /** Length of the log in bytes. */
  bytes: z.number().int().nonnegative(),
  hash: hex64,
  mac: hex64,
});
type Head = z.infer<typeof headSchema>;

type Body = Omit<AuditEntry, 'hash' | 'mac'>;

const hashOf = ({ n, at, action, operator, detail, previous }: Body): string =>
  createHash('sha256')
    .update(JSON.stringify([n, at, action, operator, detail, previous]))
    .digest('hex');

/** One use of the corpus's key each, so that no HMAC can stand for one made for another purpose. */
const macOf = (key: Uint8Array, purpose: 'entry' | 'head' | 'subject', text: string): string =>
  createHmac('sha256', key).update(`precess audit ${purpose}\n${text}`).digest('hex');

const same = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

const headMac = (key: Uint8Array, { count, bytes, hash }: Omit<Head, 'mac'>): string =>
  macOf(key, 'head', `${count} ${bytes} ${hash}`);

/**
 * Adds an entry and returns it; it is on the disk, head included, when this returns. Writers of several processes wait
 * for each other. A line that a crash cut off is removed, and an entry says so. An entry that a crash left without its
 * head is kept. On a log that was tampered with the chain goes on from the head, so that the gap stays to be seen.
 *
 * @throws CorpusError when the key is missing or another writer is stuck; system errors when `dir` cannot be written.
 */
export async function recordAudit(
  dir: string,
  action: AuditAction,
  detail: AuditDetail,
  operator: string | null = null,
): Promise<AuditEntry> {
  const key = await readKey(dir);
  const unlock = await lock(dir, `audit ${action}`, { file: LOCK_FILE, waitMs: WAIT_MS });
  try {
    const store = await openStore(dir);
    const tail = resume(await store.read(AUDIT_FILE), await readHead(store), key);
    const start = tail.bytes;
    let { count, bytes, hash } = tail;
    const lines: Buffer[] = [];
    const add = (what: Pick<Body, 'action' | 'operator' | 'detail'>): AuditEntry => {
      const body: Body = { n: count, at: new Date().toISOString(), ...what, previous: hash };
      const own = hashOf(body);
      const entry: AuditEntry = { ...body, hash: own, mac: macOf(key, 'entry', own) };
      const line = Buffer.from(`${tail.broken ? '\n' : ''}${JSON.stringify(entry)}\n`);
      tail.broken = false;
      lines.push(line);
      [count, bytes, hash] = [count + 1, bytes + line.length, own];
      return entry;
    };
    if (tail.repair !== null) add({ action: 'repair', operator: null, detail: { found: tail.repair } });
    const entry = add({ action, operator, detail: JSON.parse(JSON.stringify(detail)) as AuditDetail });
    await store.append(AUDIT_FILE, start, Buffer.concat(lines), { mode: 0o600 });
    await writeHead(store, key, { count, bytes, hash });
    return entry;
  } finally {
    await unlock();
  }
}

/** Why nothing could be written: the storage of the corpus may only be read. */
const READ_ONLY = new Set(['EROFS', 'EACCES', 'EPERM']);

/** Whether an error, or what it comes from, says that the corpus may only be read by this user. */
export function isReadOnly(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as NodeJS.ErrnoException;
  return READ_ONLY.has(code ?? '') || (cause !== undefined && isReadOnly(cause));
}

/** As `recordAudit`, but false where the corpus may only be read: for what does not change the corpus. */
export async function recordUse(
  dir: string,
  action: 'export' | 'index' | 'train',
  detail: AuditDetail,
  operator: string | null = null,
): Promise<boolean> {
  try {
    await recordAudit(dir, action, detail, operator);
    return true;
  } catch (error) {
    if (isReadOnly(error)) return false;
    throw error;
  }
}

/**
 * What the log calls a patient or series that is not to be named in it: who has the key and the id can tell that an
 * entry is about it.
 */
export async function auditSubject(dir: string, id: string): Promise<string> {
  return subjectOf(await readKey(dir), id);
}

/** As `auditSubject`, with the corpus's key at hand. */
export const subjectOf = (key: Uint8Array, id: string): string => macOf(key, 'subject', id).slice(0, 32);

/** Where the next entry goes. */
interface Tail {
  count: number;
  /** How much of the file is kept: a crash may have left half a line behind it. */
  bytes: number;
  hash: string;
  /** What an entry of its own is to say of the state that was found. */
  repair: string | null;
  /** The file does not end with a line break and may not be cut. */
  broken: boolean;
}

function resume(log: Uint8Array | null, head: Head | null | 'damaged', key: Uint8Array): Tail {
  const text = Buffer.from(log ?? []);
  const trusted = head !== null && head !== 'damaged' && same(head.mac, headMac(key, head)) ? head : null;
  const start = trusted ?? { count: 0, bytes: 0, hash: NONE };
  const tail: Tail = { ...start, bytes: text.length, repair: null, broken: false };
  if (trusted !== null && text.length < trusted.bytes) {
    tail.repair = 'entries are missing at the end';
    tail.broken = text.length > 0 && text.at(-1) !== LINE_BREAK;
    return tail;
  }
  // What lies behind the head are entries whose head was not written any more, and perhaps half a line.
  let at = start.bytes;
  for (let end = text.indexOf(LINE_BREAK, at); end >= 0; end = text.indexOf(LINE_BREAK, at)) {
    const entry = parseEntry(text.subarray(at, end).toString('utf8'));
    if (entry === null || !isGenuine(entry, key) || entry.n !== tail.count || entry.previous !== tail.hash) {
      tail.repair = 'lines behind the head that do not belong to the log';
      tail.broken = text.at(-1) !== LINE_BREAK;
      return tail;
    }
    [tail.count, tail.hash] = [tail.count + 1, entry.hash];
    at = end + 1;
  }
  if (trusted === null && tail.count > 1) tail.repair = 'the head was missing or damaged';
  if (at < text.length) {
    tail.bytes = at;
    tail.repair ??= 'half an entry at the end, as a crash leaves it';
  }
  return tail;
}

const LINE_BREAK = 10;

function parseEntry(line: string): AuditEntry | null {
  try {
    const parsed = entrySchema.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

const isGenuine = (entry: AuditEntry, key: Uint8Array): boolean =>
  hashOf(entry) === entry.hash && same(entry.mac, macOf(key, 'entry', entry.hash));

async function readHead(store: CorpusStore): Promise<Head | null | 'damaged'> {
  const bytes = await store.read(HEAD_FILE);
  if (bytes === null) return null;
  try {
    return headSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    return 'damaged';
  }
}

async function writeHead(store: CorpusStore, key: Uint8Array, head: Omit<Head, 'mac'>): Promise<void> {
  const text = `${JSON.stringify({ ...head, mac: headMac(key, head) } satisfies Head)}\n`;
  await store.write(HEAD_FILE, Buffer.from(text), { mode: 0o600, syncFolder: true });
}

export interface AuditFinding {
  readonly kind: 'changed' | 'order' | 'missing' | 'foreign' | 'head' | 'torn' | 'unconfirmed' | 'key';
  /** Whether the log is not what was written; the others are what a crash may leave, or could not be verified. */
  readonly broken: boolean;
  readonly message: string;
}

export interface Audit {
  /** Lines that can be read as entries, in the order of the file. */
  readonly entries: AuditEntry[];
  readonly findings: AuditFinding[];
  /** Hash of the newest entry: who notes it elsewhere can tell whether the log was put back to an earlier state. */
  readonly head: string | null;
}

/** Reads the audit log of the corpus in `dir` and verifies it. A corpus without a log has no entries and no findings. */
export async function readAudit(dir: string): Promise<Audit> {
  // The head first: what a writer adds meanwhile is then behind it, which is no finding.
  const store = await openStore(dir);
  const head = await readHead(store);
  const log = await store.read(AUDIT_FILE);
  const findings: AuditFinding[] = [];
  const bad = (kind: AuditFinding['kind'], message: string): number =>
    findings.push({ kind, broken: true, message });
  if (log === null) {
    if (head !== null) bad('missing', `${AUDIT_FILE} is gone, but ${HEAD_FILE} tells of entries`);
    return { entries: [], findings, head: null };
  }
  const key = await readKey(dir).catch((error: unknown) => {
    if (!(error instanceof CorpusError) || error instanceof ServiceError) throw error;
    findings.push({ kind: 'key', broken: false, message: 'without the key only the chain was verified' });
    return null;
  });
  const lines = Buffer.from(log).toString('utf8').split('\n');
  const torn = lines.pop()!;
  const entries: AuditEntry[] = [];
  let [count, hash] = [0, NONE];
  for (const [at, line] of lines.entries()) {
    const entry = parseEntry(line);
    if (entry === null) {
      bad('changed', `line ${at + 1} is no entry`);
      continue;
    }
    entries.push(entry);
    if (hashOf(entry) !== entry.hash) bad('changed', `entry ${entry.n} (line ${at + 1}) was changed`);
    else if (key !== null && !isGenuine(entry, key))
      bad('foreign', `entry ${entry.n} (line ${at + 1}) was not written with the corpus's key`);
    if (entry.n > count)
      bad('missing', `${entry.n - count} entries are missing before entry ${entry.n} (line ${at + 1})`);
    else if (entry.n < count)
      bad('order', `entry ${entry.n} (line ${at + 1}) stands behind entry ${count - 1}`);
    else if (entry.previous !== hash)
      bad('changed', `entry ${entry.n} (line ${at + 1}) does not follow the entry before it`);
    [count, hash] = [entry.n + 1, entry.hash];
  }
  if (torn !== '')
    findings.push({
      kind: 'torn',
      broken: false,
      message: 'half an entry at the end, as a crash leaves it; the next entry replaces it',
    });
  findings.push(...ofHead(head, key, entries, count));
  return { entries, findings, head: entries.at(-1)?.hash ?? null };
}

function ofHead(
  head: Head | null | 'damaged',
  key: Uint8Array | null,
  entries: readonly AuditEntry[],
  count: number,
): AuditFinding[] {
  const bad = (kind: AuditFinding['kind'], message: string): AuditFinding[] => [
    { kind, broken: true, message },
  ];
  if (head === null) {
    // The first entry is written before the first head.
    if (entries.length <= 1) return [];
    return bad('head', `${HEAD_FILE} is missing, so that entries missing at the end cannot be told`);
  }
  if (head === 'damaged') return bad('head', `${HEAD_FILE} is damaged`);
  if (key !== null && !same(head.mac, headMac(key, head)))
    return bad('head', `${HEAD_FILE} was not written with the corpus's key`);
  if (count < head.count)
    return bad(
      'missing',
      `${head.count - count} entries are missing at the end (entry ${head.count - 1} was written)`,
    );
  const at = entries.find(({ n }) => n === head.count - 1);
  if (at !== undefined && at.hash !== head.hash)
    return bad('changed', `entry ${at.n} is not the one that ${HEAD_FILE} tells of`);
  if (count > head.count)
    return [
      {
        kind: 'unconfirmed',
        broken: false,
        message: `${count - head.count} entries are newer than the head: a command is writing, or a crash cut one off`,
      },
    ];
  return [];
}
