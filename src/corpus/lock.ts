/** One writer at a time: a lock file that outlives no process; in a bucket, a lease. */
import { randomUUID } from 'node:crypto';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CorpusError } from './error.js';
import { insideOf, isRemote, rootOf } from './store.js';

const LOCK_FILE = 'lock';
const WRITING_TAKES_MS = 5000;
const POLL_MS = 15;
/** Locks of this process: its own process id in a lock file that is none of them is left over from another life. */
const held = new Set<string>();

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Random, another one each time. */
  readonly token: string;
}

export interface LockOptions {
  /** The lock file: "lock" guards series and voxels. */
  readonly file?: string;
  /** How long to wait for another holder; not at all unless given. */
  readonly waitMs?: number;
}

/**
 * Takes a lock of the corpus at `dir` and returns the function that gives it back; `doing` names the operation in the
 * error. A lock whose process is gone is taken over.
 *
 * @throws CorpusError while another process (or another call in this one) holds it; system errors when `dir` is not
 * writable.
 */
export async function lock(
  dir: string,
  doing = 'ingest',
  { file = LOCK_FILE, waitMs = 0 }: LockOptions = {},
): Promise<() => Promise<void>> {
  if (isRemote(dir)) return (await import('./lease.js')).lease(dir, doing, file, waitMs);
  const path = join(dir, file);
  const me: Holder = { pid: process.pid, host: hostname(), token: randomUUID() };
  const until = Date.now() + waitMs;
  held.add(me.token);
  try {
    for (let attempt = 0; attempt < 3 || Date.now() < until;) {
      if (await createExclusive(path, JSON.stringify(me)))
        return async () => {
          await rm(path, { force: true });
          held.delete(me.token);
        };
      const text = await readFile(path, 'utf8').catch((error: unknown) =>
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : UNREADABLE,
      );
      // Given back in between: the next try may be in time.
      if (text === null) continue;
      if (await isAlive(text, path, me)) {
        if (Date.now() >= until) break;
        await wait(POLL_MS);
      } else {
        attempt++;
        await discard(path, text, me);
      }
    }
  } catch (error) {
    held.delete(me.token);
    throw error;
  }
  held.delete(me.token);
  throw busy(doing, dir, path);
}

/**
 * Makes sure that this process still holds the lock of the corpus, before it writes what nobody else may write at the same
 * time: a machine that slept may have lost a lease of a bucket. A lock file is never lost.
 *
 * @throws CorpusError when another command took it over.
 */
export async function requireLock(dir: string, doing: string): Promise<void> {
  if (isRemote(dir)) await (await import('./lease.js')).renewLease(insideOf(rootOf(dir), LOCK_FILE), doing);
}

export const busy = (doing: string, dir: string, path: string): CorpusError =>
  new CorpusError(
    `${doing}: one command at a time may write to ${dir}, and another one is at it; wait for it to end (if there is ` +
      `none, delete ${path})`,
  );

async function createExclusive(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Of another user: nothing is known of its holder. */
const UNREADABLE = '{}';

async function isAlive(text: string, path: string, me: Holder): Promise<boolean> {
  let holder: Partial<Holder>;
  try {
    holder = JSON.parse(text) as Partial<Holder>;
  } catch {
    // Empty or cut off: its writer is just writing it, or died there.
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
    return Date.now() - mtimeMs < WRITING_TAKES_MS;
  }
  // The lease of a bucket, in a copy of it: it says who writes there, which is nobody here.
  if ('owner' in holder) return false;
  // Nothing can be known about a process on another machine.
  if (holder.host !== me.host || typeof holder.pid !== 'number') return true;
  return holder.pid === me.pid ? held.has(holder.token ?? '') : isRunning(holder.pid);
}

/**
 * Removes a stale lock, unless it was given back in the meantime and is another's by now. Only one process at a time may
 * do so: of two that saw the same stale lock, the second would remove the one that came after it.
 */
async function discard(path: string, stale: string, me: Holder): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await createExclusive(guard, me.token))) {
    // A process that was killed in here must not keep all others out.
    const { mtimeMs } = await stat(guard).catch(() => ({ mtimeMs: Infinity }));
    if (Date.now() - mtimeMs > WRITING_TAKES_MS) await rm(guard, { force: true });
    else await wait(POLL_MS);
    return;
  }
  try {
    const now = await readFile(path, 'utf8').catch(() => null);
    if (now === stale && !(await isAlive(now, path, me))) await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

/** Whether a process of this machine runs; one that was killed and not waited for does not. */
export async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
    // A killed process whose parent has not asked for it (in a container often for ever) still answers.
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    return !/\) [ZX] /.test(state);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
