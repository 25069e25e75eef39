/** What a head may read of a series beside the encoder's summary: how its tokens differ, and plain statistics of intensity. */
import type { Features } from '../../models/encoder.js';
import type { TokenSet } from '../../volume/tokens.js';

/** Values of {@link intensityView}. */
export const INTENSITY_WIDTH = 30;

/** Widths of the three views that {@link allViews} lays side by side: summary, tokens, intensities. */
export const viewWidths = (embedDim: number): number[] => [2 * embedDim, 3 * embedDim, INTENSITY_WIDTH];

/**
 * [2 D] the summary; [3 D] standard deviation, maximum and minimum of the token vectors over the image; and
 * {@link intensityView}.
 */
export function allViews({ summary, tokens }: Features, set: TokenSet): Float32Array {
  const dim = summary.length / 2;
  const out = new Float32Array(5 * dim + INTENSITY_WIDTH);
  out.set(summary);
  for (let d = 0; d < dim; d++) {
    let [sum, most, least] = [0, -Infinity, Infinity];
    for (let at = d; at < tokens.length; at += dim) {
      sum += tokens[at]!;
      most = Math.max(most, tokens[at]!);
      least = Math.min(least, tokens[at]!);
    }
    const mean = sum / set.count;
    let squares = 0;
    for (let at = d; at < tokens.length; at += dim) squares += (tokens[at]! - mean) ** 2;
    out[2 * dim + d] = Math.sqrt(squares / set.count);
    out[3 * dim + d] = most;
    out[4 * dim + d] = least;
  }
  out.set(intensityView(set), 5 * dim);
  return out;
}

const BINS = 16;
/** Neighbours this many samples away are compared. */
const GAPS = [1, 2] as const;

/**
 * [30] of the samples that the encoder sees: shares of a histogram from -2 to 2; mean, standard deviation, skewness and
 * kurtosis; mean absolute difference of samples one and two apart along x, y and z; how far the tokens reach along each
 * axis in dm; and their number in hundreds. Samples that were not measured are left out.
 */
export function intensityView({ count, samples, patches, measured, positions }: TokenSet): Float32Array {
  const size = samples ** 3;
  const strides = [1, samples, samples ** 2];
  const histogram = new Float64Array(BINS);
  const rough = new Float64Array(3 * GAPS.length);
  const pairs = new Float64Array(3 * GAPS.length);
  let [n, sum] = [0, 0];
  for (let p = 0; p < count * size; p++) {
    if (!measured[p]) continue;
    const x = patches[p]!;
    histogram[Math.max(0, Math.min(BINS - 1, Math.floor((x + 2) * 4)))]!++;
    n++;
    sum += x;
    for (let axis = 0; axis < 3; axis++)
      for (let k = 0; k < GAPS.length; k++) {
        const [stride, gap] = [strides[axis]!, GAPS[k]!];
        const place = Math.floor((p % size) / stride) % samples;
        if (place + gap >= samples || !measured[p + gap * stride]) continue;
        rough[axis * 2 + k]! += Math.abs(patches[p + gap * stride]! - x);
        pairs[axis * 2 + k]!++;
      }
  }
  const mean = sum / n;
  const moments = [0, 0, 0];
  for (let p = 0; p < count * size; p++)
    if (measured[p]) for (let m = 0; m < 3; m++) moments[m]! += (patches[p]! - mean) ** (m + 2) / n;
  const sd = Math.sqrt(moments[0]!) || 1;
  const reach = [0, 1, 2].map((d) => {
    let [low, high] = [Infinity, -Infinity];
    for (let t = 0; t < count; t++) {
      low = Math.min(low, positions[t * 3 + d]!);
      high = Math.max(high, positions[t * 3 + d]!);
    }
    return (high - low) / 100;
  });
  return Float32Array.from([
    ...histogram.map((h) => h / n),
    ...[mean, sd, moments[1]! / sd ** 3, moments[2]! / sd ** 4],
    ...rough.map((r, k) => r / Math.max(1, pairs[k]!)),
    ...reach,
    count / 100,
  ]);
}
