/** A thread that simulates and writes studies, one message a study. */
import { parentPort } from 'node:worker_threads';
import { simulateInto, type WorkerAnswer, type WorkerTask } from './corpus.js';

const port = parentPort;
if (port === null) throw new Error('internal: the simulation worker was started outside of a thread');

port.on('message', (task: WorkerTask) => {
  simulateInto(task).then(
    (answer) => port.postMessage(answer),
    (error: unknown) => {
      const answer: WorkerAnswer = {
        series: 0,
        files: 0,
        error: error instanceof Error ? error.message : String(error),
      };
      port.postMessage(answer);
    },
  );
});
