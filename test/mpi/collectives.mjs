// One rank of the job that communicator.test.ts starts: calls everything once and prints what came out.
import { openCommunicator } from '../../dist/mpi/index.js';

const ranks = await openCommunicator();
const { rank, size } = ranks;

const sum = Float32Array.of(1, rank, 0.5 * rank);
const large = new Float32Array(300_000).fill(rank + 1);
const double = Float64Array.of(2 ** 53 - 1 - rank);
const blocks = Float32Array.from({ length: 2 * size }, (_, i) => i + 100 * rank);
const part = new Float32Array(2);
const gathered = new Float32Array(2 * size);
// Not awaited one by one: calls must be queued.
const done = [
  ranks.allreduceSum(sum),
  ranks.allreduceSum(large),
  ranks.allreduceSum(double),
  ranks.reduceScatterSum(blocks, part),
  ranks.allgather(Float32Array.of(rank, -rank), gathered),
];
const bytes = await ranks.allgatherBytes(new Uint8Array(rank).fill(rank));
const told = await ranks.broadcastBytes(Uint8Array.of(rank, 7), size - 1);
await Promise.all(done);
// A rank that comes late must not keep the event loop of the others.
let ticks = 0;
const timer = setInterval(() => ticks++, 5);
if (rank === 0) await new Promise((resolve) => setTimeout(resolve, 200));
await ranks.barrier();
clearInterval(timer);
let refused = '';
try {
  await ranks.reduceScatterSum(new Float32Array(2 * size + 1), part);
} catch (error) {
  refused = error.message;
}
process.stdout.write(
  `${JSON.stringify({
    rank,
    size,
    sum: [...sum],
    large: [large[0], large.at(-1)],
    double: double[0],
    part: [...part],
    gathered: [...gathered],
    bytes: bytes.map((b) => [...b]),
    told: [...told],
    ticks,
    refused,
  })}\n`,
);
await ranks.finalize();
