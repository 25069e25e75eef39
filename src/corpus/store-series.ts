/**
 * Stores one series: read, inspect, hash, write. It runs in the ingest's threads or in the main thread, and only writes
 * voxels; rows are written by the main thread alone.
 *
 * Where to add what:
 * - a new file format: a kind (or format) of `VoxelSource` and its case in `loadVoxels` and `openVoxels` (voxel-source.ts), and a planner
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
import { burnedIntoSlices } from './deidentify/burned-in.js';
import { inspect, type Inspectable, type Inspected } from './inspect.js';
import { LARGEST_WHOLE, previewOf, withMaskOf } from './large.js';
import { reasonOf } from './reason.js';
import type { Series } from './series.js';
import { openStore } from './store.js';
import {
  type IdentifyingSource,
  loadVoxels,
  openVoxels,
  readIdentifying,
  type VoxelReader,
  type VoxelSource,
} from './voxel-source.js';
import { type Slabs, slabsOf, writeSlabs } from './voxels.js';
import { dtypeOf } from './zarr.js';

/** What a thread needs to store a series; plain data. */
export interface StoreTask {
  readonly voxels: VoxelSource;
  readonly identifying: IdentifyingSource;
  readonly about: Inspectable;
  /** The corpus, as openStore takes it, and where in it the voxels are written. */
  readonly corpus: string;
  readonly path: string;
  /** Voxels of more bytes are read and written slab by slab; LARGEST_WHOLE where not given. */
  readonly largestWhole?: number;
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
 * Stores the voxels of a series; a text says why they were left out. A volume beyond `largestWhole` is never in memory
 * whole: the inspections see a coarse preview of it, and what they take out of that is taken out of the volume.
 *
 * @throws a system error where the corpus cannot be written.
 */
export async function storeSeries(task: StoreTask): Promise<StoredVoxels | string> {
  const opened: VoxelReader[] = [];
  try {
    const readable = await open(task, opened).catch((error: unknown) => reasonOf(error, task.shown));
    if (typeof readable === 'string') return readable;
    const { image, inspected, identifying } = readable;
    const { quality, defaced } = inspected;
    const tally = new Tally(image, task.key, readable.isPreviewed);
    try {
      await writeSlabs(await openStore(task.corpus), task.path, tally);
    } catch (error) {
      // Reading and writing take turns; what could not be read is no failure of the corpus.
      if (tally.unreadable === null) throw error;
      return reasonOf(tally.unreadable, task.shown);
    }
    const { shape, affine } = image;
    const quarantined = inspected.quarantined ?? tally.writing;
    return { shape, affine, ...tally.result(), quality, quarantined, defaced, identifying };
  } finally {
    for (const reader of opened) await reader.close();
  }
}

interface Readable {
  /** Whether the inspections saw every n-th voxel only, in which no letters can be told. */
  readonly isPreviewed: boolean;
  readonly image: Slabs;
  readonly inspected: Inspected;
  readonly identifying: readonly string[] | null;
}

async function open(task: StoreTask, opened: VoxelReader[]): Promise<Readable | string> {
  const identifying = await readIdentifying(task.identifying);
  const reader = await openVoxels(task.voxels);
  opened.push(reader);
  if (reader.bytes <= (task.largestWhole ?? LARGEST_WHOLE)) {
    const inspected = await inspect(await whole(reader, task.voxels), task.about);
    return (
      inspected.refused ?? { image: slabsOf(inspected.volume), inspected, identifying, isPreviewed: false }
    );
  }
  const { volume, step } = await previewOf(reader, reader.bytes);
  const before = { ...volume, valid: volume.valid?.slice() ?? null };
  const inspected = await inspect(volume, task.about);
  if (inspected.refused !== null) return inspected.refused;
  // Compressed files are read forwards only, so that the voxels are read from the start again.
  const again = await openVoxels(task.voxels);
  opened.push(again);
  const image = withMaskOf(again, before, inspected.volume, step);
  return { image, inspected, identifying, isPreviewed: true };
}

/** Of a file with several volumes no more than the one is read; DICOM knows best itself how slices are scaled. */
async function whole(reader: VoxelReader, source: VoxelSource): Promise<Volume> {
  if (source.kind === 'dicom') return loadVoxels(source);
  const { shape, affine, slope, intercept } = reader;
  return { ...(await reader.readSlices(0, shape[2])), shape, affine, slope, intercept };
}

/** Hands slabs on and keeps count: the content hash, the share of measured voxels, and text, in the same pass. */
class Tally implements Slabs {
  readonly shape: Slabs['shape'];
  readonly affine: Slabs['affine'];
  readonly slope: number;
  readonly intercept: number;
  private readonly hash: ReturnType<typeof createHmac>;
  private started = false;
  private voxels = 0;
  private measured = 0;
  unreadable: unknown = null;
  /** Why the series must be looked at; only where `looksForText`. */
  writing: string | null = null;

  constructor(
    private readonly image: Slabs,
    key: Uint8Array,
    private readonly looksForText: boolean,
  ) {
    ({ shape: this.shape, affine: this.affine, slope: this.slope, intercept: this.intercept } = image);
    this.hash = createHmac('sha256', key);
  }

  async readSlices(k0: number, k1: number): ReturnType<Slabs['readSlices']> {
    let slab: Awaited<ReturnType<Slabs['readSlices']>>;
    try {
      slab = await this.image.readSlices(k0, k1);
    } catch (error) {
      this.unreadable = error;
      throw error;
    }
    const { data, valid } = slab;
    if (!this.started) this.hash.update(hashHead(dtypeOf(data), this.image));
    this.started = true;
    this.hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    if (this.looksForText)
      this.writing ??= burnedIntoSlices({
        ...this.image,
        ...slab,
        shape: [this.shape[0], this.shape[1], k1 - k0],
      });
    this.voxels += data.length;
    if (valid === null) this.measured += data.length;
    else for (const one of valid) this.measured += one;
    return slab;
  }

  result(): { contentHash: string; validFraction: number } {
    return { contentHash: this.hash.digest('hex'), validFraction: this.measured / this.voxels };
  }
}

const hashHead = (type: string, { shape, affine, slope, intercept }: Omit<Slabs, 'readSlices'>): string =>
  `${JSON.stringify([type, shape, affine, slope, intercept])}\n`;

/** HMAC-SHA256 of type, shape, affine, scaling and stored voxels under the corpus's key, in hex. */
export function contentHash(volume: Volume, key: Uint8Array): string {
  const { data } = volume;
  return createHmac('sha256', key)
    .update(hashHead(dtypeOf(data), volume))
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}
