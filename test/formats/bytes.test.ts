import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { mountBytes, openBytes, readBytes, unmountBytes } from '../../src/formats/bytes.js';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/formats/', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'precess-bytes-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const CONTENT = Uint8Array.from({ length: 1000 }, (_, n) => (n * 7) % 251);

describe('sources of bytes', () => {
  const file = join(temporary, 'file');
  writeFileSync(file, CONTENT);
  const memory = mountBytes(CONTENT, 'buffer');

  it.each([
    ['a file', file],
    ['memory', memory],
  ])('%s gives the bytes asked for, and fewer at its end', async (_, path) => {
    const source = await openBytes(path);
    expect(source.size).toBe(1000);
    expect([...(await source.read(10, 5))]).toEqual([70, 77, 84, 91, 98]);
    expect(await source.read(990, Number.MAX_SAFE_INTEGER)).toHaveLength(10);
    expect(await source.read(2000, 5)).toHaveLength(0);
    const target = new Uint8Array(20).fill(255);
    expect(await source.readInto(995, target)).toBe(5);
    expect([...target.subarray(0, 6)]).toEqual([...CONTENT.subarray(995), 255]);
    await source.close();
    expect([...(await readBytes(path))]).toEqual([...CONTENT]);
  });

  it('says so when there is nothing', async () => {
    await expect(openBytes(join(temporary, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    const path = mountBytes(CONTENT, 'gone');
    unmountBytes(path);
    await expect(openBytes(path)).rejects.toMatchObject({ code: 'ENOENT', name: 'ByteSourceError' });
  });
});

describe('images in memory', () => {
  it('are read as from disk', async () => {
    for (const name of ['dicom/explicit-s16', 'dicom/rle-u12', 'dicom/deflated', 'mosaic/time-1']) {
      const path = join(FIXTURES, `${name}.dcm`);
      const mounted = mountBytes(readFileSync(path), 'one.dcm');
      const volumes = [];
      for (const one of [path, mounted]) {
        const header = await readDicomHeader(one);
        expect(header.identifyingValues().length).toBeGreaterThan(0);
        volumes.push(await loadSeries(groupSeries([header]).series[0]!));
      }
      unmountBytes(mounted);
      expect(volumes[1]).toEqual(volumes[0]);
    }
    const path = join(FIXTURES, 'nifti/4d.nii.gz');
    const mounted = mountBytes(readFileSync(path), 'one.nii.gz');
    expect((await readNiftiFile(mounted)).frame(1)).toEqual((await readNiftiFile(path)).frame(1));
    unmountBytes(mounted);
  });
});
