/** The thread that stores series, one message a series. */
import { parentPort } from 'node:worker_threads';
import { storeSeries, type StoredVoxels, type StoreTask } from './store-series.js';

/** `failed` is an error that must stop the ingest, such as a full disk. */
export type StoreAnswer =
  | { readonly stored: StoredVoxels | string }
  | { readonly failed: { readonly message: string; readonly code: string | undefined } };

const port = parentPort;
if (port === null) throw new Error('internal: the worker must be started as a thread');

port.on('message', (task: StoreTask) => {
  storeSeries(task).then(
    (stored) => port.postMessage({ stored } satisfies StoreAnswer),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      const { code } = error as NodeJS.ErrnoException;
      port.postMessage({ failed: { message, code } } satisfies StoreAnswer);
    },
  );
});
