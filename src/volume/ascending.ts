const BITS = 11;
const BINS = 1 << BITS;

/**
 * A copy of `values` in ascending order, as `values.slice().sort()` gives it, by a radix sort of their bit patterns
 * (Knuth, The Art of Computer Programming 3, 5.2.5): linear, where the statistics of every image need it once.
 */
export function ascending(values: Float32Array): Float32Array {
  const { length } = values;
  let from = new Uint32Array(values.slice().buffer);
  let to = new Uint32Array(length);
  const counts = new Uint32Array(3 * BINS);
  for (let n = 0; n < length; n++) {
    const bits = from[n]!;
    // The order of unsigned numbers: positive ones above negative ones, and those turned round.
    const key = bits >>> 31 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
    from[n] = key;
    counts[key & (BINS - 1)]!++;
    counts[BINS + ((key >>> BITS) & (BINS - 1))]!++;
    counts[2 * BINS + (key >>> (2 * BITS))]!++;
  }
  for (let pass = 0; pass < 3; pass++) {
    const bins = counts.subarray(pass * BINS, (pass + 1) * BINS);
    let sum = 0;
    for (let b = 0; b < BINS; b++) {
      const count = bins[b]!;
      bins[b] = sum;
      sum += count;
    }
    const shift = pass * BITS;
    for (let n = 0; n < length; n++) {
      const key = from[n]!;
      to[bins[(key >>> shift) & (BINS - 1)]!++] = key;
    }
    [from, to] = [to, from];
  }
  for (let n = 0; n < length; n++) {
    const key = from[n]!;
    from[n] = key >>> 31 ? key & 0x7fffffff : ~key;
  }
  return new Float32Array(from.buffer);
}
