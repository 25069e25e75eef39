/** What an MR image's arbitrary units mean: robust scale and foreground, measured at one physical resolution. */
import { boundsMm, buildPyramid, sampleBlock } from './sampling.js';
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
const STATS_MM = 4;
const BLOCK = 8;

/**
 * Measures foreground and robust range of a volume. Air is what lies below an eighth of the 98th percentile; voxels at
 * the exact minimum (zero padding, masked background) are left out of the percentiles.
 * @throws VolumeError when no voxel was measured, or all have one value: there is nothing to see in such an image.
 */
export function intensityStats(volume: Volume): IntensityStats {
  const pyramid = buildPyramid(volume, STATS_MM);
  const [low, high] = boundsMm(volume);
  const values: number[] = [];
  const positions: [number[], number[], number[]] = [[], [], []];
  const out = new Float32Array(BLOCK ** 3);
  const ok = new Uint8Array(BLOCK ** 3);
  const side = BLOCK * STATS_MM;
  // World multiples of the block, so that the sample points do not depend on where the array starts.
  const from = low.map((v) => Math.floor(v / side) * side + STATS_MM / 2);
  for (let z = from[2]!; z < high[2]!; z += side)
    for (let y = from[1]!; y < high[1]!; y += side)
      for (let x = from[0]!; x < high[0]!; x += side) {
        if (sampleBlock(pyramid, x, y, z, STATS_MM, BLOCK, out, ok, 0) === 0) continue;
        for (let n = 0; n < out.length; n++) {
          if (ok[n] === 0) continue;
          values.push(out[n]!);
          positions[0].push(x + (n % BLOCK) * STATS_MM);
          positions[1].push(y + (Math.floor(n / BLOCK) % BLOCK) * STATS_MM);
          positions[2].push(z + Math.floor(n / (BLOCK * BLOCK)) * STATS_MM);
        }
      }
  if (values.length === 0)
    throw new VolumeError('intensity: no voxel of the volume was measured; nothing can be read from it');
  const minimum = values.reduce((a, b) => Math.min(a, b), Infinity);
  const above = Float32Array.from(values.filter((v) => v > minimum)).sort();
  if (above.length === 0)
    throw new VolumeError(
      `intensity: every voxel has the value ${minimum}; an image needs at least two different values`,
    );
  const threshold = minimum + (percentile(above, 0.98) - minimum) / 8;
  const body = above.filter((v) => v > threshold);
  const inside = [0, 1, 2].map((d) =>
    Float64Array.from(positions[d as 0].filter((_, n) => values[n]! > threshold)).sort(),
  );
  const mean = (a: Float64Array): number => a.reduce((s, v) => s + v, 0) / a.length;
  const corner = (q: number): [number, number, number] => [
    percentile(inside[0]!, q),
    percentile(inside[1]!, q),
    percentile(inside[2]!, q),
  ];
  const p5 = percentile(body, 0.05);
  const p95 = percentile(body, 0.95);
  return {
    low: p5,
    high: p95 > p5 ? p95 : p5 + 1,
    threshold,
    centreMm: [mean(inside[0]!), mean(inside[1]!), mean(inside[2]!)],
    foregroundMm: [corner(0.01), corner(0.99)],
  };
}

/** The value below which the share `q` of the sorted `values` lies (linear between neighbours, as numpy's default). */
export function percentile(values: ArrayLike<number>, q: number): number {
  const at = q * (values.length - 1);
  const i = Math.floor(at);
  const a = values[i]!;
  const b = values[Math.min(values.length - 1, i + 1)]!;
  return a + (b - a) * (at - i);
}
