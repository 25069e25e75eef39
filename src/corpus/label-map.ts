/** Tells images that hold no MR signal (label maps, CT, constants) from those that do. */
import type { Volume } from '../volume/volume.js';

const LABEL_WORDS =
  /(^|[^a-z])(gt|seg|segs|segmentation|segmented|dseg|aseg|aparc|label|labels|labeled|labelled|mask|masks|brainmask|roi|rois|annotation|parc|parcellation|lesion|lesions|rootlets|groundtruth|ground-truth|tissues?)([^a-z]|$)/i;
const PROBABILITY_WORDS = /(^|[^a-z])(probseg|prob|probability|pveseg|distance)([^a-z]|$)/i;
const CT_WORDS = /(^|[^a-z])(ct|cta|cbct|pet|suv)([^a-z]|$)/i;

/** Counting stops here: no label map has more values. */
const MOST_VALUES = 1024;
/** Up to this many whole values are labels whatever the file is called: no scanner stores an image in 4 bits. */
const FEW_VALUES = 16;
/** Up to this many are labels when the image consists of patches of equal values. */
const SOME_VALUES = 256;
const PATCHY = 0.7;

/** Why an image whose file is called `name` is no MR image, or null when it may be one. */
export function noMrImage(volume: Volume, name: string): string | null {
  if (CT_WORDS.test(name)) return 'its name says CT or PET, not MR';
  if (PROBABILITY_WORDS.test(name)) return 'looks like a probability map';
  const reason = constant(volume) ?? labels(volume, LABEL_WORDS.test(name));
  return reason ?? (hounsfield(volume) ? 'looks like CT: much of it is air at -1000' : null);
}

/** The reason for an image without content, which every kind of source can have. */
export function constant(volume: Volume): string | null {
  const { data, valid } = volume;
  let first: number | null = null;
  for (let n = 0; n < data.length; n++) {
    if (valid !== null && valid[n] === 0) continue;
    first ??= data[n]!;
    if (data[n] !== first) return null;
  }
  return first === null ? 'no voxel of it was measured' : 'every voxel has the same value';
}

function labels({ data, slope, intercept, shape }: Volume, named: boolean): string | null {
  const values = new Set<number>();
  for (const value of data) {
    values.add(value);
    if (values.size > MOST_VALUES) return null;
  }
  const whole = [...values].every((value) => Number.isInteger(value * slope + intercept));
  if (!whole) return null;
  const few = values.size <= FEW_VALUES;
  const patchy = values.size <= SOME_VALUES && equalNeighbours(data, shape[0]) >= PATCHY;
  return named || few || patchy ? 'looks like a label map' : null;
}

/** Share of neighbours along i, neither of them 0, that are equal. Noise keeps it low in any measured image. */
function equalNeighbours(data: Volume['data'], ni: number): number {
  let pairs = 0;
  let equal = 0;
  for (let n = 1; n < data.length; n++) {
    if (n % ni === 0 || data[n] === 0 || data[n - 1] === 0) continue;
    pairs++;
    if (data[n] === data[n - 1]) equal++;
  }
  return pairs === 0 ? 0 : equal / pairs;
}

/** CT stores air as -1000 HU; MR magnitude images have no such values. */
function hounsfield({ data, slope, intercept }: Volume): boolean {
  let air = 0;
  for (const stored of data) {
    const value = stored * slope + intercept;
    if (value > -1100 && value < -900) air++;
  }
  return air > 0.05 * data.length;
}
