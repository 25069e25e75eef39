/** The cerebrum: a folded ribbon of grey matter over white matter, with fluid in its furrows. */
import { sine } from '../noise.js';
import type { Stream } from '../random.js';
import type { Cover, Shape } from '../shapes.js';

export interface CerebrumOptions {
  readonly grey: number;
  readonly white: number;
  readonly csf: number;
  /** Half-width of a furrow at the surface in mm: about 0.5 in the young, 1.6 with atrophy. */
  readonly furrow: number;
  /** Thickness of the grey ribbon in mm. */
  readonly ribbon: number;
}

/** Quarter turn, to make a cosine of a sine. */
const Q = Math.PI / 2;

/**
 * Paints grey and white matter and the fluid of furrows, in an MNI-like frame (origin at the anterior commissure).
 * The furrows are the zero sheet of a gyroid, bent by slow waves, down to about 15 mm below the surface; the
 * longitudinal and the lateral (Sylvian) fissures are added as sheets of their own.
 */
export function cerebrum(cover: Cover, o: CerebrumOptions, stream: Stream): Shape {
  const phases = Array.from({ length: 6 }, () => stream.uniform(0, 6.28));
  const [p0, p1, p2, p3, p4, p5] = phases as [number, number, number, number, number, number];
  const wave = stream.uniform(24, 29);
  const a = (2 * Math.PI) / wave;
  // Mean slope of the gyroid at its zero sheet, per mm: turns its value into a distance.
  const slope = 1 / (1.25 * a);
  const lift = stream.uniform(-3, 3);
  const { grey, white, csf, furrow, ribbon } = o;
  return {
    lo: [-68, -104, -46],
    hi: [68, 71, 77],
    paint({ x: xs, y: ys, z: zs, label }, from, to) {
      for (let i = from; i < to; i++) {
        if (cover[label[i]!]! === 0) continue;
        const x = xs[i]!;
        const y = ys[i]!;
        const z = zs[i]!;
        const ax = x < 0 ? -x : x;
        // Upper part: an ellipsoid, narrower in front, with a floor that rises over the cerebellum.
        const wide = y > 20 ? 67.5 - (y - 20) * 0.06 : 67.5;
        const u = x / wide;
        const v = (y + 16) / 88;
        const w = (z - 14) / (z > 14 ? 65 : 60);
        const floor = y > 6 ? -22 : y > -34 ? -12 : -14 + (ax < 30 ? (30 - ax) * 0.3 : 0);
        let depth = (1 - Math.sqrt(u * u + v * v + w * w)) * 65;
        if (z - floor < depth) depth = z - floor;
        // Temporal lobe.
        const tu = (ax - 44) / 22;
        const tv = (y + 18) / 44;
        const tw = (z + 18 - (y + 18) * 0.1) / 25;
        const temporal = (1 - Math.sqrt(tu * tu + tv * tv + tw * tw)) * 23;
        if (temporal > depth) depth = temporal;
        if (depth < 0) continue;
        // Longitudinal fissure, outside the ellipse that the corpus callosum bounds.
        const e0 = (y + 10) / 44;
        const e1 = (z - 6) / 25;
        const inside = e0 * e0 + e1 * e1;
        let sheet = 99;
        if (ax < 8 && (inside > 1 || (z < -6 && y > 22))) {
          const reach = inside > 1.3 ? 0 : (1.3 - inside) * 4;
          if (ax - 0.9 + reach < depth) depth = ax - 0.9 + reach;
          if (depth < 0) {
            label[i] = csf;
            continue;
          }
        }
        // Slow bends, so that no sheet is plane.
        const bx = x + 5 * sine(y * 0.062 + p0) + 3 * sine(z * 0.11 + p1);
        const by = y + 6 * sine(z * 0.058 + p2) + 3 * sine(x * 0.1 + p3);
        const bz = z + 5 * sine(x * 0.06 + p4) + 3 * sine(y * 0.12 + p5);
        // Lateral fissure and the insula behind it.
        if (ax > 28 && y > -50 && y < 30) {
          const level = -6 - 0.5 * by + lift + (bz - z) * 0.5;
          const d = z > level ? z - level : level - z;
          const end = y < -36 ? (-36 - y) * 0.35 : y > 16 ? (y - 16) * 0.35 : 0;
          const island = 37 - (y + 4) * (y + 4) * 0.006 + (bx - x) * 0.25;
          if (ax > island) sheet = d + end - 0.3;
          else if (y > -28 && z > level - 9 && z < level + 18) sheet = island - ax + end;
          if (sheet < 0.55 + furrow * 0.5) {
            label[i] = csf;
            continue;
          }
        }
        // Furrows.
        const g =
          sine(a * bx) * sine(a * by + Q) + sine(a * by) * sine(a * bz + Q) + sine(a * bz) * sine(a * bx + Q);
        let fold = (g < 0 ? -g : g) * slope;
        // Furrows end some way below the surface, some deeper than others.
        const bottom = 15 + 5 * sine(bx * 0.13 + by * 0.09 + p1);
        if (depth > bottom) fold += (depth - bottom) * 0.8;
        if (fold < furrow * (1.25 - depth * 0.05)) {
          label[i] = csf;
          continue;
        }
        const near = Math.min(depth, sheet, fold - furrow * 0.6);
        label[i] = near < ribbon ? grey : white;
      }
    },
  };
}

/** Cerebellum: grey, with thin fluid furrows that run with the surface, around a white core with branches. */
export function cerebellum(cover: Cover, o: CerebrumOptions, stream: Stream): Shape {
  const phase = stream.uniform(0, 6.28);
  const { grey, white, csf, furrow } = o;
  return {
    lo: [-54, -98, -62],
    hi: [54, -38, -4],
    paint({ x: xs, y: ys, z: zs, label }, from, to) {
      for (let i = from; i < to; i++) {
        if (cover[label[i]!]! === 0) continue;
        const x = xs[i]!;
        const y = ys[i]!;
        const z = zs[i]!;
        const ax = x < 0 ? -x : x;
        const hu = (ax - 24) / 28;
        const hv = (y + 65) / 30;
        const hw = (z + 36 - (ax < 30 ? (30 - ax) * 0.26 : 0)) / 24;
        const half = (1 - Math.sqrt(hu * hu + hv * hv + hw * hw)) * 25;
        const vv = (y + 66) / 27;
        const vw = (z + 31) / 24;
        const vermis = (1 - Math.sqrt((x * x) / 121 + vv * vv + vw * vw)) * 18;
        const depth = half > vermis ? half : vermis;
        if (depth < 0) continue;
        // Folia fan out from the roof of the fourth ventricle.
        const angle = Math.atan2(z + 34 + ax * 0.12, -(y + 44)) * 11 + 1.5 * sine(ax * 0.16 + phase);
        const leaf = sine(angle * 2);
        if (depth < 7 && leaf > 0.93 - furrow * 0.1) {
          label[i] = csf;
          continue;
        }
        const branch = sine(angle + 1) > 0.86 && depth > 3.5;
        const core = ax > 8 ? depth > 13 && z < -28 : depth > 12;
        label[i] = core || branch ? white : grey;
      }
    },
  };
}
