/** Named streams of random numbers: the same names give the same numbers on every machine. */
import { Random } from '../volume/random.js';

/** FNV-1a over UTF-16 code units, finished by a 32-bit mix; spreads short names over the whole range. */
export function hash32(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Random numbers under a name, e.g. `new Stream(seed, 'patient', 3)`. A child is its own stream: drawing from it
 * changes nothing elsewhere, so that a new detail of one organ leaves every other organ as it was.
 */
export class Stream extends Random {
  private readonly keys: readonly (string | number)[];

  constructor(...keys: readonly (string | number)[]) {
    super(...keys.map((key) => (typeof key === 'string' ? hash32(key) : key)));
    this.keys = keys;
  }

  child(...keys: readonly (string | number)[]): Stream {
    return new Stream(...this.keys, ...keys);
  }

  /** Normal, cut off at two standard deviations: for sizes, where an extreme draw would not be anatomy. */
  vary(mean: number, sd: number): number {
    return mean + Math.max(-2, Math.min(2, this.normal())) * sd;
  }

  /** A copy of `items` in random order. */
  shuffle<T>(items: readonly T[]): T[] {
    return Array.from(this.sample(items.length, items.length), (at) => items[at]!);
  }
}
