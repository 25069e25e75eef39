/** Seeded random numbers for starting values: the same on every machine and run. */

/** FNV-1a hash of a name, mixed with a seed, as the four words of a generator's state. */
export function hashName(name: string, seed: number): Uint32Array {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  const words = Uint32Array.of(hash, seed, Math.floor(seed / 2 ** 32), 1);
  const next = sfc32(words);
  for (let i = 0; i < 16; i++) next();
  return words;
}

/** Chris Doty-Humphrey's sfc32 (PractRand): uniform in [0, 1) with 32 bits; `state` advances in place. */
export function sfc32(state: Uint32Array): () => number {
  return () => {
    // Read one by one: a model draws millions of these, and taking the array apart costs more than the rest.
    const b = state[1]!;
    const c = state[2]!;
    const d = state[3]!;
    const t = (state[0]! + b + d) >>> 0;
    state[3] = d + 1;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + t;
    return t / 2 ** 32;
  };
}

/** Normal with the given deviation, drawn again beyond two of it (Box & Muller 1958). */
export function fillTruncatedNormal(into: Float32Array, deviation: number, state: Uint32Array): void {
  const next = sfc32(state);
  for (let i = 0; i < into.length;) {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    const angle = 2 * Math.PI * next();
    const [x, y] = [radius * Math.cos(angle), radius * Math.sin(angle)];
    if (Math.abs(x) <= 2) into[i++] = x * deviation;
    if (Math.abs(y) <= 2 && i < into.length) into[i++] = y * deviation;
  }
}
