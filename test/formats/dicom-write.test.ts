import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadSeries, newUid, readDicomHeader, writeDicomSeries } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { affineFrom } from '../../src/volume/affine.js';
import { reorient } from '../../src/volume/orientation.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';
import { hasCommand, skipped } from '../data.js';
import { group, header, tilted } from './studies.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'precess-dicom-'))));
afterEach(() => rmSync(dir, { recursive: true }));

/** Same voxels at the same places, whatever the order of the axes. */
function expectSame(actual: Volume, wanted: Volume, valueTolerance = 0): void {
  const a = reorient(actual, 'RAS');
  const b = reorient(wanted, 'RAS');
  expect(a.shape).toEqual(b.shape);
  a.affine.forEach((row, r) =>
    row.forEach((v, c) => expect(Math.abs(v - b.affine[r as 0][c as 0])).toBeLessThan(1e-3)),
  );
  let worst = 0;
  for (let n = 0; n < a.data.length; n++) {
    const difference = a.data[n]! * a.slope + a.intercept - (b.data[n]! * b.slope + b.intercept);
    worst = Math.max(worst, Math.abs(difference));
  }
  expect(worst).toBeLessThanOrEqual(valueTolerance);
}

const angle = fc.double({ min: -3.1, max: 3.1, noNaN: true });

describe('writing a series', () => {
  it('comes back voxel for voxel at the same place, for any orientation and handedness', async () => {
    await fc.assert(
      fc.asyncProperty(fc.tuple(angle, angle, angle), fc.constantFrom(1, -1), async (angles, flip) => {
        const volume = tilted([5, 4, 3], angles, flip);
        const paths = await writeDicomSeries(join(dir, 'series'), volume, header);
        const { series, skipped: left } = await group(paths);
        expect([series.length, left.length]).toEqual([1, 0]);
        const back = await loadSeries(series[0]!);
        expect(back.data).toBeInstanceOf(Int16Array);
        expectSame(back, volume);
      }),
      { numRuns: 25 },
    );
  });

  it('says in its header what it was told', async () => {
    const [path] = await writeDicomSeries(dir, tilted(), {
      ...header,
      patientName: 'Süß^Zoë',
      inversionTime: 2500,
      diffusionBValue: 1000,
      contrastAgent: 'Gd',
      studyDescription: 'brain',
      accessionNumber: 'A1',
      acquisitionType: '3D',
      seriesDescription: 'x'.repeat(80),
    });
    expect(await readDicomHeader(path!)).toMatchObject({
      modality: 'MR',
      patientId: 'PID-1',
      patientName: 'Süß^Zoë',
      patientBirthDate: '19600704',
      sex: 'F',
      studyUid: header.studyUid,
      seriesUid: header.seriesUid,
      frameOfReferenceUid: header.frameOfReferenceUid,
      studyDate: '20240102',
      manufacturer: 'Acme',
      manufacturerModel: 'Resonator',
      fieldStrengthT: 1.5,
      seriesDescription: 'x'.repeat(64),
      protocolName: 'head',
      studyDescription: 'brain',
      bodyPartExamined: 'BRAIN',
      sequenceName: 'tse2d',
      scanningSequence: 'SE',
      mrAcquisitionType: '3D',
      repetitionTime: 4000,
      echoTime: 90,
      inversionTime: 2500,
      flipAngle: 150,
      sliceThickness: 4,
      spacingBetweenSlices: 5,
      diffusionBValue: 1000,
      contrastAgent: 'Gd',
      seriesNumber: 3,
      instanceNumber: 1,
    });
  });

  it('stores floats within half a step of 1/65535 of their range, and unmeasured voxels as the smallest', async () => {
    const base = tilted();
    const data = Float32Array.from(base.data, (v) => Math.sin(v) * 1e-3);
    data[3] = NaN;
    const volume = { ...base, data };
    const { series } = await group(await writeDicomSeries(dir, volume, header));
    const back = await loadSeries(series[0]!);
    const range = 2e-3;
    data[3] = back.data[3]! * back.slope + back.intercept;
    expect(data[3]).toBeCloseTo(-1e-3, 4);
    expectSame(back, volume, range / 65535 / 2 + 1e-9);
  });

  it('keeps slope and intercept of integer volumes, and spreads integers beyond 16 bits', async () => {
    const scaled = { ...tilted(), slope: 0.5, intercept: -10 };
    const [a] = (await group(await writeDicomSeries(join(dir, 'a'), scaled, header))).series;
    expect(await loadSeries(a!)).toMatchObject({ slope: 0.5, intercept: -10, data: scaled.data });
    const wide: Volume = { ...tilted(), data: Int32Array.from(tilted().data, (v) => v * 1000) };
    const [b] = (await group(await writeDicomSeries(join(dir, 'b'), wide, header))).series;
    expectSame(await loadSeries(b!), wide, 629_000 / 65535);
  });

  it('leaves out slices that are to be missing', async () => {
    const paths = await writeDicomSeries(dir, tilted(), { ...header, skipSlices: [1, 4] });
    expect(readdirSync(dir)).toEqual(['00001.dcm', '00003.dcm', '00004.dcm']);
    expect(paths).toHaveLength(3);
  });

  it('refuses what DICOM cannot say', async () => {
    const sheared = { ...tilted(), affine: affineFrom([1, 0, 0], [0.5, 1, 0], [0, 0, 1], [0, 0, 0]) };
    await expect(writeDicomSeries(dir, sheared, header)).rejects.toThrow(/must be perpendicular/);
    const long: Volume = { ...tilted(), data: new Int16Array(70000), shape: [70000, 1, 1] };
    await expect(writeDicomSeries(dir, long, header)).rejects.toThrow(/at most 65535/);
    await expect(writeDicomSeries(dir, tilted(), { ...header, echoTime: NaN })).rejects.toThrow(
      /must be finite/,
    );
  });

  it('makes UIDs that are valid, stable and different', () => {
    expect(newUid('a')).toBe(newUid('a'));
    expect(newUid('a')).not.toBe(newUid('b'));
    for (let n = 0; n < 200; n++) expect(newUid(String(n))).toMatch(/^2\.25\.[1-9]\d{1,38}$/);
  });
});

describe.skipIf(skipped(!hasCommand('dcmdump'), 'dcmtk is not installed'))('as dcmtk sees it', () => {
  it('parses without warnings and knows every element', async () => {
    const [path] = await writeDicomSeries(
      dir,
      { ...tilted(), slope: 2 },
      { ...header, comments: 'odd', diffusionBValue: 50 },
    );
    const { stderr, stdout, status } = spawnSync('dcmdump', ['-v', path!], { encoding: 'latin1' });
    expect(status).toBe(0);
    expect(stderr.split('\n').filter((line) => /^[WEF]:/.test(line))).toEqual([]);
    expect(stdout).not.toMatch(/Unknown Tag|\?\?/);
    const tags = [...stdout.matchAll(/^\((\w{4},\w{4})\)/gm)].map((match) => match[1]!);
    expect(tags).toEqual([...tags].sort());
    expect(stdout).toMatch(/\(0002,0010\) UI =LittleEndianExplicit/);
    expect(stdout).toMatch(/\(0020,4000\) LT \[odd/);
  });
});

describe.skipIf(skipped(!hasCommand('dcm2niix'), 'dcm2niix is not installed'))('as dcm2niix sees it', () => {
  it.each([1, -1])('is the volume that was written (slices along %i × the normal)', async (flip) => {
    const volume = tilted([9, 8, 7], [0.2, -0.1, 0.3] as Vec3, flip);
    await writeDicomSeries(join(dir, 'in'), volume, header);
    execFileSync('dcm2niix', ['-b', 'n', '-z', 'n', '-f', 'out', '-o', dir, join(dir, 'in')]);
    expectSame((await readNiftiFile(join(dir, 'out.nii'))).frame(0), volume);
  });
});
