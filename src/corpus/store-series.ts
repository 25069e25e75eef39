/**
 * Stores one series: read, inspect, hash, write. It runs in the ingest's threads or in the main thread, and only writes
 * voxels; rows are written by the main thread alone.
 *
 * Where to add what:
 * - a new file format: a kind (or format) of `VoxelSource` and its case in `loadVoxels` (voxel-source.ts), and a planner
 *   called from scan.ts that pushes `Planned` entries.
 * - masks for zero-filled regions, burnt-in text, defacing, quality scores: an `Inspection` in the list INSPECTIONS
 *   (inspect.ts). Inspections get the volume and a plain `Inspectable`; whatever else they need goes into `Inspectable`,
 *   filled in by `Ingest.taskFor` (ingest.ts), or, where the person chooses it, into IngestOptions → StoreTask.
 * - what describes a series (terms, report, shifted date, sex, age, axes): `Planned` (plan.ts), filled in by planDicom and
 *   planNifti, turned into the row by `Ingest.describe` (ingest.ts) in the main thread.
 * - rights ledger and audit log: `Ingest.flush` (ingest.ts) is the one place where rows are added; `Ingest.run` starts and
 *   ends an ingest.
 * - images that arrive in memory: `mountBytes` and pass the "memory:" paths to `planFiles`-like callers; such series are
 *   stored in the main thread, because other threads cannot see the bytes.
 */
import { createHmac } from 'node:crypto';
import type { Affine, Vec3, Volume } from '../volume/volume.js';
import { inspect, type Inspectable } from './inspect.js';
import { reasonOf } from './reason.js';
import type { Series } from './series.js';
import { type IdentifyingSource, loadVoxels, readIdentifying, type VoxelSource } from './voxel-source.js';
import { writeVoxels } from './voxels.js';

/** What a thread needs to store a series; plain data. */
export interface StoreTask {
  readonly voxels: VoxelSource;
  readonly identifying: IdentifyingSource;
  readonly about: Inspectable;
  /** Where the voxels are written. */
  readonly path: string;
  /** The corpus's key, for the content hash. */
  readonly key: Uint8Array;
  /** As the person knows the source, for reasons. */
  readonly shown: string;
}

/** What was stored, as far as the row needs it. */
export interface StoredVoxels {
  readonly shape: Vec3;
  readonly affine: Affine;
  readonly validFraction: number;
  readonly contentHash: string;
  readonly quality: Series['quality'];
  readonly quarantined: string | null;
  readonly defaced: boolean;
  /** null where it could not be read. */
  readonly identifying: readonly string[] | null;
}

/**
 * Stores the voxels of a series; a text says why they were left out.
 *
 * @throws a system error where the corpus cannot be written.
 */
export async function storeSeries(task: StoreTask): Promise<StoredVoxels | string> {
  let inspected: Awaited<ReturnType<typeof inspect>>;
  let identifying: readonly string[] | null;
  try {
    identifying = await readIdentifying(task.identifying);
    inspected = await inspect(await loadVoxels(task.voxels), task.about);
  } catch (error) {
    return reasonOf(error, task.shown);
  }
  const { volume, refused, quality, quarantined, defaced } = inspected;
  if (refused !== null) return refused;
  await writeVoxels(task.path, volume);
  return {
    shape: volume.shape,
    affine: volume.affine,
    validFraction: validFraction(volume.valid),
    contentHash: contentHash(volume, task.key),
    quality,
    quarantined,
    defaced,
    identifying,
  };
}

function validFraction(valid: Uint8Array | null): number {
  if (valid === null) return 1;
  let measured = 0;
  for (const one of valid) measured += one;
  return measured / valid.length;
}

/** HMAC-SHA256 of type, shape, affine, scaling and stored voxels under the corpus's key, in hex. */
export function contentHash(volume: Volume, key: Uint8Array): string {
  const { data, shape, affine, slope, intercept } = volume;
  return createHmac('sha256', key)
    .update(`${JSON.stringify([data.constructor.name, shape, affine, slope, intercept])}\n`)
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}
