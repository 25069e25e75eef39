/** One writer a run: a lock file that a running job keeps fresh. */
import { readFile, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { lock } from '../corpus/lock.js';
import { makeFolder } from './checkpoint.js';

const LOCK_FILE = 'lock';
const FRESH_EVERY_MS = 20_000;
/** A lock of another machine that nobody has freshened for this long belongs to a job that is gone. */
const STALE_MS = 120_000;

/**
 * Takes the run folder for this process, making it where there is none, and returns what gives it back. A dead
 * process's lock is taken over: at once on this machine, after two minutes on another (a restarted container).
 * @throws CorpusError while another process holds it; TrainError for a folder that cannot be made.
 */
export async function lockRun(run: string): Promise<() => Promise<void>> {
  await makeFolder(run);
  const path = join(run, LOCK_FILE);
  if (await isLeftBehind(path)) await rm(path, { force: true });
  const release = await lock(run, 'train', { file: LOCK_FILE });
  const timer = setInterval(() => {
    const now = new Date();
    // A disk that is away for a moment is the next checkpoint's trouble.
    utimes(path, now, now).catch(() => undefined);
  }, FRESH_EVERY_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await release();
  };
}

async function isLeftBehind(path: string): Promise<boolean> {
  try {
    const { host } = JSON.parse(await readFile(path, 'utf8')) as { host?: string };
    const { mtimeMs } = await stat(path);
    return host !== hostname() && Date.now() - mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}
