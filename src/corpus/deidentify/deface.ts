/**
 * Takes the face out of a head by its geometry: no atlas and no model, so that any contrast will do.
 *
 * The vault of the skull is a circle in the sagittal silhouette, whichever way the head nods, and the brain lies well
 * inside it, while eyes, nose, mouth and chin lie near or beyond it on the front and lower side. Removed is, from 30°
 * above the horizontal forwards down to behind the chin, what is far from the centre of that circle, and a layer under the
 * skin that is thin at the forehead and thicker below it. Angles and distances were chosen on label maps of 16 heads.
 */
import { apply, invert } from '../../volume/affine.js';
import { distanceMm } from '../../volume/distance.js';
import type { Vec3, Volume } from '../../volume/volume.js';

/** Cells of the grid that the head is looked at on, mm. */
const CELL = 3;
/** Share of the bright end of the intensities (98th percentile) that is more than air. */
const AIR = 0.12;
/** A head closes over mouth, nostrils and dark skull: gaps of up to twice this many mm are within it. */
const CLOSE_MM = 12;
/** Angles in degrees from straight ahead, downwards positive. */
const ZONE = { from: -30, to: 100 } as const;
/** Kept distance from the centre by angle, in radii of the vault. */
const KEPT: readonly (readonly [upTo: number, radii: number])[] = [
  [20, 1.02],
  [30, 0.92],
  [40, 0.8],
  [Infinity, 0.72],
];
/** Depth of the layer under the skin, mm: the first at eye level and above, the second from 20° below. */
const LAYER = { above: 5, below: 12, over: 20 } as const;
/** Only so far in front of the centre, in radii, is there a layer: temples are not face, and close to the brain. */
const LAYER_FROM = 0.6;
/** Radius of the vault of a head from infancy on, and how well a circle must fit, mm. */
const RADIUS = { least: 60, most: 130, misfit: 4 } as const;

export interface Vault {
  /** Centre in the sagittal plane: RAS+ mm along y and z. */
  readonly y: number;
  readonly z: number;
  readonly radius: number;
}

/** A volume without its face, how many voxels were removed, and the circle that decided. */
export interface Defaced {
  readonly volume: Volume;
  readonly removed: number;
  readonly vault: Vault;
}

/** A head with removed voxels 0 and not valid, untouched where skull and face are gone already; null where no vault of a skull is found, and nothing can be removed. */
export function deface(volume: Volume): Defaced | null {
  const grid = gridOf(volume);
  const head = closed(largestPart(grid), grid.shape);
  const vault = vaultOf(head, grid);
  if (vault === null) return null;
  const air = airAround(head, grid.shape);
  if (isStripped(air, grid, vault)) return { volume, removed: 0, vault };
  const depth = distanceMm(air, grid.shape, CELLS);
  return { ...without(volume, grid, depth, vault), vault };
}

interface Grid {
  readonly shape: Vec3;
  /** RAS+ mm of the first cell's centre. */
  readonly origin: Vec3;
  readonly values: Float32Array;
}

const at = ({ shape }: Pick<Grid, 'shape'>, i: number, j: number, k: number): number =>
  i + shape[0] * (j + shape[1] * k);

/** The volume on cells along RAS+, with a rim of air around it. */
function gridOf(volume: Volume): Grid {
  const { shape, affine, data, slope, intercept, valid } = volume;
  const corners = [0, 1].flatMap((a) =>
    [0, 1].flatMap((b) =>
      [0, 1].map((c) => apply(affine, [a * (shape[0] - 1), b * (shape[1] - 1), c * (shape[2] - 1)])),
    ),
  );
  const low = [0, 1, 2].map((axis) => Math.min(...corners.map((corner) => corner[axis]!)));
  const high = [0, 1, 2].map((axis) => Math.max(...corners.map((corner) => corner[axis]!)));
  const cells = low.map((from, axis) => Math.ceil((high[axis]! - from) / CELL) + 3) as [
    number,
    number,
    number,
  ];
  const origin = low.map((from) => from - CELL) as [number, number, number];
  const back = invert(affine);
  const values = new Float32Array(cells[0] * cells[1] * cells[2]);
  let n = 0;
  for (let k = 0; k < cells[2]; k++)
    for (let j = 0; j < cells[1]; j++)
      for (let i = 0; i < cells[0]; i++, n++) {
        const [x, y, z] = apply(back, [origin[0] + i * CELL, origin[1] + j * CELL, origin[2] + k * CELL]);
        const [a, b, c] = [Math.round(x), Math.round(y), Math.round(z)];
        if (a < 0 || b < 0 || c < 0 || a >= shape[0] || b >= shape[1] || c >= shape[2]) continue;
        const voxel = a + shape[0] * (b + shape[1] * c);
        const value = data[voxel]! * slope + intercept;
        if (valid?.[voxel] !== 0 && Number.isFinite(value)) values[n] = value;
      }
  return { shape: cells, origin, values };
}

/** The largest connected part of what is brighter than air. */
function largestPart({ shape, values }: Grid): Uint8Array {
  const sorted = values.filter((value) => value > 0).sort();
  const bar = AIR * (sorted[Math.floor(sorted.length * 0.98)] ?? Infinity);
  const label = new Int32Array(values.length);
  const steps = stepsOf(shape);
  let [best, bestSize, count] = [0, 0, 0];
  const queue = new Int32Array(values.length);
  for (let start = 0; start < values.length; start++) {
    if (label[start] !== 0 || values[start]! <= bar) continue;
    label[start] = ++count;
    let size = 1;
    queue[0] = start;
    // The rim is air, so that no step leads over an edge.
    for (let next = 0; next < size; next++)
      for (const step of steps) {
        const n = queue[next]! + step;
        if (label[n] !== 0 || !(values[n]! > bar)) continue;
        label[n] = count;
        queue[size++] = n;
      }
    if (size > bestSize) [best, bestSize] = [count, size];
  }
  return Uint8Array.from(label, (one) => (count > 0 && one === best ? 1 : 0));
}

const stepsOf = (shape: Vec3): number[] => [
  ...[1, -1, shape[0], -shape[0]],
  ...[shape[0] * shape[1], -shape[0] * shape[1]],
];

/** What a flood from the rim reaches without going through the head: air outside, not in sinuses. */
function airAround(head: Uint8Array, shape: Vec3): Uint8Array {
  const air = new Uint8Array(head.length);
  const queue = new Int32Array(head.length);
  air[0] = 1;
  let size = 1;
  for (let next = 0; next < size; next++)
    for (const step of stepsOf(shape)) {
      const n = queue[next]! + step;
      // A step over an edge leads to the rim on the other side, which is air as well.
      if (n < 0 || n >= head.length || head[n] === 1 || air[n] === 1) continue;
      air[n] = 1;
      queue[size++] = n;
    }
  return air;
}

/** Air of little but zeros, and less of a head than this where the face would be: both were taken out before. */
const STRIPPED = { air: 0.99, faceMm3: 10_000 } as const;

/** Whether skull and face were taken out before: under the surface is brain then, and it must stay. */
function isStripped(air: Uint8Array, grid: Grid, vault: Vault): boolean {
  const [ni, nj] = grid.shape;
  let [around, zeros, face] = [0, 0, 0];
  for (let n = 0; n < air.length; n++) {
    if (air[n] === 1) {
      around++;
      if (grid.values[n] === 0) zeros++;
      continue;
    }
    const j = Math.floor(n / ni) % nj;
    const k = Math.floor(n / (ni * nj));
    if (isFar(grid.origin[1] + j * CELL - vault.y, vault.z - grid.origin[2] - k * CELL, vault)) face++;
  }
  return zeros >= STRIPPED.air * around && face * CELL ** 3 < STRIPPED.faceMm3;
}

/** Whether a place so far ahead of and below the centre is outside what is kept in its direction. */
function isFar(ahead: number, down: number, { radius }: Vault): boolean {
  const angle = (Math.atan2(down, ahead) * 180) / Math.PI;
  if (angle < ZONE.from || angle > ZONE.to) return false;
  return Math.hypot(ahead, down) / radius > KEPT.find(([upTo]) => angle < upTo)![1];
}

/** Distances are counted in cells. */
const CELLS: Vec3 = [1, 1, 1];

/** Morphological closing by a ball. */
function closed(mask: Uint8Array, shape: Vec3): Uint8Array {
  const reach = CLOSE_MM / CELL;
  const near = distanceMm(mask, shape, CELLS);
  const far = near.map((distance) => (distance > reach ? 1 : 0));
  const inside = distanceMm(far, shape, CELLS);
  return Uint8Array.from(inside, (distance, n) => (distance > reach || mask[n] === 1 ? 1 : 0));
}

/** The circle through top, back and forehead of the sagittal silhouette; outliers are left out step by step. */
function vaultOf(head: Uint8Array, grid: Grid): Vault | null {
  const [ni, nj, nk] = grid.shape;
  const filled: boolean[] = [];
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      let count = 0;
      for (let i = 0; i < ni; i++) count += head[at(grid, i, j, k)]!;
      filled.push(count >= 3);
    }
  const isFilled = (j: number, k: number): boolean => filled[j + nj * k] === true;
  const js = Array.from({ length: nj }, (_, j) => j);
  const ks = Array.from({ length: nk }, (_, k) => k);
  const top = ks.findLast((k) => js.some((j) => isFilled(j, k)));
  if (top === undefined) return null;
  const within = (mm: number): number[] => ks.filter((k) => k <= top && (top - k) * CELL < mm);
  const points = [
    ...js.map((j) => [j, within(90).findLast((k) => isFilled(j, k))]),
    ...within(90).map((k) => [js.find((j) => isFilled(j, k)), k]),
    ...within(55).map((k) => [js.findLast((j) => isFilled(j, k)), k]),
  ].flatMap(([j, k]) => {
    // At the edge of the image the head goes on.
    if (j === undefined || k === undefined || j <= 1 || j >= nj - 2 || k >= nk - 2) return [];
    return [[grid.origin[1] + j * CELL, grid.origin[2] + k * CELL] as const];
  });
  return fitCircle(points);
}

function fitCircle(points: readonly (readonly [number, number])[]): Vault | null {
  let kept = points;
  for (let round = 0; ; round++) {
    const circle = kept.length < 20 ? null : leastSquares(kept);
    if (circle === null) return null;
    const off = (p: readonly [number, number]): number =>
      Math.abs(Math.hypot(p[0] - circle.y, p[1] - circle.z) - circle.radius);
    const sorted = kept.map(off).sort((a, b) => a - b);
    const bar = Math.max(CELL * 1.5, 2 * sorted[Math.floor(sorted.length / 2)]!);
    const next = kept.filter((p) => off(p) < bar);
    if (next.length < kept.length && round < 10) {
      kept = next;
      continue;
    }
    const misfit = sorted.reduce((sum, one) => sum + one, 0) / sorted.length;
    // The upper half of the circle must be there, or it says nothing of the skull.
    const angles = kept.map((p) => Math.atan2(p[1] - circle.z, p[0] - circle.y));
    const covered = new Set(angles.map((angle) => Math.floor(angle / (Math.PI / 12)))).size;
    const { least, most } = RADIUS;
    const fits = circle.radius > least && circle.radius < most && misfit < RADIUS.misfit && covered >= 8;
    return fits ? circle : null;
  }
}

/** Kåsa's fit: y² + z² = 2 a y + 2 b z + c, around the mean for the sake of numbers. */
function leastSquares(points: readonly (readonly [number, number])[]): Vault | null {
  const mean = (axis: 0 | 1): number => points.reduce((sum, p) => sum + p[axis], 0) / points.length;
  const [my, mz] = [mean(0), mean(1)];
  let [yy, yz, zz, yr, zr, rr] = [0, 0, 0, 0, 0, 0];
  for (const [py, pz] of points) {
    const [y, z] = [py - my, pz - mz];
    const r = y * y + z * z;
    yy += y * y;
    yz += y * z;
    zz += z * z;
    yr += y * r;
    zr += z * r;
    rr += r;
  }
  const determinant = yy * zz - yz * yz;
  if (!(Math.abs(determinant) > 1e-6)) return null;
  const a = (yr * zz - zr * yz) / (2 * determinant);
  const b = (zr * yy - yr * yz) / (2 * determinant);
  return { y: my + a, z: mz + b, radius: Math.sqrt(rr / points.length + a * a + b * b) };
}

function without(
  volume: Volume,
  grid: Grid,
  depth: Float64Array,
  vault: Vault,
): { volume: Volume; removed: number } {
  const { shape, affine } = volume;
  const data = volume.data.slice();
  const valid = volume.valid?.slice() ?? new Uint8Array(data.length).fill(1);
  let removed = 0;
  let n = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, n++) {
        const point = apply(affine, [i, j, k]);
        if (!isFace(point, grid, depth, vault)) continue;
        data[n] = 0;
        valid[n] = 0;
        removed++;
      }
  return { volume: { ...volume, data, valid }, removed };
}

function isFace([x, y, z]: Vec3, grid: Grid, depth: Float64Array, vault: Vault): boolean {
  const [ahead, down] = [y - vault.y, vault.z - z];
  const angle = (Math.atan2(down, ahead) * 180) / Math.PI;
  if (angle < ZONE.from || angle > ZONE.to) return false;
  if (isFar(ahead, down, vault)) return true;
  if (ahead < LAYER_FROM * vault.radius) return false;
  const [i, j, k] = [x - grid.origin[0], y - grid.origin[1], z - grid.origin[2]].map((mm) =>
    Math.round(mm / CELL),
  ) as [number, number, number];
  const share = Math.min(1, Math.max(0, angle / LAYER.over));
  return depth[at(grid, i, j, k)]! * CELL <= LAYER.above + share * (LAYER.below - LAYER.above);
}
