/** The thread that stores series, one message a series. */
import { parentPort, workerData } from 'node:worker_threads';
import { answerOf } from './store-answer.js';
import { storeSeries, type StoreTask } from './store-series.js';

/** How often a thread says that it is not caught in a decoder. */
const BEAT_MS = 500;

const port = parentPort;
if (port === null) throw new Error('internal: the worker must be started as a thread');

const beats = new Int32Array(workerData as SharedArrayBuffer);
setInterval(() => Atomics.add(beats, 0, 1), BEAT_MS).unref();

port.on('message', (task: StoreTask) => {
  void answerOf(storeSeries(task)).then((answer) => port.postMessage(answer));
});
