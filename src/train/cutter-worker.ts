/** A thread that cuts views; see Cutters. */
import { parentPort, workerData } from 'node:worker_threads';
import { studiesOf } from './crops.js';
import { cutBatch } from './cut-batch.js';
import type { CutterAnswer, CutterData, CutterTask } from './cutters.js';
import { VolumeCache, type VolumeSource } from './loader.js';

const port = parentPort;
if (port === null) throw new Error('internal: the thread that cuts views was started outside of a thread');

const { module, data, series, config, memory } = workerData as CutterData;
const studies = studiesOf(series);
const opened = (async () => {
  const { openSource } = (await import(module)) as {
    openSource: (data: unknown) => VolumeSource | Promise<VolumeSource>;
  };
  const warn = (warning: string): void => port.postMessage({ warning } satisfies CutterAnswer);
  return new VolumeCache(await openSource(data), memory, warn);
})();
// Reported with the first batch that is asked for.
opened.catch(() => undefined);

/** One after another: what a batch keeps in memory is bounded so. */
let before: Promise<void> = Promise.resolve();
port.on('message', (task: CutterTask) => {
  before = before.then(() => answer(task));
});

async function answer({ id, recipe, at }: CutterTask): Promise<void> {
  try {
    const { feeds, tokens, ids } = await cutBatch(await opened, series, config, recipe, at, studies);
    const moved = Object.values(feeds).map(({ buffer }) => buffer as ArrayBuffer);
    port!.postMessage({ id, feeds, tokens, ids } satisfies CutterAnswer, moved);
  } catch (error) {
    port!.postMessage({
      id,
      error: error instanceof Error ? error.message : String(error),
    } satisfies CutterAnswer);
  }
}
