/**
 * Surfaces of masks as elements with an area, and the share of them that two masks have in common: the surface Dice of
 * Nikolov et al. 2018 (arXiv 1809.04430) as DeepMind's surface-distance 0.1 measures it.
 */
import { distanceMm } from '../volume/distance.js';
import type { Vec3 } from '../volume/volume.js';
import { cropped, type MaskPair } from './overlap.js';

/** Corner n of a cube of 2³ voxel centres lies at these places along i, j, k. */
const corner = (n: number): Vec3 => [n & 1, (n >> 1) & 1, n >> 2];

/** The faces of the cube, each as its four corners in a ring. */
const FACES: readonly (readonly number[])[] = [1, 2, 4].flatMap((across) => {
  const [u, v] = [1, 2, 4].filter((other) => other !== across) as [number, number];
  return [0, across].map((from) => [from, from + u, from + u + v, from + v]);
});

/**
 * The closed lines in which the surface between set and other corners cuts the cube: through the middles of its edges, by
 * marching cubes (Lorensen & Cline 1987). On a face whose set corners lie crosswise, either pair could be joined;
 * whichever of set and other corners are fewer in the cube are kept apart, as in the first tables.
 */
function outlines(code: number): Vec3[][] {
  const isSet = (n: number): number => (code >> n) & 1;
  const few = [0, 1, 2, 3, 4, 5, 6, 7].filter(isSet).length <= 4 ? 1 : 0;
  // The middle of an edge is named by the sum of its corners' places, in the base of 3.
  const middle = (a: number, b: number): number =>
    corner(a).reduce((sum, x, d) => sum + (x + corner(b)[d as 0]) * 3 ** d, 0);
  const next = new Map<number, number[]>();
  const join = (a: number, b: number): void => {
    next.set(a, [...(next.get(a) ?? []), b]);
    next.set(b, [...(next.get(b) ?? []), a]);
  };
  for (const ring of FACES) {
    const at = (n: number): number => ring[(n + 4) % 4]!;
    const edge = (n: number): number => middle(at(n), at(n + 1));
    const crossed = [0, 1, 2, 3].filter((n) => isSet(at(n)) !== isSet(at(n + 1)));
    if (crossed.length === 2) join(edge(crossed[0]!), edge(crossed[1]!));
    if (crossed.length === 4)
      for (let n = 0; n < 4; n++) if (isSet(at(n)) === few) join(edge(n - 1), edge(n));
  }
  const out: Vec3[][] = [];
  for (let [start] = next.keys(); start !== undefined; [start] = next.keys()) {
    const line: Vec3[] = [];
    for (let here: number | undefined = start; here !== undefined;) {
      line.push([(here % 3) / 2, (Math.floor(here / 3) % 3) / 2, Math.floor(here / 9) / 2]);
      const ahead: number[] = next.get(here)!;
      next.delete(here);
      here = ahead.find((one) => next.has(one));
    }
    out.push(line);
  }
  return out;
}

interface Area {
  /** In a cube of side 1, by which triangles are chosen. */
  readonly unit: number;
  readonly mm2: number;
}

/** Half of the cross product's length. */
function triangle(p: Vec3, q: Vec3, r: Vec3, scale: Vec3): number {
  const [a, b] = [q, r].map((to) => to.map((x, d) => (x - p[d as 0]) * scale[d as 0])) as [
    number[],
    number[],
  ];
  return (
    Math.hypot(a[1]! * b[2]! - a[2]! * b[1]!, a[2]! * b[0]! - a[0]! * b[2]!, a[0]! * b[1]! - a[1]! * b[0]!) /
    2
  );
}

/** The area of a closed line cut into the triangles that are largest together in a cube of side 1. */
function areaWithin(line: readonly Vec3[], spacingMm: Vec3): Area {
  const between = (from: number, to: number): Area => {
    let best: Area = { unit: 0, mm2: 0 };
    for (let n = from + 1; n < to; n++) {
      const [before, after] = [between(from, n), between(n, to)];
      const own = ([[1, 1, 1], spacingMm] as const).map((scale) =>
        triangle(line[from]!, line[n]!, line[to]!, scale),
      ) as [number, number];
      const unit = before.unit + after.unit + own[0];
      if (unit > best.unit) best = { unit, mm2: before.mm2 + after.mm2 + own[1] };
    }
    return best;
  };
  return between(0, line.length - 1);
}

/**
 * mm² of surface in a neighbourhood of 2³ voxels, by which of them are set (bit i + 2 j + 4 k).
 *
 * The published library holds a table of normals that was made once; here the same areas follow from a rule. Lines of
 * five and six points can be cut into triangles in several ways, and a line that is not flat then has several areas: that
 * table has the cut of the largest area in every one of the 256 codes (compared in test/evaluate/surfels.test.ts).
 */
export function surfelAreas(spacingMm: Vec3): Float64Array {
  const key = spacingMm.join();
  // The labels of an image are measured one after another, at one spacing.
  if (latest?.key !== key) {
    const areas = Float64Array.from({ length: 256 }, (_, code) =>
      outlines(code).reduce((sum, line) => sum + areaWithin(line, spacingMm).mm2, 0),
    );
    latest = { key, areas };
  }
  return latest.areas;
}

let latest: { readonly key: string; readonly areas: Float64Array } | null = null;

/** Which of 2³ voxels are set about each of the (ni + 1)(nj + 1)(nk + 1) corners of voxels; beyond the image none is. */
function neighbourhoods(mask: ArrayLike<number>, [ni, nj, nk]: Vec3): Uint8Array {
  const [mi, mj] = [ni + 1, nj + 1];
  const out = new Uint8Array(mi * mj * (nk + 1));
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        if (!mask[n]) continue;
        for (let c = 0; c < 8; c++) {
          const at = i + (c & 1) + mi * (j + ((c >> 1) & 1) + mj * (k + (c >> 2)));
          out[at]! |= 1 << (7 - c);
        }
      }
  return out;
}

/** Elements of a surface: the area of each, and how far the other surface is away, Infinity where there is none. */
interface Elements {
  readonly areas: readonly number[];
  readonly distances: readonly number[];
}

/** Both surfaces of a pair. Distances are between the corners of voxels that a surface passes. */
function elementsOf(pair: MaskPair): [truth: Elements, predicted: Elements] {
  const { truth, predicted, shape, spacingMm } = cropped(pair);
  const area = surfelAreas(spacingMm);
  const grid = shape.map((n) => n + 1) as unknown as Vec3;
  const codes = [truth, predicted].map((mask) => neighbourhoods(mask, shape)) as [Uint8Array, Uint8Array];
  const distances = codes.map((of) =>
    distanceMm(
      of.map((code) => (code > 0 && code < 255 ? 1 : 0)),
      grid,
      spacingMm,
    ),
  ) as [Float64Array, Float64Array];
  const elements = (of: Uint8Array, other: Float64Array): Elements => {
    const [areas, distances]: [number[], number[]] = [[], []];
    for (let n = 0; n < of.length; n++) {
      if (of[n] === 0 || of[n] === 255) continue;
      areas.push(area[of[n]!]!);
      distances.push(other[n]!);
    }
    return { areas, distances };
  };
  return [elements(codes[0], distances[1]), elements(codes[1], distances[0])];
}

/**
 * The share of both masks' surfaces, by area, that lies within `toleranceMm` of the other's. NaN where both masks are
 * empty, 0 where one is.
 */
export function surfaceDice(pair: MaskPair, toleranceMm: number): number {
  let [within, total] = [0, 0];
  for (const { areas, distances } of elementsOf(pair))
    areas.forEach((area, n) => {
      total += area;
      if (distances[n]! <= toleranceMm) within += area;
    });
  return within / total;
}

/**
 * The 95th percentile of the distances from one surface to the other, by area, the larger of both directions: the
 * robust Hausdorff distance of surface-distance 0.1, with which BraTS measures since 2023. Infinity where a mask is empty.
 */
export function surfaceHausdorff95(pair: MaskPair): number {
  return Math.max(
    ...elementsOf(pair).map(({ areas, distances }) => {
      const order = [...distances.keys()].sort((a, b) => distances[a]! - distances[b]!);
      const total = areas.reduce((sum, area) => sum + area, 0);
      let sum = 0;
      for (const n of order) {
        sum += areas[n]!;
        if (sum / total >= 0.95) return distances[n]!;
      }
      return distances[order.at(-1) ?? -1] ?? Infinity;
    }),
  );
}
