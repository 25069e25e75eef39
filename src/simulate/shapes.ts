/**
 * Implicit shapes that paint a structure's id onto a row of points. Shapes are painted in order, later over earlier.
 * Each paints a whole row at a time: a call per point would cost more than the arithmetic in it.
 */
import type { Vec3 } from '../volume/volume.js';
import type { NoiseField, Row } from './noise.js';

export interface Shape {
  /** Corners of a box that holds the shape, in the anatomy's frame, mm. */
  readonly lo: Vec3;
  readonly hi: Vec3;
  /** Writes the shape's id at those of points [from, to) that lie in it and may be painted over. */
  readonly paint: (row: Row, from: number, to: number) => void;
}

/** Keeps the side of a plane where normal · (p - point) < 0. */
export interface Clip {
  readonly point: Vec3;
  readonly normal: Vec3;
}

/** Which structures a shape may cover: 1 at the ids it may. */
export type Cover = Uint8Array;

export type Matrix3 = readonly [Vec3, Vec3, Vec3];

/** Rotation by degrees about x, then y, then z. */
export function rotation(degX: number, degY = 0, degZ = 0): Matrix3 {
  const [a, b, c] = [degX, degY, degZ].map((d) => (d * Math.PI) / 180) as [number, number, number];
  const [sa, ca, sb, cb, sc, cc] = [
    Math.sin(a),
    Math.cos(a),
    Math.sin(b),
    Math.cos(b),
    Math.sin(c),
    Math.cos(c),
  ];
  return [
    [cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa],
    [sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa],
    [-sb, cb * sa, cb * ca],
  ];
}

export interface EllipsoidOptions {
  /** Degrees about x, y, z. */
  readonly rotate?: Vec3;
  /** 0 is an ellipsoid, 1 nearly a box with round edges (fourth powers). */
  readonly square?: number;
  readonly clip?: readonly Clip[];
  /** Rough surface: blobs of `cell` mm that move it in and out by about `amount` of its radius. */
  readonly rough?: { readonly cell: number; readonly amount: number };
}

const scratchA = new Float32Array(4096);
const scratchB = new Float32Array(4096);

/** A (super)ellipsoid: (1-q) sum u² + q sqrt(sum u⁴) < 1, with u the point in units of the radii. */
export function ellipsoid(
  id: number,
  cover: Cover,
  noise: NoiseField,
  centre: Vec3,
  radii: Vec3,
  options: EllipsoidOptions = {},
): Shape {
  const q = options.square ?? 0;
  const r = rotation(...(options.rotate ?? [0, 0, 0]));
  const rotated = options.rotate !== undefined;
  const grow = 1 + (options.rough?.amount ?? 0);
  const extent = [0, 1, 2].map((axis) => {
    const parts = [0, 1, 2].map((k) => Math.abs(r[axis]![k]!) * radii[k]! * grow);
    if (!rotated) return parts[axis]!;
    return q > 0 ? parts[0]! + parts[1]! + parts[2]! : Math.hypot(...parts);
  });
  // Rows of the inverse rotation divided by the radius: columns of r.
  const m = [0, 1, 2].map((k) => [0, 1, 2].map((axis) => r[axis]![k]! / radii[k]!)) as unknown as Matrix3;
  const [[m00, m01, m02], [m10, m11, m12], [m20, m21, m22]] = m;
  const [cx, cy, cz] = centre;
  const clips = flatClips(options.clip);
  const { rough } = options;
  const plain = !rotated && q === 0 && clips.length === 0 && rough === undefined;
  return {
    lo: [cx - extent[0]!, cy - extent[1]!, cz - extent[2]!],
    hi: [cx + extent[0]!, cy + extent[1]!, cz + extent[2]!],
    paint(row, from, to) {
      const { x, y, z, label } = row;
      if (rough) noise.fill(row, from, to, rough.cell, cx * 7.3 + cy * 3.1 + cz, scratchA);
      if (plain) {
        for (let i = from; i < to; i++) {
          const u = (x[i]! - cx) * m00;
          const v = (y[i]! - cy) * m11;
          const w = (z[i]! - cz) * m22;
          if (u * u + v * v + w * w < 1 && cover[label[i]!]! !== 0) label[i] = id;
        }
        return;
      }
      for (let i = from; i < to; i++) {
        const dx = x[i]! - cx;
        const dy = y[i]! - cy;
        const dz = z[i]! - cz;
        const u = m00 * dx + m01 * dy + m02 * dz;
        const v = m10 * dx + m11 * dy + m12 * dz;
        const w = m20 * dx + m21 * dy + m22 * dz;
        const uu = u * u;
        const vv = v * v;
        const ww = w * w;
        let f = uu + vv + ww;
        if (q > 0) f = (1 - q) * f + q * Math.sqrt(uu * uu + vv * vv + ww * ww);
        if (rough) f *= 1 - 2 * rough.amount * scratchA[i]!;
        if (f >= 1 || cover[label[i]!]! === 0) continue;
        let n = 0;
        while (
          n < clips.length &&
          clips[n]! * x[i]! + clips[n + 1]! * y[i]! + clips[n + 2]! * z[i]! < clips[n + 3]!
        ) {
          n += 4;
        }
        if (n === clips.length) label[i] = id;
      }
    },
  };
}

function flatClips(clips: readonly Clip[] | undefined): Float64Array {
  const out = new Float64Array((clips?.length ?? 0) * 4);
  clips?.forEach(({ point, normal }, n) => {
    out.set([...normal, point[0] * normal[0] + point[1] * normal[1] + point[2] * normal[2]], n * 4);
  });
  return out;
}

/** A capsule from `a` to `b` whose radius runs from `ra` to `rb`. */
export function capsule(id: number, cover: Cover, a: Vec3, b: Vec3, ra: number, rb: number): Shape {
  const [ax, ay, az] = a;
  const [ex, ey, ez] = [b[0] - ax, b[1] - ay, b[2] - az];
  const inverse = 1 / Math.max(1e-9, ex * ex + ey * ey + ez * ez);
  const reach = Math.max(ra, rb);
  const dr = rb - ra;
  return {
    lo: [Math.min(ax, b[0]) - reach, Math.min(ay, b[1]) - reach, Math.min(az, b[2]) - reach],
    hi: [Math.max(ax, b[0]) + reach, Math.max(ay, b[1]) + reach, Math.max(az, b[2]) + reach],
    paint({ x, y, z, label }, from, to) {
      for (let i = from; i < to; i++) {
        const dx = x[i]! - ax;
        const dy = y[i]! - ay;
        const dz = z[i]! - az;
        let t = (dx * ex + dy * ey + dz * ez) * inverse;
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        const px = dx - t * ex;
        const py = dy - t * ey;
        const pz = dz - t * ez;
        const r = ra + t * dr;
        if (px * px + py * py + pz * pz < r * r && cover[label[i]!]! !== 0) label[i] = id;
      }
    },
  };
}

/** One cross-section of a loft: position along its axis, centre and half-widths across it. */
export type Section = readonly [along: number, u: number, v: number, ru: number, rv: number];

/**
 * A body of elliptic cross-sections along an axis ('x': u, v are y, z; 'y': x, z; 'z': x, y), joined smoothly.
 * `square` as for an ellipsoid; `inset` in mm shrinks every section.
 */
export function loft(
  id: number,
  cover: Cover,
  sections: readonly Section[],
  axis: 'x' | 'y' | 'z' = 'z',
  square = 0,
  inset = 0,
): Shape {
  const sorted = [...sections].sort((p, q) => p[0] - q[0]);
  const start = sorted[0]![0];
  const end = sorted[sorted.length - 1]![0];
  const n = Math.max(2, Math.ceil(end - start) + 1);
  const step = (end - start) / (n - 1);
  const table = new Float32Array(n * 4);
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  let at = 0;
  for (let k = 0; k < n; k++) {
    const t = start + k * step;
    while (at < sorted.length - 2 && t > sorted[at + 1]![0]) at++;
    const [p, q] = [sorted[at]!, sorted[at + 1] ?? sorted[at]!];
    const raw = Math.min(1, Math.max(0, (t - p[0]) / Math.max(1e-9, q[0] - p[0])));
    const s = raw * raw * (3 - 2 * raw);
    const mix = (c: 1 | 2 | 3 | 4): number => p[c] + s * (q[c] - p[c]);
    const [u, v, ru, rv] = [mix(1), mix(2), Math.max(0.01, mix(3) - inset), Math.max(0.01, mix(4) - inset)];
    table.set([u, v, 1 / ru, 1 / rv], k * 4);
    box[0] = Math.min(box[0]!, u - ru);
    box[1] = Math.min(box[1]!, v - rv);
    box[2] = Math.max(box[2]!, u + ru);
    box[3] = Math.max(box[3]!, v + rv);
  }
  const place = (along: number, u: number, v: number): Vec3 =>
    axis === 'z' ? [u, v, along] : axis === 'y' ? [u, along, v] : [along, u, v];
  return {
    lo: place(start, box[0]!, box[1]!),
    hi: place(end, box[2]!, box[3]!),
    paint(row, from, to) {
      const { label } = row;
      const along = row[axis];
      const us = axis === 'x' ? row.y : row.x;
      const vs = axis === 'z' ? row.y : row.z;
      for (let i = from; i < to; i++) {
        const k = (along[i]! - start) / step + 0.5;
        if (k < 0 || k >= n || cover[label[i]!]! === 0) continue;
        const c = (k | 0) * 4;
        const u = (us[i]! - table[c]!) * table[c + 2]!;
        const v = (vs[i]! - table[c + 1]!) * table[c + 3]!;
        const uu = u * u;
        const vv = v * v;
        let f = uu + vv;
        if (square > 0) f = (1 - square) * f + square * Math.sqrt(uu * uu + vv * vv);
        if (f < 1) label[i] = id;
      }
    },
  };
}

export interface Pattern {
  /** 'blob': noise above `level`; 'sheet': within `level` of zero; 'filament': two noises both near zero. */
  readonly kind: 'blob' | 'sheet' | 'filament';
  /** Size of a feature in mm. */
  readonly cell: number;
  readonly level: number;
  /** Only inside this box; everywhere when left out. */
  readonly box?: readonly [Vec3, Vec3];
}

/** Paints a noise pattern into the structures of `cover`. */
export function pattern(id: number, cover: Cover, noise: NoiseField, salt: number, p: Pattern): Shape {
  const [lo, hi] = p.box ?? [
    [-1000, -1000, -1000],
    [1000, 1000, 1000],
  ];
  const [a, b] = [scratchA, scratchB];
  return {
    lo,
    hi,
    paint(row, from, to) {
      const { x, y, z, label } = row;
      while (from < to && cover[label[from]!]! === 0) from++;
      while (to > from && cover[label[to - 1]!]! === 0) to--;
      if (from === to) return;
      noise.fill(row, from, to, p.cell, salt * 53.7, a);
      if (p.kind === 'filament') noise.fill(row, from, to, p.cell, salt * 53.7 + 411.3, b);
      for (let i = from; i < to; i++) {
        if (cover[label[i]!]! === 0) continue;
        const n = a[i]!;
        const hit =
          p.kind === 'blob'
            ? n > p.level
            : p.kind === 'sheet'
              ? n < p.level && n > -p.level
              : n * n + b[i]! * b[i]! < p.level * p.level;
        if (!hit) continue;
        if (p.box && (x[i]! < lo[0] || x[i]! > hi[0] || y[i]! < lo[1] || y[i]! > hi[1])) continue;
        if (p.box && (z[i]! < lo[2] || z[i]! > hi[2])) continue;
        label[i] = id;
      }
    },
  };
}
