import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type DicomInstance,
  type DicomSeries,
  groupSeries,
  loadSeries,
  writeDicomSeries,
} from '../../src/formats/dicom/index.js';
import { apply } from '../../src/volume/affine.js';
import { header, headersOf, tilted } from './studies.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'precess-axes-'))));
afterEach(() => rmSync(dir, { recursive: true }));

type Edit = (volume: number, slice: number) => Partial<DicomInstance>;

/** `count` volumes of one series at the same places, of five slices each. */
async function volumes(count: number, edit: Edit): Promise<DicomSeries[]> {
  const slices = await headersOf(await writeDicomSeries(join(dir, 'a'), tilted(), header));
  const all = Array.from({ length: count }, (_, volume) =>
    slices.map((slice, k) => ({
      ...slice,
      sopInstanceUid: `${slice.sopInstanceUid}.${volume}`,
      instanceNumber: volume * 5 + k + 1,
      ...edit(volume, k),
    })),
  );
  const { series, skipped } = groupSeries(all.flat());
  expect(skipped).toEqual([]);
  return series;
}

const axesOf = (series: readonly DicomSeries[]): string[] =>
  series.map(({ axes }) => axes.map((a) => `${a.name} ${a.value} ${a.index}/${a.count}`).join(', '));

describe('the axes of a series in several volumes', () => {
  it('are none for one volume', async () => {
    expect(axesOf(await volumes(1, () => ({})))).toEqual(['']);
  });

  it('echoes are told by their times, b-values and directions by their values', async () => {
    const echoes = await volumes(3, (n) => ({ echoNumber: n + 1, echoTime: [4.6, 2.3, 6.9][n]! }));
    expect(axesOf(echoes)).toEqual(['echo 4.6 1/3', 'echo 2.3 0/3', 'echo 6.9 2/3']);
    const diffusion = await volumes(4, (n) => ({
      diffusionBValue: [0, 50, 800, 800][n]!,
      diffusionDirection: ['', '', '1\\0\\0', '0\\1\\0'][n]!,
    }));
    expect(axesOf(diffusion)).toEqual([
      'b-value 0 0/3',
      'b-value 50 1/3',
      'b-value 800 2/3, direction 0\\1\\0 0/2',
      'b-value 800 2/3, direction 1\\0\\0 1/2',
    ]);
  });

  it('magnitude, phase, real and imaginary parts are volumes of their own, whatever the image type says', async () => {
    const parts = await volumes(4, (n) => ({
      complexPart: (['magnitude', 'phase', 'real', 'imaginary'] as const)[n]!,
      imageType: ['ORIGINAL', 'PRIMARY', ['M', 'P', 'R', 'I'][n]!],
    }));
    expect(axesOf(parts)).toEqual([
      'part magnitude 1/4',
      'part phase 2/4',
      'part real 3/4',
      'part imaginary 0/4',
    ]);
    // GE tells them apart by a private element alone.
    const ge = await volumes(2, (n) => ({ complexPart: (['magnitude', 'phase'] as const)[n]! }));
    expect(axesOf(ge)).toEqual(['part magnitude 0/2', 'part phase 1/2']);
  });

  it('repetitions are in order of their times where the header has them, else of Instance Number', async () => {
    // Interleaved acquisition: the time differs from slice to slice, and the numbers run against it.
    const timed = await volumes(3, (n, k) => ({
      acquisitionTime: 100 + (2 - n) * 10 + ((k * 2) % 5),
    }));
    expect(axesOf(timed)).toEqual(['time 0 0/3', 'time 10 1/3', 'time 20 2/3']);
    expect(timed[0]!.slices[0]!.instance.instanceNumber).toBeGreaterThan(10);
    const clock = await volumes(2, (n) => ({ acquisitionTime: 36_000 + 7.5 * n }));
    expect(axesOf(clock)).toEqual(['time 0 0/2', 'time 7.5 1/2']);
    const plain = await volumes(2, () => ({ acquisitionTime: null, triggerTime: null }));
    expect(axesOf(plain)).toEqual(['repetition 1 0/2', 'repetition 2 1/2']);
  });

  it('cardiac phases are told by trigger times that are alike in every slice', async () => {
    const cine = await volumes(3, (n) => ({ triggerTime: n * 40 }));
    expect(axesOf(cine)).toEqual(['trigger 0 0/3', 'trigger 40 1/3', 'trigger 80 2/3']);
  });
});

describe('geometry that is kept as it is', () => {
  it('a sheared stack has its shear in the affine', async () => {
    // Every slice is moved along its own rows by 0.4 mm more than the one before, as under a tilted gantry.
    const straight = await headersOf(await writeDicomSeries(join(dir, 'a'), tilted(), header));
    const sheared = straight.map((slice, k) => ({
      ...slice,
      imagePosition: slice.imagePosition!.map(
        (mm, axis) => mm + 0.4 * k * slice.imageOrientation!.row[axis]!,
      ) as [number, number, number],
    }));
    const { series } = groupSeries(sheared);
    expect(series).toHaveLength(1);
    const volume = await loadSeries(series[0]!);
    for (const { instance, k } of series[0]!.slices) {
      const [x, y, z] = apply(volume.affine, [0, 0, k]);
      [-x, -y, z].forEach((mm, axis) => expect(mm).toBeCloseTo(instance.imagePosition![axis]!, 3));
    }
  });

  it('slices at uneven distances are volumes of even ones, and none is made up', async () => {
    const slices = await headersOf(
      await writeDicomSeries(join(dir, 'a'), tilted([4, 4, 10], [0, 0, 0]), header),
    );
    // 5 mm between the first five, 8 mm between the others: the fifth goes with those of the more frequent step.
    const uneven = slices.map((slice, k) => {
      const [x, y, z] = slice.imagePosition!;
      return { ...slice, imagePosition: [x, y, z + Math.max(0, k - 4) * 3] as [number, number, number] };
    });
    const { series } = groupSeries(uneven);
    expect(series.map(({ shape, missingSlices }) => [shape[2], missingSlices])).toEqual([
      [4, []],
      [6, []],
    ]);
    expect(axesOf(series)).toEqual(['stack 1 0/2', 'stack 2 1/2']);
    expect(series.map(({ affine }) => affine[2][2].toFixed(6))).toEqual(['5.000000', '8.000000']);
  });

  it('a single slice is as thick as the header says', async () => {
    const paths = await writeDicomSeries(join(dir, 'a'), tilted([7, 6, 1]), header);
    const { series } = groupSeries(await headersOf(paths));
    expect(series[0]!.shape).toEqual([7, 6, 1]);
    expect(Math.hypot(...series[0]!.affine.slice(0, 3).map((row) => row[2]))).toBeCloseTo(4, 4);
  });
});

describe('truncated files', () => {
  it('are missing slices at their places, also at the ends of the stack', async () => {
    const paths = await writeDicomSeries(join(dir, 'a'), tilted(), header);
    for (const path of [paths[0]!, paths[3]!]) writeFileSync(path, readFileSync(path).subarray(0, -20));
    const { series, skipped } = groupSeries(await headersOf(paths));
    expect(series[0]).toMatchObject({ shape: [7, 6, 5], missingSlices: [0, 3] });
    expect(skipped.map(({ path }) => path)).toEqual([paths[0], paths[3]]);
    const whole = tilted();
    const volume = await loadSeries(series[0]!);
    volume.data.forEach((value, n) => {
      const k = Math.floor(n / 42);
      expect([value, volume.valid![n]]).toEqual(k === 0 || k === 3 ? [0, 0] : [whole.data[n], 1]);
    });
  });

  it('do not take the place of a whole copy', async () => {
    const paths = await writeDicomSeries(join(dir, 'a'), tilted(), header);
    const cut = join(dir, '0.dcm');
    writeFileSync(cut, readFileSync(paths[2]!).subarray(0, -20));
    const { series, skipped } = groupSeries(await headersOf([cut, ...paths]));
    expect(series[0]).toMatchObject({ shape: [7, 6, 5], missingSlices: [] });
    expect(skipped).toEqual([{ path: cut, reason: 'it is truncated: the pixels end before the last row' }]);
  });
});
