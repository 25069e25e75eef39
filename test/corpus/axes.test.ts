/** Where volumes stand among the volumes of their source, as an ingest records it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ingest, type Series } from '../../src/corpus/index.js';
import { type MrHeader, readDicomHeader } from '../../src/formats/dicom/index.js';
import type { DicomNode } from '../../src/formats/dicom/tree.js';
import { writeNifti } from '../../src/formats/nifti/index.js';
import type { Volume } from '../../src/volume/volume.js';
import { dicom, folder, image, withCorpus } from './made.js';

/** A NIfTI-1 file of several frames (nifti1.h): dim[0] = 4, dim[4] frames, pixdim[4] in ms where it is given. */
function frames(volumes: readonly Volume[], ms = 0): Buffer {
  const files = volumes.map((volume) => Buffer.from(writeNifti(volume)));
  const head = Buffer.from(files[0]!.subarray(0, 352));
  head.writeInt16LE(4, 40);
  head.writeInt16LE(volumes.length, 48);
  head.writeFloatLE(ms, 92);
  head[123] = 2 | (ms > 0 ? 16 : 0);
  return Buffer.concat([head, ...files.map((file) => file.subarray(352))]);
}

const text = (tag: number, vr: string, value: string): DicomNode => ({
  tag,
  vr,
  value: Buffer.from(value.length % 2 === 0 ? value : `${value} `),
});

const axes = (series: readonly Series[]): string[] =>
  series
    .flatMap((one) => one.axes.map(({ name, value, index, count }) => `${name} ${value} ${index}/${count}`))
    .sort();

describe('axes of volume files', () => {
  it('frames are points in time, with their seconds where the header has them', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'in'));
    const volumes = Array.from({ length: 6 }, (_, n) => image([20, 18, 6], n + 1));
    await writeFile(join(dir, 'in', 'bold.nii'), frames(volumes, 2500));
    const first = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(axes(first.series)).toEqual(['time 0 0/6']);
    expect(first.notes.map(({ reason }) => reason)).toEqual(['kept the first of 6 frames']);

    const all = await ingest([join(dir, 'in')], { corpus: join(dir, 'c'), everyVolume: true });
    expect(all).toMatchObject({ added: 5, present: 1, notes: [] });
    expect(axes(all.series)).toEqual([
      'time 0 0/6',
      'time 10 4/6',
      'time 12.5 5/6',
      'time 2.5 1/6',
      'time 5 2/6',
      'time 7.5 3/6',
    ]);
    // Each is the frame that its index says.
    await withCorpus(join(dir, 'c'), async (corpus) => {
      for (const { id, axes: own } of all.series)
        expect((await corpus.volume(id)).data).toEqual(volumes[own[0]!.index]!.data);
    });
  });

  it('frames are b-values where a .bval lies beside the file', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'in'));
    const volumes = Array.from({ length: 3 }, (_, n) => image([20, 18, 6], n + 1));
    await writeFile(join(dir, 'in', 'dwi.nii'), frames(volumes));
    await writeFile(join(dir, 'in', 'dwi.bval'), '0 50 800\n');
    await writeFile(join(dir, 'in', 'other.nii'), frames(volumes.map((v) => ({ ...v, slope: 2 }))));
    await writeFile(join(dir, 'in', 'other.bval'), '0 50\n');
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(axes(series)).toEqual([
      'b-value 0 0/3',
      'b-value 50 1/3',
      'b-value 800 2/3',
      'time null 0/3',
      'time null 1/3',
      'time null 2/3',
    ]);
  });
});

/** Writes a volume of the series that other volumes of it lie beside: its images have UIDs of their own. */
async function another(dir: string, n: number, over: Partial<MrHeader>): Promise<void> {
  for (const path of await dicom(dir, over, image([20, 18, 6], n + 1))) {
    const { sopInstanceUid: uid } = await readDicomHeader(path);
    const bytes = (await readFile(path)).toString('latin1');
    await writeFile(path, Buffer.from(bytes.replaceAll(uid, `${uid.slice(0, -2)}${10 + n}`), 'latin1'));
  }
}

describe('axes of DICOM series', () => {
  it('repetitions keep their place, and the time since the first, not the time of the day', async () => {
    const dir = await folder();
    for (let n = 0; n < 5; n++)
      await another(join(dir, 'in', String(n)), n, {
        more: [text(0x00080032, 'TM', `0915${20 + 4 * n}.25`)],
      });
    const first = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(axes(first.series)).toEqual(['time 0 0/5']);
    expect(first.notes.map(({ reason }) => reason)).toEqual(['kept the first of 5 repeated volumes']);
    const all = await ingest([join(dir, 'in')], { corpus: join(dir, 'c'), everyVolume: true });
    expect(all).toMatchObject({ added: 4, present: 1 });
    expect(axes(all.series)).toEqual([
      'time 0 0/5',
      'time 12 3/5',
      'time 16 4/5',
      'time 4 1/5',
      'time 8 2/5',
    ]);
  });

  it('magnitude and phase are two series, told apart by the axis "part"', async () => {
    const dir = await folder();
    for (const [n, type] of ['M', 'P'].entries())
      await another(join(dir, 'in', type), n, { imageType: ['ORIGINAL', 'PRIMARY', type, 'ND'] });
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(axes(series)).toEqual(['part magnitude 0/2', 'part phase 1/2']);
  });

  it('free text that tells volumes apart is not kept', async () => {
    const dir = await folder();
    for (const [n, type] of ['WATER OF DR WHO', 'FAT OF DR WHO'].entries())
      await another(join(dir, 'in', type), n, { imageType: ['DERIVED', 'PRIMARY', type] });
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(axes(series)).toEqual(['image type null 0/2', 'image type null 1/2']);
    expect(JSON.stringify(series)).not.toContain('WHO');
  });
});
