/** Two numbers that say how far an image is to be trusted: signal to noise, and ghosting as motion leaves it. */
import { spacing } from '../volume/affine.js';
import { intensityStats } from '../volume/intensity.js';
import { type Vec3, type Volume, VolumeError } from '../volume/volume.js';

export interface Quality {
  /** Median intensity of the body by the standard deviation of the noise; null where it cannot be measured. */
  readonly snr: number | null;
  /**
   * Brightness of the air by what its white noise alone would give: 1 in an image of one coil without ghosts. Several
   * coils and smoothing raise it too, so that it is to be compared among images of one kind. Null where there is too
   * little air, or it was cut away.
   */
  readonly motion: number | null;
}

/** So many slices, evenly spread, are looked at: enough for stable quantiles of the largest volumes. */
const SLICES = 24;
/** Of larger slices, pixels this many to a side stand for the body. */
const ACROSS = 256;
/** Side of the patches of air in pixels. */
const PATCH = 8;
/** Fewer make no statistic. */
const FEWEST_PATCHES = 20;
const FEWEST_RESIDUALS = 500;
/** Of magnitude noise in air (Rayleigh; Gudbjartsson and Patz 1995), in standard deviations of the noise. */
const RAYLEIGH = { mean: Math.sqrt(Math.PI / 2), sd: Math.sqrt(2 - Math.PI / 2) } as const;
/** Median absolute value of a normal distribution, in standard deviations. */
const MEDIAN_OF_ABS = 0.6745;
/** Standard deviation of Immerkær's mask on white noise of 1. */
const MASK_SD = 6;

/**
 * Measures a volume slice by slice. The noise is the standard deviation in air, as the lower quartile over patches of 8×8
 * pixels, corrected for the Rayleigh distribution (Henkelman, Medical Physics 12, 1985); where air was cut away, the
 * median absolute response of the body to Immerkær's mask (Computer Vision and Image Understanding 64, 1996), which
 * takes fine structure for noise and so errs on the side of a low ratio. Ghosting is, as the lower quartile over the same patches, their
 * mean by the mean that the noise of that mask would have: ghosts are smooth where noise is white.
 */
export function qualityOf(volume: Volume): Quality {
  let threshold: number;
  try {
    ({ threshold } = intensityStats(volume));
  } catch (error) {
    if (error instanceof VolumeError) return { snr: null, motion: null };
    throw error;
  }
  const found: Found = { body: [], residuals: [], sds: [], ratios: [] };
  for (const slice of slicesOf(volume)) {
    bodyOf(slice, threshold, found);
    airOf(slice, threshold, found);
  }
  const { body, residuals, sds, ratios } = found;
  if (body.length === 0) return { snr: null, motion: null };
  const hasAir = sds.length >= FEWEST_PATCHES;
  const enough = residuals.length >= FEWEST_RESIDUALS;
  const sigma = hasAir
    ? quantile(sds, 0.25) / RAYLEIGH.sd
    : enough
      ? quantile(residuals, 0.5) / MEDIAN_OF_ABS / MASK_SD
      : 0;
  return {
    snr: sigma > 0 ? quantile(body, 0.5) / sigma : null,
    motion: hasAir ? quantile(ratios, 0.25) : null,
  };
}

interface Found {
  /** Values of the body, and absolute responses of the mask there. */
  readonly body: number[];
  readonly residuals: number[];
  /** Of each patch of air: standard deviation, and mean by what white noise would give. */
  readonly sds: number[];
  readonly ratios: number[];
}

/** A slice in the units of the image, `nv` rows of `nu`; NaN where nothing was measured. */
interface Slice {
  readonly values: Float32Array;
  readonly nu: number;
  readonly nv: number;
}

type Axis = 0 | 1 | 2;

/** The slices lie across the axis on which voxels are furthest apart; among equals, k. */
function* slicesOf(volume: Volume): Generator<Slice> {
  const { shape, data, valid, slope, intercept, affine } = volume;
  const mm = spacing(affine);
  const w = ([2, 1, 0] as const).reduce<Axis>((best, axis) => (mm[axis] > mm[best] * 1.02 ? axis : best), 2);
  const [u, v] = ([0, 1, 2] as const).filter((axis) => axis !== w) as [Axis, Axis];
  const stride: Vec3 = [1, shape[0], shape[0] * shape[1]];
  const [nu, nv, nw] = [shape[u], shape[v], shape[w]];
  const count = Math.min(SLICES, nw);
  for (let n = 0; n < count; n++) {
    const start = Math.floor(((n + 0.5) * nw) / count) * stride[w];
    const values = new Float32Array(nu * nv);
    let to = 0;
    for (let b = 0; b < nv; b++)
      for (let a = 0; a < nu; a++) {
        const from = start + b * stride[v] + a * stride[u];
        values[to++] = valid !== null && valid[from] === 0 ? NaN : data[from]! * slope + intercept;
      }
    yield { values, nu, nv };
  }
}

/** Immerkær's difference of two Laplacians at pixel n; NaN beside what was not measured. */
function maskAt({ values, nu }: Slice, n: number): number {
  const corners = values[n - nu - 1]! + values[n - nu + 1]! + values[n + nu - 1]! + values[n + nu + 1]!;
  const sides = values[n - nu]! + values[n + nu]! + values[n - 1]! + values[n + 1]!;
  return corners - 2 * sides + 4 * values[n]!;
}

function bodyOf(slice: Slice, threshold: number, { body, residuals }: Found): void {
  const { values, nu, nv } = slice;
  const step = Math.ceil(Math.sqrt(nu * nv) / ACROSS);
  for (let b = 1; b + 1 < nv; b += step)
    for (let a = 1; a + 1 < nu; a += step) {
      const n = b * nu + a;
      if (!(values[n]! > threshold)) continue;
      body.push(values[n]!);
      const response = maskAt(slice, n);
      if (Number.isFinite(response)) residuals.push(Math.abs(response));
    }
}

function airOf(slice: Slice, threshold: number, { sds, ratios }: Found): void {
  const { values, nu, nv } = slice;
  const outside = outsideOf(slice, threshold);
  for (let b = 0; b + PATCH <= nv; b += PATCH)
    for (let a = 0; a + PATCH <= nu; a += PATCH) {
      let [sum, squares, mask, inside] = [0, 0, 0, false];
      for (let y = 0; y < PATCH && !inside; y++)
        for (let x = 0; x < PATCH; x++) {
          const n = (b + y) * nu + a + x;
          if (outside[n] === 0) inside = true;
          sum += values[n]!;
          squares += values[n]! ** 2;
          if (x > 0 && y > 0 && x + 1 < PATCH && y + 1 < PATCH) mask += maskAt(slice, n) ** 2;
        }
      if (inside) continue;
      const mean = sum / PATCH ** 2;
      const variance = squares / PATCH ** 2 - mean ** 2;
      const white = Math.sqrt(mask / (PATCH - 2) ** 2) / MASK_SD;
      // Air of one value was cut away, and tells nothing.
      if (!(variance > 0 && white > 0)) continue;
      sds.push(Math.sqrt(variance));
      ratios.push(mean / ((white / RAYLEIGH.sd) * RAYLEIGH.mean));
    }
}

/** 1 where a pixel is darker than the body and joined to the border of the slice: dark anatomy inside is no air. */
function outsideOf({ values, nu, nv }: Slice, threshold: number): Uint8Array {
  const outside = new Uint8Array(nu * nv);
  const next: number[] = [];
  const visit = (n: number): void => {
    if (outside[n] === 1 || !(values[n]! <= threshold)) return;
    outside[n] = 1;
    next.push(n);
  };
  for (let a = 0; a < nu; a++) for (const b of [0, nv - 1]) visit(b * nu + a);
  for (let b = 0; b < nv; b++) for (const a of [0, nu - 1]) visit(b * nu + a);
  for (let n = next.pop(); n !== undefined; n = next.pop()) {
    const a = n % nu;
    if (a > 0) visit(n - 1);
    if (a + 1 < nu) visit(n + 1);
    if (n >= nu) visit(n - nu);
    if (n + nu < outside.length) visit(n + nu);
  }
  return outside;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
