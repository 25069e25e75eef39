/** Whether the sides of a split know of each other: one patient on both, or one image under two patients. */
import { sampleBlock } from '../volume/sampling.js';
import { Prepared } from '../volume/tokens.js';
import { VolumeError, type Volume } from '../volume/volume.js';
import { EvaluateError } from './error.js';

/** What is known of an image whose side is to be checked. */
export interface Sided {
  readonly id: string;
  readonly patientId: string;
  /** Of the voxels; '' where there is none. */
  readonly contentHash: string;
}

/** Vectors of a model this alike are of one image: rounding alone parts them. */
const SAME_VECTOR = 0.99999;
/**
 * Thumbprints this alike are of one image. Copies of six images (brains, spine, abdomen) in 2 mm voxels, in slices of
 * 4 mm, with noise of 5 % and with their axes in another order were alike to 0.9953 or more; the likest of 28 pairs of
 * different brains in one contrast and frame to 0.9735, of real FLAIR images of different patients to 0.954.
 */
export const SAME_THUMBPRINT = 0.99;
const SIDE = 16;
const STEP_MM = 10;

/**
 * A small picture of a volume that survives export, resampling, another order of axes, scaling and light noise: 16³
 * averages 10 mm apart around the foreground's centre of mass in RAS+, cut at the robust range, less their mean, of length 1. The dot
 * product of two is their correlation. Null where there is nothing to see.
 */
export function thumbprint(volume: Volume): Float32Array | null {
  let prepared: Prepared;
  try {
    prepared = new Prepared(volume);
  } catch (error) {
    if (error instanceof VolumeError) return null;
    throw error;
  }
  const { centreMm, threshold, high } = prepared.stats;
  const low = threshold / 2;
  const fine = 2 * SIDE;
  const step = STEP_MM / 2;
  const first = (d: 0 | 1 | 2): number => centreMm[d] + (step * (1 - fine)) / 2;
  const samples = new Float32Array(fine ** 3);
  const measured = new Uint8Array(samples.length);
  sampleBlock(prepared.pyramid(step), first(0), first(1), first(2), step, fine, samples, measured, 0);
  const values = new Float32Array(SIDE ** 3);
  const seen = new Uint8Array(values.length);
  for (let n = 0; n < samples.length; n++) {
    if (measured[n] === 0) continue;
    const [i, j, k] = [n % fine, Math.floor(n / fine) % fine, Math.floor(n / fine ** 2)];
    const to = (i >> 1) + SIDE * ((j >> 1) + SIDE * (k >> 1));
    values[to]! += Math.min(1.2, Math.max(0, (samples[n]! - low) / (high - low)));
    seen[to]!++;
  }
  // What was not measured counts as air: some write it as zeros, and padding is cut off.
  for (let n = 0; n < values.length; n++) if (seen[n]! > 0) values[n]! /= seen[n]!;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let square = 0;
  for (let n = 0; n < values.length; n++) {
    values[n]! -= mean;
    square += values[n]! ** 2;
  }
  const length = Math.sqrt(square);
  return length > 0 ? values.map((value) => value / length) : null;
}

/**
 * Refuses images of which one stands under two patients, since it could be on both sides of a split by patient: told by
 * equal voxels (`contentHash`), by a model's vectors that are the same to rounding, or by thumbprints that are alike
 * beyond {@link SAME_THUMBPRINT}.
 * @throws EvaluateError naming the pairs.
 */
export function checkApart(
  series: readonly Sided[],
  vectors?: readonly Float32Array[],
  thumbprints?: readonly (Float32Array | null)[],
  doing = 'evaluate',
): void {
  const pairs = new Map<string, string>();
  const found = (a: Sided, b: Sided, how: string): void => {
    const name = `${a.id} and ${b.id}`;
    if (!pairs.has(name)) pairs.set(name, `${name} (${how})`);
  };
  const byHash = new Map<string, Sided>();
  for (const one of series) {
    if (one.contentHash === '') continue;
    const same = byHash.get(one.contentHash);
    if (same !== undefined && same.patientId !== one.patientId) found(same, one, 'equal voxels');
    byHash.set(one.contentHash, one);
  }
  const units = vectors?.map(unit);
  for (let a = 0; (units || thumbprints) && a < series.length; a++)
    for (let b = a + 1; b < series.length; b++) {
      if (series[a]!.patientId === series[b]!.patientId) continue;
      if (units && dot(units[a]!, units[b]!) > SAME_VECTOR) found(series[a]!, series[b]!, 'equal vectors');
      const [p, q] = [thumbprints?.[a], thumbprints?.[b]];
      if (!p || !q) continue;
      const alike = dot(p, q);
      if (alike > SAME_THUMBPRINT)
        found(series[a]!, series[b]!, `correlation ${(Math.floor(alike * 1e4) / 1e4).toFixed(4)}`);
    }
  if (pairs.size === 0) return;
  const named = [...pairs.values()];
  throw new EvaluateError(
    `${doing}: an image must be of one patient, but ${named.slice(0, 5).join(', ')}` +
      `${named.length > 5 ? ` and ${named.length - 5} more pairs` : ''} show the same one under two, so that it could ` +
      'stand on both sides of a split; withdraw one of them ("precess corpus check" lists such pairs)',
  );
}

const unit = (vector: Float32Array): Float32Array => {
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
};

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!;
  return sum;
}
