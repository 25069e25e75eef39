/**
 * One writer at a time in a bucket: an object that is only ever replaced on the condition that nobody else did meanwhile.
 * Its holder writes it anew now and then; one that was not written for long, by the clock of the service, is taken over.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { CorpusError } from './error.js';
import { busy, isRunning } from './lock.js';
import { S3Store, type VersionedObject } from './s3.js';
import { insideOf, openStore } from './store.js';

const RENEW_MS = 15_000;
/** Longer than a main thread that stores series by itself is ever busy with one. */
const STALE_MS = 120_000;
const POLL_MS = 50;

interface Holder {
  /** Random, a name a lease; null after it was given back. */
  readonly owner: string | null;
  /** So that no two writings are the same bytes. */
  readonly writing: string;
  readonly machine: string | null;
  readonly pid: number;
}

/** Owners of this process. */
const mine = new Set<string>();
const leases = new Map<string, Lease>();

/** As `lock`, for a corpus in a bucket. */
export async function lease(
  corpus: string,
  doing: string,
  file: string,
  waitMs: number,
): Promise<() => Promise<void>> {
  const store = await openStore(corpus);
  if (!(store instanceof S3Store)) throw new CorpusError('internal: a lease is of an object');
  const until = Date.now() + waitMs;
  for (;;) {
    const there = await store.readVersioned(file);
    if (there === null || (await isFree(there))) {
      const taken = await Lease.take(store, file, there?.version ?? null);
      if (taken !== null) return () => taken.giveBack();
    } else if (Date.now() >= until) throw busy(doing, corpus, insideOf(corpus, file));
    else await wait(POLL_MS);
  }
}

/** Renews the lease of the object at `path`, where this process has one. @throws CorpusError when it was taken over. */
export async function renewLease(path: string, doing: string): Promise<void> {
  await leases.get(path)?.renew(doing);
}

async function isFree({ bytes, ageMs }: VersionedObject): Promise<boolean> {
  if (ageMs > STALE_MS) return true;
  let holder: Partial<Holder>;
  try {
    holder = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<Holder>;
  } catch {
    return false;
  }
  const { owner, machine, pid } = holder;
  if (owner === null) return true;
  // Of a process on another machine nothing is known but what it writes.
  if (typeof owner !== 'string' || typeof pid !== 'number' || machine !== (await thisMachine())) return false;
  return machine !== null && (pid === process.pid ? !mine.has(owner) : !(await isRunning(pid)));
}

class Lease {
  private readonly timer: NodeJS.Timeout;
  /** Writings are one after another. */
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly store: S3Store,
    private readonly file: string,
    private readonly owner: string,
    private version: string,
  ) {
    // A service that is away for a while is no reason to stop: who writes asks again.
    this.timer = setInterval(() => void this.renew('ingest').catch(() => undefined), RENEW_MS).unref();
    leases.set(this.path, this);
  }

  /** null where another was faster. */
  static async take(store: S3Store, file: string, version: string | null): Promise<Lease | null> {
    const owner = randomUUID();
    mine.add(owner);
    const own = await store.replace(file, await holding(owner), version).catch((error: unknown) => {
      mine.delete(owner);
      throw error;
    });
    if (own !== null) return new Lease(store, file, owner, own);
    mine.delete(owner);
    return null;
  }

  private get path(): string {
    return insideOf(this.store.root, this.file);
  }

  /** @throws CorpusError when it was taken over. */
  renew(doing: string): Promise<void> {
    const renewing = this.last.then(async () => {
      const version = await this.store.replace(this.file, await holding(this.owner), this.version);
      if (version === null)
        throw new CorpusError(
          `${doing}: this command did not say for ${STALE_MS / 1000} s that it is still at it, and another one took ` +
            `${this.store.root} over; run it again`,
        );
      this.version = version;
    });
    this.last = renewing.catch(() => undefined);
    return renewing;
  }

  async giveBack(): Promise<void> {
    clearInterval(this.timer);
    leases.delete(this.path);
    await this.last;
    // Not removed: that could be somebody else's by now. Where it fails, the lease ends by itself.
    await this.store.replace(this.file, await holding(null), this.version).catch(() => undefined);
    mine.delete(this.owner);
  }
}

async function holding(owner: string | null): Promise<Uint8Array> {
  const machine = await thisMachine();
  const holder: Holder = { owner, writing: randomUUID(), machine, pid: process.pid };
  return Buffer.from(`${JSON.stringify(holder)}\n`);
}

let machine: Promise<string | null> | null = null;

/** A name for what process ids are of: this start of this machine, and the container; null where it cannot be told. */
function thisMachine(): Promise<string | null> {
  machine ??= Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    readlink('/proc/self/ns/pid'),
  ]).then(
    (parts) =>
      createHash('sha256')
        .update([hostname(), ...parts].join('\n'))
        .digest('hex')
        .slice(0, 16),
    () => null,
  );
  return machine;
}
