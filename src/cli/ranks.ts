/** Commands as one of several processes under mpirun. */
import { openCommunicator, type Communicator } from '../mpi/index.js';
import { explain, Interrupted, log, UsageError } from './shared.js';

/** A failure that all ranks share is told by rank 0, whose abort ends the others within this time. */
const OTHERS_WAIT_MS = 1500;

/**
 * Runs a command's work on every rank of the job that this process belongs to, usually alone. When one rank fails, it
 * says why and ends the job: the others would wait for it for ever.
 */
export async function withRanks<T>(work: (ranks: Communicator) => Promise<T>): Promise<T> {
  const ranks = await openCommunicator();
  if (ranks.size === 1) return work(ranks);
  try {
    const result = await work(ranks);
    await ranks.finalize();
    return result;
  } catch (error) {
    if (error instanceof Interrupted) {
      // Agreed upon by all ranks.
      await ranks.finalize();
      if (ranks.rank > 0) process.exit(130);
      throw error;
    }
    if (ranks.rank > 0) await new Promise((resolve) => setTimeout(resolve, OTHERS_WAIT_MS));
    log(`precess: rank ${ranks.rank}: ${explain(error)}`);
    return ranks.abort(error instanceof UsageError ? 2 : 1);
  }
}
