/**
 * Overlap lesion by lesion, as BraTS counts since 2023 (rachitsaluja/BraTS-2023-Metrics): a head that
 * finds one large tumour and misses three small ones has found one of four.
 */
import type { Vec3 } from '../volume/volume.js';
import { components } from './components.js';
import { EvaluateError } from './error.js';
import { dice, type MaskPair } from './overlap.js';
import { surfaceHausdorff95 } from './surfels.js';

export interface LesionRule {
  /** How often lesions are grown by a voxel: what touches then is one lesion, and what reaches into it has found it. */
  readonly grow: number;
  /** Lesions of no more than this are not asked for; nor is what finds them an alarm. */
  readonly smallestMm3: number;
}

/** By the challenge that a case is named after ("BraTS-GLI-00000-000"). */
export const BRATS_LESIONS: Readonly<Record<string, LesionRule>> = {
  GLI: { grow: 3, smallestMm3: 50 },
  SSA: { grow: 3, smallestMm3: 50 },
  PED: { grow: 3, smallestMm3: 50 },
  MEN: { grow: 1, smallestMm3: 50 },
  MET: { grow: 1, smallestMm3: 2 },
};

/** What a lesion that was missed and a false alarm count, mm: a millimetre more than the diagonal of BraTS's grid. */
export const MISSED_MM = 374;

export interface LesionScores {
  /** Mean over lesions and false alarms, of which the latter have 0. */
  readonly lesionDice: number;
  /** The same of the 95th percentiles of surface distances, by area, mm; a false alarm counts {@link MISSED_MM}. */
  readonly lesionHd95: number;
  readonly found: number;
  readonly missed: number;
  readonly alarms: number;
}

/**
 * @returns of a case without lesions and alarms 1 and 0 mm, as BraTS says.
 * @throws EvaluateError for masks of another shape than said.
 */
export function lesionWise(pair: MaskPair, { grow, smallestMm3 }: LesionRule): LesionScores {
  const { truth, predicted, shape, spacingMm } = pair;
  const voxels = shape[0] * shape[1] * shape[2];
  if (truth.length !== voxels || predicted.length !== voxels)
    throw new EvaluateError(
      `lesions: both masks must have ${voxels} voxels (${shape.join('×')}), got ${truth.length} and ${predicted.length}`,
    );
  const voxelMm3 = spacingMm[0] * spacingMm[1] * spacingMm[2];
  const candidates = components(predicted, shape);
  const taken = new Set<number>();
  const candidateOf = new Int32Array(truth.length).fill(-1);
  candidates.forEach((own, c) => own.forEach((voxel) => (candidateOf[voxel] = c)));
  let [overlap, distance, found, missed] = [0, 0, 0, 0];
  for (const grown of components(grownBy(truth, shape, grow), shape)) {
    const lesion = grown.filter((voxel) => truth[voxel]);
    const finding = new Set(grown.map((voxel) => candidateOf[voxel]!).filter((c) => c >= 0));
    finding.forEach((c) => taken.add(c));
    if (lesion.length * voxelMm3 <= smallestMm3) continue;
    if (finding.size > 0) found++;
    else missed++;
    const said = [...finding].flatMap((c) => candidates[c]!);
    const own = { ...boxed(lesion, said, shape), spacingMm };
    overlap += dice(own);
    const hd95 = surfaceHausdorff95(own);
    distance += hd95 === Infinity ? MISSED_MM : hd95;
  }
  const alarms = candidates.length - taken.size;
  const count = found + missed + alarms;
  return {
    lesionDice: count === 0 ? 1 : overlap / count,
    lesionHd95: count === 0 ? 0 : (distance + MISSED_MM * alarms) / count,
    found,
    missed,
    alarms,
  };
}

/** Two sets of voxels as masks of the box about both: a lesion is small beside the image. */
function boxed(
  truth: readonly number[],
  predicted: readonly number[],
  [ni, nj]: Vec3,
): Pick<MaskPair, 'truth' | 'predicted' | 'shape'> {
  const placeOf = (voxel: number): Vec3 => [
    voxel % ni,
    Math.floor(voxel / ni) % nj,
    Math.floor(voxel / (ni * nj)),
  ];
  const [low, high] = [
    [Infinity, Infinity, Infinity],
    [0, 0, 0],
  ];
  for (const voxels of [truth, predicted])
    for (const voxel of voxels)
      placeOf(voxel).forEach((at, d) => {
        low[d] = Math.min(low[d]!, at);
        high[d] = Math.max(high[d]!, at);
      });
  const shape = high.map((to, d) => to - low[d]! + 1) as unknown as Vec3;
  const mask = (voxels: readonly number[]): Uint8Array => {
    const out = new Uint8Array(shape[0] * shape[1] * shape[2]);
    for (const voxel of voxels) {
      const [i, j, k] = placeOf(voxel).map((at, d) => at - low[d]!) as unknown as Vec3;
      out[i + shape[0] * (j + shape[1] * k)] = 1;
    }
    return out;
  };
  return { truth: mask(truth), predicted: mask(predicted), shape };
}

/** A mask grown `times` times into the voxels that share a face or an edge with it. */
function grownBy(mask: ArrayLike<number>, shape: Vec3, times: number): Uint8Array {
  const [ni, nj, nk] = shape;
  let from = Uint8Array.from(mask, (value) => (value ? 1 : 0));
  for (let time = 0; time < times; time++) {
    const to = from.slice();
    for (let k = 0, n = 0; k < nk; k++)
      for (let j = 0; j < nj; j++)
        for (let i = 0; i < ni; i++, n++) {
          if (from[n] === 0) continue;
          for (let c = -1; c <= 1; c++)
            for (let b = -1; b <= 1; b++)
              for (let a = -1; a <= 1; a++) {
                if (Math.abs(a) + Math.abs(b) + Math.abs(c) > 2) continue;
                if (i + a < 0 || j + b < 0 || k + c < 0 || i + a >= ni || j + b >= nj || k + c >= nk)
                  continue;
                to[n + a + ni * (b + nj * c)] = 1;
              }
        }
    from = to;
  }
  return from;
}
