/** What the ranks of a training job do together besides computing. */
import { availableParallelism, cpus, hostname } from 'node:os';
import type { Communicator } from '../mpi/index.js';
import type { FlatState } from './checkpoint.js';
import { TrainError } from './loader.js';

/** Runs `work` on rank 0 only, whose result it returns there, null on the others. @throws on all ranks if it fails. */
export async function onRankZero<T>(
  ranks: Communicator,
  doing: string,
  work: () => Promise<T>,
): Promise<T | null> {
  if (ranks.size === 1) return work();
  if (ranks.rank > 0) {
    const [done] = await ranks.broadcastBytes(new Uint8Array());
    if (done !== 1) throw new TrainError(`rank 0 could not ${doing}; its message says why`);
    return null;
  }
  try {
    const result = await work();
    await ranks.broadcastBytes(Uint8Array.of(1));
    return result;
  } catch (error) {
    await ranks.broadcastBytes(Uint8Array.of(0));
    throw error;
  }
}

/** MPI counts in 32 bits. */
const PIECE = 2 ** 30;

/** The state that rank 0 has loaded, on every rank: only rank 0 needs to see the run folder. */
export async function shareState(
  ranks: Communicator,
  saved: { step: number; state: FlatState } | null,
): Promise<{ step: number; state: FlatState } | null> {
  if (ranks.size === 1) return saved;
  const own = saved && {
    step: saved.step,
    vectors: Object.entries(saved.state).map(([name, { length }]) => ({ name, length })),
  };
  const head = await ranks.broadcastBytes(Buffer.from(JSON.stringify(own)));
  const told = JSON.parse(Buffer.from(head).toString()) as typeof own;
  if (!told) return null;
  const state: Record<string, Float32Array> = {};
  for (const { name, length } of told.vectors) {
    const vector = saved?.state[name] ?? new Float32Array(length);
    const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
    for (let at = 0; at < bytes.length; at += PIECE)
      bytes.set(await ranks.broadcastBytes(bytes.subarray(at, at + PIECE)), at);
    state[name] = vector;
  }
  return { step: told.step, state };
}

/**
 * Threads for this rank, where nobody says how many: undefined (the device's own choice) unless several ranks run on
 * this machine and the launcher did not bind each to cores of its own; then they share the cores. A collective call.
 */
export async function threadsPerRank(ranks: Communicator): Promise<number | undefined> {
  if (ranks.size === 1) return undefined;
  const hosts = await ranks.allgatherBytes(Buffer.from(hostname()));
  const here = hosts.filter((host) => Buffer.from(host).toString() === hostname()).length;
  if (here === 1 || availableParallelism() < cpus().length) return undefined;
  return Math.max(1, Math.floor(availableParallelism() / here));
}
