/** Which series a model saw, small enough to be kept with it, and of no use to who does not know their ids. */
import { createHash } from 'node:crypto';

/** 64 bits of a hash: of a million series asked for, one is wrongly found with a chance of 1 in 20 million. */
const BYTES = 8;

/** 8 bytes of SHA-256 of an id, as a number of 64 bits. */
const digest = (id: string): bigint =>
  createHash('sha256').update(`precess seen ${id}`).digest().readBigUInt64BE(0);

/** A set of series ids that can be asked for an id, but not for the ids in it. */
export class SeenSet {
  private constructor(private readonly digests: ReadonlySet<bigint>) {}

  static of(ids: Iterable<string>): SeenSet {
    return new SeenSet(new Set([...ids].map(digest)));
  }

  /** The set whose `toString` gave `text`: base64 of the sorted digests, 8 bytes each. */
  static parse(text: string): SeenSet {
    const bytes = Buffer.from(text, 'base64');
    const digests = new Set<bigint>();
    for (let at = 0; at + BYTES <= bytes.length; at += BYTES) digests.add(bytes.readBigUInt64BE(at));
    return new SeenSet(digests);
  }

  get size(): number {
    return this.digests.size;
  }

  has(id: string): boolean {
    return this.digests.has(digest(id));
  }

  union(other: SeenSet): SeenSet {
    return new SeenSet(new Set([...this.digests, ...other.digests]));
  }

  toString(): string {
    const bytes = Buffer.alloc(this.digests.size * BYTES);
    [...this.digests]
      .sort((a, b) => (a < b ? -1 : 1))
      .forEach((value, n) => bytes.writeBigUInt64BE(value, n * BYTES));
    return bytes.toString('base64');
  }
}
