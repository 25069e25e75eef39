/** Damaged copies of valid files: bytes changed, runs repeated or zeroed, the end cut off. Seeded, so that a failure comes again. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { mountBytes, unmountBytes } from '../../src/formats/bytes.js';

type Edit =
  | { readonly kind: 'byte'; readonly at: number; readonly value: number }
  | { readonly kind: 'number'; readonly at: number; readonly value: number }
  | { readonly kind: 'copy'; readonly at: number; readonly from: number; readonly length: number }
  | { readonly kind: 'cut'; readonly at: number };

// Without bias, which would put most damage at the first byte.
const place = fc.noBias(fc.nat(0x3fffffff)).map((n) => n / 0x40000000);
const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('byte' as const), at: place, value: fc.nat(255) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('number' as const),
      at: place,
      value: fc.constantFrom(0, 1, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('copy' as const), at: place, from: place, length: fc.nat(64) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), at: place }) },
);
const edits = fc.noBias(fc.array(edit, { minLength: 1, maxLength: 5 }));

/** A copy of `bytes` with the edits, most of which fall into the first `within` bytes. */
function damaged(bytes: Uint8Array, list: readonly Edit[], within = bytes.length): Uint8Array {
  let out = new Uint8Array(bytes);
  for (const one of list) {
    const at = Math.floor(one.at * Math.min(within, out.length));
    if (one.kind === 'byte') out[at] = one.value;
    else if (one.kind === 'cut') out = out.slice(0, Math.floor(one.at * out.length));
    else if (one.kind === 'copy')
      out.copyWithin(at, Math.floor(one.from * out.length), Math.floor(one.from * out.length) + one.length);
    else if (at + 4 <= out.length) new DataView(out.buffer).setUint32(at, one.value, one.value % 2 === 0);
  }
  return out;
}

/** What one read may allocate: the seeds are a few kB, which deflate can make 1032 times as long. */
const MOST_BYTES = 32 << 20;

export interface FuzzOptions {
  /** Damage falls into the bytes from here on. */
  readonly from?: number;
  readonly to?: number;
}

/**
 * Reads `runs` damaged copies of `bytes`, mounted under `name`: each is read, or refused with one of `errors`, without
 * allocating more than MOST_BYTES.
 */
export async function fuzz(
  bytes: Uint8Array,
  name: string,
  runs: number,
  errors: readonly (new (...args: never[]) => Error)[],
  read: (path: string) => Promise<unknown>,
  { from = 0, to = bytes.length }: FuzzOptions = {},
): Promise<void> {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(edits, async (list) => {
      const copy = Buffer.concat([bytes.subarray(0, from), damaged(bytes.subarray(from), list, to - from)]);
      const path = mountBytes(copy, name);
      const before = process.memoryUsage().arrayBuffers;
      try {
        await read(path);
      } catch (error) {
        refused++;
        if (!errors.some((kind) => error instanceof kind)) throw error;
      } finally {
        unmountBytes(path);
      }
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MOST_BYTES);
    }),
    { numRuns: runs, seed: 20251125, endOnFailure: true },
  );
  // Damage that never matters would test nothing.
  expect(refused).toBeGreaterThan(runs / 100);
}
