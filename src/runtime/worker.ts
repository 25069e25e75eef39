/** The thread of one device: takes one request after another and answers each. */
import { parentPort, workerData } from 'node:worker_threads';
import type { TypedArray } from '../graph/index.js';
import type { Backend } from './backend.js';
import type { Answer, Reply, Request, WorkerData } from './protocol.js';

const port = parentPort;
if (port === null) throw new Error('internal: the worker must be started as a thread');
const { kind, threads } = workerData as WorkerData;

const backend: Backend =
  kind === 'webgpu'
    ? new (await import('./webgpu.js')).WebgpuBackend()
    : new (await import('./cpu.js')).CpuBackend(threads, kind);

function handle(request: Request): Promise<Answer> {
  switch (request.op) {
    case 'load':
      return backend.load(request);
    case 'unload':
      return backend.unload(request.program).then(() => undefined);
    case 'run':
      return backend.run(request);
    case 'create':
      return backend.create(request.buffer, request.dtype, request.shape, request.data).then(() => undefined);
    case 'write':
      return backend.write(request.buffer, request.data).then(() => undefined);
    case 'read':
      return backend.read(request.buffer);
    case 'free':
      return backend.free(request.buffer).then(() => undefined);
    case 'close':
      return backend.close().then(() => undefined);
  }
}

/** What may move to the caller instead of being copied: arrays made for this answer. */
function arraysOf(answer: Answer): ArrayBuffer[] {
  if (answer === undefined || 'inputs' in answer) return [];
  const arrays: TypedArray[] = ArrayBuffer.isView(answer) ? [answer] : Object.values(answer);
  return [...new Set(arrays.map((array) => array.buffer as ArrayBuffer))];
}

let last: Promise<void> = Promise.resolve();
port.on('message', ({ id, request }: { id: number; request: Request }) => {
  last = last.then(async () => {
    let reply: Reply;
    let moved: ArrayBuffer[] = [];
    try {
      const answer = await handle(request);
      moved = arraysOf(answer);
      reply = { id, answer };
    } catch (error) {
      reply = { id, error: error instanceof Error ? error.message : String(error) };
    }
    port.postMessage(reply, moved);
    if (request.op === 'close') port.close();
  });
});
