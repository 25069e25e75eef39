/** DICOM Segmentations: read back bit by bit, and judged by dcmtk, dciodvfy, highdicom and what OHIF reads them with. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dcmjs, { type NaturalDataset } from 'dcmjs';
import { afterAll, describe, expect, it } from 'vitest';
import {
  groupSeries,
  readDicomHeader,
  writeDicomSeries,
  type DicomSeries,
} from '../../src/formats/dicom/index.js';
import { encodeSegmentation } from '../../src/formats/dicom/segmentation.js';
import { codesOf } from '../../src/formats/dicom/segment-codes.js';
import { type DicomNode, readTree } from '../../src/formats/dicom/tree.js';
import { affineFrom } from '../../src/volume/affine.js';
import type { Volume } from '../../src/volume/volume.js';
import { hasCommand, skipped } from '../data.js';

const dir = await mkdtemp(join(tmpdir(), 'precess-seg-'));
afterAll(() => rm(dir, { recursive: true, force: true }));

const [ni, nj, nk] = [13, 11, 6];
const size = ni * nj * nk;
// Tilted rows and columns, so that orientation has to be right.
const [c, s] = [Math.cos(0.3), Math.sin(0.3)];
const affine = affineFrom([-0.8 * c, -0.8 * s, 0], [0.9 * s, -0.9 * c, 0], [0, 0, 2.5], [20, 30, -40]);
const image: Volume = {
  data: Uint16Array.from({ length: size }, (_, n) => 100 + (n % 97)),
  shape: [ni, nj, nk],
  affine,
  slope: 1,
  intercept: 0,
  valid: null,
};
const labels: Volume = {
  ...image,
  data: Uint8Array.from({ length: size }, (_, n) => {
    const [i, j, k] = [n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj))];
    if (k >= 1 && k <= 3 && i > 2 && i < 8 && j > 3) return 7;
    return k >= 3 && i > 8 && j < 6 ? 4 : 0;
  }),
};
const segments = [
  { value: 4, name: 'left kidney' },
  { value: 5, name: 'nowhere' },
  { value: 7, name: 'ventral DC' },
];

async function series(folder: string): Promise<DicomSeries> {
  await writeDicomSeries(folder, image, {
    patientId: 'P-1',
    patientName: 'Example^Ada',
    // As some de-identifiers leave it: no date, so that it must not be taken over.
    birthDate: '***',
    sex: 'F',
    studyUid: '2.25.1',
    seriesUid: '2.25.2',
    frameOfReferenceUid: '2.25.3',
    studyDate: '20260102',
    accessionNumber: 'A1',
    manufacturer: 'Example',
    model: 'MR',
    fieldStrengthT: 3,
    seriesDescription: 't1',
    protocolName: 't1',
    bodyPart: 'ABDOMEN',
    sequenceName: 'fl3d',
    scanningSequence: 'GR',
    repetitionTime: 10,
    echoTime: 3,
    flipAngle: 10,
    sliceThickness: 2.5,
    seriesNumber: 3,
  });
  const files = (await readdir(folder))
    .filter((name) => name.endsWith('.dcm'))
    .map((name) => join(folder, name));
  return groupSeries(await Promise.all(files.map((file) => readDicomHeader(file)))).series[0]!;
}

const made = await series(join(dir, 'images'));
// The series may run its slices the other way than the volume that was written.
const bytes = await encodeSegmentation(made, labels, {
  segments,
  algorithm: 'Precess nano',
  version: '0.1.0',
});
const path = join(dir, 'seg.dcm');
await writeFile(path, bytes);

/** The DICOM JSON model (PS3.18 F). */
type DicomJson = Record<string, { Value?: unknown[]; InlineBinary?: string }>;

/** The files of a folder by dcmjs, a reader that is not ours. */
async function readFolder(folder: string): Promise<NaturalDataset[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.dcm')).sort();
  return Promise.all(
    files.map(async (name) => {
      const { dict } = dcmjs.data.DicomMessage.readFile(
        Uint8Array.from(await readFile(join(folder, name))).buffer,
      );
      return dcmjs.data.DicomMetaDictionary.naturalizeDataset(dict);
    }),
  );
}

const find = (nodes: readonly DicomNode[], tag: number): DicomNode => nodes.find((one) => one.tag === tag)!;
const text = ({ value }: DicomNode): string =>
  Buffer.from(value!)
    .toString('latin1')
    .replace(/[\0 ]+$/, '');
const u16 = ({ value }: DicomNode): number => Buffer.from(value!).readUInt16LE();

describe('a DICOM Segmentation', () => {
  const { nodes } = readTree(bytes, 'seg.dcm');
  const frames = find(nodes, 0x52009230).items!;

  it('has the segments that are there, with their codes', () => {
    const found = find(nodes, 0x00620002).items!;
    expect(found.map((one) => [u16(find(one, 0x00620004)), text(find(one, 0x00620005))])).toEqual([
      [1, 'left kidney'],
      [2, 'ventral DC'],
    ]);
    const type = find(found[0]!, 0x0062000f).items![0]!;
    expect(text(find(type, 0x00080100))).toBe('64033007');
    expect(text(find(find(type, 0x00620011).items![0]!, 0x00080104))).toBe('Left');
    expect(codesOf('ventral DC').type.scheme).toBe('99PRECESS');
  });

  it('holds every voxel of every label, at its place', () => {
    const pixels = find(nodes, 0x7fe00010).value!;
    const area = ni * nj;
    expect(frames).toHaveLength(3 + 3);
    const seen = new Uint8Array(size);
    frames.forEach((frame, f) => {
      const number = u16(find(find(frame, 0x0062000a).items![0]!, 0x0062000b));
      const position = text(find(find(frame, 0x00209113).items![0]!, 0x00200032))
        .split('\\')
        .map(Number);
      const k = Math.round((position[2]! - -40) / 2.5);
      [-20, -30, -40 + 2.5 * k].forEach((mm, d) => expect(position[d]).toBeCloseTo(mm, 4));
      for (let n = 0; n < area; n++) {
        const bit = f * area + n;
        if ((pixels[bit >> 3]! >> (bit & 7)) & 1) seen[k * area + n] = [0, 4, 7][number]!;
      }
    });
    expect(seen).toEqual(labels.data);
  });

  it('refers to the images of each slice, and stays with their patient and study', () => {
    const uids = new Set(made.slices.map(({ instance }) => instance.sopInstanceUid));
    for (const frame of frames) {
      const source = find(find(frame, 0x00089124).items![0]!, 0x00082112).items![0]!;
      expect(uids).toContain(text(find(source, 0x00081155)));
    }
    const referenced = find(nodes, 0x00081115).items![0]!;
    expect(text(find(referenced, 0x0020000e))).toBe('2.25.2');
    expect(find(referenced, 0x0008114a).items).toHaveLength(nk);
    expect([0x00100010, 0x00100020, 0x0020000d, 0x00200052].map((tag) => text(find(nodes, tag)))).toEqual([
      'Example^Ada',
      'P-1',
      '2.25.1',
      '2.25.3',
    ]);
  });

  it('is refused on another grid, or without any segment', async () => {
    const options = { segments, algorithm: 'x', version: '1' };
    await expect(encodeSegmentation(made, { ...labels, shape: [nj, ni, nk] }, options)).rejects.toThrow(
      /on the grid of the series \(13×11×6\), got 11×13×6/,
    );
    await expect(
      encodeSegmentation(made, { ...labels, data: new Uint8Array(size) }, options),
    ).rejects.toThrow(/no label was found/);
  });

  it.skipIf(skipped(!hasCommand('dcm2json'), 'dcmtk is not installed'))('is read by dcmtk', () => {
    const { status, stdout, stderr } = spawnSync('dcm2json', [path], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    const read = JSON.parse(stdout) as DicomJson;
    const first = (tag: string, of: DicomJson = read): unknown => of[tag]!.Value![0];
    const items = (tag: string): DicomJson[] => read[tag]!.Value as DicomJson[];
    // Segmentation Storage, and what it is of.
    expect([first('00080016'), first('00080060'), first('00620001')]).toEqual([
      '1.2.840.10008.5.1.4.1.1.66.4',
      'SEG',
      'BINARY',
    ]);
    expect(items('00620002').map((one) => [first('00620004', one), first('00620005', one)])).toEqual([
      [1, 'left kidney'],
      [2, 'ventral DC'],
    ]);
    // Frames, rows, columns and bits.
    const shape = ['00280008', '00280010', '00280011', '00280100'].map((tag) => Number(first(tag)));
    expect(shape).toEqual([6, nj, ni, 1]);
    expect(items('52009230')).toHaveLength(6);
    // One bit a voxel over all frames, padded to an even number of bytes (PS3.5 8.2 and 7.1.1).
    const pixels = Buffer.from(read['7FE00010']!.InlineBinary!, 'base64');
    expect(pixels.length).toBe(2 * Math.ceil((6 * ni * nj) / 16));
    const ones = pixels.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    expect(ones).toBe(labels.data.filter((one) => one !== 0).length);
  });

  it('is the same labels on the same slices to what OHIF reads it with', async () => {
    const source = await readFolder(join(dir, 'images'));
    // What a viewer knows of its images, by their ids; slices in the order in which it shows them.
    const byId = new Map(source.map((one, n) => [`image:${n}`, one]));
    const modules: Record<string, (one: NaturalDataset) => unknown> = {
      imagePlaneModule: ({ Rows, Columns, ImageOrientationPatient: iop }) => ({
        rows: Rows,
        columns: Columns,
        rowCosines: iop.slice(0, 3),
        columnCosines: iop.slice(3),
      }),
      generalSeriesModule: ({ SeriesInstanceUID }) => ({ seriesInstanceUID: SeriesInstanceUID }),
      sopCommonModule: ({ SOPInstanceUID }) => ({ sopInstanceUID: SOPInstanceUID }),
      imagePixelModule: ({ Rows, Columns }) => ({ rows: Rows, columns: Columns }),
      instance: (one) => one,
    };
    const { labelmapBufferArray, segMetadata, segmentsOnFrame } =
      dcmjs.adapters.Cornerstone.Segmentation.generateToolState(
        [...byId.keys()],
        Uint8Array.from(bytes).buffer,
        {
          get: (module, id) => modules[module]!(byId.get(id)!),
        },
      );
    expect(labelmapBufferArray).toHaveLength(1);
    expect(segMetadata.seriesInstanceUid).toBe('2.25.2');
    expect(segMetadata.data.slice(1).map((one) => one!.SegmentLabel)).toEqual(['left kidney', 'ventral DC']);

    const seen = new Uint16Array(labelmapBufferArray[0]!);
    expect(seen).toHaveLength(size);
    source.forEach(({ ImagePositionPatient: [, , z] }, n) => {
      const k = Math.round((z! - -40) / 2.5);
      const slice = labels.data.slice(k * ni * nj, (k + 1) * ni * nj);
      expect([...seen.slice(n * ni * nj, (n + 1) * ni * nj)]).toEqual(
        [...slice].map((value) => [4, 7].indexOf(value) + 1),
      );
      const shown = [1, 2].filter((segment) => slice.includes([0, 4, 7][segment]!));
      expect(segmentsOnFrame[n] ?? []).toEqual(shown);
    });
  });

  it.skipIf(skipped(!hasCommand('dciodvfy'), 'dciodvfy is not installed'))('passes dciodvfy', () => {
    const { stderr, stdout } = spawnSync('dciodvfy', [path], { encoding: 'utf8' });
    const lines = `${stdout}${stderr}`.split('\n');
    expect(lines).toContain('Segmentation');
    expect(lines.filter((line) => line.startsWith('Error'))).toEqual([]);
  });

  const python = process.env.PRECESS_PYTHON ?? 'python3';
  const hasHighdicom = spawnSync(python, ['-c', 'import highdicom']).status === 0;
  it.skipIf(skipped(!hasHighdicom, 'highdicom is not installed (PRECESS_PYTHON)'))(
    'is read by highdicom',
    () => {
      const program = [
        'import sys, json, highdicom',
        'seg = highdicom.seg.segread(sys.argv[1])',
        'volume = seg.get_volume(combine_segments=True, skip_overlap_checks=True)',
        'a = volume.array',
        'print(json.dumps({"count": [int((a == n).sum()) for n in (1, 2)], "labels": [seg.get_segment_description(n).segment_label for n in seg.segment_numbers]}))',
      ].join('\n');
      const { stdout, stderr } = spawnSync(python, ['-c', program, path], { encoding: 'utf8' });
      expect(stderr.includes('Traceback') ? stderr : '').toBe('');
      const count = (value: number): number => labels.data.filter((one) => one === value).length;
      expect(JSON.parse(stdout)).toEqual({
        count: [count(4), count(7)],
        labels: ['left kidney', 'ventral DC'],
      });
    },
  );
});
