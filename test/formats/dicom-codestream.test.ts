/** Headers of compressed streams that decoders allocate without end for, or never return from. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { mountBytes, unmountBytes } from '../../src/formats/bytes.js';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';

const START = { 'htj2k/lossless-u16': 'ff4fff51', 'dicom/jpeg-2000-lossless-u12': 'ff4fff51' };

async function load(name: string, change: (bytes: Buffer) => void): Promise<unknown> {
  const bytes = readFileSync(fileURLToPath(new URL(`../fixtures/formats/${name}.dcm`, import.meta.url)));
  change(bytes);
  const path = mountBytes(bytes, 'damaged.dcm');
  try {
    return await loadSeries(groupSeries([await readDicomHeader(path)]).series[0]!);
  } finally {
    unmountBytes(path);
  }
}

describe.each(Object.entries(START))('%s', (name, start) => {
  const at = (bytes: Buffer, hex: string): number => bytes.indexOf(hex, 0, 'hex');

  it('with a subsampled component is refused', async () => {
    await expect(load(name, (bytes) => (bytes[at(bytes, start) + 44] = 65))).rejects.toThrow(
      /cannot be decoded/,
    );
  });

  it('with another size is refused', async () => {
    await expect(
      load(name, (bytes) => bytes.writeUInt32BE(0xfffffff0, at(bytes, start) + 8)),
    ).rejects.toThrow(/the header says/);
  });

  it('with a tile-part beyond its end is refused', async () => {
    await expect(
      load(name, (bytes) => bytes.writeUInt32BE(0xffffffff, at(bytes, 'ff90000a') + 6)),
    ).rejects.toThrow(/tile-part/);
  });
});

describe.each([
  ['dicom/jpeg-lossless-sv1-u12', 'ffc3'],
  ['dicom/jpeg-ls-u12', 'fff7'],
  ['dicom/jpeg-baseline', 'ffc0'],
])('%s', (name, marker) => {
  it('with a frame of another size is refused before anything is allocated for it', async () => {
    const change = (bytes: Buffer): void => {
      const from = bytes.lastIndexOf(Buffer.from('ffd8ff', 'hex'));
      bytes.writeUInt32BE(0xffffffff, bytes.indexOf(marker, from, 'hex') + 5);
    };
    await expect(load(name, change)).rejects.toThrow(/65535×65535/);
  });
});
