/** What an MR image's arbitrary units mean: robust scale and foreground, measured at one physical resolution. */
import { ascending } from './ascending.js';
import { boundsMm, buildPyramid, sampleBlock, type Pyramid } from './sampling.js';
import { VolumeError, type Volume } from './volume.js';

export interface IntensityStats {
  /** Value that becomes 0: 5th percentile of the foreground. */
  readonly low: number;
  /** Value that becomes 1: 95th percentile of the foreground. */
  readonly high: number;
  /** Samples above this belong to the body, not to air. */
  readonly threshold: number;
  /** Centre of mass of the foreground, RAS+ mm. */
  readonly centreMm: readonly [number, number, number];
  /** Bounding box of the foreground (1st to 99th percentile of its samples on each axis), RAS+ mm. */
  readonly foregroundMm: readonly [readonly [number, number, number], readonly [number, number, number]];
}

/** The statistics are taken on samples this far apart, so that voxel size, axis order and padding do not move them. */
export const STATS_MM = 4;
const BLOCK = 8;

/**
 * Measures foreground and robust range of a volume. Air is what lies below an eighth of the 98th percentile; voxels at
 * the exact minimum (zero padding, masked background) are left out of the percentiles.
 * @throws VolumeError when no voxel was measured, or all have one value: there is nothing to see in such an image.
 */
export function intensityStats(volume: Volume): IntensityStats {
  return statsOf(buildPyramid(volume, STATS_MM), volume);
}

/** The same of a volume that has been averaged for samples {@link STATS_MM} apart. @throws VolumeError as above. */
export function statsOf(pyramid: Pyramid, volume: Pick<Volume, 'affine' | 'shape'>): IntensityStats {
  const { values, cells, from, counts } = statsSamples(pyramid, volume);
  const total = values.length;
  if (total === 0)
    throw new VolumeError('intensity: no voxel of the volume was measured; nothing can be read from it');
  const sorted = ascending(values);
  const minimum = sorted[0]!;
  const above = sorted.subarray(firstAbove(sorted, minimum));
  if (above.length === 0)
    throw new VolumeError(
      `intensity: every voxel has the value ${minimum}; an image needs at least two different values`,
    );
  const threshold = minimum + (percentile(above, 0.98) - minimum) / 8;
  const body = above.subarray(firstAbove(above, threshold));
  // How many body samples lie at each coordinate of each axis; samples are on one grid, so this is all there is to know.
  const [nx, ny, nz] = counts;
  const along = [new Uint32Array(nx), new Uint32Array(ny), new Uint32Array(nz)] as const;
  for (let n = 0; n < total; n++) {
    if (values[n]! <= threshold) continue;
    const cell = cells[n]!;
    along[0][cell % nx]!++;
    along[1][Math.floor(cell / nx) % ny]!++;
    along[2][Math.floor(cell / (nx * ny))]!++;
  }
  const each = (of: (histogram: Uint32Array, first: number) => number): [number, number, number] => [
    of(along[0], from[0]),
    of(along[1], from[1]),
    of(along[2], from[2]),
  ];
  const [p5, p95] = [percentile(body, 0.05), percentile(body, 0.95)];
  return {
    low: p5,
    high: p95 > p5 ? p95 : p5 + 1,
    threshold,
    centreMm: each((h, first) => first + STATS_MM * (h.reduce((s, c, i) => s + c * i, 0) / body.length)),
    foregroundMm: [
      each((h, first) => first + STATS_MM * rankIn(h, 0.01 * body.length)),
      each((h, first) => first + STATS_MM * rankIn(h, 0.99 * body.length)),
    ],
  };
}

/** Every measured sample of the stats grid, and where it lies: `cells` indexes a grid of `counts` from `from` mm. */
function statsSamples(pyramid: Pyramid, volume: Pick<Volume, 'affine' | 'shape'>) {
  const [low, high] = boundsMm(volume);
  const side = BLOCK * STATS_MM;
  // World multiples of the block, so that the sample points do not depend on where the array starts.
  const corner = low.map((v) => Math.floor(v / side) * side) as [number, number, number];
  const blocks = corner.map((v, d) => Math.ceil((high[d]! - v) / side)) as [number, number, number];
  const counts = blocks.map((n) => n * BLOCK) as [number, number, number];
  const from = corner.map((v) => v + STATS_MM / 2) as [number, number, number];
  const room = counts[0] * counts[1] * counts[2];
  const values = new Float32Array(room);
  const cells = new Uint32Array(room);
  const out = new Float32Array(BLOCK ** 3);
  const ok = new Uint8Array(BLOCK ** 3);
  let found = 0;
  for (let c = 0; c < blocks[2]; c++)
    for (let b = 0; b < blocks[1]; b++)
      for (let a = 0; a < blocks[0]; a++) {
        const [x, y, z] = [from[0] + a * side, from[1] + b * side, from[2] + c * side];
        if (sampleBlock(pyramid, x, y, z, STATS_MM, BLOCK, out, ok, 0) === 0) continue;
        for (let n = 0, k = 0; k < BLOCK; k++)
          for (let j = 0; j < BLOCK; j++) {
            const row = a * BLOCK + counts[0] * (b * BLOCK + j + counts[1] * (c * BLOCK + k));
            for (let i = 0; i < BLOCK; i++, n++) {
              if (ok[n] === 0) continue;
              values[found] = out[n]!;
              cells[found++] = row + i;
            }
          }
      }
  return { values: values.subarray(0, found), cells: cells.subarray(0, found), from, counts };
}

/** Index of the first element of the sorted `values` that is greater than `limit`. */
function firstAbove(values: Float32Array, limit: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first bin up to which at least `rank` of the histogram's counts lie. */
function rankIn(histogram: Uint32Array, rank: number): number {
  let sum = 0;
  for (let i = 0; i < histogram.length; i++) if ((sum += histogram[i]!) >= rank) return i;
  return histogram.length - 1;
}

/** The value below which the share `q` of the sorted `values` lies (linear between neighbours, as numpy's default). */
export function percentile(values: ArrayLike<number>, q: number): number {
  const at = q * (values.length - 1);
  const i = Math.floor(at);
  const a = values[i]!;
  const b = values[Math.min(values.length - 1, i + 1)]!;
  return a + (b - a) * (at - i);
}
