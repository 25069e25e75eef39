/** Volumes that are stored slab by slab: the same as whole ones, in bounded memory, and read back in parts. */
import { execFileSync } from 'node:child_process';
import { mkdir, open, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Inspectable } from '../../src/corpus/inspect.js';
import { previewOf, withMaskOf } from '../../src/corpus/large.js';
import { type ByteRange, FolderStore } from '../../src/corpus/store.js';
import { storeSeries } from '../../src/corpus/store-series.js';
import { fileFormat } from '../../src/corpus/file-names.js';
import { plainSeries, type VoxelSource } from '../../src/corpus/voxel-source.js';
import { readImage, readVoxels, slabsOf } from '../../src/corpus/voxels.js';
import { groupSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { NO_FIELDS } from '../../src/text/header.js';
import type { Volume } from '../../src/volume/volume.js';
import { writeVolumeFile } from '../formats/volume-files.js';
import { dicom, folder, image } from './made.js';

const ABOUT: Inspectable = {
  kind: 'file',
  name: 'x',
  fields: NO_FIELDS,
  studyBodyPart: null,
  missingSlices: [],
};
const KEY = new Uint8Array(32);

async function stored(corpus: string, voxels: VoxelSource, largestWhole: number): Promise<Volume> {
  const about = { ...ABOUT, kind: voxels.kind };
  const identifying = { kind: 'values', values: [] } as const;
  const result = await storeSeries({
    voxels,
    identifying,
    about,
    corpus,
    path: 'a',
    key: KEY,
    shown: 'x',
    largestWhole,
  });
  if (typeof result === 'string') throw new Error(result);
  return readVoxels(join(corpus, 'a'));
}

describe('storing slab by slab', () => {
  it.each([false, true])('stores a NIfTI image as a whole one, gzip: %s', async (gzip) => {
    const dir = await folder();
    const volume = image([70, 40, 130]);
    const floats = Float32Array.from(volume.data);
    floats[1234] = NaN;
    floats[300_000] = Infinity;
    const path = join(dir, gzip ? 'x.nii.gz' : 'x.nii');
    await writeFile(path, writeNifti({ ...volume, data: floats }, { gzip }));
    const source = { kind: 'file', format: 'nifti', path, frame: 0 } as const;
    const slabs = await stored(join(dir, 's'), source, 1000);
    const clean = floats.map((value) => (Number.isFinite(value) ? value : 0));
    expect(Buffer.compare(Buffer.from(slabs.data.buffer), Buffer.from(clean.buffer))).toBe(0);
    expect([...slabs.valid!.entries()].filter(([, one]) => one === 0).map(([n]) => n)).toEqual([
      1234, 300_000,
    ]);
    expect(await stored(join(dir, 'w'), source, Infinity)).toEqual(slabs);
  });

  it.each(['x.nrrd', 'x.nhdr', 'x.mha', 'x.mhd', 'x.mgh', 'x.mgz'])(
    'stores %s as a whole one',
    async (name) => {
      const dir = await folder();
      const volume = image([40, 30, 70]);
      const floats = Float32Array.from(volume.data);
      floats[1234] = NaN;
      floats[80_000] = Infinity;
      // MGH says by its name whether it is.
      for (const compressed of /mg[hz]$/.test(name) ? [true] : [false, true]) {
        const path = await writeVolumeFile(dir, name, { ...volume, data: floats }, compressed);
        const source = { kind: 'file', format: fileFormat(path)!, path, frame: 0 } as const;
        const slabs = await stored(join(dir, 's'), source, 1000);
        const clean = floats.map((value) => (Number.isFinite(value) ? value : 0));
        expect(Buffer.compare(Buffer.from(slabs.data.buffer), Buffer.from(clean.buffer))).toBe(0);
        expect(slabs.shape).toEqual([40, 30, 70]);
        expect(slabs.valid!.indexOf(0)).toBe(1234);
        expect(slabs.valid!.lastIndexOf(0)).toBe(80_000);
        const whole = await stored(join(dir, 'w'), source, Infinity);
        expect(Buffer.compare(Buffer.from(whole.data.buffer), Buffer.from(slabs.data.buffer))).toBe(0);
        expect(whole.affine).toEqual(slabs.affine);
      }
    },
  );

  it('stores a DICOM series as a whole one, with its missing slice', async () => {
    const dir = await folder();
    const volume = image([40, 36, 70]);
    const files = await dicom(join(dir, 'in'), { skipSlices: [66] }, volume);
    const { series } = groupSeries(await Promise.all(files.map((path) => readDicomHeader(path))));
    const source: VoxelSource = { kind: 'dicom', series: plainSeries(series[0]!) };
    const slabs = await stored(join(dir, 's'), source, 1000);
    const area = 40 * 36;
    const expected = volume.data.slice().fill(0, 66 * area, 67 * area);
    expect(Buffer.compare(Buffer.from(slabs.data.buffer), Buffer.from(expected.buffer))).toBe(0);
    expect(slabs.valid!.indexOf(0)).toBe(66 * area);
    expect(slabs.valid!.lastIndexOf(0)).toBe(67 * area - 1);
    expect(await stored(join(dir, 'w'), source, Infinity)).toEqual(slabs);
  });

  it('previews every n-th voxel, and takes out around what was taken out of the preview', async () => {
    const volume = image([20, 20, 20]);
    // 64 MiB against a preview of 32: the cube root of 2, so every second voxel.
    const { volume: small, step } = await previewOf(slabsOf(volume), 64 * 1024 * 1024);
    expect(step).toBe(2);
    expect(small.shape).toEqual([10, 10, 10]);
    expect(small.data[3 + 10 * (4 + 10 * 5)]).toBe(volume.data[6 + 20 * (8 + 20 * 10)]);
    const valid = new Uint8Array(1000).fill(1);
    valid[3 + 10 * (4 + 10 * 5)] = 0;
    const copy = { ...volume, data: volume.data.slice() };
    const masked = withMaskOf(slabsOf(copy), small, { ...small, valid }, step);
    const slab = await masked.readSlices(0, 20);
    const gone = [...slab.valid!.entries()].filter(([, one]) => one === 0).map(([n]) => n);
    // One voxel to every side of (6, 8, 10).
    const around = [9, 10, 11].flatMap((k) =>
      [7, 8, 9].flatMap((j) => [5, 6, 7].map((i) => i + 20 * (j + 20 * k))),
    );
    expect(gone).toEqual(around);
    expect(around.every((n) => slab.data[n] === 0)).toBe(true);
  });

  it('reads no more of an image than the chunks that a box touches', async () => {
    const dir = await folder();
    const volume = image([128, 128, 128]);
    const path = join(dir, 'x.nii');
    await writeFile(path, writeNifti(volume));
    await stored(dir, { kind: 'file', format: 'nifti', path, frame: 0 }, Infinity);
    const ranges: ByteRange[] = [];
    class Counting extends FolderStore {
      override readRange(key: string, range: ByteRange): Promise<Uint8Array | null> {
        ranges.push(range);
        return super.readRange(key, range);
      }
    }
    const store = new Counting(dir);
    const box = await readImage(store, 'a', [70, 70, 70], [20, 20, 20]);
    expect(box.data[0]).toBe(volume.data[70 + 128 * (70 + 128 * 70)]);
    // The index of the shard, 16 bytes for each of 8 chunks and a checksum, and one chunk.
    expect(ranges[0]).toEqual({ suffixLength: 132 });
    expect(ranges).toHaveLength(2);
    const { size } = await stat(join(dir, 'a', '0', 'c', '0', '0', '0'));
    expect((ranges[1] as { length: number }).length).toBeLessThan(size / 7);
  });

  it('takes less memory than the volume has bytes', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'in'));
    // 448 MiB of int16 with blocks of values, written as a sparse file with some content in every slice.
    const [ni, nj, nk] = [1024, 1024, 224];
    const header = writeNifti({ ...image([2, 2, 2]), data: new Int16Array(8) }).slice(0, 352);
    [ni, nj, nk].forEach((n, at) => new DataView(header.buffer).setInt16(42 + 2 * at, n, true));
    const path = join(dir, 'in', 't1.nii');
    const file = await open(path, 'w');
    await file.write(header, 0, 352, 0);
    const rows = image([ni, 40, 1]).data;
    for (let k = 0; k < nk; k++)
      await file.write(new Uint8Array(rows.buffer), 0, rows.byteLength, 352 + 2 * ni * nj * k);
    await file.truncate(352 + 2 * ni * nj * nk);
    await file.close();
    const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
    const script = join(dir, 'run.mjs');
    await writeFile(
      script,
      `process.argv = [process.argv[0], ${JSON.stringify(bin)}, 'ingest', ${JSON.stringify(path)}, '--json',` +
        ` '--corpus', ${JSON.stringify(join(dir, 'c'))}];\n` +
        `process.on('exit', () => process.stderr.write('\\nmaxrss ' + process.resourceUsage().maxRSS + '\\n'));\n` +
        `await import(${JSON.stringify(bin)});\n`,
    );
    const log = execFileSync('sh', ['-c', `"$0" "$1" 2>&1 >/dev/null`, process.execPath, script], {
      encoding: 'utf8',
    });
    const peak = Number(/maxrss (\d+)/.exec(log)![1]) / 1024;
    expect(peak).toBeGreaterThan(50);
    expect(peak).toBeLessThan(448);
  });
});
