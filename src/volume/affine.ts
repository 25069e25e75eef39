/** Small pure functions on voxel-to-millimetre affines. */
import { type Affine, type Row4, type Vec3, VolumeError } from './volume.js';

export const IDENTITY: Affine = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
];

/** Builds an affine from its columns: the step in mm along i, j and k, and the position of voxel (0, 0, 0). */
export function affineFrom(i: Vec3, j: Vec3, k: Vec3, origin: Vec3): Affine {
  return [
    [i[0], j[0], k[0], origin[0]],
    [i[1], j[1], k[1], origin[1]],
    [i[2], j[2], k[2], origin[2]],
    [0, 0, 0, 1],
  ];
}

/** An axis-aligned RAS+ affine with these voxel sizes whose voxel (0, 0, 0) is at `origin`. */
export function scalingAffine(spacingMm: Vec3, origin: Vec3 = [0, 0, 0]): Affine {
  return affineFrom([spacingMm[0], 0, 0], [0, spacingMm[1], 0], [0, 0, spacingMm[2]], origin);
}

/** a·b: first `b`, then `a`. */
export function multiply(a: Affine, b: Affine): Affine {
  const row = (r: Row4): Row4 => [
    r[0] * b[0][0] + r[1] * b[1][0] + r[2] * b[2][0] + r[3] * b[3][0],
    r[0] * b[0][1] + r[1] * b[1][1] + r[2] * b[2][1] + r[3] * b[3][1],
    r[0] * b[0][2] + r[1] * b[1][2] + r[2] * b[2][2] + r[3] * b[3][2],
    r[0] * b[0][3] + r[1] * b[1][3] + r[2] * b[2][3] + r[3] * b[3][3],
  ];
  return [row(a[0]), row(a[1]), row(a[2]), row(a[3])];
}

/** Applies `affine` to a point: voxel [i, j, k] to [x, y, z] in mm. */
export function apply(affine: Affine, point: Vec3): Vec3 {
  const at = (r: Row4): number => r[0] * point[0] + r[1] * point[1] + r[2] * point[2] + r[3];
  return [at(affine[0]), at(affine[1]), at(affine[2])];
}

/** The step in mm (a vector in RAS+) when index `axis` rises by one. */
export function column(affine: Affine, axis: 0 | 1 | 2): Vec3 {
  return [affine[0][axis], affine[1][axis], affine[2][axis]];
}

/** The position of voxel (0, 0, 0) in mm. */
export function origin(affine: Affine): Vec3 {
  return [affine[0][3], affine[1][3], affine[2][3]];
}

/** Distance of neighbouring voxel centres along i, j, k in mm. */
export function spacing(affine: Affine): Vec3 {
  return [length(column(affine, 0)), length(column(affine, 1)), length(column(affine, 2))];
}

/** Unit vectors (RAS+) of the directions in which i, j and k rise. */
export function directions(affine: Affine): readonly [Vec3, Vec3, Vec3] {
  const unit = (axis: 0 | 1 | 2): Vec3 => {
    const step = column(affine, axis);
    const mm = length(step);
    return [step[0] / mm, step[1] / mm, step[2] / mm];
  };
  return [unit(0), unit(1), unit(2)];
}

/** Determinant of the 3×3 part: the signed volume of a voxel in mm³. */
export function determinant(affine: Affine): number {
  const [[a, b, c], [d, e, f], [g, h, i]] = affine;
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

/**
 * The inverse: [x, y, z] in mm to voxel [i, j, k].
 *
 * @throws VolumeError when the affine is singular or not finite.
 */
export function invert(affine: Affine): Affine {
  const [[a, b, c, x], [d, e, f, y], [g, h, i, z]] = affine;
  const det = determinant(affine);
  const scale = spacing(affine).reduce((product, mm) => product * mm, 1);
  if (!Number.isFinite(det + x + y + z) || Math.abs(det) <= 1e-9 * scale)
    throw new VolumeError(
      `invert affine: its axes must span space, got determinant ${det}; check the header`,
    );
  const r = [
    [(e * i - f * h) / det, (c * h - b * i) / det, (b * f - c * e) / det],
    [(f * g - d * i) / det, (a * i - c * g) / det, (c * d - a * f) / det],
    [(d * h - e * g) / det, (b * g - a * h) / det, (a * e - b * d) / det],
  ] as const;
  const row = (m: readonly [number, number, number]): Row4 => [
    m[0],
    m[1],
    m[2],
    -(m[0] * x + m[1] * y + m[2] * z),
  ];
  return [row(r[0]), row(r[1]), row(r[2]), [0, 0, 0, 1]];
}

export function cross(a: Vec3, b: Vec3): Vec3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function dot(a: Vec3, b: Vec3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

export function length(v: Vec3): number {
  return Math.hypot(v[0], v[1], v[2]);
}
