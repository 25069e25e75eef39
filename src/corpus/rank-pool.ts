/** Series stored by the processes of one job: rank 0 plans and writes rows, every rank reads and stores voxels. */
import { deserialize, serialize } from 'node:v8';
import type { Communicator } from '../mpi/index.js';
import { type SeriesStorer, StorePool } from './pool.js';
import type { StoredVoxels, StoreTask } from './store-series.js';
import { answerOf, failureOf, resultOf, type StoreAnswer } from './store-answer.js';
import { isBoundToThread } from './voxel-source.js';

/** Series that one thread of a rank gets at a time: enough for slow ones and fast ones to even out. */
const ROUND = 8;

interface Asked {
  readonly task: StoreTask;
  readonly settle: (answer: StoreAnswer) => void;
}

/**
 * Rank 0's end. Series are handed out in rounds, which every rank ends together; a round has all series that were asked for
 * since the one before. `close` sends the other ranks home, also after a failure.
 */
export class RankPool implements SeriesStorer {
  readonly width: number;
  private readonly own: StorePool;
  private asked: Asked[] = [];
  private rounds: Promise<void> | null = null;

  constructor(
    private readonly ranks: Communicator,
    workers: number,
  ) {
    this.own = new StorePool(workers);
    this.width = ranks.size * this.own.width * ROUND;
  }

  async store(task: StoreTask): Promise<StoredVoxels | string> {
    // No other process sees bytes in this one's memory.
    if (isBoundToThread(task.voxels, task.identifying)) return this.own.store(task);
    const answer = new Promise<StoreAnswer>((settle) => this.asked.push({ task, settle }));
    this.rounds ??= this.hold();
    return resultOf(await answer);
  }

  async close(): Promise<void> {
    await this.rounds;
    await this.ranks.broadcastBytes(serialize(null));
    await this.own.close();
  }

  /** Holds rounds as long as series are asked for. */
  private async hold(): Promise<void> {
    // Everything that asks at the same time is in one round.
    for (;;) {
      await turn();
      if (this.asked.length === 0) break;
      const round = this.asked;
      this.asked = [];
      const tasks = round.map(({ task }) => task);
      try {
        await this.ranks.broadcastBytes(serialize(tasks));
        const answers = await storeShare(this.ranks, tasks, this.own);
        round.forEach(({ settle }, n) => settle(answers[n]!));
      } catch (error) {
        for (const { settle } of round) settle(failureOf(error));
      }
    }
    this.rounds = null;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * The other ranks' end: stores what rank 0 hands out until its ingest is over. The paths of sources and corpus must mean
 * the same files on every machine.
 */
export async function storeForRank0(ranks: Communicator, workers: number): Promise<void> {
  const pool = new StorePool(workers);
  try {
    for (;;) {
      const tasks = deserialize(await ranks.broadcastBytes(new Uint8Array(0))) as StoreTask[] | null;
      if (tasks === null) return;
      await storeShare(ranks, tasks, pool);
    }
  } finally {
    await pool.close();
  }
}

/** Stores every size-th series; returns the answers of all ranks, in the order of the series. */
async function storeShare(
  ranks: Communicator,
  tasks: readonly StoreTask[],
  pool: StorePool,
): Promise<StoreAnswer[]> {
  const share = tasks.filter((_, n) => n % ranks.size === ranks.rank);
  const own: StoreAnswer[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < share.length) {
      const n = next++;
      own[n] = await answerOf(pool.store(share[n]!));
    }
  };
  await Promise.all(Array.from({ length: pool.width }, lane));
  const all = (await ranks.allgatherBytes(serialize(own))).map(
    (bytes) => deserialize(bytes) as StoreAnswer[],
  );
  return tasks.map((_, n) => all[n % ranks.size]![Math.floor(n / ranks.size)]!);
}
