/** One acquisition: where its slices lie, what each voxel gathers, and what the scanner adds to it. */
import type { Affine, Vec3, Volume } from '../volume/volume.js';
import { SimulationError } from './anatomy.js';
import type { Stream } from './random.js';
import type { LabelSource } from './raster.js';
import { rotation } from './shapes.js';
import { type Sequence, signal } from './signal.js';

export type Plane = 'axial' | 'coronal' | 'sagittal';

export interface Geometry {
  readonly plane: Plane;
  /** Columns, rows, slices. */
  readonly shape: Vec3;
  /** Distance of voxel centres along a row, down a column, from slice to slice, mm. */
  readonly spacing: Vec3;
  /** Width of the excited slice in mm: less than the slice distance where there is a gap. */
  readonly thickness: number;
  /** Centre of the stack, RAS mm. */
  readonly centre: Vec3;
  /** Degrees about R, A, S by which the stack is tilted from the plane; [0, 0, 0] when left out. */
  readonly tilt?: Vec3;
  /** Slices run the other way (superior to inferior, ...). */
  readonly reversed?: boolean;
}

export interface Acquisition extends Geometry {
  readonly sequence: Sequence;
  /** Field strength in tesla. */
  readonly tesla: number;
  /** Makes an ADC map, in 1e-6 mm²/s, from the sequence at b = 0 and at its b (a diffusion sequence). */
  readonly adcMap?: boolean;
  /** Standard deviation of the noise in each channel, as a share of the bright tissues' signal. */
  readonly noise: number;
  /** Depth of receive shading, 0 to about 0.5. */
  readonly bias: number;
  /** Sensitivity falls with distance from the back, as with a spine coil. */
  readonly backCoil?: boolean;
  /** Strength of a ghost shifted by half the field of view along the columns, 0 to about 0.05. */
  readonly ghost?: number;
  /** Truncation ringing along the columns: 0 none, 1 that of an unfiltered k-space. */
  readonly ringing?: number;
  /** Indices of slices that are not stored. First and last cannot be missing: nothing would tell. */
  readonly missing?: readonly number[];
  /** Sample planes across each slice; by default one every 1.5 mm, at least 3 and at most 6. */
  readonly samples?: number;
}

export interface Acquired {
  /** uint16 voxels; `valid` is 0 on missing slices. */
  readonly volume: Volume;
  readonly missingSlices: readonly number[];
  /** Standard deviation of the noise per channel, in stored units (of the b = 0 image for an ADC map). */
  readonly sigma: number;
  /** Volume in mm³ that each structure takes in the stored slices, by structure id. */
  readonly seenMm3: Float64Array;
}

/** Directions of a row, of a column and from slice to slice in RAS, in the order in which scanners store a plane. */
const AXES: Record<Plane, readonly [Vec3, Vec3, Vec3]> = {
  axial: [
    [-1, 0, 0],
    [0, -1, 0],
    [0, 0, 1],
  ],
  coronal: [
    [-1, 0, 0],
    [0, 0, -1],
    [0, -1, 0],
  ],
  sagittal: [
    [0, -1, 0],
    [0, 0, -1],
    [1, 0, 0],
  ],
};

/** The voxel-to-RAS affine of a stack. */
export function stackAffine(g: Geometry): Affine {
  const r = rotation(...(g.tilt ?? [0, 0, 0]));
  const columns = AXES[g.plane].map((axis, n) => {
    const length = g.spacing[n]! * (n === 2 && g.reversed ? -1 : 1);
    return r.map((row) => (row[0] * axis[0] + row[1] * axis[1] + row[2] * axis[2]) * length);
  });
  const row = (a: 0 | 1 | 2): readonly [number, number, number, number] => {
    const [i, j, k] = [columns[0]![a]!, columns[1]![a]!, columns[2]![a]!];
    const [ni, nj, nk] = g.shape;
    return [i, j, k, g.centre[a] - (i * (ni - 1) + j * (nj - 1) + k * (nk - 1)) / 2];
  };
  return [row(0), row(1), row(2), [0, 0, 0, 1]];
}

/** Size of a blob of tissue mottle in mm, coarse and fine. */
const MOTTLE_MM = [7, 2.6] as const;

/**
 * Simulates one acquisition of `source`. Every voxel is the mean signal of several points spread over the slice
 * thickness and over the pixel; then come receive shading, ringing, ghost and Rician noise.
 * Throws SimulationError where the geometry or the missing slices make no sense.
 */
export function acquire(source: LabelSource, a: Acquisition, stream: Stream): Acquired {
  const missing = check(a);
  const affine = stackAffine(a);
  const [ni, nj, nk] = a.shape;
  const sequences: Sequence[] =
    a.adcMap && a.sequence.kind === 'diffusion' ? [{ ...a.sequence, b: 0 }, a.sequence] : [a.sequence];
  const { images, seenMm3 } = gather(source, a, affine, sequences, missing);
  const bright = brightLevel(images[0]!);
  const sigma = a.noise * bright;
  const noise = stream.child('noise');
  for (const image of images) {
    shade(image, a, affine, stream.child('shading'));
    if (a.ringing) ring(image, a.shape, a.ringing);
    if (a.ghost) addGhost(image, a.shape, a.ghost);
    addRicianNoise(image, sigma, noise.int(2 ** 31));
  }
  const data = new Uint16Array(ni * nj * nk);
  let stored = sigma;
  if (images.length === 2 && a.sequence.kind === 'diffusion') {
    adc(images[0]!, images[1]!, a.sequence.b, 4 * sigma, data);
  } else {
    const gain = stream.child('gain').uniform(500, 2500) / bright;
    stored = sigma * gain;
    const image = images[0]!;
    for (let n = 0; n < data.length; n++) data[n] = Math.min(65535, Math.round(image[n]! * gain));
  }
  let valid: Uint8Array | null = null;
  if (missing.length > 0) {
    valid = new Uint8Array(data.length).fill(1);
    for (const k of missing) {
      data.fill(0, k * ni * nj, (k + 1) * ni * nj);
      valid.fill(0, k * ni * nj, (k + 1) * ni * nj);
    }
  }
  const volume: Volume = { data, shape: a.shape, affine, slope: 1, intercept: 0, valid };
  return { volume, missingSlices: missing, sigma: stored, seenMm3 };
}

function check(a: Acquisition): number[] {
  const bad = [...a.shape, ...a.spacing, a.thickness].find((v) => !(v > 0 && Number.isFinite(v)));
  if (bad !== undefined) {
    throw new SimulationError(
      `acquire: shape, spacing and thickness must be positive numbers, got ${bad}; correct the geometry`,
    );
  }
  if (a.shape.some((n) => !Number.isInteger(n) || n > MAX_SIDE)) {
    throw new SimulationError(
      `acquire: a stack has whole sides of at most ${MAX_SIDE}, got ${a.shape.join(' x ')}; use a coarser spacing`,
    );
  }
  if (a.adcMap && a.sequence.kind !== 'diffusion') {
    throw new SimulationError(
      `acquire: an ADC map needs a diffusion sequence, got "${a.sequence.kind}"; give a sequence with a b-value`,
    );
  }
  const missing = [...new Set(a.missing ?? [])].sort((p, q) => p - q);
  const last = a.shape[2] - 1;
  const outside = missing.find((k) => !Number.isInteger(k) || k < 1 || k >= last);
  if (outside !== undefined) {
    throw new SimulationError(
      `acquire: a missing slice lies between the first and the last (0 and ${last}), got ${outside}`,
    );
  }
  return missing;
}

/** Scratch rows are this long. */
const MAX_SIDE = 2048;

/** Magnitude of the mean signed signal over each voxel, one image a sequence. */
function gather(
  source: LabelSource,
  a: Acquisition,
  affine: Affine,
  sequences: readonly Sequence[],
  missing: readonly number[],
): { images: Float32Array[]; seenMm3: Float64Array } {
  const [ni, nj, nk] = a.shape;
  const column = (n: 0 | 1 | 2): Vec3 => [affine[0][n], affine[1][n], affine[2][n]];
  const [di, dj, dk] = [column(0), column(1), column(2)];
  const samples = a.samples ?? Math.max(3, Math.min(6, Math.ceil(a.thickness / 1.5)));
  const within = pixelPoints(samples);
  const tables = sequences.map((s) =>
    Float32Array.from(source.structures, ({ tissue }) => signal(tissue, s, a.tesla) / samples),
  );
  const mottle = Float32Array.from(source.structures, ({ tissue }) => tissue.mottle * MOTTLE_GAIN);
  const images = sequences.map(() => new Float32Array(ni * nj * nk));
  const coarse = new Float32Array(ni);
  const fine = new Float32Array(ni);
  const { row } = source;
  const skip = new Set(missing);
  const counts = new Float64Array(source.structures.length);
  for (let k = 0; k < nk; k++) {
    if (skip.has(k)) continue;
    for (let s = 0; s < samples; s++) {
      // Across the slice in equal steps.
      const across = (((s + 0.5) / samples - 0.5) * a.thickness) / a.spacing[2];
      const [u, v] = within[s]!;
      const at = (axis: 0 | 1 | 2): number =>
        affine[axis][3] + u * di[axis] + v * dj[axis] + (k + across) * dk[axis];
      source.plane([at(0), at(1), at(2)], di, dj, ni, nj);
      for (let j = 0; j < nj; j++) {
        if (!source.line(j)) continue;
        const { label } = row;
        let from = 0;
        let to = ni;
        while (from < to && label[from] === 0) from++;
        while (to > from && label[to - 1] === 0) to--;
        if (from === to) continue;
        source.noise.fill(row, from, to, MOTTLE_MM[0], 0, coarse);
        // Mottle finer than a voxel is averaged away.
        if (a.spacing[0] < MOTTLE_MM[1]) source.noise.fill(row, from, to, MOTTLE_MM[1], 91, fine);
        for (let i = from; i < to; i++) counts[label[i]!]!++;
        const base = ni * (j + nj * k);
        images.forEach((image, m) => {
          const table = tables[m]!;
          for (let i = from; i < to; i++) {
            const id = label[i]!;
            image[base + i]! += table[id]! * (1 + mottle[id]! * (coarse[i]! + fine[i]!));
          }
        });
      }
    }
  }
  for (const image of images) for (let n = 0; n < image.length; n++) image[n] = Math.abs(image[n]!);
  const pointMm3 = (a.spacing[0] * a.spacing[1] * a.thickness) / samples;
  return { images, seenMm3: counts.map((n) => n * pointMm3) };
}

/**
 * Points over a pixel by the R2 sequence (Roberts 2018), so that edges are not jagged, in shares of it about its middle. Their
 * mean is the middle: an image would else lie a part of a pixel beside its affine.
 */
function pixelPoints(count: number): [number, number][] {
  const steps = [0.7548776662, 0.5698402909];
  const points = Array.from({ length: count }, (_, s) => steps.map((step) => ((s + 0.5) * step) % 1));
  const mean = steps.map((_, d) => points.reduce((sum, point) => sum + point[d]!, 0) / count);
  return points.map(([u, v]) => [u! - mean[0]!, v! - mean[1]!]);
}

/** The sum of two trilinear noises has a standard deviation of about 0.45: this makes `mottle` its name's worth. */
const MOTTLE_GAIN = 2.2;

/** The 99th percentile of the tissue's signal: the level that windowing and noise refer to. */
function brightLevel(image: Float32Array): number {
  let top = 0;
  for (const v of image) if (v > top) top = v;
  if (top === 0) return 1;
  const bins = new Uint32Array(512);
  let count = 0;
  for (const v of image) {
    if (v < 0.02 * top) continue;
    bins[Math.min(511, Math.floor((v / top) * 512))]!++;
    count++;
  }
  let above = 0;
  for (let b = 511; b >= 0; b--) {
    above += bins[b]!;
    if (above > 0.01 * count) return ((b + 1) / 512) * top;
  }
  return top;
}

/** Receive sensitivity: slow waves in the logarithm, and the fall from the back of a spine coil. */
function shade(image: Float32Array, a: Acquisition, affine: Affine, stream: Stream): void {
  if (a.bias === 0 && !a.backCoil) return;
  const waves = [380, 260, 200].map((length) => {
    const k = [stream.normal(), stream.normal(), stream.normal()];
    const norm = (2 * Math.PI) / length / Math.hypot(...k);
    return { k: k.map((v) => v * norm), phase: stream.uniform(0, 2 * Math.PI) };
  });
  const [ni, nj, nk] = a.shape;
  const logGain = (i: number, j: number, k: number): number => {
    const [x, y, z] = [0, 1, 2].map(
      (r) => affine[r]![0] * i + affine[r]![1] * j + affine[r]![2] * k + affine[r]![3],
    ) as [number, number, number];
    let sum = 0;
    for (const w of waves) sum += Math.cos(w.k[0]! * x + w.k[1]! * y + w.k[2]! * z + w.phase);
    const back = a.backCoil ? -Math.max(-0.5, (y + 60) / 110) : 0;
    return (a.bias * sum) / 2 + back;
  };
  const stride = 8;
  for (let k = 0; k < nk; k++) {
    for (let j = 0; j < nj; j++) {
      const base = ni * (j + nj * k);
      let left = Math.exp(logGain(0, j, k));
      for (let i0 = 0; i0 < ni; i0 += stride) {
        const right = Math.exp(logGain(i0 + stride, j, k));
        const step = (right - left) / stride;
        const end = Math.min(ni, i0 + stride);
        for (let i = i0; i < end; i++) image[base + i]! *= left + (i - i0) * step;
        left = right;
      }
    }
  }
}

/** Magnitude of the image plus independent normal noise in the real and the imaginary channel. */
export function addRicianNoise(image: Float32Array, sigma: number, seed: number): void {
  if (sigma === 0) return;
  // mulberry32 written out here: a call a voxel would cost more than the arithmetic in it.
  let state = seed | 0;
  for (let n = 0; n < image.length; n++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    const u = (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    state = (state + 0x6d2b79f5) | 0;
    t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    const angle = ((t ^ (t >>> 14)) >>> 0) * (Math.PI / 2147483648);
    const radius = sigma * Math.sqrt(-2 * Math.log(u));
    const re = image[n]! + radius * Math.cos(angle);
    const im = radius * Math.sin(angle);
    image[n] = Math.sqrt(re * re + im * im);
  }
}

/** First lobes of the truncated point spread, sampled half a pixel off, as a short filter that sums to 1. */
function ring(image: Float32Array, [ni, nj, nk]: Vec3, amount: number): void {
  const taps = [1, -0.1 * amount, 0.06 * amount, -0.03 * amount];
  const sum = taps[0]! + 2 * (taps[1]! + taps[2]! + taps[3]!);
  const [t0, t1, t2, t3] = taps.map((t) => t / sum) as [number, number, number, number];
  const line = new Float32Array(nj + 6);
  for (let k = 0; k < nk; k++) {
    for (let i = 0; i < ni; i++) {
      const base = i + ni * nj * k;
      for (let j = 0; j < nj; j++) line[j + 3] = image[base + ni * j]!;
      for (let j = 0; j < nj; j++) {
        const c = j + 3;
        image[base + ni * j] = Math.abs(
          t0 * line[c]! +
            t1 * (line[c - 1]! + line[c + 1]!) +
            t2 * (line[c - 2]! + line[c + 2]!) +
            t3 * (line[c - 3]! + line[c + 3]!),
        );
      }
    }
  }
}

/** Adds the image, shifted by half its height along the columns (phase encoding), at a fraction of its strength. */
function addGhost(image: Float32Array, [ni, nj, nk]: Vec3, amount: number): void {
  const size = ni * nj;
  const half = Math.floor(nj / 2);
  const copy = new Float32Array(size);
  for (let k = 0; k < nk; k++) {
    copy.set(image.subarray(k * size, (k + 1) * size));
    for (let j = 0; j < nj; j++) {
      const from = ((j + half) % nj) * ni;
      const to = k * size + j * ni;
      for (let i = 0; i < ni; i++) image[to + i]! += amount * copy[from + i]!;
    }
  }
}

/** ADC = ln(S0 / Sb) / b in 1e-6 mm²/s where S0 is above `floor`, else 0; at most 4000. */
function adc(s0: Float32Array, sb: Float32Array, b: number, floor: number, out: Uint16Array): void {
  for (let n = 0; n < out.length; n++) {
    if (s0[n]! <= floor || sb[n]! <= 0) continue;
    const value = (Math.log(s0[n]! / sb[n]!) / b) * 1e6;
    out[n] = Math.round(Math.max(0, Math.min(4000, value)));
  }
}
