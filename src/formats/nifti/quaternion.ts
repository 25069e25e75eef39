/** The qform's rotation (nifti1.h, "METHOD 2"): a unit quaternion of which b, c and d are stored. */
import { column, cross, determinant, dot, length } from '../../volume/affine.js';
import type { Affine, Vec3 } from '../../volume/volume.js';

/** Twelve numbers, the first three rows of the affine, from the header's fields. */
export function affineFromQuaternion(bcd: Vec3, size: Vec3, qfac: 1 | -1, offset: Vec3): number[] {
  let [b, c, d] = bcd;
  let a = Math.sqrt(Math.max(0, 1 - (b * b + c * c + d * d)));
  const norm = Math.hypot(a, b, c, d);
  [a, b, c, d] = [a / norm, b / norm, c / norm, d / norm];
  const [x, y] = size;
  const z = size[2] * qfac;
  return [
    (a * a + b * b - c * c - d * d) * x,
    2 * (b * c - a * d) * y,
    2 * (b * d + a * c) * z,
    offset[0],
    2 * (b * c + a * d) * x,
    (a * a + c * c - b * b - d * d) * y,
    2 * (c * d - a * b) * z,
    offset[1],
    2 * (b * d - a * c) * x,
    2 * (c * d + a * b) * y,
    (a * a + d * d - c * c - b * b) * z,
    offset[2],
  ];
}

/** The qform of an affine; null when its axes are not perpendicular, which a quaternion cannot say. */
export function quaternionFromAffine(affine: Affine): { bcd: Vec3; qfac: 1 | -1 } | null {
  const axes = ([0, 1, 2] as const).map((axis) => {
    const step = column(affine, axis);
    const mm = length(step);
    return [step[0] / mm, step[1] / mm, step[2] / mm] as Vec3;
  }) as [Vec3, Vec3, Vec3];
  const [i, j] = axes;
  const qfac = determinant(affine) < 0 ? -1 : 1;
  const n = cross(i, j);
  const k: Vec3 = [axes[2][0] * qfac, axes[2][1] * qfac, axes[2][2] * qfac];
  if (Math.abs(dot(i, j)) > 1e-5 || dot(n, k) < 1 - 1e-5) return null;

  // Shepperd's method: divide by the largest of the four components.
  const trace = i[0] + j[1] + k[2];
  const squares = [trace, 2 * i[0] - trace, 2 * j[1] - trace, 2 * k[2] - trace].map((t) => (1 + t) / 4);
  const largest = squares.indexOf(Math.max(...squares));
  const s = Math.sqrt(squares[largest]!) * 4;
  const [ab, ac, ad] = [j[2] - k[1], k[0] - i[2], i[1] - j[0]];
  const [bc, bd, cd] = [j[0] + i[1], k[0] + i[2], k[1] + j[2]];
  const abcd = [
    [s / 4, ab / s, ac / s, ad / s],
    [ab / s, s / 4, bc / s, bd / s],
    [ac / s, bc / s, s / 4, cd / s],
    [ad / s, bd / s, cd / s, s / 4],
  ][largest]!;
  const sign = abcd[0]! < 0 ? -1 : 1;
  return { bcd: [abcd[1]! * sign, abcd[2]! * sign, abcd[3]! * sign], qfac };
}
