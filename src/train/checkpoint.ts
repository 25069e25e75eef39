/** Checkpoints: everything a run needs to go on bit for bit, written so that a kill at any moment leaves a whole one. */
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkpointsOf, MODEL_FILE, writeModel, type ModelFile } from '../models/model-file.js';
import { readSafetensors, writeSafetensors } from '../models/safetensors.js';
import { TrainError } from './loader.js';

/**
 * The flat vectors of a run: parameters, Adam moments, and the teacher where there is one; and `scale`, the state of
 * the loss scale, where it multiplies halves.
 */
export type FlatState = Readonly<Record<string, Float32Array>>;

/** Older checkpoints are removed once this many newer ones are complete. */
const KEEP = 2;
const PARTIAL = '.partial';
/** The log of a run: one JSON line a step. */
export const METRICS_FILE = 'metrics.jsonl';

/** Writes `checkpoints/step-N` of a run: `model.safetensors` for use, `state.safetensors` and `state.json` to go on. */
export async function saveCheckpoint(
  run: string,
  step: number,
  model: ModelFile,
  state: FlatState,
): Promise<void> {
  const folder = join(run, 'checkpoints');
  const name = `step-${String(step).padStart(8, '0')}`;
  const partial = join(folder, `.${name}${PARTIAL}`);
  await removePartial(folder);
  try {
    await mkdir(partial, { recursive: true });
    await writeModel(join(partial, MODEL_FILE), model);
    const tensors = Object.entries(state).map(([key, data]) => ({ name: key, shape: [data.length], data }));
    await writeSafetensors(join(partial, 'state.safetensors'), tensors);
    await writeFile(join(partial, 'state.json'), JSON.stringify({ step }));
    // On the disk before it takes its name, and the name before older ones go: whole after a power cut as well.
    for (const file of await readdir(partial)) await sync(join(partial, file));
    await sync(partial);
    await rm(join(folder, name), { recursive: true, force: true });
    await rename(partial, join(folder, name));
    await sync(folder);
  } catch (error) {
    // Half a checkpoint would hold on to what may be the last of the disk.
    await removePartial(folder).catch(() => undefined);
    throw error;
  }
  for (const old of (await checkpointsOf(run)).slice(0, -KEEP))
    await rm(old.path, { recursive: true, force: true });
}

/** Waits until a file's bytes, or a folder's names, are on the disk. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes what kills have left of checkpoints that were being written. */
async function removePartial(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    if (name.endsWith(PARTIAL)) await rm(join(folder, name), { recursive: true, force: true });
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
  if (before === null || (!resume && !(await hasSteps(run)))) {
    await makeFolder(run);
    await makeFolder(join(run, 'checkpoints'));
    await writeWhole(path, `${JSON.stringify(settings, null, 2)}\n`);
    return;
  }
  if (!resume)
    throw new TrainError(
      `train: ${run} already holds a run; add --resume to go on with it, or give another --run`,
    );
  const old = parseSettings(path, before);
  for (const key of new Set([...Object.keys(old), ...Object.keys(settings)])) {
    const [was, now] = [JSON.stringify(old[key]), JSON.stringify(settings[key])];
    if (was !== now)
      throw new TrainError(
        `train: ${run} was started with ${key} = ${was}, got ${now}; resume with the same settings or start a new run`,
      );
  }
}

/** Whether a run came as far as its first step: one that stopped before has nothing to lose. */
async function hasSteps(run: string): Promise<boolean> {
  const log = await readFile(join(run, METRICS_FILE), 'utf8').catch(() => '');
  return log !== '' || (await checkpointsOf(run)).length > 0;
}

function parseSettings(path: string, text: string): Record<string, unknown> {
  try {
    const settings: unknown = JSON.parse(text);
    if (typeof settings === 'object' && settings !== null) return settings as Record<string, unknown>;
  } catch {
    // Reported below with everything else that is no JSON object.
  }
  throw new TrainError(`train: ${path} must hold the settings of a run, but is damaged; start a new run`);
}

/** Makes a folder of a run. @throws TrainError in words. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    // Node reports a read-only file system as ENOENT here, and a file in the way as EEXIST or ENOTDIR.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    throw new TrainError(
      `train: ${path} must be a folder that can be made, but its file system is read-only or a file is in the way; ` +
        'give another --run',
      { cause: error },
    );
  }
}

/** A failure to write into a run folder in words; an error of another kind comes back as it is. */
export function runFailure(run: string, error: unknown): unknown {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new TrainError(
      `train: the disk that holds ${run} is full; free some space and run the same command with --resume ` +
        '(the newest whole checkpoint is kept)',
      { cause: error },
    );
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new TrainError(
      `train: ${run} must be writable, but it is read-only for this user; check its owner and mode, or give another --run`,
      { cause: error },
    );
  return error;
}

/** Drops log lines of steps after `step`, which a resumed run will write again. */
export async function trimLog(run: string, file: string, step: number): Promise<void> {
  const path = join(run, file);
  const text = await readFile(path, 'utf8').catch(() => '');
  const kept = text.split('\n').filter((line) => {
    try {
      return (JSON.parse(line) as { step: number }).step <= step;
    } catch {
      // The half line that a kill can leave behind.
      return false;
    }
  });
  const trimmed = kept.map((line) => `${line}\n`).join('');
  if (trimmed !== text) await writeWhole(path, trimmed);
}

/** Writes a file that is there with all of its new text or with all of its old. */
async function writeWhole(path: string, text: string): Promise<void> {
  const partial = `${path}${PARTIAL}`;
  try {
    await writeFile(partial, text);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}
