/** Overlapping windows put together: weighted sums of probabilities, in as much memory as one layer of windows needs. */
import type { Vec3, Volume } from '../../volume/volume.js';
import type { SegmentImage } from './image.js';

/** Starts of windows that cover an image, evenly apart, in the order of k, then j, then i. */
export function windowStarts(shape: Vec3, side: Vec3, overlap: number): Vec3[] {
  const along = shape.map((n, d) => {
    const length = side[d as 0];
    // An image smaller than the window lies in its middle.
    if (n <= length) return [Math.floor((n - length) / 2)];
    const count = Math.ceil((n - length) / Math.max(1, Math.floor(length * (1 - overlap)))) + 1;
    return Array.from({ length: count }, (_, c) => Math.round((c * (n - length)) / (count - 1)));
  }) as [number[], number[], number[]];
  return along[2].flatMap((k) => along[1].flatMap((j) => along[0].map((i): Vec3 => [i, j, k])));
}

/** The weight of each voxel of a window: a Gaussian of an eighth of the window's sides, never below a thousandth. */
export function gaussian(side: Vec3): Float32Array {
  const along = side.map((n) =>
    Array.from({ length: n }, (_, i) => Math.exp(-0.5 * ((i - (n - 1) / 2) / (n / 8)) ** 2)),
  ) as [number[], number[], number[]];
  const out = new Float32Array(side[0] * side[1] * side[2]);
  let n = 0;
  for (const z of along[2])
    for (const y of along[1]) for (const x of along[0]) out[n++] = Math.max(1e-3, x * y * z);
  return out;
}

/** Sums of probabilities over the slices that windows still add to; slices below are finished. Windows come by rising k. */
export class Blend {
  /** Most likely label of each finished voxel. */
  readonly numbers: Uint8Array;
  /** [voxel, L] probabilities in 255ths where they are kept: to interpolate between voxels, or to adapt to intensities; else null. */
  readonly probabilities: Uint8Array | null;
  private readonly sums: Float32Array;
  private readonly area: number;
  /** The slice that `sums` starts with. */
  private base = 0;

  constructor(
    image: Pick<SegmentImage, 'shape' | 'factors'>,
    readonly labels: number,
    side: Vec3,
    keep = image.factors.some((f) => f !== 1),
  ) {
    const [ni, nj, nk] = image.shape;
    this.area = ni * nj;
    this.numbers = new Uint8Array(this.area * nk);
    this.probabilities = keep ? new Uint8Array(this.area * nk * labels) : null;
    this.sums = new Float32Array(this.area * Math.min(side[2], nk) * labels);
  }

  /** Adds weighted probabilities at a voxel, for a window that starts at slice `k`. */
  add(voxel: number, k: number, p: Float32Array): void {
    if (k > this.base) this.advance(k);
    const at = (voxel - this.base * this.area) * this.labels;
    for (let l = 0; l < p.length; l++) this.sums[at + l]! += p[l]!;
  }

  /** Finishes all slices below `k`. */
  advance(k: number): void {
    const { area, labels, sums, numbers, probabilities } = this;
    const slices = sums.length / (area * labels);
    const last = Math.min(k, this.base + slices, numbers.length / area);
    for (let voxel = this.base * area, at = 0; voxel < last * area; voxel++, at += labels) {
      let [best, total] = [0, 0];
      for (let l = 0; l < labels; l++) {
        total += sums[at + l]!;
        if (sums[at + l]! > sums[at + best]!) best = l;
      }
      numbers[voxel] = best;
      if (probabilities === null) continue;
      // Where no window looked is background.
      if (total === 0) probabilities[voxel * labels] = 255;
      else
        for (let l = 0; l < labels; l++)
          probabilities[voxel * labels + l] = Math.round((255 * sums[at + l]!) / total);
    }
    const moved = Math.min((k - this.base) * area * labels, sums.length);
    sums.copyWithin(0, moved);
    sums.fill(0, sums.length - moved);
    this.base = k;
  }
}

/**
 * Labels of the source's voxels. Where the grid's voxels are not theirs, probabilities are interpolated linearly between
 * these first, so that borders are finer than they.
 */
export function finishedNumbers(
  blend: Blend,
  {
    shape,
    source,
    factors,
  }: Pick<SegmentImage, 'shape' | 'factors'> & { readonly source: Pick<Volume, 'shape'> },
): Uint8Array {
  blend.advance(shape[2]);
  const { numbers, probabilities, labels } = blend;
  if (probabilities === null) return numbers;
  const out = new Uint8Array(source.shape[0] * source.shape[1] * source.shape[2]);
  const between = betweenVoxels({ shape, source, factors });
  const corners = cornersOf(shape);
  const sum = new Float32Array(labels);
  let n = 0;
  for (const z of between[2])
    for (const y of between[1])
      for (const x of between[0]) {
        corners.place(x, y, z);
        const first = numbers[corners.voxels[0]!]!;
        let same = true;
        for (let c = 1; c < 8 && same; c++) same = numbers[corners.voxels[c]!] === first;
        out[n++] = same ? first : mostLikely();
      }
  function mostLikely(): number {
    sum.fill(0);
    for (let c = 0; c < 8; c++) {
      const weight = corners.weights[c]!;
      if (weight === 0) continue;
      const at = corners.voxels[c]! * labels;
      for (let l = 0; l < labels; l++) sum[l]! += weight * probabilities![at + l]!;
    }
    return sum.indexOf(Math.max(...sum));
  }
  return out;
}

/** Where a voxel of the source lies along one axis of the grid: so far from one voxel towards the next. */
interface Between {
  readonly from: number;
  readonly share: number;
  readonly step: number;
}

/** Where the source's voxels lie on the grid, along each axis. */
export const betweenVoxels = ({
  shape,
  source,
  factors,
}: Pick<SegmentImage, 'shape' | 'factors'> & { readonly source: Pick<Volume, 'shape'> }) =>
  ([0, 1, 2] as const).map((d) =>
    Array.from({ length: source.shape[d] }, (_, n): Between => {
      const at = Math.min(Math.max((n + 0.5) / factors[d] - 0.5, 0), shape[d] - 1);
      const from = Math.min(Math.floor(at), Math.max(0, shape[d] - 2));
      return { from, share: at - from, step: shape[d] > 1 ? 1 : 0 };
    }),
  ) as [Between[], Between[], Between[]];

/** The eight voxels of the grid about a place, and their weights in linear interpolation, told anew by each `place`. */
export function cornersOf([ni, nj]: Vec3) {
  const voxels = new Int32Array(8);
  const weights = new Float64Array(8);
  return {
    voxels,
    weights,
    place(x: Between, y: Between, z: Between): void {
      const corner = x.from + ni * (y.from + nj * z.from);
      for (let c = 0; c < 8; c++) {
        const [up, back, above] = [c & 1, (c >> 1) & 1, c >> 2];
        voxels[c] = corner + up * x.step + ni * (back * y.step + nj * above * z.step);
        weights[c] =
          (up ? x.share : 1 - x.share) * (back ? y.share : 1 - y.share) * (above ? z.share : 1 - z.share);
      }
    },
  };
}
