/** High-Throughput JPEG 2000 against what imagecodecs encoded and decoded. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadSeries } from '../../src/formats/dicom/index.js';
import { group } from './studies.js';

const FIXTURES = join(import.meta.dirname, '../fixtures/formats/htj2k');
const expected = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Record<string, string>;
const temporary = mkdtempSync(join(tmpdir(), 'precess-htj2k-'));
afterAll(() => rmSync(temporary, { recursive: true }));

describe('High-Throughput JPEG 2000', () => {
  it.each(Object.keys(expected))('%s', async (name) => {
    const { series, skipped } = await group([join(FIXTURES, `${name}.dcm`)]);
    expect(skipped).toEqual([]);
    const { data } = await loadSeries(series[0]!);
    const bytes = Buffer.from(expected[name]!, 'base64');
    const reference = Array.from({ length: bytes.length / 4 }, (_, n) => bytes.readInt32LE(4 * n));
    expect(data).toHaveLength(40 * 48);
    const worst = Math.max(...reference.map((value, n) => Math.abs(value - data[n]!)));
    // Decoders may round the floating-point transform of the lossy syntax differently.
    expect(worst).toBeLessThanOrEqual(name.startsWith('lossy') ? 1 : 0);
  });

  it('a damaged stream fails, naming the file', async () => {
    const path = join(temporary, 'damaged.dcm');
    const bytes = readFileSync(join(FIXTURES, 'lossless-u16.dcm'));
    const start = bytes.indexOf('ff4fff51', 0, 'hex');
    bytes.fill(0, start, start + 60);
    writeFileSync(path, bytes);
    const { series } = await group([path]);
    await expect(loadSeries(series[0]!)).rejects.toThrow(/damaged\.dcm cannot be decoded/);
  });

  it('a stream cut off inside a whole fragment fails too, where the decoder would fill up the rest', async () => {
    const path = join(temporary, 'short.dcm');
    const bytes = readFileSync(join(FIXTURES, 'lossless-u16.dcm'));
    const start = bytes.indexOf('ff4fff51', 0, 'hex');
    const length = (bytes.readUInt32LE(start - 4) >> 2) << 1;
    const end = Buffer.from('feffdde000000000', 'hex');
    const cut = Buffer.concat([bytes.subarray(0, start + length), end]);
    cut.writeUInt32LE(length, start - 4);
    writeFileSync(path, cut);
    const { series } = await group([path]);
    await expect(loadSeries(series[0]!)).rejects.toThrow(
      /short\.dcm cannot be decoded \(the stream has no end\)/,
    );
  });
});
