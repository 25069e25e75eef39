/**
 * NIfTI-1 and NIfTI-2 headers (nifti1.h, nifti2.h). nifti-reader-js is not used: it takes the qform before the sform
 * whenever qform_code is larger, ignores the qform of NIfTI-2, and reads no .hdr/.img pairs.
 */
import { determinant, spacing } from '../../volume/affine.js';
import { type Affine, type Vec3 } from '../../volume/volume.js';
import { type Datatype, datatypeOf } from './datatypes.js';
import { NiftiError } from './error.js';
import { affineFromQuaternion } from './quaternion.js';

export interface NiftiHeader {
  readonly version: 1 | 2;
  readonly littleEndian: boolean;
  /** Whether the voxels are in the same file ("n+1", "n+2") or in an .img beside it. */
  readonly singleFile: boolean;
  readonly datatype: Datatype;
  /** dim[1] to dim[dim[0]]. */
  readonly dims: readonly number[];
  readonly shape: Vec3;
  /** Product of dim[4] and above. */
  readonly frames: number;
  /** From frame to frame (pixdim[4] in its unit of time); null where the header does not say. */
  readonly seconds: number | null;
  /** Byte at which the voxels start. */
  readonly voxelOffset: number;
  readonly slope: number;
  readonly intercept: number;
  readonly affine: Affine;
  readonly affineSource: 'sform' | 'qform' | 'pixdim';
  readonly description: string;
  readonly intentCode: number;
}

/** The fields of both versions under one name, as read and unchecked. */
interface RawHeader {
  readonly version: 1 | 2;
  readonly littleEndian: boolean;
  readonly magic: string;
  readonly datatype: number;
  readonly dim: readonly number[];
  readonly pixdim: readonly number[];
  readonly voxelOffset: number;
  readonly slope: number;
  readonly intercept: number;
  readonly qformCode: number;
  readonly sformCode: number;
  readonly quaternion: Vec3;
  readonly quaternionOffset: Vec3;
  readonly sform: readonly number[];
  readonly xyztUnits: number;
  readonly description: string;
  readonly intentCode: number;
}

// No voxel of a person is larger: beyond this a header is damaged or its units are wrong.
const MAX_SPACING_MM = 1000;

/**
 * Reads and checks the header at the start of `bytes`.
 *
 * @throws NiftiError naming the file, the rule and what to do.
 */
export function readHeader(bytes: Uint8Array, name: string): NiftiHeader {
  const raw = readRaw(bytes, name);
  const singleFile = checkMagic(raw, name);
  const datatype = datatypeOf(raw.datatype, name);
  const dims = checkDims(raw, name);
  const shape: Vec3 = [dims[0]!, dims[1] ?? 1, dims[2] ?? 1];
  const { affine, source } = affineOf(raw, shape, name);
  return {
    version: raw.version,
    littleEndian: raw.littleEndian,
    singleFile,
    datatype,
    dims,
    shape,
    frames: dims.slice(3).reduce((product, dim) => product * dim, 1),
    seconds: secondsOf(raw, dims),
    voxelOffset: checkOffset(raw, singleFile, name),
    ...scalingOf(raw, name),
    affine,
    affineSource: source,
    description: raw.description,
    intentCode: raw.intentCode,
  };
}

// XYZT_TO_TIME of nifti1.h: seconds, milliseconds, microseconds.
const SECONDS_IN: Readonly<Record<number, number>> = { 8: 1, 16: 1e-3, 24: 1e-6 };

function secondsOf({ xyztUnits, pixdim }: RawHeader, dims: readonly number[]): number | null {
  const seconds = pixdim[4]! * (SECONDS_IN[xyztUnits & 0x38] ?? 0);
  return dims.length === 4 && seconds > 0 && Number.isFinite(seconds) ? seconds : null;
}

function readRaw(bytes: Uint8Array, name: string): RawHeader {
  if (bytes.length < 348)
    throw new NiftiError(
      `read NIfTI: ${name} must have a header of 348 or 540 bytes, got ${bytes.length} bytes; copy the file again`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const littleEndian of [true, false]) {
    const size = view.getInt32(0, littleEndian);
    if (size === 348) return readVersion1(view, littleEndian);
    if (size === 540) {
      if (bytes.length < 540)
        throw new NiftiError(`read NIfTI: ${name} ends inside its 540-byte header; copy the file again`);
      return readVersion2(view, littleEndian);
    }
  }
  throw new NiftiError(
    `read NIfTI: sizeof_hdr of ${name} must be 348 or 540, got ${view.getInt32(0, true)}; it is no NIfTI file`,
  );
}

function readVersion1(view: DataView, le: boolean): RawHeader {
  const f32 = (at: number): number => view.getFloat32(at, le);
  return {
    version: 1,
    littleEndian: le,
    magic: text(view, 344, 4),
    datatype: view.getInt16(70, le),
    dim: eight((n) => view.getInt16(40 + 2 * n, le)),
    pixdim: eight((n) => f32(76 + 4 * n)),
    voxelOffset: f32(108),
    slope: f32(112),
    intercept: f32(116),
    qformCode: view.getInt16(252, le),
    sformCode: view.getInt16(254, le),
    quaternion: [f32(256), f32(260), f32(264)],
    quaternionOffset: [f32(268), f32(272), f32(276)],
    sform: Array.from({ length: 12 }, (_, n) => f32(280 + 4 * n)),
    xyztUnits: view.getUint8(123),
    description: text(view, 148, 80),
    intentCode: view.getInt16(68, le),
  };
}

function readVersion2(view: DataView, le: boolean): RawHeader {
  const f64 = (at: number): number => view.getFloat64(at, le);
  const i64 = (at: number): number => Number(view.getBigInt64(at, le));
  return {
    version: 2,
    littleEndian: le,
    magic: text(view, 4, 8),
    datatype: view.getInt16(12, le),
    dim: eight((n) => i64(16 + 8 * n)),
    pixdim: eight((n) => f64(104 + 8 * n)),
    voxelOffset: i64(168),
    slope: f64(176),
    intercept: f64(184),
    qformCode: view.getInt32(344, le),
    sformCode: view.getInt32(348, le),
    quaternion: [f64(352), f64(360), f64(368)],
    quaternionOffset: [f64(376), f64(384), f64(392)],
    sform: Array.from({ length: 12 }, (_, n) => f64(400 + 8 * n)),
    xyztUnits: view.getInt32(500, le),
    description: text(view, 240, 80),
    intentCode: view.getInt32(504, le),
  };
}

const eight = (read: (n: number) => number): number[] => Array.from({ length: 8 }, (_, n) => read(n));

function text(view: DataView, at: number, length: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? length : end)).toString('latin1');
}

/** Whether the voxels follow in the same file. */
function checkMagic(raw: RawHeader, name: string): boolean {
  if (raw.magic.startsWith(`n+${raw.version}`)) return true;
  if (raw.magic.startsWith(`ni${raw.version}`)) return false;
  throw new NiftiError(
    `read NIfTI: magic of ${name} must be "n+${raw.version}" or "ni${raw.version}", got ${JSON.stringify(raw.magic)}; ` +
      'an ANALYZE 7.5 file does not say which way is left, so convert it to NIfTI with a tool that asks',
  );
}

function checkDims(raw: RawHeader, name: string): number[] {
  const count = raw.dim[0]!;
  if (count < 1 || count > 7)
    throw new NiftiError(`read NIfTI: dim[0] of ${name} must be 1 to 7, got ${count}; the header is damaged`);
  const dims = raw.dim.slice(1, count + 1);
  const wrong = dims.findIndex((dim) => !(dim >= 1 && Number.isSafeInteger(dim)));
  if (wrong >= 0)
    throw new NiftiError(
      `read NIfTI: dim[${wrong + 1}] of ${name} must be at least 1, got ${dims[wrong]!}; the header is damaged`,
    );
  return dims;
}

function checkOffset(raw: RawHeader, singleFile: boolean, name: string): number {
  const { voxelOffset } = raw;
  if (!Number.isInteger(voxelOffset) || voxelOffset < 0)
    throw new NiftiError(
      `read NIfTI: vox_offset of ${name} must be a whole number of bytes, got ${voxelOffset}; the header is damaged`,
    );
  // Some writers leave 0 in single files; no voxels can start before the header and its extension flag end.
  return singleFile ? Math.max(voxelOffset, raw.version === 1 ? 352 : 544) : voxelOffset;
}

/** nifti1.h: "if the scl_slope field is nonzero, then each voxel value is scaled". */
function scalingOf(raw: RawHeader, name: string): { slope: number; intercept: number } {
  const { slope, intercept } = raw;
  if (slope === 0 || !Number.isFinite(slope)) return { slope: 1, intercept: 0 };
  if (!Number.isFinite(intercept))
    throw new NiftiError(
      `read NIfTI: scl_inter of ${name} must be finite when scl_slope is ${slope}, got ${intercept}; correct the header`,
    );
  return { slope, intercept };
}

/** nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE": method 3 before 2 before 1; in millimetres. */
function affineOf(
  raw: RawHeader,
  shape: Vec3,
  name: string,
): { affine: Affine; source: NiftiHeader['affineSource'] } {
  const mm = millimetres(raw.xyztUnits);
  const source = raw.sformCode > 0 ? 'sform' : raw.qformCode > 0 ? 'qform' : 'pixdim';
  const size = ([1, 2, 3] as const).map((n) => voxelSize(raw.pixdim[n]!, shape[n - 1]!));
  const affine = (() => {
    if (source === 'sform') return scaled(raw.sform, mm);
    const [x, y, z] = size as [number, number, number];
    if (source === 'pixdim') return scaled([x, 0, 0, 0, 0, y, 0, 0, 0, 0, z, 0], mm);
    // nifti1.h: a pixdim[0] that is not -1 is taken as 1.
    const qfac = raw.pixdim[0]! < 0 ? -1 : 1;
    return scaled(affineFromQuaternion(raw.quaternion, [x, y, z], qfac, raw.quaternionOffset), mm);
  })();
  checkAffine(affine, source, name);
  return { affine, source };
}

/** Sizes are meant to be positive; a negative one is written by some tools for flipped axes and read as its size. */
function voxelSize(pixdim: number, dim: number): number {
  if (pixdim === 0 && dim === 1) return 1;
  return Math.abs(pixdim);
}

/** NIFTI_UNITS_METER 1, MM 2, MICRON 3 in the low three bits; what is unknown is taken as mm, as everyone does. */
function millimetres(xyztUnits: number): number {
  const unit = xyztUnits & 7;
  return unit === 1 ? 1000 : unit === 3 ? 0.001 : 1;
}

function scaled(rows: readonly number[], mm: number): Affine {
  const at = (n: number): number => rows[n]! * mm;
  return [
    [at(0), at(1), at(2), at(3)],
    [at(4), at(5), at(6), at(7)],
    [at(8), at(9), at(10), at(11)],
    [0, 0, 0, 1],
  ];
}

function checkAffine(affine: Affine, source: string, name: string): void {
  const values = affine.flat();
  if (!values.every(Number.isFinite))
    throw new NiftiError(
      `read NIfTI: the ${source} affine of ${name} must be finite, got ${values.slice(0, 12).join(' ')}; ` +
        'correct the header or set sform_code and qform_code to what is trustworthy',
    );
  const sizes = spacing(affine);
  if (sizes.some((mm) => !(mm > 0 && mm <= MAX_SPACING_MM)))
    throw new NiftiError(
      `read NIfTI: voxel sizes of ${name} must be above 0 and at most ${MAX_SPACING_MM} mm, got ${sizes.join(' × ')} ` +
        `from the ${source}; correct pixdim, xyzt_units or the affine`,
    );
  const volume = sizes[0] * sizes[1] * sizes[2];
  if (Math.abs(determinant(affine)) < 1e-4 * volume)
    throw new NiftiError(
      `read NIfTI: the axes of the ${source} affine of ${name} must span space, got a determinant of ` +
        `${determinant(affine)}; correct the header`,
    );
}
