/** Which way the axes of a volume run through the patient, and moving voxels to another order of axes. */
import { column, length, multiply } from './affine.js';
import { type Affine, type Row4, type Vec3, type Volume, type VoxelArray, VolumeError } from './volume.js';

export type Plane = 'axial' | 'coronal' | 'sagittal' | 'oblique';
type Axis = 0 | 1 | 2;

/** For each voxel axis the patient axis (0 right, 1 anterior, 2 superior) it runs along, and its sign. */
export interface AxisMap {
  readonly axes: readonly [Axis, Axis, Axis];
  readonly signs: readonly [1 | -1, 1 | -1, 1 | -1];
}

const PERMUTATIONS: readonly (readonly [Axis, Axis, Axis])[] = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

const POSITIVE = ['R', 'A', 'S'] as const;
const NEGATIVE = ['L', 'P', 'I'] as const;

/** The assignment of voxel axes to patient axes that keeps the three angles smallest together. */
export function axisMap(affine: Affine): AxisMap {
  const units = ([0, 1, 2] as const).map((axis) => {
    const step = column(affine, axis);
    const mm = length(step);
    if (!(mm > 0 && Number.isFinite(mm)))
      throw new VolumeError(
        `read orientation: axis ${axis} must have a length in mm, got ${mm}; check the affine`,
      );
    return step.map((value) => value / mm);
  });
  const fit = (p: readonly [Axis, Axis, Axis]): number =>
    p.reduce<number>((sum, ras, i) => sum + units[i]![ras]! ** 2, 0);
  const axes = PERMUTATIONS.reduce((best, p) => (fit(p) > fit(best) + 1e-12 ? p : best));
  const sign = (i: Axis): 1 | -1 => (units[i]![axes[i]]! < 0 ? -1 : 1);
  return { axes, signs: [sign(0), sign(1), sign(2)] };
}

/** The letters toward which i, j and k rise, as in nibabel: "RAS" for the identity, "LPS" for DICOM's axes. */
export function axisCodes(affine: Affine): string {
  const { axes, signs } = axisMap(affine);
  return axes.map((ras, i) => (signs[i] === 1 ? POSITIVE[ras] : NEGATIVE[ras])).join('');
}

function parseCodes(codes: string): AxisMap {
  const axes: Axis[] = [];
  const signs: (1 | -1)[] = [];
  for (const letter of codes.toUpperCase()) {
    const positive = POSITIVE.findIndex((code) => code === letter);
    const negative = NEGATIVE.findIndex((code) => code === letter);
    axes.push(Math.max(positive, negative) as Axis);
    signs.push(positive >= 0 ? 1 : -1);
  }
  if (axes.length !== 3 || new Set(axes).size !== 3 || axes.some((axis) => (axis as number) < 0))
    throw new VolumeError(
      `reorient: codes must name one of R/L, A/P and S/I each, got "${codes}"; use for instance "RAS"`,
    );
  return { axes: axes as unknown as AxisMap['axes'], signs: signs as unknown as AxisMap['signs'] };
}

/**
 * The same voxels in the order of axes that `codes` names ("RAS": i rises to the right, j to anterior, k to
 * superior, as nearly as the acquisition allows). Values are moved, never mixed; data, affine and mask move
 * together, and every voxel stays where it was in the patient.
 *
 * @throws VolumeError for impossible codes or an affine without three axes.
 */
export function reorient(volume: Volume, codes: string): Volume {
  const from = axisMap(volume.affine);
  const to = parseCodes(codes);
  // For each new axis: the old axis it comes from and whether it is reversed.
  const source = to.axes.map((ras) => from.axes.indexOf(ras)) as unknown as readonly [Axis, Axis, Axis];
  const flip = source.map((old, i) => from.signs[old] !== to.signs[i]);
  if (source.every((old, i) => old === i) && !flip.includes(true)) return volume;

  const shape: Vec3 = [volume.shape[source[0]], volume.shape[source[1]], volume.shape[source[2]]];
  const oldStride = [1, volume.shape[0], volume.shape[0] * volume.shape[1]] as const;
  const stride = source.map((old, i) => (flip[i] ? -oldStride[old] : oldStride[old])) as unknown as Vec3;
  const first = source.reduce<number>(
    (sum, old, i) => sum + (flip[i] ? (shape[i]! - 1) * oldStride[old] : 0),
    0,
  );

  // New voxel index to old voxel index, as a matrix, so that affine(new) = affine(old) · this.
  const rows = [0, 1, 2].map((old): Row4 => {
    const at = (i: Axis): number => (source[i] === old ? (flip[i] ? -1 : 1) : 0);
    const i = source.indexOf(old as Axis);
    return [at(0), at(1), at(2), flip[i] ? shape[i]! - 1 : 0];
  });
  const toOld: Affine = [rows[0]!, rows[1]!, rows[2]!, [0, 0, 0, 1]];
  return {
    ...volume,
    data: gather(volume.data, shape, first, stride),
    shape,
    affine: multiply(volume.affine, toOld),
    valid: volume.valid && gather(volume.valid, shape, first, stride),
  };
}

/** Copies data[first + i·stride[0] + j·stride[1] + k·stride[2]] for every (i, j, k), i fastest. */
function gather<T extends VoxelArray>(data: T, shape: Vec3, first: number, stride: Vec3): T {
  const [ni, nj, nk] = shape;
  const out = new (data.constructor as new (length: number) => T)(ni * nj * nk);
  let to = 0;
  for (let k = 0; k < nk; k++) {
    for (let j = 0; j < nj; j++) {
      let at = first + j * stride[1] + k * stride[2];
      for (let i = 0; i < ni; i++) {
        out[to++] = data[at]!;
        at += stride[0];
      }
    }
  }
  return out;
}

/** Beyond this angle between the slice normal and the nearest patient axis a plane is called oblique. */
export const OBLIQUE_BEYOND_DEGREES = 40;

/**
 * The plane that the slices of a volume lie in: "axial" when their normal is nearest to superior-inferior, and so
 * on. The slice axis is the one with the largest voxel spacing; among equal spacings (within 2%) the one with the
 * fewest voxels, and last of all k, which is how scanners store slices. A plane more than OBLIQUE_BEYOND_DEGREES
 * from every patient axis is "oblique".
 */
export function planeOf(affine: Affine, shape: Vec3): Plane {
  const steps = ([0, 1, 2] as const).map((axis) => length(column(affine, axis)));
  const thickest = Math.max(...steps);
  const candidates = ([2, 1, 0] as const).filter((axis) => steps[axis]! >= thickest * 0.98);
  const slice = candidates.reduce((best, axis) => (shape[axis] < shape[best] * 0.98 ? axis : best));
  // The normal of the slices: perpendicular to both in-plane axes, also where the slice axis is sheared.
  const [u, v] = ([0, 1, 2] as const).filter((axis) => axis !== slice).map((axis) => column(affine, axis));
  const normal = [
    u![1] * v![2] - u![2] * v![1],
    u![2] * v![0] - u![0] * v![2],
    u![0] * v![1] - u![1] * v![0],
  ].map(Math.abs);
  const largest = Math.max(...normal);
  const cosine = largest / Math.hypot(...normal);
  if (!(cosine >= Math.cos((OBLIQUE_BEYOND_DEGREES * Math.PI) / 180))) return 'oblique';
  return (['sagittal', 'coronal', 'axial'] as const)[normal.indexOf(largest)]!;
}
