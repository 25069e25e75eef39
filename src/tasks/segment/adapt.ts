/**
 * Labels told once more by how bright each of them is in this very image.
 *
 * What a head says becomes the prior of a mixture with one Gaussian of log intensities for each label, fitted to the
 * image by expectation-maximisation, with a smooth field that multiplies intensities (Wells et al. 1996, "Adaptive
 * segmentation of MRI data") and neighbours that agree with one another, as a mean field (Van Leemput et al. 1999,
 * "Automated model-based tissue classification of MR images of the brain"). A head has to learn what tissues look like in any contrast; here
 * each image says it itself.
 */
import { spacing } from '../../volume/affine.js';
import { unsquash } from '../../volume/tokens.js';
import type { Vec3 } from '../../volume/volume.js';
import { betweenVoxels, cornersOf, finishedNumbers, type Blend } from './blend.js';
import { SmoothField } from './field.js';
import type { SegmentImage } from './image.js';

const ROUNDS = 8;
/** Voxels that a head calls background more surely than this stay so, and teach nothing. */
const SURE = 0.99;
/** Weight of what a head says: it has seen the intensities too, and is surer than it is right. */
const TRUST = 0.7;
/** Probability of a label of which a head says nothing. */
const DOUBT = 1e-5;
/** Least variance of a label, as a share of the median over labels: one that has little room would shrink to a point. */
const LEAST_SPREAD = 0.1;
/** Weight of the neighbours, and what they cannot rule out. */
const NEIGHBOURS = 0.5;
const NEIGHBOURS_DOUBT = 0.01;
/** Added to intensities as a share of their mean, before their logarithm: noise about 0 has no long tail then. */
const OFFSET = 0.1;
const INACTIVE = -1;

/** A Gaussian for each label. */
interface Gaussians {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  /** Logarithm of what is in front of the exponential; -Infinity for a label that the image does not show. */
  readonly front: Float64Array;
}

/** Weighted sums from which Gaussians are told. */
class Sums {
  private readonly sums: Float64Array;

  constructor(private readonly labels: number) {
    this.sums = new Float64Array(3 * labels);
  }

  add(label: number, weight: number, value: number): void {
    const { labels, sums } = this;
    sums[label]! += weight;
    sums[labels + label]! += weight * value;
    sums[2 * labels + label]! += weight * value * value;
  }

  /** Labels that take less than a voxel in all are left out. */
  gaussians(): Gaussians {
    const { labels, sums } = this;
    const [mean, variance, front] = [0, 1, 2].map(() => new Float64Array(labels)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let l = 0; l < labels; l++) {
      mean[l] = sums[labels + l]! / (sums[l]! || 1);
      variance[l] = sums[2 * labels + l]! / (sums[l]! || 1) - mean[l]! ** 2;
    }
    const shown = Array.from(variance.subarray(1)).filter((_, l) => sums[l + 1]! >= 1);
    shown.sort((a, b) => a - b);
    const least = Math.max(1e-6, LEAST_SPREAD * (shown[shown.length >> 1] ?? 0));
    for (let l = 0; l < labels; l++) {
      variance[l] = Math.max(variance[l]!, least);
      front[l] = sums[l]! < 1 ? -Infinity : -0.5 * Math.log(variance[l]!);
    }
    return { mean, variance, front };
  }
}

/**
 * The most likely label of each voxel of the source, by what the head says and by the intensities of the image.
 * @param blend with probabilities kept; all windows have been added.
 * @returns labels of the source's voxels in RAS order; as the head says them where the image shows none of its labels.
 */
export function adaptedNumbers(blend: Blend, image: SegmentImage): Uint8Array {
  blend.advance(image.shape[2]);
  const fit = fitted(blend.probabilities!, blend.labels, image);
  return fit === null ? finishedNumbers(blend, image) : onSource(fit, blend.labels, image);
}

/** Values of the labels that a head thinks possible, voxel after voxel: one or two of many, mostly. */
interface Sparse {
  /** Where the values of each row begin, and where the last ends. */
  readonly starts: Int32Array;
  readonly labels: Uint8Array;
}

interface Fit extends Sparse {
  /** Which row a voxel of the grid has; {@link INACTIVE} for sure background. */
  readonly rows: Int32Array;
  /** Probabilities. */
  readonly shares: Float32Array;
  /** Logarithms of what is known but for a voxel's own intensity: by the head and by its neighbours. */
  readonly known: Float32Array;
  /** [row] logarithm of what intensities are multiplied by. */
  readonly shade: Float32Array;
  readonly logOf: (intensity: number) => number;
}

function fitted(probabilities: Uint8Array, count: number, image: SegmentImage): Fit | null {
  const { values, weight, shape, affine } = image;
  const rows = new Int32Array(values.length).fill(INACTIVE);
  const found: number[] = [];
  let possible = 0;
  for (let voxel = 0; voxel < values.length; voxel++) {
    const at = voxel * count;
    if (probabilities[at]! > 255 * SURE || weight?.[voxel] === 0) continue;
    rows[voxel] = found.length;
    found.push(voxel);
    for (let l = 0; l < count; l++) possible += Number(probabilities[at + l]! > 0);
  }
  const voxels = Int32Array.from(found);
  const { low, high } = image.prepared.stats;
  const intensities = Float32Array.from(
    voxels,
    (voxel) => low + ((unsquash(values[voxel]!) + 1) / 2) * (high - low),
  );
  let [brightness, foreground] = [0, 0];
  const starts = new Int32Array(voxels.length + 1);
  const labels = new Uint8Array(possible);
  let shares = new Float32Array(possible);
  for (let row = 0, entry = 0; row < voxels.length; row++) {
    const at = voxels[row]! * count;
    const share = 1 - probabilities[at]! / 255;
    brightness += share * intensities[row]!;
    foreground += share;
    for (let l = 0; l < count; l++) {
      if (probabilities[at + l] === 0) continue;
      labels[entry] = l;
      shares[entry++] = probabilities[at + l]! / 255;
    }
    starts[row + 1] = entry;
  }
  if (!(brightness > 0)) return null;
  const scale = foreground / brightness;
  const logOf = (intensity: number): number => Math.log(Math.max(0, intensity) * scale + OFFSET);
  const logs = intensities.map(logOf);
  const prior = shares.map((share) => TRUST * Math.log(share));
  let next = new Float32Array(possible);
  const shade = new Float32Array(voxels.length);
  const field = new SmoothField(shape, spacing(affine));
  const around = neighboursOf(voxels, rows, shape);
  const about = new Float64Array(count);

  /** What is known of a voxel but for its intensity, into `next`. */
  function know(row: number): void {
    agreement({ starts, labels }, shares, around, row, about);
    for (let entry = starts[row]!; entry < starts[row + 1]!; entry++)
      next[entry] = prior[entry]! + NEIGHBOURS * Math.log(about[labels[entry]!]! + NEIGHBOURS_DOUBT);
  }

  for (let round = 0; round < ROUNDS; round++) {
    const sums = new Sums(count);
    for (let row = 0; row < voxels.length; row++)
      for (let entry = starts[row]!; entry < starts[row + 1]!; entry++)
        sums.add(labels[entry]!, shares[entry]!, logs[row]! - shade[row]!);
    const { mean, variance, front } = sums.gaussians();
    for (let row = 0; row < voxels.length; row++) {
      const [from, to] = [starts[row]!, starts[row + 1]!];
      const y = logs[row]! - shade[row]!;
      know(row);
      let top = -Infinity;
      for (let entry = from; entry < to; entry++) {
        const l = labels[entry]!;
        next[entry]! += front[l]! - (0.5 * (y - mean[l]!) ** 2) / variance[l]!;
        if (next[entry]! > top) top = next[entry]!;
      }
      // The image shows none of its labels: as the head said.
      if (top === -Infinity) {
        next.set(prior.subarray(from, to), from);
        top = 0;
      }
      let sum = 0;
      for (let entry = from; entry < to; entry++) sum += next[entry] = Math.exp(next[entry]! - top);
      // The background is many tissues: it says nothing of the field.
      let [sure, said] = [0, 0];
      for (let entry = from; entry < to; entry++) {
        next[entry]! /= sum;
        const l = labels[entry]!;
        if (l === 0) continue;
        sure += next[entry]! / variance[l]!;
        said += (next[entry]! / variance[l]!) * (logs[row]! - mean[l]!);
      }
      field.add(voxels[row]!, sure, said);
    }
    [shares, next] = [next, shares];
    field.update();
    for (let row = 0; row < voxels.length; row++) shade[row] = field.at(voxels[row]!);
  }
  for (let row = 0; row < voxels.length; row++) know(row);
  return { starts, labels, rows, shares, known: next, shade, logOf };
}

/** [row, 6] rows of the voxels on either side along each axis. */
function neighboursOf(voxels: Int32Array, rows: Int32Array, [ni, nj, nk]: Vec3): Int32Array {
  const around = new Int32Array(6 * voxels.length).fill(INACTIVE);
  voxels.forEach((voxel, row) => {
    const [i, j, k] = [voxel % ni, Math.floor(voxel / ni) % nj, Math.floor(voxel / (ni * nj))];
    if (i > 0) around[6 * row] = rows[voxel - 1]!;
    if (i < ni - 1) around[6 * row + 1] = rows[voxel + 1]!;
    if (j > 0) around[6 * row + 2] = rows[voxel - ni]!;
    if (j < nj - 1) around[6 * row + 3] = rows[voxel + ni]!;
    if (k > 0) around[6 * row + 4] = rows[voxel - ni * nj]!;
    if (k < nk - 1) around[6 * row + 5] = rows[voxel + ni * nj]!;
  });
  return around;
}

/** What a voxel and its six neighbours say, half of it the voxel itself. Sure background says background. */
function agreement(
  { starts, labels }: Sparse,
  shares: Float32Array,
  around: Int32Array,
  row: number,
  into: Float64Array,
): void {
  into.fill(0);
  for (let entry = starts[row]!; entry < starts[row + 1]!; entry++)
    into[labels[entry]!]! += shares[entry]! / 2;
  for (let n = 6 * row; n < 6 * row + 6; n++) {
    const other = around[n]!;
    if (other === INACTIVE) into[0]! += 1 / 12;
    else
      for (let entry = starts[other]!; entry < starts[other + 1]!; entry++)
        into[labels[entry]!]! += shares[entry]! / 12;
  }
}

/** What is known of a label that a head does not think possible at a voxel. */
const UNLIKELY = TRUST * Math.log(DOUBT) + NEIGHBOURS * Math.log(NEIGHBOURS_DOUBT);

/** The same on the source's own voxels, whose intensities are sharper than those of the grid: what the grid says is read between its voxels. */
function onSource(fit: Fit, count: number, image: SegmentImage): Uint8Array {
  const { starts, labels, rows, shade, logOf } = fit;
  const { data, slope, intercept, valid, shape } = image.source;
  const out = new Uint8Array(shape[0] * shape[1] * shape[2]);
  const between = betweenVoxels(image);
  const corners = cornersOf(image.shape);
  const read = new Float64Array(count);

  /**
   * Calls `visit` with the log intensity of every voxel near one of the grid that is not sure background, with `table`
   * read there into `read`: `least` for labels that are not possible, `sure` for sure background.
   */
  function each(
    table: Float32Array,
    { least, sure }: { readonly least: number; readonly sure: number },
    visit: (n: number, y: number) => void,
  ): void {
    const { voxels, weights } = corners;
    let n = -1;
    for (const z of between[2])
      for (const y of between[1])
        for (const x of between[0]) {
          n++;
          if (valid?.[n] === 0) continue;
          corners.place(x, y, z);
          let [active, shaded] = [0, 0];
          for (let c = 0; c < 8; c++) {
            const row = rows[voxels[c]!]!;
            if (row === INACTIVE) continue;
            active += weights[c]!;
            shaded += weights[c]! * shade[row]!;
          }
          if (active === 0) continue;
          read.fill(least);
          read[0]! += (1 - active) * (sure - least);
          for (let c = 0; c < 8; c++) {
            const row = rows[voxels[c]!]!;
            const weight = weights[c]!;
            if (row === INACTIVE || weight === 0) continue;
            for (let entry = starts[row]!; entry < starts[row + 1]!; entry++)
              read[labels[entry]!]! += weight * (table[entry]! - least);
          }
          visit(n, logOf(data[n]! * slope + intercept) - shaded / active);
        }
  }

  const sums = new Sums(count);
  each(fit.shares, { least: 0, sure: 1 }, (_, y) => {
    for (let l = 0; l < count; l++) if (read[l]! > 0) sums.add(l, read[l]!, y);
  });
  const { mean, variance, front } = sums.gaussians();
  each(fit.known, { least: UNLIKELY, sure: 0 }, (n, y) => {
    let [best, top] = [0, -Infinity];
    for (let l = 0; l < count; l++) {
      const log = read[l]! + front[l]! - (0.5 * (y - mean[l]!) ** 2) / variance[l]!;
      if (log > top) [best, top] = [l, log];
    }
    if (top === -Infinity) best = read.indexOf(Math.max(...read));
    out[n] = best;
  });
  return out;
}
