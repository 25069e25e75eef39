/** Bringing a volume onto another grid: averages over the voxels' extent where it is coarser, linear where finer. */
import { apply, column, invert, multiply, spacing } from './affine.js';
import { type Affine, type Vec3, type Volume, VolumeError } from './volume.js';

export interface Grid {
  /** Voxel to RAS+ mm. */
  readonly affine: Affine;
  readonly shape: Vec3;
}

/** A grid, or the voxel size of a grid with the volume's own axes, field of view and centre. */
export type ResampleTarget = Grid | { readonly spacingMm: number | Vec3 };

/**
 * The grid with the axes and the centre of `grid` whose voxels measure `spacingMm`: as many as come closest to the
 * same field of view, at least one along each axis.
 */
export function gridWithSpacing(grid: Grid, spacingMm: number | Vec3): Grid {
  const wanted: Vec3 = typeof spacingMm === 'number' ? [spacingMm, spacingMm, spacingMm] : spacingMm;
  if (!wanted.every((mm) => mm > 0 && Number.isFinite(mm)))
    throw new VolumeError(
      `resample: spacing must be above 0 mm, got ${wanted.join(' × ')}; give mm along i, j, k`,
    );
  const factor = spacing(grid.affine).map((mm, axis) => wanted[axis]! / mm) as unknown as Vec3;
  const shape = grid.shape.map((n, axis) => Math.max(1, Math.round(n / factor[axis]!))) as unknown as Vec3;
  // New voxel to old voxel: scaled about the common centre.
  const shift = (axis: 0 | 1 | 2): number => (grid.shape[axis] - 1 - (shape[axis] - 1) * factor[axis]) / 2;
  const toOld: Affine = [
    [factor[0], 0, 0, shift(0)],
    [0, factor[1], 0, shift(1)],
    [0, 0, factor[2], shift(2)],
    [0, 0, 0, 1],
  ];
  return { affine: multiply(grid.affine, toOld), shape };
}

/**
 * Resamples to float32 on another grid. Along each axis of the source a target voxel takes in a box as wide as the
 * target voxel is there (in source voxels, at least one): voxels count by how much of them the box covers, which is
 * linear interpolation at width one and the area average beyond. On turned grids the box has the variance of the
 * target voxel's extent along the axis. Only measured voxels count.
 *
 * A target voxel is unmeasured (0 in `valid`, value 0) where its centre lies outside the source's field of view or
 * less than half of what its box covers was measured.
 *
 * @throws VolumeError for a grid without voxels or with a singular affine.
 */
export function resample(volume: Volume, target: ResampleTarget): Volume {
  const grid = 'affine' in target ? target : gridWithSpacing(volume, target.spacingMm);
  const { shape } = grid;
  if (!shape.every((n) => Number.isInteger(n) && n > 0))
    throw new VolumeError(
      `resample: the grid must have whole numbers of voxels above 0, got ${shape.join('×')}`,
    );
  const toSource = multiply(invert(volume.affine), grid.affine);
  const width = [0, 1, 2].map((axis) => Math.max(1, Math.hypot(...toSource[axis as 0].slice(0, 3))));
  const boxes = width.map((w, axis) => new Box(w, volume.shape[axis]!));
  const [bi, bj, bk] = boxes as [Box, Box, Box];
  const [stepI, stepJ, stepK] = ([0, 1, 2] as const).map((axis) => column(toSource, axis)) as [
    Vec3,
    Vec3,
    Vec3,
  ];
  const first = apply(toSource, [0, 0, 0]);

  const { data, slope, intercept } = volume;
  const measured = measuredVoxels(volume);
  const [ni, nj] = volume.shape;
  const out = new Float32Array(shape[0] * shape[1] * shape[2]);
  const valid = new Uint8Array(out.length);
  let missing = 0;
  let n = 0;
  for (let k = 0; k < shape[2]; k++) {
    for (let j = 0; j < shape[1]; j++) {
      for (let i = 0; i < shape[0]; i++, n++) {
        const inside =
          bi.place(first[0] + i * stepI[0] + j * stepJ[0] + k * stepK[0]) &&
          bj.place(first[1] + i * stepI[1] + j * stepJ[1] + k * stepK[1]) &&
          bk.place(first[2] + i * stepI[2] + j * stepJ[2] + k * stepK[2]);
        let sum = 0;
        let weight = 0;
        if (inside) {
          for (let c = 0; c < bk.count; c++) {
            for (let b = 0; b < bj.count; b++) {
              const wbc = bj.weights[b]! * bk.weights[c]!;
              let at = bi.start + ni * (bj.start + b + nj * (bk.start + c));
              for (let a = 0; a < bi.count; a++, at++) {
                if (measured !== null && measured[at] === 0) continue;
                const w = bi.weights[a]! * wbc;
                sum += w * data[at]!;
                weight += w;
              }
            }
          }
        }
        // The weights of each box add up to one, so `weight` is the measured share.
        if (weight >= 0.5 - 1e-9) {
          out[n] = (sum / weight) * slope + intercept;
          valid[n] = 1;
        } else missing++;
      }
    }
  }
  return { data: out, shape, affine: grid.affine, slope: 1, intercept: 0, valid: missing > 0 ? valid : null };
}

/** The voxels along one axis that a box `width` voxels wide covers, and their shares of it. */
class Box {
  start = 0;
  count = 0;
  readonly weights: Float64Array;

  constructor(
    private readonly width: number,
    private readonly size: number,
  ) {
    this.weights = new Float64Array(Math.ceil(width) + 2);
  }

  /** Centres the box at `centre`; false when that is outside the field of view, which ends half a voxel out. */
  place(centre: number): boolean {
    // Rounding must not decide about centres on the edge or about boxes that end where a voxel does.
    const slack = 1e-6;
    if (!(centre >= -0.5 - slack && centre <= this.size - 0.5 + slack)) return false;
    const low = Math.max(-0.5, centre - this.width / 2);
    const high = Math.min(this.size - 0.5, centre + this.width / 2);
    this.start = Math.min(this.size - 1, Math.max(0, Math.floor(low + 0.5 + slack)));
    const end = Math.max(this.start, Math.min(this.size - 1, Math.ceil(high - 0.5 - slack)));
    this.count = end - this.start + 1;
    const total = high - low;
    for (let n = 0; n < this.count; n++) {
      const voxel = this.start + n;
      this.weights[n] = Math.max(0, Math.min(high, voxel + 0.5) - Math.max(low, voxel - 0.5)) / total;
    }
    return true;
  }
}

/** The mask, with non-finite values of float volumes taken out as well; null when everything was measured. */
function measuredVoxels(volume: Volume): Uint8Array | null {
  const { data, valid } = volume;
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return valid;
  if (data.every(Number.isFinite)) return valid;
  return Uint8Array.from(data, (value, n) => (Number.isFinite(value) && valid?.[n] !== 0 ? 1 : 0));
}
