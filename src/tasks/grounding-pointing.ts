/** The pointing game: does the hottest place of a heat map lie in what the phrase names? */
import { apply, spacing } from '../volume/affine.js';
import { distanceMm } from '../volume/distance.js';
import { inverseOf } from '../volume/sampling.js';
import type { Vec3, Volume } from '../volume/volume.js';
import { TaskError } from './error.js';

export interface Pointing {
  /** Whether the peak lies in the structure, or within the tolerance of it. */
  readonly hit: boolean;
  /** Where the map is hottest, RAS+ mm: the mean place of its hottest voxels where several tie. */
  readonly peakMm: Vec3;
  /** From the peak to the nearest voxel of the structure, mm; 0 inside. */
  readonly distanceMm: number;
  /** Share of the map's voxels that would have been a hit: what a peak at random would score. */
  readonly chance: number;
}

/**
 * Plays the pointing game (Zhang et al. 2018, section 4.2) in three dimensions. The label map may have a grid of its own
 * in the same space; a place outside it is no hit.
 *
 * @param structure the labels that count as the structure. @param toleranceMm 0 asks for the structure itself.
 * @throws TaskError when the map has no voxel, or the label map no voxel of the structure.
 */
export function pointingGame(
  heat: Volume,
  labels: Volume,
  structure: readonly number[],
  { toleranceMm = 0 }: { toleranceMm?: number } = {},
): Pointing {
  const wanted = new Set(structure);
  const mask = Uint8Array.from({ length: labels.data.length }, (_, n) =>
    labels.valid?.[n] !== 0 && wanted.has(labels.data[n]! * labels.slope + labels.intercept) ? 1 : 0,
  );
  if (!mask.includes(1))
    throw new TaskError(
      `pointing game: the label map must hold the structure, but no voxel is ${structure.join(' or ')}; leave this case out`,
    );
  const distances = distanceMm(mask, labels.shape, spacing(labels.affine));
  const inverse = inverseOf(labels.affine);
  const away = ([x, y, z]: Vec3): number => {
    const [ni, nj, nk] = labels.shape;
    const [i, j, k] = [0, 4, 8].map((r) =>
      Math.round(inverse[r]! * x + inverse[r + 1]! * y + inverse[r + 2]! * z + inverse[r + 3]!),
    ) as [number, number, number];
    if (i < 0 || j < 0 || k < 0 || i >= ni || j >= nj || k >= nk) return Infinity;
    return distances[i + ni * (j + nj * k)]!;
  };

  const [ni, nj, nk] = heat.shape;
  let [hottest, seen, hits] = [-Infinity, 0, 0];
  let peak: [number, number, number, number] = [0, 0, 0, 0];
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        if (heat.valid?.[n] === 0) continue;
        const place = apply(heat.affine, [i, j, k]);
        seen++;
        if (away(place) <= toleranceMm) hits++;
        const value = heat.data[n]! * heat.slope + heat.intercept;
        if (value < hottest) continue;
        if (value > hottest) {
          hottest = value;
          peak = [0, 0, 0, 0];
        }
        peak = [peak[0] + place[0], peak[1] + place[1], peak[2] + place[2], peak[3] + 1];
      }
  if (seen === 0)
    throw new TaskError('pointing game: the heat map must have voxels, got none that were seen');
  const peakMm: Vec3 = [peak[0] / peak[3], peak[1] / peak[3], peak[2] / peak[3]];
  const distance = away(peakMm);
  return { hit: distance <= toleranceMm, peakMm, distanceMm: distance, chance: hits / seen };
}
