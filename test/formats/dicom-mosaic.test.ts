/** Siemens mosaics against the volumes that they were made from, and against dcm2niix. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type DicomSeries, groupSeries, loadSeries, readDicomHeader } from '../../src/formats/dicom/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { reorient } from '../../src/volume/orientation.js';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';
import { hasCommand, skipped } from '../data.js';
import { filesBelow, group } from './studies.js';

const FIXTURES = join(import.meta.dirname, '../fixtures/formats/mosaic');
const expected = JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Record<
  string,
  { shape: Vec3; affine: Affine; values: string }
>;
const noOracle = skipped(!hasCommand('dcm2niix'), 'dcm2niix is not installed');
const temporary = mkdtempSync(join(tmpdir(), 'precess-mosaic-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const files = filesBelow(FIXTURES).filter((path) => path.endsWith('.dcm'));
const file = (name: string): string => join(FIXTURES, `${name}.dcm`);

function expectAffine(a: Affine, b: Affine, digits: number): void {
  a.forEach((row, r) => row.forEach((value, c) => expect(value).toBeCloseTo(b[r as 0][c as 0], digits)));
}

/** The volume with its slices in the order of the tiles: k runs along the cross product of row and column. */
function inTileOrder(
  { data, affine, shape }: Volume,
  reversed: boolean,
): { values: number[]; affine: Affine } {
  const area = shape[0] * shape[1];
  if (!reversed) return { values: Array.from(data), affine };
  const slices = Array.from({ length: shape[2] }, (_, k) =>
    Array.from(data.subarray(k * area, (k + 1) * area)),
  );
  const last = shape[2] - 1;
  const turned = affine.map((row) => [row[0], row[1], -row[2], row[3] + row[2] * last]);
  turned[3] = [0, 0, 0, 1];
  return { values: slices.reverse().flat(), affine: turned as unknown as Affine };
}

async function expectMade(series: DicomSeries, name: string): Promise<void> {
  const made = expected[name]!;
  expect(series.shape).toEqual(made.shape);
  expect(series.missingSlices).toEqual([]);
  const { values, affine } = inTileOrder(await loadSeries(series), name === 'flipped');
  expectAffine(affine, made.affine, 5);
  const bytes = Buffer.from(made.values, 'base64');
  expect(values).toEqual(Array.from({ length: bytes.length / 2 }, (_, n) => bytes.readUInt16LE(2 * n)));
}

describe('Siemens mosaics', () => {
  it.each(Object.keys(expected))('%s', async (name) => {
    const { series, skipped: left } = await group([file(name)]);
    expect(left).toEqual([]);
    expect(series.map((one) => one.part)).toEqual(['']);
    await expectMade(series[0]!, name);
  });

  it('are told apart by acquisition where a series has several', async () => {
    const { series, skipped: left } = await group([file('time-2'), file('time-1')]);
    expect(left).toEqual([]);
    expect(series.map((one) => one.part)).toEqual(['acquisition 1', 'acquisition 2']);
    await expectMade(series[0]!, 'time-1');
    await expectMade(series[1]!, 'time-2');
  });

  it('are left out, once, where the file is cut off or does not say which way its slices go', async () => {
    const path = join(temporary, 'cut.dcm');
    const bytes = readFileSync(file('time-1'));
    writeFileSync(path, bytes.subarray(0, bytes.length - 20));
    expect(await group([path])).toEqual({
      series: [],
      skipped: [{ path, reason: 'it is truncated: the pixels end before the last row' }],
    });
    const hidden = join(temporary, 'hidden.dcm');
    writeFileSync(
      hidden,
      Buffer.from(bytes.toString('latin1').replace('SliceNormal', 'SliceAbnorm'), 'latin1'),
    );
    const header = await readDicomHeader(hidden);
    expect(groupSeries([header])).toEqual({
      series: [],
      skipped: [
        { path: hidden, reason: expect.stringMatching(/mosaic .* without the number of slices/) as string },
      ],
    });
  });
});

describe.skipIf(noOracle)('Siemens mosaics against dcm2niix', () => {
  it('all of them', async () => {
    const out = mkdtempSync(join(temporary, 'out-'));
    execFileSync('dcm2niix', ['-b', 'n', '-z', 'n', '-f', '%j_%s', '-o', out, FIXTURES], { stdio: 'pipe' });
    const theirs: Volume[] = [];
    for (const nii of readdirSync(out).filter((entry) => entry.endsWith('.nii'))) {
      const image = await readNiftiFile(join(out, nii));
      for (let t = 0; t < image.frames; t++) theirs.push(reorient(image.frame(t), 'RAS'));
    }
    const { series } = await group(files);
    expect(series).toHaveLength(4);
    expect(theirs).toHaveLength(4);
    for (const one of series) {
      const ours = reorient(await loadSeries(one), 'RAS');
      const same = theirs.find(({ data }) => data.join() === ours.data.join());
      expect(same, one.header.seriesDescription).toBeDefined();
      expect(same!.shape).toEqual(ours.shape);
      expectAffine(same!.affine, ours.affine, 3);
    }
  });
});
