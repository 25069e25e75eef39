/** Features of images and of altered views of them, for learning from series without labels. */
import { tokensFor, type Encoder } from '../../models/encoder.js';
import { drawView, NO_AUGMENTATION, type Augmentation } from '../../train/views.js';
import { Random } from '../../volume/random.js';
import { Prepared } from '../../volume/tokens.js';
import { VolumeError, type Volume } from '../../volume/volume.js';
import type { FeatureOptions } from './features.js';
import type { Viewed } from './semi.js';

export interface Image {
  readonly id: string;
  readonly volume: Volume;
}

/** Altered views of an image; the student takes turns at them. */
const VIEWS = 2;
const VIEW_TOKENS = 128;
/** What leaves a label true: a crop, coil shading, noise, lost slices. Contrast stays, since it may be the label. */
export const LABEL_KEEPING: Augmentation = { ...NO_AUGMENTATION, bias: 0.2, noise: 0.1, missingSlices: 0.3 };

/**
 * Features of every image that shows something, whole and in {@link VIEWS} altered views, by id; the others are left out
 * with a warning. Views follow from the id alone. Stops early when `signal` fires.
 */
export async function viewedOf(
  images: AsyncIterable<Image>,
  encoder: Encoder,
  options: Omit<FeatureOptions, 'onProgress'> & { readonly onProgress?: (done: number) => void } = {},
): Promise<Map<string, Viewed>> {
  const { patchMm = 16 } = options;
  const { samples } = encoder.config;
  const spec = { tokens: VIEW_TOKENS, patchMm: [[patchMm, 1]] as const, extent: [0.6, 1] as const };
  const out = new Map<string, Viewed>();
  let done = 0;
  for await (const { id, volume } of images) {
    if (options.signal?.aborted) break;
    try {
      const prepared = new Prepared(volume);
      const [whole] = await encoder.features([tokensFor(prepared, samples, options)]);
      const random = new Random(seedOf(id));
      const drawn = Array.from({ length: VIEWS }, () =>
        drawView(prepared, samples, spec, LABEL_KEEPING, random),
      ).filter(({ count }) => count > 0);
      const views = drawn.length === 0 ? [] : await encoder.features(drawn);
      out.set(id, { whole: whole!.summary, views: views.map(({ summary }) => summary) });
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      options.warn?.(`${id} is left out: ${error.message}`);
    }
    options.onProgress?.(++done);
  }
  return out;
}

/** FNV-1a of an id. */
function seedOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let n = 0; n < id.length; n++) hash = Math.imul(hash ^ id.charCodeAt(n), 0x01000193);
  return hash >>> 0;
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
