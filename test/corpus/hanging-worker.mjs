// A thread of the store pool that never comes back from series whose name begins with "hangs", as a decoder may.
import { parentPort, workerData } from 'node:worker_threads';

const beats = new Int32Array(workerData);
setInterval(() => Atomics.add(beats, 0, 1), 20).unref();
parentPort.on('message', async ({ shown }) => {
  while (shown.startsWith('hangs'));
  // Longer than a thread may be silent, but not silent.
  if (shown.startsWith('slow')) await new Promise((resolve) => setTimeout(resolve, 3000));
  parentPort.postMessage({ stored: `stored ${shown}` });
});
