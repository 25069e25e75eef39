/** What every command shares: one JSON document on stdout, everything else on stderr, and clear exits. */
import { readFileSync } from 'node:fs';
import cliProgress from 'cli-progress';
import { launchedRank } from '../mpi/index.js';

/** The command line itself is wrong: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command cannot do its work: exit status 1. */
export class CliError extends Error {
  override readonly name = 'CliError';
}

/** The work was stopped by Ctrl-C or a termination signal: exit status 130. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** System errors in words; everything else speaks for itself. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC')
    return `the disk is full (${error.message}); free some space and run the command again`;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return `no permission to write there (${error.message}); check the folder's owner and mode`;
  return error.message;
}

/** Writes the one JSON document of a `--json` run to stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** A line for the person at the terminal; never on stdout, which belongs to results. */
export function log(message: string): void {
  process.stderr.write(`${message}\n`);
}

export interface Progress {
  /** `done` of the total, with a short note (never anything identifying). */
  update(done: number, note?: string): void;
  /** Another total, where it becomes known on the way. */
  total(total: number): void;
  stop(): void;
}

/** Plain lines come this far apart where no terminal draws a bar. */
const LINE_EVERY_MS = 5000;

/**
 * Seconds until `all` are done, from how fast it went since the first one was told: work that goes on from where it
 * stopped begins in the middle. Null where that cannot be said yet, or nothing is left.
 */
export function secondsLeft(
  first: { readonly done: number; readonly seconds: number },
  now: { readonly done: number; readonly seconds: number },
  all: number,
): number | null {
  if (now.done >= all) return null;
  const left = all - now.done;
  if (now.done > first.done) return (left * (now.seconds - first.seconds)) / (now.done - first.done);
  return first.done === 1 ? left * now.seconds : null;
}

/** Progress with an estimate: a bar on a terminal, plain lines elsewhere, from rank 0 only of several. */
export function progress(label: string, total: number): Progress {
  if (launchedRank(process.env) > 0)
    return { update: () => undefined, total: () => undefined, stop: () => undefined };
  if (process.stderr.isTTY) {
    const bar = new cliProgress.SingleBar({
      format: `${label} [{bar}] {value}/{total} · {eta_formatted} left {note}`,
      stream: process.stderr,
      hideCursor: true,
      etaBuffer: 50,
      clearOnComplete: false,
    });
    bar.start(total, 0, { note: '' });
    return {
      update: (done, note = '') => bar.update(done, { note: note && `· ${note}` }),
      total: (n) => bar.setTotal(n),
      stop: () => bar.stop(),
    };
  }
  const started = Date.now();
  let all = total;
  let last = started;
  let latest = { done: 0, note: '' };
  let first: { done: number; seconds: number } | null = null;
  const line = (): void => {
    const seconds = (Date.now() - started) / 1000;
    const { done, note } = latest;
    const estimate = first && secondsLeft(first, { done, seconds }, all);
    const left = estimate === null ? '' : `, about ${Math.ceil(estimate)} s left`;
    log(`${label}: ${done}/${all}${note && ` ${note}`} (${seconds.toFixed(0)} s${left})`);
  };
  return {
    update(done, note = '') {
      latest = { done, note };
      first ??= { done, seconds: (Date.now() - started) / 1000 };
      if (Date.now() - last < LINE_EVERY_MS) return;
      last = Date.now();
      line();
    },
    total: (n) => (all = n),
    stop: line,
  };
}

/** What stops work: Ctrl-C, a termination, and what mpirun and Slurm pass on as a warning of the end. */
const STOPPING = ['SIGINT', 'SIGTERM', 'SIGUSR2'] as const;

/**
 * A signal that Ctrl-C (or SIGTERM, SIGUSR2) raises once, for work that stops at its next safe point; a second Ctrl-C
 * exits at once. `done` puts the default behaviour back.
 */
export function interruption(message: string): { signal: AbortSignal; done: () => void } {
  const controller = new AbortController();
  const first = launchedRank(process.env) === 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      if (signal === 'SIGINT') process.exit(130);
      return;
    }
    if (first) log(`\n${message}`);
    controller.abort();
  };
  for (const signal of STOPPING) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    done: () => {
      for (const signal of STOPPING) process.off(signal, onSignal);
    },
  };
}

/** A whole number in [least, most] from the command line. @throws UsageError naming the option. */
export function wholeNumber(
  option: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  return (text) => {
    const n = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(n) || n < least || n > most)
      throw new UsageError(`${option} is a whole number ${range}, got "${text}"`);
    return n;
  };
}

const UNITS = { MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 } as const;

/** Bytes from the command line: "4GB", "512MB", or a number of MB. @throws UsageError naming the option. */
export function byteSize(option: string): (text: string) => number {
  return (text) => {
    const [, number, unit = 'MB'] = /^\s*(\d+(?:\.\d+)?)\s*(MB|GB|TB)?\s*$/i.exec(text) ?? [];
    const bytes = Number(number) * UNITS[unit.toUpperCase() as keyof typeof UNITS];
    if (number === undefined || bytes < UNITS.MB)
      throw new UsageError(
        `${option} is an amount of memory of at least 1MB such as 512MB or 4GB, got "${text}"`,
      );
    return bytes;
  };
}

/** The most memory that this process has taken so far, MB. */
export function peakMemoryMB(): number {
  let kilobytes = process.resourceUsage().maxRSS;
  if (process.platform === 'linux') {
    // Linux counts what the process that started this one held as well; its own high-water mark is told here.
    const own = /VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
    if (own) kilobytes = Number(own[1]);
  }
  return Math.round(kilobytes / 1024);
}

/** One of several names from the command line. @throws UsageError naming the option and them. */
export function oneOf<T extends string>(option: string, names: readonly T[]): (text: string) => T {
  return (text) => {
    const name = names.find((one) => one === text);
    if (name === undefined) throw new UsageError(`${option} is one of ${names.join(', ')}, got "${text}"`);
    return name;
  };
}

/** A number in [least, most] from the command line. @throws UsageError naming the option. */
export function decimal(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (text.trim() === '' || !(n >= least && n <= most))
      throw new UsageError(`${option} is a number from ${least} to ${most}, got "${text}"`);
    return n;
  };
}
