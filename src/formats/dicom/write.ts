/** Writes a volume as the files of a classic MR series (PS3.3 A.4: MR Image Storage), one a slice. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { column, length, origin } from '../../volume/affine.js';
import { type Vec3, type Volume, VolumeError } from '../../volume/volume.js';
import { type DicomNode, encodeNode } from './tree.js';
import { IMPLEMENTATION, newUid } from './uid.js';

export { newUid };

/** What a written series says about itself. Units are DICOM's: ms, mm, degrees, tesla; null where it is not known. */
export interface MrHeader {
  readonly patientId: string;
  /** "Family^Given" */
  readonly patientName: string;
  /** "YYYYMMDD" or ''. */
  readonly birthDate: string;
  readonly sex: 'M' | 'F' | 'O' | '';
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly frameOfReferenceUid: string;
  /** "YYYYMMDD" */
  readonly studyDate: string;
  readonly studyDescription?: string;
  readonly accessionNumber?: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly fieldStrengthT: number | null;
  readonly seriesDescription: string;
  readonly protocolName: string;
  /** Defined term of Body Part Examined, e.g. "BRAIN". */
  readonly bodyPart: string;
  readonly sequenceName: string;
  /** "SE", "GR", "IR", "EP", or several: "SE\\IR". */
  readonly scanningSequence: string;
  readonly acquisitionType?: '2D' | '3D';
  readonly repetitionTime: number | null;
  readonly echoTime: number | null;
  readonly inversionTime?: number;
  readonly flipAngle: number | null;
  /** Along the normal; the distance of the slices comes from the volume's affine. */
  readonly sliceThickness: number;
  readonly seriesNumber: number;
  /** s/mm², written to (0018,9087). */
  readonly diffusionBValue?: number;
  readonly contrastAgent?: string;
  /** Image Comments (0020,4000). */
  readonly comments?: string;
  /** Image Type (0008,0008); "ORIGINAL\\PRIMARY\\M" where not given. */
  readonly imageType?: readonly string[];
  /** More elements of every file. */
  readonly more?: readonly DicomNode[];
  /** Slices along k that are not written, as if they had been lost. */
  readonly skipSlices?: readonly number[];
}

const MR_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.4';
const EXPLICIT_LITTLE = '1.2.840.10008.1.2.1';
const LONG_VRS = new Set(['OB', 'OW', 'UT']);
const FILES_AT_A_TIME = 8;

/**
 * Writes one uncompressed file (explicit VR little endian, 16 bits) for every slice along k into `dir`, which is
 * made where it is missing, and returns their paths. Integer volumes that fit 16 bits are stored as they are;
 * others are spread over 0–65535 with a Rescale Slope and Intercept. Unmeasured voxels get a
 * value that no measured voxel has and that Pixel Padding Value (0028,0120) names; non-finite ones become 0.
 *
 * @throws VolumeError when rows and columns are not perpendicular or more than 65535 long: DICOM has no such image.
 */
export async function writeDicomSeries(dir: string, volume: Volume, header: MrHeader): Promise<string[]> {
  const geometry = geometryOf(volume);
  const stored = storedPixels(volume);
  const skip = new Set(header.skipSlices ?? []);
  const [columns, rows, count] = volume.shape;
  await mkdir(dir, { recursive: true });
  const slices = Array.from({ length: count }, (_, k) => k).filter((k) => !skip.has(k));
  const paths = slices.map((k) => join(dir, `${String(k + 1).padStart(5, '0')}.dcm`));
  const write = async (n: number): Promise<void> => {
    const k = slices[n]!;
    const area = rows * columns;
    const pixels = stored.values.subarray(k * area, (k + 1) * area);
    await writeFile(paths[n]!, encodeSlice(volume.shape, k, geometry, stored, pixels, header));
  };
  for (let n = 0; n < slices.length; n += FILES_AT_A_TIME)
    await Promise.all(slices.slice(n, n + FILES_AT_A_TIME).map((_, offset) => write(n + offset)));
  return paths;
}

interface Geometry {
  readonly row: Vec3;
  readonly column: Vec3;
  readonly step: Vec3;
  readonly origin: Vec3;
  readonly spacing: readonly [number, number, number];
}

/** The volume's axes in DICOM's LPS+ (PS3.3 C.7.6.2.1.1). */
function geometryOf(volume: Volume): Geometry {
  const lps = (v: Vec3): Vec3 => [-v[0], -v[1], v[2]];
  const [i, j, k] = ([0, 1, 2] as const).map((axis) => lps(column(volume.affine, axis))) as [
    Vec3,
    Vec3,
    Vec3,
  ];
  const unit = (v: Vec3): Vec3 => [v[0] / length(v), v[1] / length(v), v[2] / length(v)];
  const cosine = unit(i).reduce((sum, value, n) => sum + value * unit(j)[n]!, 0);
  if (!(Math.abs(cosine) < 1e-3))
    throw new VolumeError(
      `write DICOM: rows and columns must be perpendicular, got a cosine of ${cosine}; resample the volume first`,
    );
  if (volume.shape[0] > 65535 || volume.shape[1] > 65535)
    throw new VolumeError(
      `write DICOM: a slice has at most 65535 rows and columns, got ${volume.shape.join('×')}`,
    );
  return {
    row: unit(i),
    column: unit(j),
    step: k,
    origin: lps(origin(volume.affine)),
    spacing: [length(i), length(j), length(k)],
  };
}

interface Stored {
  readonly values: Int16Array | Uint16Array;
  readonly signed: boolean;
  readonly slope: number;
  readonly intercept: number;
  /** Stored value of unmeasured voxels that no measured one has; null where there are none, or no value is free. */
  readonly padding: number | null;
  /** Of the rescaled values. */
  readonly min: number;
  readonly max: number;
}

function storedPixels(volume: Volume): Stored {
  const { data, valid, slope, intercept } = volume;
  const measured = (n: number): boolean => Number.isFinite(data[n]) && (valid === null || valid[n] === 1);
  let min = Infinity;
  let max = -Infinity;
  for (let n = 0; n < data.length; n++) {
    if (!measured(n)) continue;
    min = Math.min(min, data[n]!);
    max = Math.max(max, data[n]!);
  }
  if (min > max) [min, max] = [0, 0];
  const range = { min: min * slope + intercept, max: max * slope + intercept };
  const isFloat = data instanceof Float32Array || data instanceof Float64Array;
  const signed = !isFloat && min < 0;
  const partial = valid?.includes(0) === true;
  if (!isFloat && (signed ? min >= -32768 && max <= 32767 : max <= 65535)) {
    const values = signed ? new Int16Array(data.length) : new Uint16Array(data.length);
    // Where 0 is a measured value all values move up by one, and the intercept down.
    const up = partial && !signed && min === 0 && max < 65535 ? 1 : 0;
    const free = signed ? (min > -32768 ? min - 1 : null) : min + up > 0 ? 0 : null;
    const padding = partial ? free : null;
    for (let n = 0; n < data.length; n++) values[n] = measured(n) ? data[n]! + up : (padding ?? 0);
    return { values, signed, slope, intercept: intercept - up * slope, padding, ...range };
  }
  // 0 is left to what was not measured.
  const first = partial ? 1 : 0;
  const step = max > min ? (max - min) / (65535 - first) : 1;
  const values = new Uint16Array(data.length);
  for (let n = 0; n < data.length; n++)
    values[n] = measured(n) ? first + Math.round((data[n]! - min) / step) : 0;
  return {
    values,
    signed: false,
    slope: step * slope,
    intercept: (min - first * step) * slope + intercept,
    padding: partial ? 0 : null,
    ...range,
  };
}

function encodeSlice(
  shape: Vec3,
  k: number,
  geometry: Geometry,
  stored: Stored,
  pixels: Int16Array | Uint16Array,
  header: MrHeader,
): Uint8Array {
  const { row, column: down, origin: first, step, spacing } = geometry;
  const position = first.map((value, n) => value + k * step[n]!);
  const normal: Vec3 = [
    row[1] * down[2] - row[2] * down[1],
    row[2] * down[0] - row[0] * down[2],
    row[0] * down[1] - row[1] * down[0],
  ];
  const location = position.reduce((sum, value, n) => sum + value * normal[n]!, 0);
  const uid = newUid(`${header.seriesUid}/${k}`);
  const hasRescale = stored.slope !== 1 || stored.intercept !== 0;
  const b = header.diffusionBValue;
  const dataSet = [
    text(0x00080005, 'CS', 'ISO_IR 192'),
    text(0x00080008, 'CS', (header.imageType ?? ['ORIGINAL', 'PRIMARY', 'M']).join('\\')),
    text(0x00080016, 'UI', MR_IMAGE_STORAGE),
    text(0x00080018, 'UI', uid),
    text(0x00080020, 'DA', header.studyDate),
    text(0x00080021, 'DA', header.studyDate),
    text(0x00080030, 'TM', ''),
    text(0x00080050, 'SH', header.accessionNumber ?? ''),
    text(0x00080060, 'CS', 'MR'),
    text(0x00080070, 'LO', header.manufacturer),
    text(0x00080090, 'PN', ''),
    text(0x00081030, 'LO', header.studyDescription ?? ''),
    text(0x0008103e, 'LO', header.seriesDescription),
    text(0x00081090, 'LO', header.model),
    text(0x00100010, 'PN', header.patientName),
    text(0x00100020, 'LO', header.patientId),
    text(0x00100030, 'DA', header.birthDate),
    text(0x00100040, 'CS', header.sex),
    header.contrastAgent === undefined ? EMPTY : text(0x00180010, 'LO', header.contrastAgent),
    text(0x00180015, 'CS', header.bodyPart),
    text(0x00180020, 'CS', header.scanningSequence),
    text(0x00180021, 'CS', 'NONE'),
    text(0x00180022, 'CS', ''),
    text(0x00180023, 'CS', header.acquisitionType ?? '2D'),
    text(0x00180024, 'SH', header.sequenceName),
    text(0x00180050, 'DS', decimal(header.sliceThickness)),
    text(0x00180080, 'DS', orEmpty(header.repetitionTime)),
    text(0x00180081, 'DS', orEmpty(header.echoTime)),
    header.inversionTime === undefined ? EMPTY : text(0x00180082, 'DS', decimal(header.inversionTime)),
    text(0x00180087, 'DS', orEmpty(header.fieldStrengthT)),
    shape[2] > 1 ? text(0x00180088, 'DS', decimal(spacing[2])) : EMPTY,
    text(0x00180091, 'IS', ''),
    text(0x00181030, 'LO', header.protocolName),
    text(0x00181314, 'DS', orEmpty(header.flipAngle)),
    text(0x00185100, 'CS', 'HFS'),
    b === undefined ? EMPTY : element(0x00189087, 'FD', float64(b)),
    text(0x0020000d, 'UI', header.studyUid),
    text(0x0020000e, 'UI', header.seriesUid),
    text(0x00200010, 'SH', ''),
    text(0x00200011, 'IS', String(header.seriesNumber)),
    text(0x00200012, 'IS', '1'),
    text(0x00200013, 'IS', String(k + 1)),
    text(0x00200032, 'DS', position.map(decimal).join('\\')),
    text(0x00200037, 'DS', [...row, ...down].map(decimal).join('\\')),
    text(0x00200052, 'UI', header.frameOfReferenceUid),
    text(0x00201040, 'LO', ''),
    text(0x00201041, 'DS', decimal(location)),
    header.comments === undefined ? EMPTY : text(0x00204000, 'LT', header.comments),
    uint16(0x00280002, 1),
    text(0x00280004, 'CS', 'MONOCHROME2'),
    uint16(0x00280010, shape[1]),
    uint16(0x00280011, shape[0]),
    text(0x00280030, 'DS', [spacing[1], spacing[0]].map(decimal).join('\\')),
    uint16(0x00280100, 16),
    uint16(0x00280101, 16),
    uint16(0x00280102, 15),
    uint16(0x00280103, stored.signed ? 1 : 0),
    text(0x00281050, 'DS', decimal((stored.min + stored.max) / 2)),
    text(0x00281051, 'DS', decimal(Math.max(1, stored.max - stored.min))),
    hasRescale ? text(0x00281052, 'DS', decimal(stored.intercept)) : EMPTY,
    hasRescale ? text(0x00281053, 'DS', decimal(stored.slope)) : EMPTY,
    hasRescale ? text(0x00281054, 'LO', 'US') : EMPTY,
    stored.padding === null
      ? EMPTY
      : uint16(0x00280120, stored.padding & 0xffff, stored.signed ? 'SS' : 'US'),
    element(0x7fe00010, 'OW', Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength)),
    ...(header.more ?? []).map((node) => Buffer.concat(encodeNode(node))),
  ]
    .filter((one) => one.length > 0)
    .sort((a, b) => tagAt(a) - tagAt(b));
  const meta = Buffer.concat([
    element(0x00020001, 'OB', Buffer.from([0, 1])),
    text(0x00020002, 'UI', MR_IMAGE_STORAGE),
    text(0x00020003, 'UI', uid),
    text(0x00020010, 'UI', EXPLICIT_LITTLE),
    text(0x00020012, 'UI', IMPLEMENTATION),
    text(0x00020013, 'SH', 'PRECESS'),
  ]);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(meta.length);
  return Buffer.concat([PREAMBLE, element(0x00020000, 'UL', groupLength), meta, ...dataSet]);
}

const tagAt = (encoded: Buffer): number => encoded.readUInt16LE(0) * 0x10000 + encoded.readUInt16LE(2);
const orEmpty = (value: number | null): string => (value === null ? '' : decimal(value));

const EMPTY = Buffer.alloc(0);
const PREAMBLE = Buffer.concat([Buffer.alloc(128), Buffer.from('DICM', 'latin1')]);

/** Explicit VR little endian (PS3.5 section 7.1.2); odd values are padded with `pad`. */
function element(tag: number, vr: string, value: Buffer, pad = 0): Buffer {
  const isLong = LONG_VRS.has(vr);
  const start = isLong ? 12 : 8;
  const size = value.length + (value.length % 2);
  const out = Buffer.alloc(start + size, pad);
  out.writeUInt16LE(tag >>> 16, 0);
  out.writeUInt16LE(tag & 0xffff, 2);
  out.write(vr, 4, 'latin1');
  if (isLong) {
    out.writeUInt16LE(0, 6);
    out.writeUInt32LE(size, 8);
  } else out.writeUInt16LE(size, 6);
  value.copy(out, start);
  return out;
}

// PS3.5 section 6.2: the longest text of a VR, in characters.
const LONGEST: Readonly<Record<string, number>> = { SH: 16, LO: 64, PN: 64, LT: 10240 };

function text(tag: number, vr: string, value: string): Buffer {
  const fitted = value.slice(0, LONGEST[vr] ?? value.length);
  return element(tag, vr, Buffer.from(fitted, 'utf8'), vr === 'UI' ? 0 : 0x20);
}

function uint16(tag: number, value: number, vr = 'US'): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return element(tag, vr, bytes);
}

function float64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** Decimal String (PS3.5 section 6.2): at most 16 characters, with as many digits as they hold. */
export function decimal(value: number): string {
  if (!Number.isFinite(value)) throw new VolumeError(`write DICOM: numbers must be finite, got ${value}`);
  let digits = 16;
  let written = String(value);
  while (written.length > 16) written = String(Number(value.toPrecision(--digits)));
  return written;
}
