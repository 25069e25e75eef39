/** "Resize and adapt": a volume of any shape, spacing and orientation becomes cubes of anatomy with places in mm. */
import { intensityStats, type IntensityStats } from './intensity.js';
import { boundsMm, buildPyramid, sampleBlock, type Pyramid } from './sampling.js';
import { trimPadding } from './trim.js';
import { VolumeError, type Volume } from './volume.js';

/** Cubes of anatomy, in the order z, y, x of their grid. */
export interface TokenSet {
  readonly count: number;
  /** Side of each cube in mm. */
  readonly patchMm: number;
  /** Samples along each side of a cube. */
  readonly samples: number;
  /** [count, samples³] normalised intensities (x fastest); samples that were not measured are 0. */
  readonly patches: Float32Array;
  /** [count, samples³] 1 where the sample was measured. */
  readonly measured: Uint8Array;
  /** [count] share of measured samples, 0.25 to 1. */
  readonly valid: Float32Array;
  /** [count, 3] centres in RAS+ mm. */
  readonly positions: Float32Array;
}

/** Lowest and highest corner of a box, RAS+ mm. */
export type BoxMm = readonly [low: ArrayLike<number>, high: ArrayLike<number>];

/** Where an image lies and what its values mean: what cutting tokens needs beside a pyramid. */
export interface Placed {
  /** The whole image without padding. */
  readonly volume: Pick<Volume, 'affine' | 'shape'>;
  readonly stats: IntensityStats;
}

/** What tokens are cut from: averaged copies of an image, or of a part of it. */
export interface Cuttable extends Placed {
  /** The image averaged for samples `sampleMm` apart. */
  pyramid(sampleMm: number): Pyramid;
}

/** An image of which parts are taken to be cut: it is in memory, or it is read box by box. */
export interface Scanned extends Placed {
  /** Bytes held. */
  readonly bytes: number;
  /**
   * What holds the image averaged for samples `sampleMm` apart wherever a sample inside of `boxMm` needs it (everywhere
   * unless given); `slices` says that it will be averaged further, into slices of that thickness along an axis.
   */
  part(sampleMm: number, boxMm?: BoxMm, slices?: { axis: 0 | 1 | 2; mm: number }): Promise<Cuttable>;
  /** The box, or the part about its middle that memory has room for. */
  fitting(sampleMm: number, boxMm: BoxMm): BoxMm;
  /**
   * Boxes, in the order of z, that together hold the cells of `patchMm` whose centres are in `boxMm`; memory has room for each.
   * One that is cut ends where cells end.
   */
  layers(patchMm: number, samples: number, boxMm?: BoxMm): readonly (BoxMm | undefined)[];
}

/** A volume with the statistics and the averaged copies that cutting tokens needs; copies are made once per scale. */
export class Prepared implements Scanned {
  /** The volume without padding. */
  readonly volume: Volume;
  readonly stats: IntensityStats;
  private readonly pyramids = new Map<number, Pyramid>();

  /** @throws VolumeError when the volume holds nothing (see {@link intensityStats}). */
  constructor(volume: Volume) {
    this.volume = trimPadding(volume);
    this.stats = intensityStats(this.volume);
  }

  /** The volume averaged for samples `sampleMm` apart. */
  pyramid(sampleMm: number): Pyramid {
    let p = this.pyramids.get(sampleMm);
    if (!p) {
      p = buildPyramid(this.volume, sampleMm);
      this.pyramids.set(sampleMm, p);
    }
    return p;
  }

  part(): Promise<Cuttable> {
    return Promise.resolve(this);
  }

  fitting(_sampleMm: number, boxMm: BoxMm): BoxMm {
    return boxMm;
  }

  layers(_patchMm: number, _samples: number, boxMm?: BoxMm): readonly (BoxMm | undefined)[] {
    return [boxMm];
  }

  /** Bytes held: voxels, mask and averaged copies. */
  get bytes(): number {
    let n = this.volume.data.byteLength + (this.volume.valid?.byteLength ?? 0);
    for (const p of this.pyramids.values()) n += p.values.byteLength + (p.weight?.byteLength ?? 0);
    return n;
  }
}

export interface TokenizeOptions {
  /** Side of a token in mm (16 by default elsewhere; any positive number). */
  patchMm: number;
  /** Samples along a side (the model's grid). */
  samples: number;
  /** Only tokens whose centre lies in this box, RAS+ mm. */
  regionMm?: BoxMm;
  /** Shift of the token grid, mm; the grid is otherwise anchored at the foreground's centre of mass. */
  shiftMm?: readonly [number, number, number];
  /** Keep at most this many: the cells in the order given by `order` (an index permutation factory) are tried. */
  limit?: number;
  /** Order in which candidate cells are tried, given their number; the grid's own order by default. */
  order?: (cells: number) => ArrayLike<number>;
  /** What the samples are read from instead of the image's own pyramid (simulated thick slices, a part that was read). */
  pyramid?: Pyramid;
  /** Says of a point in RAS+ mm (x, y, z) that it is to be taken as not measured (simulated gaps). */
  gap?: (x: number, y: number, z: number) => boolean;
}

/** A token with fewer measured samples than this share is dropped. */
export const MIN_VALID = 0.25;
/** A token with less than this share of body samples is air. */
const MIN_BODY = 0.1;

/**
 * Cuts a volume into tokens. Cells are cubes of `patchMm`, aligned with RAS+ and anchored at the foreground's centre
 * of mass, so that array order, padding and voxel size do not move them. Cells of air and cells with fewer than a
 * quarter of their samples measured give no token.
 */
export function tokenize(prepared: Cuttable, options: TokenizeOptions): TokenSet;
export function tokenize(image: Placed, options: TokenizeOptions & { pyramid: Pyramid }): TokenSet;
export function tokenize(prepared: Placed | Cuttable, options: TokenizeOptions): TokenSet {
  const { patchMm, samples } = options;
  if (!(patchMm > 0)) throw new VolumeError(`tokenize: patchMm must be positive, got ${patchMm}`);
  const step = patchMm / samples;
  const pyramid = options.pyramid ?? (prepared as Cuttable).pyramid(step);
  const { stats } = prepared;
  const cells = candidateCells(prepared, options);
  const size = samples ** 3;
  const limit = Math.min(options.limit ?? Infinity, cells.length / 3);
  const order = options.order?.(cells.length / 3);

  let capacity = Math.min(limit, 64);
  let patches = new Float32Array(capacity * size);
  let measured = new Uint8Array(capacity * size);
  const valid: number[] = [];
  const positions: number[] = [];
  const scale = 1 / (stats.high - stats.low);
  const tried = order ? order.length : cells.length / 3;
  for (let t = 0; t < tried && valid.length < limit; t++) {
    const c = order ? order[t]! : t;
    if (valid.length === capacity) {
      capacity = Math.min(limit, capacity * 2);
      patches = copied(patches, new Float32Array(capacity * size));
      measured = copied(measured, new Uint8Array(capacity * size));
    }
    const offset = valid.length * size;
    const [x, y, z] = [cells[c * 3]!, cells[c * 3 + 1]!, cells[c * 3 + 2]!];
    const first = step / 2 - patchMm / 2;
    let ok = sampleBlock(pyramid, x + first, y + first, z + first, step, samples, patches, measured, offset);
    if (options.gap && ok > 0)
      ok -= removeGaps(
        options.gap,
        x + first,
        y + first,
        z + first,
        step,
        samples,
        patches,
        measured,
        offset,
      );
    if (ok < size * MIN_VALID) continue;
    let body = 0;
    for (let n = offset; n < offset + size; n++)
      if (measured[n] === 1 && patches[n]! > stats.threshold) body++;
    if (body < ok * MIN_BODY) continue;
    for (let n = offset; n < offset + size; n++)
      if (measured[n] === 1) patches[n] = squash((patches[n]! - stats.low) * scale);
    valid.push(ok / size);
    positions.push(x, y, z);
  }
  const count = valid.length;
  return {
    count,
    patchMm,
    samples,
    patches: patches.subarray(0, count * size),
    measured: measured.subarray(0, count * size),
    valid: Float32Array.from(valid),
    positions: Float32Array.from(positions),
  };
}

/**
 * As {@link tokenize}, of an image that need not be in memory: layer by layer, with the same tokens in the same order.
 */
export async function tokenizeScanned(
  image: Scanned,
  options: Pick<TokenizeOptions, 'patchMm' | 'samples' | 'regionMm' | 'limit'>,
): Promise<TokenSet> {
  const { patchMm, samples, regionMm, limit = Infinity } = options;
  const sets: TokenSet[] = [];
  let count = 0;
  for (const layer of image.layers(patchMm, samples, regionMm)) {
    const part = await image.part(
      patchMm / samples,
      layer && grown(layer, layer === regionMm ? patchMm / 2 : 0),
    );
    const set = tokenize(part, {
      patchMm,
      samples,
      ...(layer && { regionMm: layer }),
      ...(limit < Infinity && { limit: limit - count }),
    });
    sets.push(set);
    count += set.count;
    if (count >= limit) break;
  }
  return sets.length === 1 ? sets[0]! : joined(sets, patchMm, samples);
}

/** A box that is larger by `mm` to every side. */
export function grown(box: BoxMm, mm: number): BoxMm {
  return [Array.from(box[0], (v) => v - mm), Array.from(box[1], (v) => v + mm)];
}

function joined(sets: readonly TokenSet[], patchMm: number, samples: number): TokenSet {
  const count = sets.reduce((sum, set) => sum + set.count, 0);
  const whole = {
    count,
    patchMm,
    samples,
    patches: new Float32Array(count * samples ** 3),
    measured: new Uint8Array(count * samples ** 3),
    valid: new Float32Array(count),
    positions: new Float32Array(count * 3),
  };
  let at = 0;
  for (const set of sets) {
    for (const name of ['patches', 'measured', 'valid', 'positions'] as const)
      whole[name].set(set[name], (at * whole[name].length) / Math.max(1, count));
    at += set.count;
  }
  return whole;
}

/** [0, 1] (5th to 95th percentile) becomes [-1, 1]; what lies outside is kept but compressed to at most ±3. */
export function squash(v: number): number {
  const x = 2 * v - 1;
  if (x > 1) return 1 + 2 * Math.tanh((x - 1) / 2);
  if (x < -1) return -1 - 2 * Math.tanh((-1 - x) / 2);
  return x;
}

/** What {@link squash} makes `value` of, on its scale of -1 to 1 for the 5th to the 95th percentile. */
export function unsquash(value: number): number {
  // Float32 rounds the outermost values to ±3, which stand for any beyond.
  const far = (v: number): number => 1 + 2 * Math.atanh(Math.min((v - 1) / 2, 1 - 1e-6));
  return value > 1 ? far(value) : value < -1 ? -far(-value) : value;
}

/** Centres of the grid cells that may hold anatomy: inside the volume's bounds and the asked region. */
function candidateCells(prepared: Placed, options: TokenizeOptions): Float64Array {
  const { patchMm } = options;
  const [low, high] = boundsMm(prepared.volume);
  const anchor = prepared.stats.centreMm.map((c, d) => c + (options.shiftMm?.[d as 0] ?? 0));
  const range = [0, 1, 2].map((d) => {
    let from = low[d]! - patchMm / 2;
    let to = high[d]! + patchMm / 2;
    if (options.regionMm) {
      from = Math.max(from, options.regionMm[0][d]!);
      to = Math.min(to, options.regionMm[1][d]!);
    }
    const first = Math.ceil((from - anchor[d]!) / patchMm);
    const last = Math.floor((to - anchor[d]!) / patchMm);
    return { first, n: Math.max(0, last - first + 1) };
  });
  const [rx, ry, rz] = [range[0]!, range[1]!, range[2]!];
  const cells = new Float64Array(3 * rx.n * ry.n * rz.n);
  let at = 0;
  for (let c = 0; c < rz.n; c++)
    for (let b = 0; b < ry.n; b++)
      for (let a = 0; a < rx.n; a++) {
        cells[at++] = anchor[0]! + (rx.first + a) * patchMm;
        cells[at++] = anchor[1]! + (ry.first + b) * patchMm;
        cells[at++] = anchor[2]! + (rz.first + c) * patchMm;
      }
  return cells;
}

function removeGaps(
  gap: (x: number, y: number, z: number) => boolean,
  x0: number,
  y0: number,
  z0: number,
  step: number,
  samples: number,
  patches: Float32Array,
  measured: Uint8Array,
  offset: number,
): number {
  let removed = 0;
  let n = offset;
  for (let c = 0; c < samples; c++)
    for (let b = 0; b < samples; b++)
      for (let a = 0; a < samples; a++, n++) {
        if (measured[n] === 1 && gap(x0 + a * step, y0 + b * step, z0 + c * step)) {
          measured[n] = 0;
          patches[n] = 0;
          removed++;
        }
      }
  return removed;
}

function copied<T extends Float32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
