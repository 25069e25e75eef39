/** An image as a decoder reads it: its own voxels in RAS order, averaged only where they are finer than it was taught. */
import { apply } from '../../volume/affine.js';
import { reorient } from '../../volume/orientation.js';
import { boxFactors, buildPyramid, coarsen } from '../../volume/sampling.js';
import { Prepared, squash } from '../../volume/tokens.js';
import type { Affine, Vec3, Volume } from '../../volume/volume.js';

export interface SegmentImage {
  /** The image in RAS order, on which labels are told. */
  readonly source: Pick<Volume, 'shape' | 'affine' | 'valid'>;
  /** Voxels of the source that one voxel of the grid averages, along each axis. */
  readonly factors: Vec3;
  /** The grid that the decoder works on. */
  readonly shape: Vec3;
  readonly affine: Affine;
  /** Normalised as tokens are; 0 where nothing was measured. */
  readonly values: Float32Array;
  /** Measured share of each voxel; null where all of each was. */
  readonly weight: Float32Array | null;
  /** What tokens are cut from. */
  readonly prepared: Prepared;
}

/** Prepares an image; axes with voxels finer than `finestMm` are averaged to about that. @throws VolumeError for an image that holds nothing. */
export function segmentImage(volume: Volume, finestMm: number): SegmentImage {
  const source = reorient(volume, 'RAS');
  const prepared = new Prepared(source);
  const factors = boxFactors(source.affine, finestMm);
  const { values, weight, shape } = buildPyramid(source, finestMm);
  const { low, high } = prepared.stats;
  const scale = 1 / (high - low);
  for (let n = 0; n < values.length; n++)
    values[n] = weight !== null && weight[n] === 0 ? 0 : squash((values[n]! - low) * scale);
  return { source, factors, shape, affine: coarsen(source.affine, factors), values, weight, prepared };
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
