/** Reading a volume at any physical point and at any scale: box averages where voxels are finer, linear between. */
import { invert } from './affine.js';
import type { Affine, Volume, VoxelArray } from './volume.js';

/**
 * A volume averaged down to about one voxel a sample, ready to be interpolated.
 * `weight` is the share of each averaged voxel that was measured.
 */
export interface Pyramid {
  readonly values: Float32Array;
  readonly weight: Float32Array | null;
  readonly shape: readonly [number, number, number];
  /** RAS+ mm to voxel of this grid: 12 numbers, rows of [a b c t]. */
  readonly toVoxel: Float64Array;
}

/** The integer factors by which `affine`'s axes are averaged for samples `sampleMm` apart. */
export function boxFactors(affine: Affine, sampleMm: number): [number, number, number] {
  const factor = (axis: 0 | 1 | 2): number => {
    const mm = Math.hypot(affine[0][axis], affine[1][axis], affine[2][axis]);
    return Math.max(1, Math.round(sampleMm / mm));
  };
  return [factor(0), factor(1), factor(2)];
}

/**
 * Averages `volume` over boxes of whole voxels so that its spacing is close to `sampleMm` where it was finer.
 * Unmeasured voxels take no part in an average; a box with none measured has weight 0.
 */
export function buildPyramid(volume: Volume, sampleMm: number): Pyramid {
  const [fi, fj, fk] = boxFactors(volume.affine, sampleMm);
  const [ni, nj, nk] = volume.shape;
  const shape: [number, number, number] = [Math.ceil(ni / fi), Math.ceil(nj / fj), Math.ceil(nk / fk)];
  const toVoxel = inverseOf(coarsen(volume.affine, [fi, fj, fk]));
  const { slope, intercept } = volume;
  const values = new Float32Array(shape[0] * shape[1] * shape[2]);
  if (fi === 1 && fj === 1 && fk === 1) {
    const { data } = volume;
    for (let n = 0; n < values.length; n++) values[n] = data[n]! * slope + intercept;
    const weight = volume.valid ? Float32Array.from(volume.valid) : null;
    if (weight) for (let n = 0; n < values.length; n++) if (weight[n] === 0) values[n] = 0;
    return { values, weight, shape, toVoxel };
  }
  const full = fi * fj * fk;
  const weight = new Float32Array(values.length);
  if (volume.valid === null) {
    sumRows(volume.data, [ni, nj, nk], [fi, fj, fk], shape, values);
    // Boxes at the far ends may hang over; what each holds is the product of what its three sides hold.
    const held = (n: number, f: number, at: number): number => Math.min(f, n - at * f);
    let n = 0;
    for (let k = 0; k < shape[2]; k++)
      for (let j = 0; j < shape[1]; j++)
        for (let i = 0; i < shape[0]; i++) weight[n++] = held(ni, fi, i) * held(nj, fj, j) * held(nk, fk, k);
  } else sumValid(volume.data, volume.valid, [ni, nj, nk], [fi, fj, fk], shape, values, weight);
  let partial = false;
  for (let n = 0; n < values.length; n++) {
    const c = weight[n]!;
    if (c > 0) values[n] = (values[n]! / c) * slope + intercept;
    weight[n] = c / full;
    if (c < full) partial = true;
  }
  return { values, weight: partial ? weight : null, shape, toVoxel };
}

type Three = [number, number, number];

/** Adds up boxes of voxels, all of them measured. */
function sumRows(
  data: VoxelArray,
  [ni, nj, nk]: Three,
  [fi, fj, fk]: Three,
  shape: Three,
  sums: Float32Array,
): void {
  const whole = Math.floor(ni / fi);
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      let at = ni * (j + nj * k);
      const end = at + ni;
      let out = shape[0] * (Math.floor(j / fj) + Math.floor(k / fk) * shape[1]);
      for (let o = 0; o < whole; o++, out++) {
        let sum = 0;
        for (let a = 0; a < fi; a++) sum += data[at++]!;
        sums[out] = sums[out]! + sum;
      }
      while (at < end) sums[out] = sums[out]! + data[at++]!;
    }
}

/** Adds up and counts the measured voxels of each box. */
function sumValid(
  data: VoxelArray,
  valid: Uint8Array,
  [ni, nj, nk]: Three,
  [fi, fj, fk]: Three,
  shape: Three,
  sums: Float32Array,
  count: Float32Array,
): void {
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      const row = ni * (j + nj * k);
      const first = shape[0] * (Math.floor(j / fj) + Math.floor(k / fk) * shape[1]);
      for (let i = 0; i < ni; i++) {
        if (valid[row + i] === 0) continue;
        const out = first + Math.floor(i / fi);
        sums[out] = sums[out]! + data[row + i]!;
        count[out] = count[out]! + 1;
      }
    }
}

/** The affine of a grid whose voxels are boxes of `f` voxels: the centre moves by half a box less half a voxel. */
export function coarsen(a: Affine, f: readonly [number, number, number]): Affine {
  const row = (r: 0 | 1 | 2): [number, number, number, number] => [
    a[r][0] * f[0],
    a[r][1] * f[1],
    a[r][2] * f[2],
    a[r][3] + (a[r][0] * (f[0] - 1) + a[r][1] * (f[1] - 1) + a[r][2] * (f[2] - 1)) / 2,
  ];
  return [row(0), row(1), row(2), [0, 0, 0, 1]];
}

/** RAS+ mm to voxel as 12 numbers, three rows of four, for the inner loops. */
export const inverseOf = (affine: Affine): Float64Array =>
  Float64Array.from(invert(affine).slice(0, 3).flat());

/** Whether the eight voxels of which `v` is the first were measured throughout. */
function allMeasured(weight: Float32Array, v: number, row: number, slice: number): boolean {
  return (
    weight[v] === 1 &&
    weight[v + 1] === 1 &&
    weight[v + row] === 1 &&
    weight[v + row + 1] === 1 &&
    weight[v + slice] === 1 &&
    weight[v + slice + 1] === 1 &&
    weight[v + slice + row] === 1 &&
    weight[v + slice + row + 1] === 1
  );
}

/**
 * Samples an axis-aligned (RAS+) block of `count`³ points, `stepMm` apart, whose first point is (x0, y0, z0) mm.
 * Writes values to `out` from `offset` (x fastest) and 1 or 0 to `ok`: a sample is valid when at least half of its
 * interpolation weight falls on measured voxels. Invalid samples are 0. Returns how many are valid.
 */
export function sampleBlock(
  p: Pyramid,
  x0: number,
  y0: number,
  z0: number,
  stepMm: number,
  count: number,
  out: Float32Array,
  ok: Uint8Array,
  offset: number,
): number {
  const m = p.toVoxel;
  const [ni, nj, nk] = p.shape;
  const { values, weight } = p;
  const sliceStride = ni * nj;
  let valid = 0;
  let n = offset;
  for (let c = 0; c < count; c++) {
    const z = z0 + c * stepMm;
    for (let b = 0; b < count; b++) {
      const y = y0 + b * stepMm;
      let vi = m[0]! * x0 + m[1]! * y + m[2]! * z + m[3]!;
      let vj = m[4]! * x0 + m[5]! * y + m[6]! * z + m[7]!;
      let vk = m[8]! * x0 + m[9]! * y + m[10]! * z + m[11]!;
      for (let a = 0; a < count; a++, n++) {
        const i0 = Math.floor(vi);
        const j0 = Math.floor(vj);
        const k0 = Math.floor(vk);
        const di = vi - i0;
        const dj = vj - j0;
        const dk = vk - k0;
        vi += m[0]! * stepMm;
        vj += m[4]! * stepMm;
        vk += m[8]! * stepMm;
        out[n] = 0;
        ok[n] = 0;
        if (i0 < -1 || j0 < -1 || k0 < -1 || i0 >= ni || j0 >= nj || k0 >= nk) continue;
        const v = i0 + ni * j0 + sliceStride * k0;
        const w = v + sliceStride;
        const inside = i0 >= 0 && j0 >= 0 && k0 >= 0 && i0 < ni - 1 && j0 < nj - 1 && k0 < nk - 1;
        if (inside && (weight === null || allMeasured(weight, v, ni, sliceStride))) {
          const near = mix4(values[v]!, values[v + 1]!, values[v + ni]!, values[v + ni + 1]!, di, dj);
          const far = mix4(values[w]!, values[w + 1]!, values[w + ni]!, values[w + ni + 1]!, di, dj);
          out[n] = near + (far - near) * dk;
          ok[n] = 1;
          valid++;
          continue;
        }
        let sum = 0;
        let total = 0;
        for (let corner = 0; corner < 8; corner++) {
          const ci = i0 + (corner & 1);
          const cj = j0 + ((corner >> 1) & 1);
          const ck = k0 + (corner >> 2);
          if (ci < 0 || cj < 0 || ck < 0 || ci >= ni || cj >= nj || ck >= nk) continue;
          let w = (corner & 1 ? di : 1 - di) * (corner & 2 ? dj : 1 - dj) * (corner & 4 ? dk : 1 - dk);
          const at = ci + ni * cj + sliceStride * ck;
          if (weight !== null) w *= weight[at]!;
          sum += w * values[at]!;
          total += w;
        }
        // The tolerance keeps a point exactly half a voxel outside the last centre, where rounding would decide.
        if (total < 0.5 - 1e-9) continue;
        out[n] = sum / total;
        ok[n] = 1;
        valid++;
      }
    }
  }
  return valid;
}

/** Linear between four corners of a square: a b below, c d above. */
function mix4(a: number, b: number, c: number, d: number, x: number, y: number): number {
  const low = a + (b - a) * x;
  return low + (c + (d - c) * x - low) * y;
}

/** Bounding box of the volume's voxels (their full extent) in RAS+ mm: [[xmin, ymin, zmin], [xmax, ymax, zmax]]. */
export function boundsMm(volume: Pick<Volume, 'affine' | 'shape'>): [number[], number[]] {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let corner = 0; corner < 8; corner++) {
    const ijk = [0, 1, 2].map((d) => ((corner >> d) & 1 ? volume.shape[d as 0] - 0.5 : -0.5));
    for (let r = 0; r < 3; r++) {
      const row = volume.affine[r as 0];
      const v = row[0] * ijk[0]! + row[1] * ijk[1]! + row[2] * ijk[2]! + row[3];
      low[r] = Math.min(low[r]!, v);
      high[r] = Math.max(high[r]!, v);
    }
  }
  return [low, high];
}
