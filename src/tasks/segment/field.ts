/** A field that changes slowly over an image: weighted means of what voxels say, smoothed over some centimetres. */
import type { Vec3 } from '../../volume/volume.js';

/** Standard deviation of the smoothing: coils and dielectric effects change over about as much. */
const WIDTH_MM = 30;
const CELL_MM = 15;
/** What a cell with less than this share of the mean weight says is drawn towards 0. */
const LITTLE = 1e-3;

export class SmoothField {
  private readonly cells: Vec3;
  private readonly size: Vec3;
  private readonly weights: Float64Array;
  private readonly values: Float64Array;
  private current: Float64Array;

  constructor(
    private readonly shape: Vec3,
    private readonly spacingMm: Vec3,
  ) {
    this.cells = shape.map((n, d) =>
      Math.max(1, Math.ceil((n * spacingMm[d as 0]) / CELL_MM)),
    ) as unknown as Vec3;
    // Voxels of a cell, so that all cells together just cover the image.
    this.size = shape.map((n, d) => n / this.cells[d as 0]) as unknown as Vec3;
    const count = this.cells[0] * this.cells[1] * this.cells[2];
    this.weights = new Float64Array(count);
    this.values = new Float64Array(count);
    this.current = new Float64Array(count);
  }

  /** Says what the field is at a voxel: a sum of values times their weights, and of the weights. It counts from the next {@link update} on. */
  add(voxel: number, weight: number, weighted: number): void {
    const [i, j, k] = this.placeOf(voxel);
    const [ci, cj] = this.cells;
    const cell =
      Math.floor((i + 0.5) / this.size[0]) +
      ci * (Math.floor((j + 0.5) / this.size[1]) + cj * Math.floor((k + 0.5) / this.size[2]));
    this.weights[cell]! += weight;
    this.values[cell]! += weighted;
  }

  /** Takes what was said since the last update as the field. */
  update(): void {
    const { weights, values, cells, size, spacingMm } = this;
    const least = (LITTLE * weights.reduce((a, b) => a + b, 0)) / weights.length;
    for (const axis of [0, 1, 2] as const) {
      const sigma = WIDTH_MM / (size[axis] * spacingMm[axis]);
      smooth(weights, cells, axis, sigma);
      smooth(values, cells, axis, sigma);
    }
    this.current = values.map((value, n) => value / (weights[n]! + least || 1));
    weights.fill(0);
    values.fill(0);
  }

  /** The field at a voxel, linear between the middles of cells. */
  at(voxel: number): number {
    const place = this.placeOf(voxel);
    const { cells, size, current } = this;
    let [from, stride] = [0, 1];
    const share = [0, 0, 0];
    const step = [0, 0, 0];
    for (let d = 0; d < 3; d++) {
      const last = cells[d as 0] - 1;
      const at = Math.min(Math.max((place[d as 0] + 0.5) / size[d as 0] - 0.5, 0), last);
      const low = Math.min(Math.floor(at), Math.max(0, last - 1));
      from += low * stride;
      share[d] = at - low;
      step[d] = last > 0 ? stride : 0;
      stride *= cells[d as 0];
    }
    let sum = 0;
    for (let c = 0; c < 8; c++) {
      let [weight, cell] = [1, from];
      for (let d = 0; d < 3; d++) {
        const up = (c >> d) & 1;
        weight *= up ? share[d]! : 1 - share[d]!;
        cell += up * step[d]!;
      }
      sum += weight * current[cell]!;
    }
    return sum;
  }

  private placeOf(voxel: number): Vec3 {
    const [ni, nj] = this.shape;
    return [voxel % ni, Math.floor(voxel / ni) % nj, Math.floor(voxel / (ni * nj))];
  }
}

/** Smooths along one axis by a Gaussian of `sigma` cells, in place; beyond the ends there is nothing. */
function smooth(values: Float64Array, cells: Vec3, axis: 0 | 1 | 2, sigma: number): void {
  const length = cells[axis];
  const stride = cells.slice(0, axis).reduce((a, b) => a * b, 1);
  const kernel = Array.from({ length }, (_, n) => Math.exp(-0.5 * (n / sigma) ** 2));
  const line = new Float64Array(length);
  for (let start = 0; start < values.length; start++) {
    if (Math.floor(start / stride) % length !== 0) continue;
    line.fill(0);
    for (let to = 0; to < length; to++)
      for (let from = 0; from < length; from++)
        line[to]! += kernel[Math.abs(to - from)]! * values[start + from * stride]!;
    for (let n = 0; n < length; n++) values[start + n * stride] = line[n]!;
  }
}
