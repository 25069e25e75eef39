/** Several ranks in one process, for tests of what they exchange: each calls as over MPI, and waits for the others. */
import type { Communicator } from '../../src/mpi/index.js';

/** `size` communicators that talk to each other in memory. */
export function localRanks(size: number): Communicator[] {
  let waiting: { data: unknown; resolve: (all: unknown[]) => void }[] = [];
  const calls: (typeof waiting)[] = Array.from({ length: size }, () => []);
  const meet = (rank: number, data: unknown): Promise<unknown[]> =>
    new Promise((resolve) => {
      calls[rank]!.push({ data, resolve });
      while (calls.every((queue) => queue.length > 0)) {
        waiting = calls.map((queue) => queue.shift()!);
        const all = waiting.map((one) => one.data);
        for (const one of waiting) one.resolve(all);
      }
    });
  const sum = (all: readonly ArrayLike<number>[]): number[] =>
    Array.from(all[0]!, (_, i) => all.reduce((total, one) => total + one[i]!, 0));
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    barrier: () => meet(rank, null).then(() => undefined),
    async allreduceSum(data) {
      data.set(sum((await meet(rank, data.slice())) as Float32Array[]));
    },
    async reduceScatterSum(data, into) {
      const all = sum((await meet(rank, data.slice())) as Float32Array[]);
      into.set(all.slice(rank * into.length, (rank + 1) * into.length));
    },
    async allgather(own, into) {
      ((await meet(rank, own.slice())) as Float32Array[]).forEach((one, r) => into.set(one, r * own.length));
    },
    allgatherBytes: (own) => meet(rank, own.slice()) as Promise<Uint8Array[]>,
    broadcastBytes: async (data, root = 0) => ((await meet(rank, data.slice())) as Uint8Array[])[root]!,
    abort: () => {
      throw new Error(`rank ${rank} aborts`);
    },
    finalize: () => Promise.resolve(),
  }));
}
