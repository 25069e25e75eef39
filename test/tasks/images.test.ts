import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeDicomSeries } from '../../src/formats/dicom/index.js';
import { openImages, type OpenedImage } from '../../src/tasks/images.js';
import { header } from '../formats/studies.js';

const fixtures = fileURLToPath(new URL('../fixtures/formats/volumes', import.meta.url));
let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-images-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function all(path: string): Promise<{ images: OpenedImage[]; warnings: string[] }> {
  const warnings: string[] = [];
  const images: OpenedImage[] = [];
  for await (const image of openImages(path, (message) => warnings.push(message))) images.push(image);
  return { images, warnings };
}

const volume = {
  data: Int16Array.from({ length: 4 * 5 * 3 }, (_, n) => n),
  shape: [4, 5, 3] as const,
  affine: [
    [2, 0, 0, 10],
    [0, 2, 0, 20],
    [0, 0, 3, 30],
    [0, 0, 0, 1],
  ] as const,
  slope: 1,
  intercept: 0,
  valid: null,
};

describe('openImages', () => {
  it('opens one image of every format, whatever else is in the folder', async () => {
    const mixed = join(dir, 'mixed');
    await mkdir(mixed);
    for (const name of ['int16.nrrd', 'int16.mha', 'int16.mgz'])
      await cp(join(fixtures, name), join(mixed, name));
    await writeDicomSeries(join(mixed, 'dicom'), volume, header);
    await writeFile(join(mixed, 'notes.txt'), 'nothing to see');
    await writeFile(join(mixed, 'broken.nrrd'), 'NRRD0004\n');
    const { images, warnings } = await all(mixed);
    expect(images).toHaveLength(4);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/broken\.nrrd is passed over/);
    expect(new Set(images.map(({ id }) => id)).size).toBe(4);
  });

  it('opens a zipped series as the series itself, under the same id', async () => {
    const folder = join(dir, 'series');
    await writeDicomSeries(folder, volume, header);
    const zip = join(dir, 'series.zip');
    const script = 'import shutil, sys; shutil.make_archive(sys.argv[1], "zip", sys.argv[2])';
    const made = spawnSync('python3', ['-c', script, zip.replace(/\.zip$/, ''), folder]);
    expect(made.status, String(made.stderr)).toBe(0);
    const [plain, packed] = [await all(folder), await all(zip)];
    expect(packed.images[0]!.id).toBe(plain.images[0]!.id);
    expect(packed.images[0]!.volume.data).toEqual(plain.images[0]!.volume.data);
  });

  it('says why there is nothing', async () => {
    await expect(all(join(dir, 'nowhere'))).rejects.toThrow(/does not exist/);
    const broken = join(dir, 'broken.mha');
    await writeFile(broken, 'ObjectType = Image\n');
    await expect(all(broken)).rejects.toThrow(/no MR image that can be read \(.*broken\.mha/);
  });
});
