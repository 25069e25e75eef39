/** The communicator over an MPI library. */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { checkBlocks, MpiError, type Communicator } from './communicator.js';
import type { Launch } from './launch.js';
import { MpiLibrary } from './library.js';

/** How long a rank looks out for the others without pause, before it sleeps between looks. */
const ALERT_MS = 2;

/** All ranks of the job (MPI_COMM_WORLD). */
export class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly #mpi: MpiLibrary;
  /** MPI is told to expect one call at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #open = true;

  /** @throws MpiError when the library is missing or is not the launcher's. */
  constructor(launch: Launch) {
    this.#mpi = new MpiLibrary(launch.by, launch.pmi);
    const { rank, size } = this.#mpi.init();
    this.rank = rank;
    this.size = size;
    if (launch.size !== null && launch.size !== size)
      throw new MpiError(
        `mpi: ${launch.by} says ${launch.size} processes, the loaded library sees ${size}; it belongs to another MPI. ` +
          'Use the mpirun of the installed library, or name its file in PRECESS_MPI_LIBRARY',
      );
  }

  barrier(): Promise<void> {
    return this.#queue(() => Promise.resolve());
  }

  allreduceSum(data: Float32Array | Float64Array): Promise<void> {
    return this.#queue(() => this.#mpi.allreduce(data));
  }

  reduceScatterSum(data: Float32Array, into: Float32Array): Promise<void> {
    checkBlocks('reduceScatterSum', data.length, into.length, this.size);
    return this.#queue(() => this.#mpi.reduceScatter(data, into));
  }

  allgather(own: Float32Array, into: Float32Array): Promise<void> {
    checkBlocks('allgather', into.length, own.length, this.size);
    return this.#queue(() => this.#mpi.allgather(own, into));
  }

  allgatherBytes(own: Uint8Array): Promise<Uint8Array[]> {
    return this.#queue(async () => {
      const lengths = new Float64Array(this.size);
      await this.#mpi.allgather(Float64Array.of(own.length), lengths);
      const total = lengths.reduce((sum, n) => sum + n, 0);
      if (total >= 2 ** 31)
        throw new MpiError(
          `allgatherBytes: MPI counts to 2^31 bytes, got ${total} in all; send fewer at a time`,
        );
      const all = new Uint8Array(total);
      await this.#mpi.allgatherBytes(own, all, Int32Array.from(lengths));
      let at = 0;
      return Array.from(lengths, (n) => all.slice(at, (at += n)));
    });
  }

  broadcastBytes(data: Uint8Array, root = 0): Promise<Uint8Array> {
    return this.#queue(async () => {
      const length = Float64Array.of(this.rank === root ? data.length : 0);
      await this.#mpi.allreduce(length);
      if (length[0]! >= 2 ** 31)
        throw new MpiError(
          `broadcastBytes: MPI counts to 2^31 bytes, got ${length[0]!}; send fewer at a time`,
        );
      const bytes = this.rank === root ? new Uint8Array(data) : new Uint8Array(length[0]!);
      await this.#mpi.broadcast(bytes, root);
      return bytes;
    });
  }

  abort(code: number): never {
    this.#mpi.abort(code);
    process.exit(code);
  }

  async finalize(): Promise<void> {
    if (!this.#open) return;
    const left = this.#queue(() => this.#mpi.finalize());
    this.#open = false;
    await left;
  }

  /**
   * Runs one collective after those before it. MPI waits by polling, which takes a core from the ranks that compute;
   * so all first wait here, asleep, until every rank has come.
   */
  #queue<T>(collective: () => Promise<T>): Promise<T> {
    if (!this.#open) return Promise.reject(new MpiError('internal: the communicator is used after finalize'));
    const result = this.#last.then(async () => {
      const all = this.#mpi.arrive();
      const began = performance.now();
      while (!all()) {
        if (performance.now() - began < ALERT_MS) await setImmediate();
        else await setTimeout(1);
      }
      return collective();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }
}
