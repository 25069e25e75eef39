/** Smooth random fields over space: the mottle of tissue, vessels, fat septa and rough edges are made of them. */
import type { Stream } from './random.js';

/** A run of points along one line through the anatomy, and the structure found at each. */
export interface Row {
  /** Coordinates in the anatomy's own frame, mm; longer than any run that is filled. */
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly z: Float32Array;
  /** Structure id of each point; 0 is air. */
  readonly label: Uint8Array;
}

const SIN_SIZE = 4096;
const SIN = Float32Array.from({ length: SIN_SIZE }, (_, i) => Math.sin((2 * Math.PI * i) / SIN_SIZE));
const PER_RADIAN = SIN_SIZE / (2 * Math.PI);
/** Whole turns added before truncation, so that negative angles of up to 1e5 radians are floored too. */
const TURNS = SIN_SIZE * 16384;

/** Sine by table, to within 1.6e-3: enough for shapes, ten times faster. */
export function sine(angle: number): number {
  return SIN[(angle * PER_RADIAN + TURNS) & (SIN_SIZE - 1)]!;
}

const SIDE = 32;
const MASK = SIDE - 1;

/** Value noise: random numbers on a cubic lattice of period 32, joined smoothly. */
export class NoiseField {
  private readonly table = new Float32Array(SIDE * SIDE * SIDE);

  constructor(stream: Stream) {
    for (let i = 0; i < this.table.length; i++) this.table[i] = stream.uniform(-1, 1);
  }

  /**
   * Writes noise in [-1, 1] at points [from, to) of `row` into `out`. `cell` is the lattice spacing in mm (the size
   * of a blob); `offset` in mm moves to another, independent part of the field.
   */
  fill(row: Row, from: number, to: number, cell: number, offset: number, out: Float32Array): void {
    const { table } = this;
    const { x, y, z } = row;
    const scale = 1 / cell;
    // A large positive shift keeps the lattice coordinate positive, so that truncation is the floor.
    const shift = SIDE * 64 + offset * scale;
    for (let i = from; i < to; i++) {
      const px = x[i]! * scale;
      const py = y[i]! * scale;
      const pz = z[i]! * scale;
      // The lattice stands askew to the body, so that its planes do not show as edges.
      const u = 0.7392 * px - 0.4615 * py + 0.4905 * pz + shift;
      const v = 0.6127 * px + 0.7643 * py - 0.2012 * pz + shift;
      const w = -0.2821 * px + 0.4493 * py + 0.8477 * pz + shift;
      const iu = u | 0;
      const iv = v | 0;
      const iw = w | 0;
      let fu = u - iu;
      let fv = v - iv;
      let fw = w - iw;
      // Smooth joints: without them every contour of the field shows the lattice.
      fu *= fu * (3 - 2 * fu);
      fv *= fv * (3 - 2 * fv);
      fw *= fw * (3 - 2 * fw);
      const u0 = iu & MASK;
      const u1 = (iu + 1) & MASK;
      const v0 = (iv & MASK) << 5;
      const v1 = ((iv + 1) & MASK) << 5;
      const w0 = (iw & MASK) << 10;
      const w1 = ((iw + 1) & MASK) << 10;
      const a00 = table[u0 | v0 | w0]!;
      const a10 = table[u0 | v1 | w0]!;
      const a01 = table[u0 | v0 | w1]!;
      const a11 = table[u0 | v1 | w1]!;
      const b00 = a00 + fu * (table[u1 | v0 | w0]! - a00);
      const b10 = a10 + fu * (table[u1 | v1 | w0]! - a10);
      const b01 = a01 + fu * (table[u1 | v0 | w1]! - a01);
      const b11 = a11 + fu * (table[u1 | v1 | w1]! - a11);
      const c0 = b00 + fv * (b10 - b00);
      const c1 = b01 + fv * (b11 - b01);
      out[i] = c0 + fw * (c1 - c0);
    }
  }
}
