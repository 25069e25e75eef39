/**
 * Enhanced multi-frame MR against the volumes that pydicom's files were made from, and against dcm2niix.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { reorient } from '../../src/volume/orientation.js';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';
import { hasCommand, skipped } from '../data.js';
import { group } from './studies.js';

const FIXTURES = join(import.meta.dirname, '../fixtures/formats/enhanced');
const expected = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Record<
  string,
  {
    part: string;
    shape: Vec3;
    affine: Affine;
    missing: number[];
    rescale: [number, number][];
    values: string;
  }[]
>;
const noOracle = skipped(!hasCommand('dcm2niix'), 'dcm2niix is not installed');
const temporary = mkdtempSync(join(tmpdir(), 'precess-enhanced-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const file = (name: string): string => join(FIXTURES, `${name}.dcm`);

/** What a volume was made from: rescaled values, 0 where a slice is missing. */
function madeFrom(made: (typeof expected)[string][number]): number[] {
  const bytes = Buffer.from(made.values, 'base64');
  const area = made.shape[0] * made.shape[1];
  return Array.from({ length: bytes.length / 2 }, (_, n) => {
    const k = Math.floor(n / area);
    const [slope, intercept] = made.rescale[k]!;
    return made.missing.includes(k) ? 0 : bytes.readUInt16LE(2 * n) * slope + intercept;
  });
}

const valuesOf = ({ data, slope, intercept }: Volume): number[] =>
  Array.from(data, (value) => value * slope + intercept);

function expectAffine(a: Affine, b: Affine): void {
  a.forEach((row, r) => row.forEach((value, c) => expect(value).toBeCloseTo(b[r as 0][c as 0], 5)));
}

describe('enhanced MR', () => {
  it.each(Object.keys(expected))('%s: every volume in its file', async (name) => {
    const { series, skipped: left } = await group([file(name)]);
    expect(left).toEqual([]);
    const volumes = expected[name]!;
    expect(series).toHaveLength(volumes.length);
    for (const made of volumes) {
      // Planes are told apart by number, in an order that does not matter here.
      const found =
        name === 'planes-deflated'
          ? series.find((one) => one.shape[2] === made.shape[2])
          : series.find((one) => one.part === made.part);
      expect(found, made.part).toBeDefined();
      expect(found!.shape).toEqual(made.shape);
      expect(found!.missingSlices).toEqual(made.missing);
      expectAffine(found!.affine, made.affine);
      const volume = await loadSeries(found!);
      expect(valuesOf(volume)).toEqual(madeFrom(made));
    }
  });

  it('describes a frame by the functional groups, the rest by the file', async () => {
    const { frames, ...whole } = await readDicomHeader(file('gap-rle'));
    expect(whole).toMatchObject({ frame: null, numberOfFrames: 5, imagePosition: null });
    expect(frames).toHaveLength(5);
    for (const [n, frame] of frames.entries())
      expect(frame).toMatchObject({
        frame: n,
        patientId: 'PID-77',
        bodyPartExamined: 'BRAIN',
        echoTime: 90,
        repetitionTime: 4000,
        flipAngle: 90,
        pixelSpacing: [1.5, 0.75],
        sliceThickness: 3,
        sequenceName: 'ep2d',
        scanningSequence: 'SE\\EP',
        mrAcquisitionType: '2D',
        frames: [],
      });
  });

  it('reads a file cut off in its last frames as a stack that ends earlier, and says so', async () => {
    const path = join(temporary, 'cut.dcm');
    const bytes = readFileSync(file('diffusion'));
    writeFileSync(path, bytes.subarray(0, bytes.length - 12 * 10 * 2 - 3));
    const { series, skipped: left } = await group([path]);
    expect(left).toEqual([{ path, reason: 'it is truncated: the pixels end before the last row' }]);
    expect(series.reduce((sum, one) => sum + one.slices.length, 0)).toBe(10);
  });

  it('says once that a file is there twice', async () => {
    const twin = join(temporary, 'twin.dcm');
    copyFileSync(file('time'), twin);
    const { series, skipped: left } = await group([file('time'), twin]);
    expect(series).toHaveLength(3);
    expect(left).toEqual([{ path: twin, reason: 'a copy of a file already read (same SOP Instance UID)' }]);
  });

  it('fails on damaged fragments, naming the file', async () => {
    const path = join(temporary, 'damaged.dcm');
    const bytes = readFileSync(file('echoes-j2k'));
    const soc = bytes.indexOf('ff4fff51', 0, 'hex');
    bytes.fill(0, soc, soc + 40);
    writeFileSync(path, bytes);
    const { series } = await group([path]);
    const loads = await Promise.allSettled(series.map((one) => loadSeries(one)));
    const failures = loads.filter((load) => load.status === 'rejected');
    expect(failures).toHaveLength(1);
    expect(String(failures[0]!.reason)).toMatch(/damaged\.dcm cannot be decoded/);
  });

  it('leaves a file out whose frames do not say where they lie', async () => {
    const whole = await readDicomHeader(file('time'));
    const { series, skipped: left } = groupSeries([{ ...whole, frames: [] }]);
    expect(series).toEqual([]);
    expect(left[0]!.reason).toMatch(/without functional groups/);
  });
});

describe.skipIf(noOracle)('enhanced MR against dcm2niix', () => {
  // The others it refuses (fragments, deflated) or, knowing their frames by the manufacturer's habits, gets wrong:
  // it makes one stack of 12 slices of the time series.
  it.each(['diffusion', 'diffusion-implicit'])('%s', async (name) => {
    const out = mkdtempSync(join(temporary, 'out-'));
    const source = mkdtempSync(join(temporary, 'in-'));
    copyFileSync(file(name), join(source, 'a.dcm'));
    execFileSync('dcm2niix', ['-b', 'n', '-z', 'n', '-f', '%j', '-o', out, source], { stdio: 'pipe' });
    const theirs: Volume[] = [];
    for (const nii of readdirSync(out).filter((entry) => entry.endsWith('.nii'))) {
      const image = await readNiftiFile(join(out, nii));
      for (let t = 0; t < image.frames; t++) theirs.push(reorient(image.frame(t), 'RAS'));
    }
    const { series } = await group([file(name)]);
    expect(theirs).toHaveLength(series.length);
    for (const one of series) {
      const ours = reorient(await loadSeries(one), 'RAS');
      const same = theirs.find((frame) => valuesOf(frame).join() === valuesOf(ours).join());
      expect(same, one.part).toBeDefined();
      expect(same!.shape).toEqual(ours.shape);
      same!.affine.forEach((row, r) =>
        row.forEach((value, c) => expect(Math.abs(value - ours.affine[r as 0][c as 0])).toBeLessThan(1e-3)),
      );
    }
  });
});
