/** From corpus rows to prepared volumes, within a bounded memory, and the order in which training meets them. */
import type { Series } from '../corpus/series.js';
import type { Ranks } from '../graph/index.js';
import { Random } from '../volume/random.js';
import { Streamed, type BoxImage } from '../volume/streamed.js';
import { Prepared, type Scanned } from '../volume/tokens.js';
import { VolumeError, type Volume } from '../volume/volume.js';

export class TrainError extends Error {
  override readonly name = 'TrainError';
}

/** Where volumes come from; a Corpus is one. */
export interface VolumeSource {
  volume(id: string): Promise<Volume>;
  /** The same without reading it; a source that has no such thing is read whole. */
  image?(id: string): Promise<BoxImage>;
}

/** Bytes that volumes may take where nobody says. */
export const DEFAULT_MEMORY = 2 ** 31;

/** A volume whose voxels take more than this part of the memory is read box by box. */
const WHOLE_SHARE = 16;
export const isLarge = (bytes: number, memory: number): boolean => bytes > memory / WHOLE_SHARE;
/** What is kept between steps; the rest is for reading and averaging what comes next. */
const KEPT_SHARE = 2;

/**
 * A series ready to be cut: in memory where its voxels take up to a sixteenth of `memory` bytes, else streamed.
 * @throws VolumeError when it holds nothing that can be seen.
 */
export async function openScanned(source: VolumeSource, id: string, memory: number): Promise<Scanned> {
  const image = await source.image?.(id);
  if (image && isLarge(image.bytes, memory)) return Streamed.open(image, memory);
  return new Prepared(await source.volume(id));
}

/**
 * Volumes ready to be cut, the least recently used of which are let go when they exceed half of `memory` bytes. Of
 * streamed ones the averaged copies are let go; their statistics stay, which took reading them once.
 */
export class VolumeCache {
  private readonly held = new Map<string, Promise<Scanned | null>>();
  private readonly ready = new Map<string, Scanned>();

  constructor(
    private readonly source: VolumeSource,
    private readonly memory: number,
    private readonly warn: (message: string) => void,
  ) {}

  /** The volume of a series, or null when it holds nothing that can be learnt from (a warning says so). */
  async get(id: string): Promise<Scanned | null> {
    const present = this.held.get(id);
    const loading = present ?? this.load(id);
    this.held.delete(id);
    this.held.set(id, loading);
    const scanned = await loading;
    if (scanned && !present) this.ready.set(id, scanned);
    this.evict(id);
    return scanned;
  }

  private async load(id: string): Promise<Scanned | null> {
    try {
      return await openScanned(this.source, id, this.memory);
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      this.warn(`series ${id} is left out: ${error.message}`);
      return null;
    }
  }

  private evict(keep: string): void {
    // Averaged copies are made when they are first cut, so that what is held is counted anew.
    let total = 0;
    for (const { bytes } of this.ready.values()) total += bytes;
    for (const id of [...this.held.keys()]) {
      if (total <= this.memory / KEPT_SHARE) return;
      const scanned = this.ready.get(id);
      if (id === keep || scanned === undefined) continue;
      total -= scanned.bytes;
      if (scanned instanceof Streamed) scanned.release();
      else {
        this.ready.delete(id);
        this.held.delete(id);
      }
    }
  }
}

/**
 * The `batch` series of a step: a new random order every epoch, decided by (seed, epoch) alone, so that any step can
 * be rebuilt without the ones before it. A corpus smaller than the batch is gone through again within the step.
 */
export function seriesOfStep(series: readonly Series[], seed: number, step: number, batch: number): Series[] {
  const orders = new Map<number, Int32Array>();
  return Array.from({ length: batch }, (_, i) => {
    const position = step * batch + i;
    const epoch = Math.floor(position / series.length);
    let order = orders.get(epoch);
    if (!order) {
      order = new Random(seed, 0x0e9, epoch).sample(series.length, series.length);
      orders.set(epoch, order);
    }
    return series[order[position % series.length]!]!;
  });
}

/** One step of a run, as seen by one rank. */
export interface StepShare {
  readonly seed: number;
  readonly step: number;
  /** Series of the step over all ranks. */
  readonly batch: number;
  /** Whose share of them; a process alone unless given. */
  readonly ranks?: Ranks;
}

/** How many of `batch` series each of `size` ranks has. @throws TrainError unless they divide. */
export function shareOf(batch: number, size: number): number {
  if (batch % size !== 0)
    throw new TrainError(
      `train: the batch must divide over the ranks, accumulated parts and series of a study, got ${batch} series and ${size}; ` +
        `use a multiple of ${size}, e.g. --batch ${Math.ceil(batch / size) * size}`,
    );
  return batch / size;
}

/**
 * The series of a step that are this rank's, in order, each with its index in the whole step: what is drawn for a
 * series follows from that, so that the step is the same however many ranks share it.
 */
export function shareOfStep(series: readonly Series[], at: StepShare): { index: number; wanted: Series }[] {
  const { rank, size } = at.ranks ?? { rank: 0, size: 1 };
  const count = shareOf(at.batch, size);
  return seriesOfStep(series, at.seed, at.step, at.batch)
    .map((wanted, index) => ({ index, wanted }))
    .slice(rank * count, (rank + 1) * count);
}

/** The volume of `series`, or of the next one in corpus order that can be used. */
export async function usable(
  cache: VolumeCache,
  series: readonly Series[],
  wanted: Series,
): Promise<{ series: Series; prepared: Scanned }> {
  const start = series.indexOf(wanted);
  for (let n = 0; n < series.length; n++) {
    const candidate = series[(start + n) % series.length]!;
    const prepared = await cache.get(candidate.id);
    if (prepared) return { series: candidate, prepared };
  }
  throw new TrainError(
    'train: no series of the corpus holds an image that can be learnt from; check the ingest',
  );
}
