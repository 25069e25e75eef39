/** An image as a decoder reads it in RAS order: its own voxels, averaged where they are finer than it was taught, or cubes of one size. */
import { reorient } from '../../volume/orientation.js';
import { apply, spacing } from '../../volume/affine.js';
import { boxFactors, buildPyramid, coarsen } from '../../volume/sampling.js';
import { Prepared, squash } from '../../volume/tokens.js';
import type { Affine, Vec3, Volume } from '../../volume/volume.js';

export interface SegmentImage {
  /** The image in RAS order, on which labels are told. */
  readonly source: Volume;
  /** Voxels of the source that one voxel of the grid takes, along each axis; whole numbers unless the grid is isotropic. */
  readonly factors: Vec3;
  /** The grid that the decoder works on. */
  readonly shape: Vec3;
  readonly affine: Affine;
  /** Normalised as tokens are; 0 where nothing was measured. */
  readonly values: Float32Array;
  /** See {@link ranksOf}; 0 where nothing was measured. */
  readonly ranks: Float32Array;
  /** Measured share of each voxel; null where all of each was. */
  readonly weight: Float32Array | null;
  /** What tokens are cut from. */
  readonly prepared: Prepared;
}

/** The grid on which a head works. */
export interface Working {
  readonly finestMm: number;
  /** Whether every image is brought to cubes of `finestMm`; else only axes with finer voxels are averaged to about that. */
  readonly isotropic: boolean;
}

/** Prepares an image. @throws VolumeError for an image that holds nothing. */
export function segmentImage(volume: Volume, { finestMm, isotropic }: Working): SegmentImage {
  const source = reorient(volume, 'RAS');
  const prepared = new Prepared(source);
  const factors = isotropic
    ? (spacing(source.affine).map((mm) => finestMm / mm) as unknown as Vec3)
    : boxFactors(source.affine, finestMm);
  const { values, weight, shape } = isotropic ? resampled(source, factors) : buildPyramid(source, finestMm);
  const { low, high } = prepared.stats;
  const scale = 1 / (high - low);
  for (let n = 0; n < values.length; n++)
    values[n] = weight !== null && weight[n] === 0 ? 0 : squash((values[n]! - low) * scale);
  const ranks = ranksOf(values, weight, airLevel(prepared));
  return { source, factors, shape, affine: coarsen(source.affine, factors), values, ranks, weight, prepared };
}

/** The normalised value below which air begins. */
export const airLevel = ({ stats: { low, high, threshold } }: Prepared): number =>
  squash((threshold - low) / (high - low));

/** Quantiles between which ranks are interpolated. */
const QUANTILES = 256;

/**
 * Intensities as ranks, so that tissues differ as clearly beside bright fat as without it, under any power of the
 * intensity: 0 to 1 by the share of the body's voxels (those above `air`) that are no brighter, and -1 to 0 by the value itself
 * from the darkest voxel to `air`. 0 where not measured.
 */
export function ranksOf(values: Float32Array, weight: Float32Array | null, air: number): Float32Array {
  const measured = (n: number): boolean => weight === null || weight[n]! > 0;
  const body = values.filter((value, n) => value > air && measured(n)).sort();
  let darkest = air;
  for (let n = 0; n < values.length; n++) if (measured(n) && values[n]! < darkest) darkest = values[n]!;
  const table = Float64Array.from(
    { length: QUANTILES + 1 },
    (_, q) => body[Math.round((q / QUANTILES) * (body.length - 1))] ?? air,
  );
  return values.map((value, n) => {
    if (!measured(n)) return 0;
    if (value <= air) return air > darkest ? (value - air) / (air - darkest) : 0;
    let [low, high] = [0, QUANTILES];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (table[middle]! <= value) low = middle;
      else high = middle;
    }
    const step = table[high]! - table[low]!;
    return (low + (step > 0 ? Math.min(Math.max((value - table[low]!) / step, 0), 1) : 0)) / QUANTILES;
  });
}

/**
 * A volume on a grid whose voxels take `factors` of its own along each axis: averages by the share that each lies inside
 * where that is more than one, linear interpolation where it is less. What was not measured takes no part.
 */
export function resampled(
  { data, shape: given, slope, intercept, valid }: Volume,
  factors: Vec3,
): { values: Float32Array; weight: Float32Array | null; shape: Vec3 } {
  let shape: Vec3 = given;
  let weight = valid && Float32Array.from(valid);
  let values = new Float32Array(data.length);
  for (let n = 0; n < values.length; n++)
    if (weight === null || weight[n] !== 0) values[n] = data[n]! * slope + intercept;
  for (const axis of [0, 1, 2] as const) {
    const taps = tapsOf(shape[axis], factors[axis]);
    values = alongAxis(values, shape, axis, taps);
    weight = weight && alongAxis(weight, shape, axis, taps);
    shape = shape.map((n, d) => (d === axis ? taps.length : n)) as unknown as Vec3;
  }
  if (weight !== null) for (let n = 0; n < values.length; n++) if (weight[n]! > 0) values[n]! /= weight[n]!;
  return { values, weight, shape };
}

/** For each voxel of the new axis the voxels of the old one that it takes, by weights that add up to 1. */
type Taps = readonly (readonly (readonly [from: number, weight: number])[])[];

function tapsOf(length: number, factor: number): Taps {
  const count = Math.max(1, Math.round(length / factor));
  return Array.from({ length: count }, (_, n) => {
    if (factor < 1) {
      const at = Math.min(Math.max((n + 0.5) * factor - 0.5, 0), length - 1);
      const from = Math.floor(at);
      return at === from ? [[from, 1]] : [[from, from + 1 - at] as const, [from + 1, at - from] as const];
    }
    const [low, high] = [Math.min(n * factor, length - 1), Math.min((n + 1) * factor, length)];
    const taps: [number, number][] = [];
    for (let from = Math.floor(low); from < high; from++)
      taps.push([from, (Math.min(from + 1, high) - Math.max(from, low)) / (high - low)]);
    return taps;
  });
}

function alongAxis(
  values: Float32Array,
  shape: Vec3,
  axis: 0 | 1 | 2,
  taps: Taps,
): Float32Array<ArrayBuffer> {
  const inner = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const outer = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const out = new Float32Array(inner * taps.length * outer);
  for (let o = 0, at = 0; o < outer; o++)
    for (const tap of taps) {
      for (const [from, weight] of tap) {
        const row = inner * (from + shape[axis] * o);
        for (let i = 0; i < inner; i++) out[at + i]! += weight * values[row + i]!;
      }
      at += inner;
    }
  return out;
}

/** The image in a mirror: left and right change places, in the array alone. */
export function mirrorImage(volume: Volume): Volume {
  const source = reorient(volume, 'RAS');
  return {
    ...source,
    data: mirrorRows(source.data, source.shape[0]),
    valid: source.valid && mirrorRows(source.valid, source.shape[0]),
  };
}

/** A copy in which every row of `length` elements runs the other way. */
export function mirrorRows<T extends Volume['data']>(data: T, length: number): T {
  const out = data.slice() as T;
  for (let at = 0; at < out.length; at += length) out.subarray(at, at + length).reverse();
  return out;
}

/** Tokens on a cubic grid in space, to be read between their centres. */
export class TokenLattice {
  private readonly low: Vec3;
  private readonly cells = new Map<number, number>();
  private readonly sides: Vec3;

  /** @param positions [count, 3] RAS+ mm, `patchMm` apart. */
  constructor(
    positions: Float32Array,
    private readonly patchMm: number,
  ) {
    const count = positions.length / 3;
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (let t = 0; t < count; t++)
      for (let d = 0; d < 3; d++) {
        low[d] = Math.min(low[d]!, positions[t * 3 + d]!);
        high[d] = Math.max(high[d]!, positions[t * 3 + d]!);
      }
    this.low = low as unknown as Vec3;
    this.sides = low.map((from, d) => Math.round((high[d]! - from) / patchMm) + 1) as unknown as Vec3;
    for (let t = 0; t < count; t++) {
      const [x, y, z] = [0, 1, 2].map((d) => Math.round((positions[t * 3 + d]! - low[d]!) / patchMm));
      this.cells.set(this.key(x!, y!, z!), t);
    }
  }

  /**
   * The tokens about a point and their weights, trilinear between their centres; cells without a token leave their weight
   * to the others. Nothing where none of the eight has one.
   */
  read(point: Vec3, add: (token: number, weight: number) => void): void {
    const at = point.map((v, d) => (v - this.low[d as 0]) / this.patchMm);
    const from = at.map(Math.floor);
    const found: [number, number][] = [];
    let total = 0;
    for (let corner = 0; corner < 8; corner++) {
      let weight = 1;
      const cell = [0, 0, 0];
      for (let d = 0; d < 3; d++) {
        const up = (corner >> d) & 1;
        const share = at[d]! - from[d]!;
        weight *= up ? share : 1 - share;
        cell[d] = from[d]! + up;
      }
      if (weight <= 0 || cell.some((c, d) => c < 0 || c >= this.sides[d as 0])) continue;
      const token = this.cells.get(this.key(cell[0]!, cell[1]!, cell[2]!));
      if (token === undefined) continue;
      found.push([token, weight]);
      total += weight;
    }
    for (const [token, weight] of found) add(token, weight / total);
  }

  private key(x: number, y: number, z: number): number {
    return x + this.sides[0] * (y + this.sides[1] * z);
  }
}

/** Where the voxel (i, j, k) of the grid lies, RAS+ mm. */
export const pointOf = ({ affine }: Pick<SegmentImage, 'affine'>, voxel: Vec3): Vec3 => apply(affine, voxel);
