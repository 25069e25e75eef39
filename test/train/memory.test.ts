/** Images of hundreds of megabytes in a process that may take less: peaks are measured in processes of their own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FolderStore } from '../../src/corpus/store.js';
import { openImage, writeSlabs, type Slabs } from '../../src/corpus/voxels.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import { Encoder } from '../../src/models/encoder.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { openImages, openScannedImages } from '../../src/tasks/images.js';
import { VolumeCache } from '../../src/train/loader.js';
import { Streamed } from '../../src/volume/streamed.js';
import { Prepared } from '../../src/volume/tokens.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';
import { writeVolumeFile } from '../formats/volume-files.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-memory-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const MB = 2 ** 20;
const AFFINE = (mm: number): Volume['affine'] => [
  [mm, 0, 0, -100],
  [0, mm, 0, -100],
  [0, 0, mm, -300],
  [0, 0, 0, 1],
];

/** A cylinder of wavy tissue in noisy air, slice by slice; `mm` apart. */
function cylinder(shape: Vec3, mm: number): Slabs {
  const [ni, nj] = shape;
  const slices = Array.from({ length: 4 }, (_, s) => {
    const data = new Int16Array(ni * nj);
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++) {
        const [x, y] = [(2 * i) / ni - 1, (2 * j) / nj - 1];
        data[i + ni * j] =
          x * x + y * y < 0.7 ? 300 + 80 * Math.sin(5 * x + s) + 60 * Math.cos(7 * y) : (i + j + s) % 5;
      }
    return data;
  });
  return {
    shape,
    affine: AFFINE(mm),
    slope: 1,
    intercept: 0,
    readSlices(k0, k1) {
      const data = new Int16Array(ni * nj * (k1 - k0));
      for (let k = k0; k < k1; k++) data.set(slices[Math.floor((k * mm) / 20) % 4]!, (k - k0) * ni * nj);
      return Promise.resolve({ data, valid: null });
    },
  };
}

const model = join(dir, 'model.safetensors');
beforeAll(() => writeModel(model, newModel(modelConfig('pico'), 1)));

const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, d) => sum + v * b[d]!, 0);

describe('memory that volumes may take', () => {
  it('is kept to in training: an image of 208 MB is read by crop, and never whole', async () => {
    const script = fileURLToPath(new URL('memory.mjs', import.meta.url));
    const peakOf = async (name: string, image: Slabs, memory: number): Promise<number> => {
      await writeSlabs(new FolderStore(join(dir, name)), 'se-1', image);
      const args = [script, join(dir, name), join(dir, `run-${name}`), String(memory)];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      return Number(stdout.trim());
    };
    // What the model and its gradients take is taken for a small image as well.
    const least = await peakOf('small', cylinder([96, 96, 40], 2), MB / 2);
    const peak = await peakOf('large', cylinder([384, 384, 740], 0.5), 64 * MB);
    expect(least).toBeGreaterThan(60);
    expect(peak - least).toBeLessThan(128);
  });

  it('is kept to by embed, which reads a large file part by part and tells the peak', async () => {
    const [ni, nj, nk] = [320, 320, 800];
    const slabs = cylinder([ni, nj, nk], 0.5);
    const { data } = await slabs.readSlices(0, nk);
    const path = join(dir, 'large.nii');
    const volume = { data, shape: slabs.shape, affine: slabs.affine, slope: 1, intercept: 0, valid: null };
    writeFileSync(path, writeNifti(volume));
    const bin = fileURLToPath(new URL('../../bin/precess', import.meta.url));
    const args = [
      'embed',
      path,
      '--model',
      model,
      '--memory',
      '64MB',
      '--windows',
      '--max-tokens',
      '512',
      '--threads',
      '1',
    ];
    const { stdout, stderr, status } = spawnSync(process.execPath, [bin, ...args, '--json'], {
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    const told = JSON.parse(stdout) as { vector: number[]; peakMemoryMB: number };
    expect(told.vector).toHaveLength(96);
    expect(told.peakMemoryMB).toBeGreaterThan(60);
    expect(told.peakMemoryMB).toBeLessThan(450);
  });

  it('does not change the vector of an image, nor its id', async () => {
    const small = cylinder([96, 80, 120], 2);
    const { data } = await small.readSlices(0, 120);
    const path = join(dir, 'small.nii.gz');
    const volume = { data, shape: small.shape, affine: small.affine, slope: 1, intercept: 0, valid: null };
    writeFileSync(path, writeNifti(volume, { gzip: true }));
    const encoder = await Encoder.open(model, { threads: 1 });
    try {
      for (const options of [{ maxTokens: 256 }, { maxTokens: 256, windows: true }]) {
        const seen: { id: string; vector: Float32Array }[] = [];
        for (const memory of [MB, 2 ** 31])
          for await (const { id, image } of openScannedImages(path, memory)) {
            expect(image).toBeInstanceOf(memory === MB ? Streamed : Prepared);
            seen.push({ id, vector: await encoder.embed(image, options) });
          }
        expect(seen).toHaveLength(2);
        expect(seen[0]!.id).toBe(seen[1]!.id);
        expect(cosine(seen[0]!.vector, seen[1]!.vector)).toBeGreaterThan(1 - 1e-6);
      }
      // Windows see the same anatomy as the larger cubes do, but not alike.
      const whole = await encoder.embed(volume, { maxTokens: 2048 });
      const windows = await encoder.embed(volume, { maxTokens: 256, windows: true });
      expect(cosine(whole, windows)).toBeGreaterThan(0.8);
      expect(cosine(whole, windows)).toBeLessThan(1 - 1e-6);
      expect(cosine(windows, windows)).toBeCloseTo(1, 5);
    } finally {
      await encoder.close();
    }
  });

  it('does so in every other format too', async () => {
    const small = cylinder([96, 80, 60], 2);
    const { data } = await small.readSlices(0, 60);
    const volume = { ...small, data, valid: null };
    const encoder = await Encoder.open(model, { threads: 1 });
    try {
      const whole = await encoder.embed(volume, { maxTokens: 64 });
      const ids = new Set<string>();
      for (const [ending, packed] of [
        ['nrrd', true],
        ['nhdr', false],
        ['mha', true],
        ['mgz', true],
      ] as const) {
        const path = await writeVolumeFile(mkdtempSync(join(dir, 'format-')), `x.${ending}`, volume, packed);
        for await (const { id, image } of openScannedImages(path, MB)) {
          expect(image, ending).toBeInstanceOf(Streamed);
          ids.add(id);
          const vector = await encoder.embed(image, { maxTokens: 64 });
          expect(cosine(vector, whole), ending).toBeGreaterThan(1 - 1e-6);
        }
        for await (const { id } of openImages(path)) ids.add(id);
      }
      expect(ids.size).toBe(1);
    } finally {
      await encoder.close();
    }
  });

  it('is not taken by a compressed file that is read slice by slice', async () => {
    const script = fileURLToPath(new URL('slabs.mjs', import.meta.url));
    const peakOf = (path: string, slices: number): number => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [script, path, String(slices)], {
        encoding: 'utf8',
      });
      expect(status, stderr).toBe(0);
      return Number(stdout.trim());
    };
    // Sixteen times the same 8 MB.
    const [ni, nj, nk] = [256, 256, 64];
    const { data } = await cylinder([ni, nj, nk], 0.5).readSlices(0, nk);
    const block = gzipSync(new Uint8Array(data.buffer), { level: 1 });
    const header =
      `NRRD0004\ntype: short\ndimension: 3\nspace: RAS\nsizes: ${ni} ${nj} ${16 * nk}\nspacings: 1 1 1\n` +
      'endian: little\nencoding: gzip\n\n';
    const path = join(dir, 'slabs.nrrd');
    writeFileSync(path, Buffer.concat([Buffer.from(header), ...new Array<Uint8Array>(16).fill(block)]));
    const whole = peakOf(path, 16 * nk);
    expect(whole).toBeGreaterThan(128);
    expect(peakOf(path, 16)).toBeLessThan(whole - 64);
  });

  it('bounds what a cache keeps: averaged copies count, and statistics stay', async () => {
    const store = new FolderStore(join(dir, 'cache'));
    const ids = ['se-1', 'se-2', 'se-3'];
    for (const id of ids) await writeSlabs(store, id, cylinder([96, 80, 120], 2));
    const volume = (): Promise<Volume> => Promise.reject(new Error('whole'));
    const source = { volume, image: (id: string) => openImage(store, id) };
    const memory = 12 * MB;
    const cache = new VolumeCache(source, memory, () => undefined);
    const images: Streamed[] = [];
    for (const id of [...ids, ...ids]) {
      const image = (await cache.get(id)) as Streamed;
      await image.part(4);
      images.push(image);
      await cache.get(id);
      expect(images.reduce((sum, { bytes }, n) => sum + (n < 3 ? bytes : 0), 0)).toBeLessThanOrEqual(
        memory / 2,
      );
    }
    expect(images.slice(3)).toEqual(images.slice(0, 3));
    expect(images[0]!.bytes + images[1]!.bytes + images[2]!.bytes).toBeGreaterThan(0);
  });
});
