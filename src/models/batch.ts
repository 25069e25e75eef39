/** Token sets of different sizes side by side in the fixed shapes that a program takes. */
import type { TokenSet } from '../volume/tokens.js';

/** Feeds of {@link vit3d}: see ImageInputs for the shapes. */
export interface ImageBatch {
  readonly patches: Float32Array;
  readonly valid: Float32Array;
  readonly keep: Float32Array;
  readonly positions: Float32Array;
  readonly scale: Float32Array;
}

/**
 * Pads each set to `length` tokens (a longer one is cut). Positions are moved so that the mean of a set's tokens is
 * the origin: only distances inside the view mean anything, the scanner's own origin does not.
 */
export function imageBatch(sets: readonly TokenSet[], length: number, samples: number): ImageBatch {
  const size = samples ** 3;
  const rows = sets.length;
  const batch = {
    patches: new Float32Array(rows * length * size),
    valid: new Float32Array(rows * length),
    keep: new Float32Array(rows * length),
    positions: new Float32Array(rows * length * 3),
    scale: new Float32Array(rows),
  };
  sets.forEach((set, row) => {
    const count = Math.min(set.count, length);
    batch.patches.set(set.patches.subarray(0, count * size), row * length * size);
    batch.valid.set(set.valid.subarray(0, count), row * length);
    batch.keep.fill(1, row * length, row * length + count);
    batch.scale[row] = Math.log2(set.patchMm / 16);
    const mean = [0, 0, 0];
    for (let n = 0; n < count; n++) for (let d = 0; d < 3; d++) mean[d]! += set.positions[n * 3 + d]! / count;
    for (let n = 0; n < count; n++)
      for (let d = 0; d < 3; d++)
        batch.positions[(row * length + n) * 3 + d] = set.positions[n * 3 + d]! - mean[d]!;
  });
  return batch;
}
