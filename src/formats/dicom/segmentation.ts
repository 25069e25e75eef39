/** Label maps as DICOM Segmentation objects (PS3.3 A.51) of the series that they were made from. */
import { readFile } from 'node:fs/promises';
import { apply, column, length, origin } from '../../volume/affine.js';
import type { Vec3, Volume } from '../../volume/volume.js';
import { DicomError } from './error.js';
import type { DicomSeries } from './group.js';
import { type Code, codesOf } from './segment-codes.js';
import { type DicomNode, encodeTree, readTree, textNode } from './tree.js';
import { newUid } from './uid.js';
import { decimal } from './write.js';

export interface SegmentName {
  /** Value in the label map. */
  readonly value: number;
  readonly name: string;
}

export interface SegmentationOptions {
  readonly segments: readonly SegmentName[];
  /** Name of what made the labels, without anything identifying. */
  readonly algorithm: string;
  readonly version: string;
  readonly now?: Date;
}

const SEGMENTATION_STORAGE = '1.2.840.10008.5.1.4.1.1.66.4';
const EXPLICIT_LITTLE = '1.2.840.10008.1.2.1';
const ascii = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');
const lo = (tag: number, text: string): DicomNode => textNode(tag, 'LO', ascii(text).slice(0, 64));
const cs = (tag: number, text: string): DicomNode => textNode(tag, 'CS', text);
const ui = (tag: number, text: string): DicomNode => textNode(tag, 'UI', text);
const sq = (tag: number, ...items: (readonly DicomNode[])[]): DicomNode => ({ tag, vr: 'SQ', items });
const ds = (tag: number, values: readonly number[]): DicomNode =>
  textNode(tag, 'DS', values.map(decimal).join('\\'));

function us(tag: number, value: number): DicomNode {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return { tag, vr: 'US', value: bytes };
}

function ul(tag: number, ...values: readonly number[]): DicomNode {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, n) => bytes.writeUInt32LE(value, 4 * n));
  return { tag, vr: 'UL', value: bytes };
}

function at(tag: number, pointer: number): DicomNode {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(pointer >>> 16, 0);
  bytes.writeUInt16LE(pointer & 0xffff, 2);
  return { tag, vr: 'AT', value: bytes };
}

const coded = ({ value, scheme, meaning }: Code): readonly DicomNode[] => [
  textNode(0x00080100, 'SH', value),
  textNode(0x00080102, 'SH', scheme),
  lo(0x00080104, meaning),
];

/**
 * Elements of the patient and of the study that the object shares with its images: it goes back to the archive that they
 * came from and must be found there under the same patient and study. Nothing else is taken over.
 */
const SHARED = [
  0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00081030, 0x00100010, 0x00100020, 0x00100021,
  0x00100030, 0x00100040, 0x00101010, 0x0020000d, 0x00200010,
];
/** Of these the standard wants an element even where it is empty (type 2). */
const EVEN_EMPTY: Readonly<Record<number, string>> = {
  0x00080020: 'DA',
  0x00080030: 'TM',
  0x00080050: 'SH',
  0x00080090: 'PN',
  0x00100010: 'PN',
  0x00100020: 'LO',
  0x00100030: 'DA',
  0x00100040: 'CS',
  0x00200010: 'SH',
};

/** What is no date, time or age (de-identifiers write "***") is left out: it would make this object invalid too. */
const FORMS: Readonly<Record<string, RegExp>> = {
  DA: /^(\d{8})?$/,
  TM: /^(\d{2,6}(\.\d{1,6})?)?$/,
  AS: /^(\d{3}[DWMY])?$/,
};

/**
 * One binary Segmentation: a segment for each label that is there, a frame for each slice of it that holds any of it.
 * Slices refer to the images that they were made from. UIDs follow from the series and the labels.
 *
 * @param labels on the grid of `series`, as loadSeries gives it.
 * @throws DicomError for labels on another grid, or when no segment is there.
 */
export async function encodeSegmentation(
  series: DicomSeries,
  labels: Volume,
  options: SegmentationOptions,
): Promise<Uint8Array> {
  if (labels.shape.some((n, d) => n !== series.shape[d as 0]))
    throw new DicomError(
      `write segmentation: the labels must be on the grid of the series (${series.shape.join('×')}), got ${labels.shape.join('×')}`,
    );
  const frames = framesOf(series, labels, options.segments);
  if (frames.length === 0)
    throw new DicomError('write segmentation: no label was found in the image; there is no segment to write');
  const { header } = series;
  const tree = readTree(await readFile(header.path), header.path);
  const shared = SHARED.flatMap((tag): DicomNode[] => {
    const node = tree.nodes.find((one) => one.tag === tag);
    if (node !== undefined && (FORMS[node.vr]?.test(tree.text(node)) ?? true)) return [node];
    return tag in EVEN_EMPTY ? [{ tag, vr: EVEN_EMPTY[tag]! }] : [];
  });
  const { now = new Date() } = options;
  const seed = `${series.seriesUid}/${series.part}/${options.segments.map(({ name }) => name).join()}/${now.toISOString()}`;
  const nodes = [
    ...shared,
    ...general(series, options, seed, now),
    ...pixelModule(series, frames),
    segmentSequence(frames, options),
    ...dimensions(seed),
    sharedGroups(series),
    sq(0x52009230, ...frames.map((frame) => frameGroups(series, frame))),
    referencedSeries(series),
    { tag: 0x7fe00010, vr: 'OB', value: packed(series, labels, frames) },
  ];
  return encodeTree(EXPLICIT_LITTLE, nodes);
}

interface Frame {
  readonly segment: SegmentName;
  /** From 1 in the order of the segments that are there. */
  readonly number: number;
  readonly k: number;
}

function framesOf(series: DicomSeries, labels: Volume, segments: readonly SegmentName[]): Frame[] {
  const area = series.shape[0] * series.shape[1];
  const present = new Set(series.slices.map(({ k }) => k));
  const inSlice = new Map<number, Set<number>>();
  for (const k of [...present].sort((a, b) => a - b))
    for (const value of new Set(labels.data.subarray(k * area, (k + 1) * area))) {
      const slices = inSlice.get(value) ?? new Set();
      inSlice.set(value, slices.add(k));
    }
  return segments
    .filter(({ value }) => value !== 0 && inSlice.has(value))
    .flatMap((segment, n) =>
      [...inSlice.get(segment.value)!].map((k): Frame => ({ segment, number: n + 1, k })),
    );
}

function general(
  series: DicomSeries,
  { algorithm, version }: SegmentationOptions,
  seed: string,
  now: Date,
): DicomNode[] {
  const [day, time] = now.toISOString().replace(/[-:]/g, '').split('T') as [string, string];
  return [
    cs(0x00080008, 'DERIVED\\PRIMARY'),
    ui(0x00080016, SEGMENTATION_STORAGE),
    ui(0x00080018, newUid(`${seed}/instance`)),
    textNode(0x00080021, 'DA', day),
    textNode(0x00080023, 'DA', day),
    textNode(0x00080031, 'TM', time.slice(0, 6)),
    textNode(0x00080033, 'TM', time.slice(0, 6)),
    cs(0x00080060, 'SEG'),
    lo(0x00080070, 'Precess'),
    lo(0x0008103e, `Segmentation: ${algorithm}`),
    lo(0x00081090, 'Precess'),
    lo(0x00181000, 'none'),
    lo(0x00181020, version),
    ui(0x0020000e, newUid(`${seed}/series`)),
    textNode(0x00200011, 'IS', String(Math.min(9000 + (series.header.seriesNumber ?? 0), 99999))),
    textNode(0x00200013, 'IS', '1'),
    ui(0x00200052, frameOfReference(series)),
    lo(0x00201040, ''),
    cs(0x00700080, 'SEGMENTATION'),
    lo(0x00700081, 'For research only; not for clinical use'),
    textNode(0x00700084, 'PN', ''),
  ];
}

const frameOfReference = ({ header, seriesUid }: DicomSeries): string =>
  header.frameOfReferenceUid === '' ? newUid(`${seriesUid}/frame of reference`) : header.frameOfReferenceUid;

function pixelModule(series: DicomSeries, frames: readonly Frame[]): DicomNode[] {
  return [
    us(0x00280002, 1),
    cs(0x00280004, 'MONOCHROME2'),
    textNode(0x00280008, 'IS', String(frames.length)),
    us(0x00280010, series.shape[1]),
    us(0x00280011, series.shape[0]),
    us(0x00280100, 1),
    us(0x00280101, 1),
    us(0x00280102, 0),
    us(0x00280103, 0),
    cs(0x00282110, '00'),
    cs(0x00620001, 'BINARY'),
  ];
}

function segmentSequence(frames: readonly Frame[], { algorithm }: SegmentationOptions): DicomNode {
  const segments = [...new Map(frames.map(({ number, segment }) => [number, segment]))];
  return sq(
    0x00620002,
    ...segments.map(([number, { name }]) => {
      const { category, type, side } = codesOf(name);
      const typed = [...coded(type), ...(side ? [sq(0x00620011, coded(side))] : [])];
      return [
        us(0x00620004, number),
        lo(0x00620005, name),
        cs(0x00620008, 'AUTOMATIC'),
        lo(0x00620009, algorithm),
        sq(0x00620003, coded(category)),
        sq(0x0062000f, typed),
      ];
    }),
  );
}

function dimensions(seed: string): DicomNode[] {
  const uid = newUid(`${seed}/dimensions`);
  const index = (pointer: number, group: number, label: string): readonly DicomNode[] => [
    ui(0x00209164, uid),
    at(0x00209165, pointer),
    at(0x00209167, group),
    lo(0x00209421, label),
  ];
  return [
    sq(0x00209221, [ui(0x00209164, uid)]),
    sq(
      0x00209222,
      index(0x0062000b, 0x0062000a, 'Segment'),
      index(0x00200032, 0x00209113, 'Position along the normal of the slices'),
    ),
  ];
}

const lps = ([x, y, z]: Vec3): Vec3 => [-x, -y, z];
const unit = (v: Vec3): Vec3 => [v[0] / length(v), v[1] / length(v), v[2] / length(v)];

function sharedGroups({ affine, header }: DicomSeries): DicomNode {
  const [i, j, k] = ([0, 1, 2] as const).map((axis) => column(affine, axis)) as [Vec3, Vec3, Vec3];
  return sq(0x52009229, [
    sq(0x00209116, [ds(0x00200037, [...unit(lps(i)), ...unit(lps(j))])]),
    sq(0x00289110, [
      ds(0x00180050, [header.sliceThickness ?? length(k)]),
      ds(0x00180088, [length(k)]),
      ds(0x00280030, [length(j), length(i)]),
    ]),
  ]);
}

function frameGroups(series: DicomSeries, { number, k }: Frame): readonly DicomNode[] {
  const { instance } = series.slices.find((slice) => slice.k === k)!;
  const position = lps(k === 0 ? origin(series.affine) : apply(series.affine, [0, 0, k]));
  const source = [
    ...referenceTo(instance),
    sq(
      0x0040a170,
      coded({ value: '121322', scheme: 'DCM', meaning: 'Source image for image processing operation' }),
    ),
  ];
  const derivation = sq(0x00089124, [
    sq(0x00089215, coded({ value: '113076', scheme: 'DCM', meaning: 'Segmentation' })),
    sq(0x00082112, source),
  ]);
  return [
    derivation,
    sq(0x00209111, [ul(0x00209157, number, k + 1)]),
    sq(0x00209113, [ds(0x00200032, position)]),
    sq(0x0062000a, [us(0x0062000b, number)]),
  ];
}

function referenceTo(instance: DicomSeries['header']): DicomNode[] {
  const { sopClassUid, sopInstanceUid, frame, tile } = instance;
  return [
    ui(0x00081150, sopClassUid),
    ui(0x00081155, sopInstanceUid),
    ...(frame !== null && tile === null ? [textNode(0x00081160, 'IS', String(frame + 1))] : []),
  ];
}

/** Common Instance Reference (PS3.3 C.12.2): the images, each once. */
function referencedSeries({ slices, seriesUid }: DicomSeries): DicomNode {
  const byUid = new Map(slices.map(({ instance }) => [instance.sopInstanceUid, instance]));
  const instances = [...byUid.values()].map(({ sopClassUid, sopInstanceUid }) => [
    ui(0x00081150, sopClassUid),
    ui(0x00081155, sopInstanceUid),
  ]);
  return sq(0x00081115, [sq(0x0008114a, ...instances), ui(0x0020000e, seriesUid)]);
}

/** Frames bit by bit, the first pixel in the lowest bit, without gaps between frames (PS3.5 section 8.1.1, annex D). */
function packed({ shape }: DicomSeries, labels: Volume, frames: readonly Frame[]): Uint8Array {
  const area = shape[0] * shape[1];
  const bytes = new Uint8Array(2 * Math.ceil((frames.length * area) / 16));
  let bit = 0;
  for (const { segment, k } of frames)
    for (let n = k * area; n < (k + 1) * area; n++, bit++)
      if (labels.data[n] === segment.value) bytes[bit >> 3]! |= 1 << (bit & 7);
  return bytes;
}
