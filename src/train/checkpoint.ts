/** Checkpoints: everything a run needs to go on bit for bit, written so that a kill at any moment leaves a whole one. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkpointsOf, MODEL_FILE, writeModel, type ModelFile } from '../models/model-file.js';
import { readSafetensors, writeSafetensors } from '../models/safetensors.js';
import { TrainError } from './loader.js';

/** The flat vectors of a run: parameters, Adam moments, and the teacher where there is one. */
export type FlatState = Readonly<Record<string, Float32Array>>;

/** Older checkpoints are removed once this many newer ones are complete. */
const KEEP = 2;

/** Writes `checkpoints/step-N` of a run: `model.safetensors` for use, `state.safetensors` and `state.json` to go on. */
export async function saveCheckpoint(
  run: string,
  step: number,
  model: ModelFile,
  state: FlatState,
): Promise<void> {
  const folder = join(run, 'checkpoints');
  const name = `step-${String(step).padStart(8, '0')}`;
  const partial = join(folder, `.${name}.partial`);
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  await writeModel(join(partial, MODEL_FILE), model);
  const tensors = Object.entries(state).map(([key, data]) => ({ name: key, shape: [data.length], data }));
  await writeSafetensors(join(partial, 'state.safetensors'), tensors);
  await writeFile(join(partial, 'state.json'), JSON.stringify({ step }));
  await rm(join(folder, name), { recursive: true, force: true });
  await rename(partial, join(folder, name));
  for (const old of (await checkpointsOf(run)).slice(0, -KEEP))
    await rm(old.path, { recursive: true, force: true });
}

/** The newest checkpoint of a run, or null when it has none yet. @throws ModelError for a damaged file. */
export async function loadCheckpoint(run: string): Promise<{ step: number; state: FlatState } | null> {
  const newest = (await checkpointsOf(run)).at(-1);
  if (!newest) return null;
  const { tensors } = await readSafetensors(join(newest.path, 'state.safetensors'));
  const state = Object.fromEntries([...tensors].map(([name, { data }]) => [name, data]));
  return { step: newest.step, state };
}

/**
 * Binds a run folder to the settings it was started with: writes them when the folder is new, and compares when it is
 * resumed. `steps` may grow; anything else that differs would not be the same run.
 * @throws TrainError naming the setting that differs, or when a run is there and was not asked to be resumed.
 */
export async function bindRun(
  run: string,
  settings: Record<string, unknown>,
  resume: boolean,
): Promise<void> {
  const path = join(run, 'config.json');
  const before = await readFile(path, 'utf8').catch(() => null);
  if (before === null) {
    await mkdir(join(run, 'checkpoints'), { recursive: true });
    await writeFile(path, `${JSON.stringify(settings, null, 2)}\n`);
    return;
  }
  if (!resume)
    throw new TrainError(
      `train: ${run} already holds a run; add --resume to go on with it, or give another --run`,
    );
  const old = JSON.parse(before) as Record<string, unknown>;
  for (const key of new Set([...Object.keys(old), ...Object.keys(settings)])) {
    const [was, now] = [JSON.stringify(old[key]), JSON.stringify(settings[key])];
    if (was !== now)
      throw new TrainError(
        `train: ${run} was started with ${key} = ${was}, got ${now}; resume with the same settings or start a new run`,
      );
  }
}

/** Drops log lines of steps after `step`, which a resumed run will write again. */
export async function trimMetrics(path: string, step: number): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const kept = text.split('\n').filter((line) => {
    try {
      return (JSON.parse(line) as { step: number }).step <= step;
    } catch {
      // The half line that a kill can leave behind.
      return false;
    }
  });
  await writeFile(path, kept.map((line) => `${line}\n`).join(''));
}
