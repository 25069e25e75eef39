/** Seeded randomness: the same key gives the same numbers on every machine, so that a step can be replayed alone. */

/** A small counter-based generator (splitmix32 finaliser over a mulberry32 walk); not for cryptography. */
export class Random {
  private state: number;
  private spare: number | null = null;

  /** `key` is any list of integers, e.g. (seed, step, index): different lists give unrelated streams. */
  constructor(...key: number[]) {
    let h = 0x9e3779b9;
    for (const k of key) {
      h = mix((h ^ (k | 0)) + 0x6d2b79f5);
      h = mix(h ^ Math.floor(k / 4294967296));
    }
    this.state = h;
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    return low + (mix(this.state) / 4294967296) * (high - low);
  }

  /** Uniform integer in [0, n). */
  int(n: number): number {
    return Math.min(n - 1, Math.floor(this.uniform() * n));
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    if (this.spare !== null) {
      const v = this.spare;
      this.spare = null;
      return v;
    }
    const r = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const a = 2 * Math.PI * this.uniform();
    this.spare = r * Math.sin(a);
    return r * Math.cos(a);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.uniform() < p;
  }

  /** One of `items`; throws RangeError when there is none. */
  choice<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('choice: the list is empty');
    return items[this.int(items.length)]!;
  }

  /** `count` different integers of [0, n), in random order (partial Fisher-Yates). */
  sample(n: number, count: number): Int32Array {
    const all = Int32Array.from({ length: n }, (_, i) => i);
    const m = Math.min(count, n);
    for (let i = 0; i < m; i++) {
      const j = i + this.int(n - i);
      const t = all[i]!;
      all[i] = all[j]!;
      all[j] = t;
    }
    return all.slice(0, m);
  }
}

function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
