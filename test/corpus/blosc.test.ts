/** Containers of the native library against c-blosc itself, which numcodecs brings as WebAssembly. */
import Blosc from 'numcodecs/blosc';
import { describe, expect, it } from 'vitest';
import { loadNative, pack, unpack } from '../../src/corpus/blosc.js';
import { loadZarr } from '../../src/corpus/zarr.js';
import { Random } from '../../src/volume/random.js';

const native = (await loadNative())!;
interface BytesCodec {
  encode(bytes: Uint8Array): Promise<Uint8Array>;
  decode(bytes: Uint8Array): Promise<Uint8Array>;
}
const cBlosc = (size: number): BytesCodec =>
  (Blosc as { fromConfig(config: unknown): BytesCodec }).fromConfig({
    cname: 'zstd',
    clevel: 1,
    shuffle: 1,
    blocksize: 0,
    typesize: size,
  });
/** The codec that images are read by: ours where a container is of our kind, else c-blosc. */
const reader = async (size: number): Promise<BytesCodec> => {
  const entry = await (await loadZarr()).registry.get('blosc')!();
  const configuration = { cname: 'zstd', clevel: 1, shuffle: 'shuffle', blocksize: 0, typesize: size };
  const codec = entry.fromConfig(configuration, {} as never) as unknown as BytesCodec;
  return codec;
};
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function bytesOf(size: number, cells: number, noise: number): Uint8Array {
  const random = new Random(size, cells);
  const out = new Uint8Array(size * cells);
  for (let n = 0; n < out.length; n++)
    out[n] = 100 + 50 * Math.sin(n / 700) + noise * random.uniform(0, 256) + (n % size);
  return out;
}

describe('Blosc containers', () => {
  it.each([1, 2, 4, 8])('of cells of %i bytes are read by c-blosc, and its own are read', async (size) => {
    for (const cells of [1, 17, 64 ** 3]) {
      const bytes = bytesOf(size, cells, 0.02);
      const packed = pack(bytes, size, native);
      expect(same(await cBlosc(size).decode(packed), bytes)).toBe(true);
      expect(same(await (await reader(size)).decode(packed), bytes)).toBe(true);
      const theirs = await cBlosc(size).encode(bytes);
      expect(same(await (await reader(size)).decode(theirs), bytes)).toBe(true);
      if (cells <= 1000) continue;
      expect(unpack(packed, native)).not.toBeNull();
      expect(packed.length).toBeLessThan(theirs.length * 1.05);
    }
  });

  it('hold what does not get smaller as it is', async () => {
    const bytes = bytesOf(2, 5000, 1);
    const packed = pack(bytes, 2, native);
    expect(packed.length).toBe(bytes.length + 16);
    expect(same(await cBlosc(2).decode(packed), bytes)).toBe(true);
  });

  it('say when they are damaged', () => {
    const packed = pack(bytesOf(2, 64 ** 3, 0.02), 2, native);
    expect(() => unpack(packed.subarray(0, packed.length - 5), native)).toThrow(/is damaged/);
    const wrong = packed.slice();
    wrong.fill(0, 30, 60);
    expect(() => unpack(wrong, native)).toThrow(/is damaged/);
    const longer = packed.slice();
    new DataView(longer.buffer).setUint32(4, 2 ** 20, true);
    new DataView(longer.buffer).setUint32(8, 2 ** 20, true);
    expect(() => unpack(longer, native)).toThrow(/is damaged/);
  });
});
