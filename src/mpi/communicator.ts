/** What ranks say to each other, and the communicator of a process that is alone. */

/** MPI cannot be used, or was used against its rules. */
export class MpiError extends Error {
  override readonly name = 'MpiError';
}

/**
 * The processes of one job. Every rank calls the same methods in the same order (they are collective); calls of one
 * rank are queued, so none needs to wait for the one before. Waiting never blocks the event loop.
 */
export interface Communicator {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** How many processes there are. */
  readonly size: number;
  /** Returns once every rank has called it. */
  barrier(): Promise<void>;
  /** Replaces `data`, of one length on all ranks, by the elementwise sum over ranks: the same bits on every rank. */
  allreduceSum(data: Float32Array | Float64Array): Promise<void>;
  /** Sums `data` over ranks; rank r receives block r of `data.length / size` elements in `into`. */
  reduceScatterSum(data: Float32Array, into: Float32Array): Promise<void>;
  /** Puts every rank's `own`, of one length, one after another into `into` of `own.length * size`. */
  allgather(own: Float32Array, into: Float32Array): Promise<void>;
  /** Every rank's bytes, by rank; lengths may differ. */
  allgatherBytes(own: Uint8Array): Promise<Uint8Array[]>;
  /** The bytes of rank `root` (0 unless said) on every rank; what the others pass is not looked at. */
  broadcastBytes(data: Uint8Array, root?: number): Promise<Uint8Array>;
  /** Ends every process of the job now, with this exit status. */
  abort(code: number): never;
  /** Leaves the job, when the work is done; nothing may be called after it. */
  finalize(): Promise<void>;
}

/** The communicator of a process that was not started by an MPI launcher: rank 0 of 1. */
export class SingleProcess implements Communicator {
  readonly rank = 0;
  readonly size = 1;

  barrier(): Promise<void> {
    return Promise.resolve();
  }

  allreduceSum(): Promise<void> {
    return Promise.resolve();
  }

  reduceScatterSum(data: Float32Array, into: Float32Array): Promise<void> {
    checkBlocks('reduceScatterSum', data.length, into.length, 1);
    into.set(data);
    return Promise.resolve();
  }

  allgather(own: Float32Array, into: Float32Array): Promise<void> {
    checkBlocks('allgather', into.length, own.length, 1);
    into.set(own);
    return Promise.resolve();
  }

  allgatherBytes(own: Uint8Array): Promise<Uint8Array[]> {
    // A copy, which slice() of a Buffer is not.
    return Promise.resolve([new Uint8Array(own)]);
  }

  broadcastBytes(data: Uint8Array): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(data));
  }

  abort(code: number): never {
    process.exit(code);
  }

  finalize(): Promise<void> {
    return Promise.resolve();
  }
}

/** @throws MpiError unless `whole` is `size` blocks of `block` elements. */
export function checkBlocks(method: string, whole: number, block: number, size: number): void {
  if (whole !== block * size)
    throw new MpiError(
      `${method}: the whole must be ${size} blocks of the part (one a rank), got ${whole} elements and a part of ` +
        `${block}; pad it to a multiple of ${size}`,
    );
}
