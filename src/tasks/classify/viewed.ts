/** Features of images that come one by one, for learning from series without labels. */
import { tokensFor, type Encoder } from '../../models/encoder.js';
import { NO_AUGMENTATION, type Augmentation } from '../../train/views.js';
import { Prepared } from '../../volume/tokens.js';
import { VolumeError, type Volume } from '../../volume/volume.js';
import type { FeatureOptions } from './features.js';
import { allViews } from './views.js';

export interface Image {
  readonly id: string;
  readonly volume: Volume;
}

/** What leaves a label true: a crop, coil shading, noise, lost slices. Contrast stays, since it may be the label. */
export const LABEL_KEEPING: Augmentation = { ...NO_AUGMENTATION, bias: 0.2, noise: 0.1, missingSlices: 0.3 };

/**
 * Every image that shows something as `allViews` lays it out, by id; the others are left out with a warning. Stops early
 * when `signal` fires.
 */
export async function viewsOf(
  images: AsyncIterable<Image>,
  encoder: Encoder,
  options: Omit<FeatureOptions, 'onProgress'> & { readonly onProgress?: (done: number) => void } = {},
): Promise<Map<string, Float32Array>> {
  const out = new Map<string, Float32Array>();
  let done = 0;
  for await (const { id, volume } of images) {
    if (options.signal?.aborted) break;
    try {
      const tokens = tokensFor(new Prepared(volume), encoder.config.samples, options);
      const [features] = await encoder.features([tokens]);
      out.set(id, allViews(features!, tokens));
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      options.warn?.(`${id} is left out: ${error.message}`);
    }
    options.onProgress?.(++done);
  }
  return out;
}

/** Images of different patients are further apart than this cosine of their features. */
const SAME_IMAGE = 0.99999;

/**
 * The patient of the labelled image that each of `others` shows again (equal to rounding in its features), null for those
 * that are none of them. For images whose patients have no ids that could be compared.
 */
export function patientsOfCopies(
  labelled: readonly Float32Array[],
  patients: readonly string[],
  others: readonly Float32Array[],
): (string | null)[] {
  const lengths = labelled.map((row) => Math.hypot(...row));
  return others.map((other) => {
    const length = Math.hypot(...other);
    const copy = labelled.findIndex((row, n) => {
      let dot = 0;
      for (let d = 0; d < row.length; d++) dot += row[d]! * other[d]!;
      return dot > SAME_IMAGE * lengths[n]! * length;
    });
    return copy < 0 ? null : patients[copy]!;
  });
}
