/** Tries again after failures that pass by themselves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PacsError, TransientError } from './error.js';

export interface RetryOptions {
  /** Tries in all, the first included. */
  readonly tries: number;
  /** The wait before the second try is drawn from [0, this] ms; the range doubles at every further try. */
  readonly baseMs: number;
  /** No range is longer than this. */
  readonly mostMs: number;
  /** A server that asks for a longer pause than this (Retry-After) is given up. */
  readonly mostRetryAfterMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export const RETRIES: RetryOptions = {
  tries: 6,
  baseMs: 500,
  mostMs: 30_000,
  mostRetryAfterMs: 300_000,
  random: Math.random,
};

/**
 * The pause before try `attempt + 1`, in ms, after try `attempt` (from 1) failed: uniform in [0, base · 2^(attempt−1)],
 * so that clients which failed together do not come back together, and never less than the server asked for.
 */
export function pauseMs(attempt: number, retryAfterMs: number | null, options: RetryOptions): number {
  const range = Math.min(options.mostMs, options.baseMs * 2 ** (attempt - 1));
  return Math.max(retryAfterMs ?? 0, options.random() * range);
}

/**
 * Retry-After (RFC 9110 section 10.2.3), seconds or a date, as ms from `now`; null where it is absent or unreadable.
 */
export function retryAfter(header: string | undefined, now: number): number | null {
  if (header === undefined) return null;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

/**
 * Runs `work` until it succeeds, waiting between tries. Only a TransientError is tried again.
 *
 * @throws PacsError when the tries are used up; whatever else `work` throws, at once; the signal's reason when raised.
 */
export async function withRetries<T>(
  work: (attempt: number) => Promise<T>,
  options: RetryOptions,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      if ((error.retryAfterMs ?? 0) > options.mostRetryAfterMs)
        throw new PacsError(
          `${error.message}; it asks to wait ${Math.round(error.retryAfterMs! / 1000)} s, run the command again then`,
          { cause: error },
        );
      if (attempt >= options.tries)
        throw new PacsError(`${error.message} (tried ${attempt} times)`, { cause: error });
      await sleep(pauseMs(attempt, error.retryAfterMs, options), undefined, { signal });
    }
  }
}
