/** Simulation from a label map instead of our own anatomy; tissue tables of two public label schemes. */
import type { Vec3, Volume } from '../volume/volume.js';
import { type Acquired, acquire, type Acquisition } from './acquire.js';
import { SimulationError, type Structure } from './anatomy.js';
import { NoiseField } from './noise.js';
import { Stream } from './random.js';
import { LabelVolumeRaster } from './raster.js';
import { type Tissue, type TissueName, TISSUES } from './tissue.js';

/** Label value to tissue: a name of the table or values of one's own. */
export type LabelTissues = ReadonlyMap<number, TissueName | Tissue>;

/**
 * One series of the anatomy in `labels`, in its physical space. Labels without a tissue give no signal, as air.
 * Tissue values vary by a few percent with the seed, as between people.
 * @throws SimulationError when no label of the map has a tissue, or the acquisition makes no sense.
 */
export function simulateFromLabels(
  labels: Volume,
  tissues: LabelTissues,
  acquisition: Acquisition,
  seed = 0,
): Acquired {
  const stream = new Stream(seed, 'labels');
  return acquire(labelRaster(labels, tissues, stream), acquisition, stream.child('acquire'));
}

/**
 * The anatomy in `labels` to be imaged, with tissue values that vary by a few percent with the stream.
 * @throws SimulationError when no label of the map has a tissue.
 */
export function labelRaster(labels: Volume, tissues: LabelTissues, stream: Stream): LabelVolumeRaster {
  const structures: Structure[] = [{ id: 0, name: 'air', tissue: TISSUES.air }];
  const idOf = new Map<number, number>();
  for (const [value, given] of tissues) {
    const name = typeof given === 'string' ? given : `label ${value}`;
    const base = typeof given === 'string' ? TISSUES[given] : given;
    if (base.pd === 0) continue;
    if (structures.length > 255) {
      throw new SimulationError('simulate from labels: at most 255 labels can have a tissue; merge some');
    }
    const s = stream.child('tissue', name);
    const [f1, f2] = [s.vary(1, 0.03), s.vary(1, 0.04)];
    const tissue: Tissue = {
      ...base,
      t1: [base.t1[0] * f1, base.t1[1] * f1],
      t2: [base.t2[0] * f2, base.t2[1] * f2],
    };
    idOf.set(value, structures.length);
    structures.push({ id: structures.length, name, tissue });
  }
  const { data, slope, intercept } = labels;
  if (!data.some((v) => idOf.has(v * slope + intercept))) {
    throw new SimulationError(
      'simulate from labels: no voxel of the map has a tissue; check that the tissue table fits the map',
    );
  }
  return new LabelVolumeRaster(labels, structures, idOf, new NoiseField(stream.child('noise')), 2048);
}

/** The middle of the box about the voxels that have one of the tissues, RAS mm; null where none has. */
export function labelledMiddle(
  { data, shape, affine, slope, intercept }: Volume,
  tissues: LabelTissues,
): Vec3 | null {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  const [ni, nj] = shape;
  for (let n = 0; n < data.length; n++) {
    if (!tissues.has(data[n]! * slope + intercept)) continue;
    [n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj))].forEach((at, d) => {
      if (at < low[d]!) low[d] = at;
      if (at > high[d]!) high[d] = at;
    });
  }
  if (low[0] === Infinity) return null;
  const [i, j, k] = low.map((at, d) => (at + high[d]!) / 2) as [number, number, number];
  return ([0, 1, 2] as const).map(
    (r) => affine[r][0] * i + affine[r][1] * j + affine[r][2] * k + affine[r][3],
  ) as unknown as Vec3;
}

function table(rows: readonly (readonly [TissueName, readonly number[]])[]): Map<number, TissueName> {
  return new Map(rows.flatMap(([tissue, values]) => values.map((value) => [value, tissue] as const)));
}

/**
 * FreeSurfer's labels, and the labels from 500 on that the SynthSeg training maps use outside the brain (found by
 * looking at where they lie: 506 eyes, 507 soft tissue, 511 skin, 515 and 516 bone, 514 veins, ...).
 */
export const FREESURFER_TISSUES: LabelTissues = table([
  ['white matter', [2, 41, 7, 46, 28, 60, 16]],
  ['grey matter', [3, 42, 8, 47, 17, 53, 18, 54, 136, 137, 163, 164]],
  ['csf', [4, 5, 14, 15, 24, 43, 44, 72]],
  ['deep grey', [10, 49, 11, 50, 12, 51, 26, 58]],
  ['pallidum', [13, 52]],
  ['white matter lesion', [25, 57, 77]],
  ['blood', [30, 62, 502, 514]],
  ['nerve', [85, 508]],
  ['vitreous humour', [506]],
  ['muscle', [507]],
  ['mucosa', [509]],
  ['fat', [511]],
  ['cord', [512]],
  ['cortical bone', [515]],
  ['yellow marrow', [516]],
  ['pituitary', [530]],
]);

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n);

/** Classes of TotalSegmentator's task "total" (version 2). It leaves fat and muscle of the wall unlabelled. */
export const TOTALSEGMENTATOR_TISSUES: LabelTissues = table([
  ['spleen', [1]],
  ['kidney cortex', [2, 3]],
  ['bile', [4]],
  ['liver', [5]],
  ['bowel content', [6, 20]],
  ['pancreas', [7]],
  ['adrenal', [8, 9]],
  ['lung', range(10, 14)],
  ['muscle', [15, ...range(80, 89)]],
  ['thyroid', [17]],
  ['bowel wall', [18, 19]],
  ['urine', [21]],
  ['transition zone', [22]],
  ['cyst', [23, 24]],
  ['red marrow', [...range(25, 50), ...range(69, 78), ...range(92, 116)]],
  ['myocardium', [51, 61]],
  ['blood', [52, 53, 54, 55, 56, 57, 58, 65, 66]],
  ['slow blood', [59, 60, 62, 63, 64, 67, 68]],
  ['cord', [79]],
  ['grey matter', [90]],
  ['cortical bone', [91]],
  ['disc annulus', [117]],
]);
