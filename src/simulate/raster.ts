/** Reads structure ids along straight rows through an anatomy or through a label volume. */
import type { Volume, Vec3 } from '../volume/volume.js';
import { inverseOf } from '../volume/sampling.js';
import type { Anatomy, Structure } from './anatomy.js';
import { type NoiseField, type Row, sine } from './noise.js';
import type { Shape } from './shapes.js';

/** What an acquisition looks at. */
export interface LabelSource {
  readonly structures: readonly Structure[];
  readonly noise: NoiseField;
  readonly row: Row;
  /** Announces a parallelogram of points: origin + i di + j dj, RAS mm, 0 <= i < ni, 0 <= j < nj. */
  plane(origin: Vec3, di: Vec3, dj: Vec3, ni: number, nj: number): void;
  /** Fills `row` for i in [0, ni) of line j of that plane; false when all of it is air. */
  line(j: number): boolean;
}

export function emptyRow(length: number): Row {
  return {
    x: new Float32Array(length),
    y: new Float32Array(length),
    z: new Float32Array(length),
    label: new Uint8Array(length),
  };
}

/** Spacing in mm at which displacement is computed; between, it is interpolated (its waves are 48 mm and longer). */
const KNOT_MM = 14;

/** Rows through the shapes of an anatomy; shapes that a plane or a row cannot meet are skipped. */
export class AnatomyRaster implements LabelSource {
  readonly structures: readonly Structure[];
  readonly noise: NoiseField;
  readonly row: Row;
  private origin: number[] = [];
  private di: number[] = [];
  private dj: number[] = [];
  private ni = 0;
  private active: Shape[] = [];
  /** Boxes of the active shapes, six numbers each, and the run of the current row that each may touch. */
  private bounds = new Float64Array(0);
  private from = new Int32Array(0);
  private to = new Int32Array(0);
  private lines = new Int32Array(0);

  constructor(
    private readonly anatomy: Anatomy,
    longestRow: number,
  ) {
    this.structures = anatomy.structures;
    this.noise = anatomy.noise;
    this.row = emptyRow(longestRow);
  }

  plane(origin: Vec3, di: Vec3, dj: Vec3, ni: number, nj: number): void {
    const { matrix, offset, reach, shapes } = this.anatomy;
    const apply = (v: Vec3, t: Vec3): number[] =>
      matrix.map((m, a) => m[0] * v[0] + m[1] * v[1] + m[2] * v[2] + t[a]!);
    this.origin = apply(origin, offset);
    this.di = apply(di, [0, 0, 0]);
    this.dj = apply(dj, [0, 0, 0]);
    this.ni = ni;
    const [u, v, o] = [this.di, this.dj, this.origin];
    const n = [u[1]! * v[2]! - u[2]! * v[1]!, u[2]! * v[0]! - u[0]! * v[2]!, u[0]! * v[1]! - u[1]! * v[0]!];
    const norm = Math.hypot(n[0]!, n[1]!, n[2]!);
    const level = n[0]! * o[0]! + n[1]! * o[1]! + n[2]! * o[2]!;
    // The box of the whole parallelogram, so that shapes beside a small field of view are dropped too.
    const box = [0, 1, 2].map((a) => {
      const ends = [0, u[a]! * (ni - 1), v[a]! * (nj - 1), u[a]! * (ni - 1) + v[a]! * (nj - 1)];
      return [o[a]! + Math.min(...ends) - reach, o[a]! + Math.max(...ends) + reach] as const;
    });
    this.active = shapes.filter(({ lo, hi }) => {
      let distance = -level;
      let half = reach * norm;
      for (let a = 0; a < 3; a++) {
        if (hi[a]! < box[a]![0] || lo[a]! > box[a]![1]) return false;
        distance += (n[a]! * (lo[a]! + hi[a]!)) / 2;
        half += (Math.abs(n[a]!) * (hi[a]! - lo[a]!)) / 2;
      }
      return Math.abs(distance) <= half;
    });
    const count = this.active.length;
    if (this.from.length < count) {
      this.bounds = new Float64Array(count * 6);
      this.from = new Int32Array(count);
      this.to = new Int32Array(count);
      this.lines = new Int32Array(count * 2);
    }
    this.active.forEach(({ lo, hi }, at) => {
      this.bounds.set(lo, at * 6);
      this.bounds.set(hi, at * 6 + 3);
      // Lines j of the plane that may meet the box, whatever i.
      let [first, last] = [0, nj - 1];
      for (let a = 0; a < 3; a++) {
        const d = v[a]!;
        if (Math.abs(d) < 1e-6) continue;
        const along = u[a]! * (ni - 1);
        const low = (lo[a]! - reach - o[a]! - Math.max(0, along)) / d;
        const high = (hi[a]! + reach - o[a]! - Math.min(0, along)) / d;
        first = Math.max(first, Math.ceil(Math.min(low, high)));
        last = Math.min(last, Math.floor(Math.max(low, high)));
      }
      this.lines[at * 2] = first;
      this.lines[at * 2 + 1] = last;
    });
  }

  line(j: number): boolean {
    const { origin, di, dj, ni } = this;
    const { reach } = this.anatomy;
    const q0 = origin[0]! + j * dj[0]!;
    const q1 = origin[1]! + j * dj[1]!;
    const q2 = origin[2]! + j * dj[2]!;
    const [d0, d1, d2] = [di[0]!, di[1]!, di[2]!];
    const { label } = this.row;
    label.fill(0, 0, ni);
    // First the runs that shapes may touch, then coordinates for all of them, then the painting.
    const { bounds, from, to, lines } = this;
    let first = ni;
    let last = 0;
    const count = this.active.length;
    for (let n = 0; n < count; n++) {
      if (j < lines[n * 2]! || j > lines[n * 2 + 1]!) {
        to[n] = 0;
        continue;
      }
      let start = 0;
      let end = ni;
      for (let a = 0; a < 3; a++) {
        const q = a === 0 ? q0 : a === 1 ? q1 : q2;
        const d = a === 0 ? d0 : a === 1 ? d1 : d2;
        const low = bounds[n * 6 + a]! - reach - q;
        const high = bounds[n * 6 + 3 + a]! + reach - q;
        if (d < 1e-9 && d > -1e-9) {
          if (low > 0 || high < 0) end = 0;
        } else {
          const t0 = (d > 0 ? low : high) / d;
          const t1 = (d > 0 ? high : low) / d;
          if (t0 > start) start = Math.ceil(t0);
          if (t1 + 1 < end) end = Math.floor(t1) + 1;
        }
        if (start >= end) break;
      }
      from[n] = start;
      to[n] = end;
      if (start >= end) continue;
      if (start < first) first = start;
      if (end > last) last = end;
    }
    if (first >= last) return false;
    this.place(q0, q1, q2, first, last);
    for (let n = 0; n < count; n++) {
      if (from[n]! < to[n]!) this.active[n]!.paint(this.row, from[n]!, to[n]!);
    }
    return true;
  }

  /** Coordinates of the row in the anatomy's frame, displaced by its waves. */
  private place(q0: number, q1: number, q2: number, first: number, last: number): void {
    const { di } = this;
    const { waves } = this.anatomy;
    const [d0, d1, d2] = [di[0]!, di[1]!, di[2]!];
    const { x, y, z } = this.row;
    const stride = Math.max(1, Math.floor(KNOT_MM / Math.hypot(d0, d1, d2)));
    let [px, py, pz] = [0, 0, 0];
    for (let i = first; i < last + stride; i += stride) {
      const bx = q0 + i * d0;
      const by = q1 + i * d1;
      const bz = q2 + i * d2;
      let [nx, ny, nz] = [bx, by, bz];
      for (const { k, phase, amount } of waves) {
        const s = sine(k[0] * bx + k[1] * by + k[2] * bz + phase);
        nx += s * amount[0];
        ny += s * amount[1];
        nz += s * amount[2];
      }
      if (i > first) {
        const end = Math.min(last, i);
        for (let m = i - stride; m < end; m++) {
          const f = (m - i + stride) / stride;
          x[m] = px + f * (nx - px);
          y[m] = py + f * (ny - py);
          z[m] = pz + f * (nz - pz);
        }
      }
      [px, py, pz] = [nx, ny, nz];
    }
  }
}

/** Rows through a label volume: the nearest voxel's label, air outside of it. */
export class LabelVolumeRaster implements LabelSource {
  readonly row: Row;
  private readonly toVoxel: Float64Array;
  /** Structure index of each label value up to 65535. */
  private readonly index = new Uint8Array(65536);
  private origin: Vec3 = [0, 0, 0];
  private di: Vec3 = [0, 0, 0];
  private dj: Vec3 = [0, 0, 0];
  private ni = 0;

  /** `idOf` gives the index into `structures` of a label value; labels without one are air. */
  constructor(
    private readonly labels: Volume,
    readonly structures: readonly Structure[],
    idOf: ReadonlyMap<number, number>,
    readonly noise: NoiseField,
    longestRow: number,
  ) {
    this.row = emptyRow(longestRow);
    this.toVoxel = inverseOf(labels.affine);
    for (const [value, id] of idOf) this.index[value] = id;
  }

  plane(origin: Vec3, di: Vec3, dj: Vec3, ni: number): void {
    [this.origin, this.di, this.dj, this.ni] = [origin, di, dj, ni];
  }

  line(j: number): boolean {
    const { origin, di, dj, ni, toVoxel: m, index } = this;
    const { data, shape, slope, intercept } = this.labels;
    const { x, y, z, label } = this.row;
    const [si, sj, sk] = shape;
    let any = false;
    for (let i = 0; i < ni; i++) {
      const px = (x[i] = origin[0] + i * di[0] + j * dj[0]);
      const py = (y[i] = origin[1] + i * di[1] + j * dj[1]);
      const pz = (z[i] = origin[2] + i * di[2] + j * dj[2]);
      const u = Math.round(m[0]! * px + m[1]! * py + m[2]! * pz + m[3]!);
      const v = Math.round(m[4]! * px + m[5]! * py + m[6]! * pz + m[7]!);
      const w = Math.round(m[8]! * px + m[9]! * py + m[10]! * pz + m[11]!);
      label[i] = 0;
      if (u < 0 || v < 0 || w < 0 || u >= si || v >= sj || w >= sk) continue;
      const id = index[data[u + si * (v + sj * w)]! * slope + intercept] ?? 0;
      label[i] = id;
      if (id !== 0) any = true;
    }
    return any;
  }
}
