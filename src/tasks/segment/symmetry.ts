/** Whether an anatomy may be shown in a mirror. */
import { boundsMm } from '../../volume/sampling.js';
import type { Volume } from '../../volume/volume.js';
import { mirrored } from './labels.js';

/** How far a label may lie to one side on average, as a share of half the width of what is shown. */
const ASIDE = 0.2;

/**
 * Whether every label lies alike on both sides, taken over all cases: a liver is on the right, and in a mirror would be
 * taught on the left. Labels with a side of their own ("left kidney") are compared with their partners; no anatomy is
 * mirrored where one of them has none.
 *
 * @param cases numbers of labels on the grid of an image or map, about whose middle they are compared.
 */
export function liesAlike(
  names: readonly string[],
  cases: readonly { readonly grid: Pick<Volume, 'shape' | 'affine'>; readonly numbers: Uint8Array }[],
): boolean {
  const mirror = mirrored(names);
  if (mirror === null) return false;
  const aside = names.map(() => 0);
  const shown = names.map(() => 0);
  for (const { grid, numbers } of cases) {
    const [low, high] = boundsMm(grid);
    const [middle, half] = [(low[0]! + high[0]!) / 2, (high[0]! - low[0]!) / 2];
    const sums = names.map(() => 0);
    const counts = names.map(() => 0);
    const [[xi, xj, xk, x0]] = grid.affine;
    const [ni, nj, nk] = grid.shape;
    for (let k = 0, n = 0; k < nk; k++)
      for (let j = 0; j < nj; j++)
        for (let i = 0; i < ni; i++, n++) {
          const label = numbers[n]!;
          if (label === 0) continue;
          sums[label]! += xi * i + xj * j + xk * k + x0;
          counts[label]!++;
        }
    counts.forEach((count, label) => {
      if (count === 0) return;
      aside[label]! += (sums[label]! / count - middle) / half;
      shown[label]!++;
    });
  }
  const mean = aside.map((sum, label) => (shown[label] === 0 ? 0 : sum / shown[label]!));
  return mean.every((one, label) => {
    const partner = mirror[label]!;
    return Math.abs(partner === label ? one : one + mean[partner]!) <= ASIDE;
  });
}
