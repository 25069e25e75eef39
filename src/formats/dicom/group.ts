/** From files in any order to stacks of parallel, evenly spaced slices: one stack is one volume. */
import { affineFrom, cross, dot } from '../../volume/affine.js';
import type { Affine, Vec3 } from '../../volume/volume.js';
import { type AxisValue, type SeriesAxis, seriesAxes } from './axes.js';
import { splitAtIrregularities, splitByGeometry, stepOf, stepsFrom } from './grid.js';
import type { DicomInstance } from './instance.js';
import { SAME_PLACE_MM, splitRepeats } from './repeats.js';
import { transferSyntaxName } from './syntax.js';

export interface SkippedFile {
  readonly path: string;
  readonly reason: string;
}

/** One volume's worth of a DICOM series. */
export interface DicomSeries {
  readonly seriesUid: string;
  readonly studyUid: string;
  /** What tells this stack from the others of its series, e.g. "b-value 800"; '' where it is the only one. */
  readonly part: string;
  /** The same for programs, outermost first; empty where it is the only volume. */
  readonly axes: readonly SeriesAxis[];
  /** The header of the first slice along the normal that is there. */
  readonly header: DicomInstance;
  /** Files or frames in order along the normal, and the index k at which each lies. */
  readonly slices: readonly { readonly instance: DicomInstance; readonly k: number }[];
  /** [columns, rows, slice positions], missing positions counted. */
  readonly shape: Vec3;
  /** Voxel (column, row, k) to RAS+ mm. */
  readonly affine: Affine;
  /** Positions along k at which no slice was found. */
  readonly missingSlices: readonly number[];
}

export interface GroupedSeries {
  readonly series: DicomSeries[];
  readonly skipped: SkippedFile[];
}

/** An instance whose geometry is known to be complete, and its distance along the normal. */
export interface Placed {
  readonly instance: DicomInstance;
  readonly row: Vec3;
  readonly column: Vec3;
  readonly position: Vec3;
  readonly spacing: readonly [number, number];
  readonly rows: number;
  readonly columns: number;
  /** mm along the normal of the slices. */
  readonly depth: number;
  /** Whether its pixels are there: of a truncated file only the place is known. */
  readonly present: boolean;
}

/** A stack on its way to a series, and what it was split by. */
export interface Stack {
  readonly placed: readonly Placed[];
  readonly part: readonly string[];
  readonly axes: readonly AxisValue[];
}

// Larger than any MR image; a damaged header must not ask for the memory.
const MAX_SIDE = 8192;
const MULTI_FRAME = new Set([
  '1.2.840.10008.5.1.4.1.1.4.1', // Enhanced MR Image Storage
  '1.2.840.10008.5.1.4.1.1.4.4', // Legacy Converted Enhanced MR Image Storage
]);

/**
 * Groups MR image files into volumes; the frames of a multi-frame file and the tiles of a mosaic count as files. They
 * are grouped by Series Instance UID, then by orientation, matrix, pixel spacing and image type; where slices still
 * share positions the stack is split by what tells them apart (echo, b-value, direction, time, acquisition …). Slices
 * are sorted along the cross product of the image orientation's row and column vectors (PS3.3 C.7.6.2.1.1). A distance
 * of n steps is a gap of n - 1 missing slices; a distance that is no multiple of the step, or longer than all slices
 * there are, starts a new stack. The place of a file whose pixels are cut off is a missing slice too.
 *
 * Nothing is thrown for a bad file: it is left out and listed in `skipped` with the reason.
 */
export function groupSeries(instances: readonly DicomInstance[]): GroupedSeries {
  const skipped: SkippedFile[] = [];
  const duplicates: DicomInstance[] = [];
  const bySeries = new Map<string, Placed[]>();
  const seen = new Set<string>();
  const images = instances.flatMap((file) => (file.frames.length > 0 ? file.frames : [file]));
  const add = (instance: DicomInstance, present: boolean): void => {
    const reason = unusable(instance);
    const placed = reason === null ? place(instance, present) : null;
    if (placed === null) {
      skipped.push({
        path: instance.path,
        reason: reason ?? 'its position or orientation is missing or malformed',
      });
      return;
    }
    // Some anonymisers give every image of a study one UID, so a copy must also lie where the first lies.
    const uid = `${instance.sopInstanceUid}/${instance.frame ?? 0}/${instance.instanceNumber ?? ''}/${placed.position.join('/')}`;
    const isCopy = instance.sopInstanceUid !== '' && seen.has(uid);
    if (!present)
      skipped.push({ path: instance.path, reason: 'it is truncated: the pixels end before the last row' });
    else if (isCopy)
      skipped.push({ path: instance.path, reason: 'a copy of a file already read (same SOP Instance UID)' });
    if (isCopy) return;
    seen.add(uid);
    const key = `${instance.studyUid}/${instance.seriesUid}`;
    const list = bySeries.get(key);
    if (list === undefined) bySeries.set(key, [placed]);
    else list.push(placed);
  };
  // Whole ones first, so that a truncated copy does not take the place of a whole one.
  for (const instance of images) if (!isTruncated(instance)) add(instance, true);
  for (const instance of images) if (isTruncated(instance)) add(instance, false);

  const series: DicomSeries[] = [];
  for (const members of bySeries.values()) {
    const stacks = splitByGeometry(members)
      .flatMap((stack) => splitRepeats(stack, samePlaceMm(stack), duplicates))
      .flatMap(splitAtIrregularities)
      .filter(({ placed }) => placed.some(({ present }) => present));
    const axes = seriesAxes(stacks.map((stack) => stack.axes));
    stacks.forEach((stack, n) => series.push(toSeries(stack, stacks.length > 1, axes[n]!)));
  }
  for (const { path } of duplicates)
    skipped.push({ path, reason: 'another slice of its series has the same position' });
  return { series, skipped: onceEach(skipped) };
}

/** The frames of a file are often left out for the same reason. */
function onceEach(skipped: readonly SkippedFile[]): SkippedFile[] {
  return [...new Map(skipped.map((file) => [`${file.path}\n${file.reason}`, file])).values()];
}

/** Why a file is no slice of an MR volume; null when it is one. */
function unusable(instance: DicomInstance): string | null {
  const { pixels, rows, columns } = instance;
  if (instance.modality !== 'MR') return `modality is ${instance.modality || 'not given'}, not MR`;
  if (pixels === null) return 'it has no pixel data';
  if (instance.frame === null && instance.imageType.includes('MOSAIC'))
    return 'it is a Siemens mosaic (many slices in one image) without the number of slices or their normal';
  if (instance.frame === null && (instance.numberOfFrames > 1 || MULTI_FRAME.has(instance.sopClassUid)))
    return 'it is a multi-frame image without functional groups for every frame, which would say where each lies';
  if (transferSyntaxName(instance.transferSyntax) === null)
    return `its transfer syntax ${instance.transferSyntax} is not supported`;
  if (instance.samplesPerPixel !== 1 || !/^(MONOCHROME[12])?$/.test(instance.photometric))
    return `its pixels are ${instance.photometric || 'in colour'}, not grey values`;
  if (!(instance.bits.float ? [32, 64] : [8, 16, 32]).includes(instance.bits.allocated))
    return `its pixels have ${instance.bits.allocated} bits`;
  if (rows === null || columns === null || rows === 0 || columns === 0) return 'rows or columns are missing';
  if (rows > MAX_SIDE || columns > MAX_SIDE)
    return `it has ${columns}×${rows} pixels, more than any MR image`;
  return null;
}

/** Whether the file ends before the last row of its native pixels. Fragments show that only when they are decoded. */
function isTruncated(instance: DicomInstance): boolean {
  const { pixels, rows, columns } = instance;
  if (pixels === null || rows === null || columns === null || pixels.length === 0xffffffff) return false;
  const image = instance.tile ?? { rows, columns };
  const expected = (image.rows * image.columns * instance.bits.allocated) / 8;
  const present = instance.transferSyntax.endsWith('.99') ? pixels.length : instance.fileSize - pixels.offset;
  return Math.min(pixels.length, present) < expected;
}

function place(instance: DicomInstance, present: boolean): Placed | null {
  const { imageOrientation, imagePosition, pixelSpacing, rows, columns } = instance;
  if (imageOrientation === null || imagePosition === null || pixelSpacing === null) return null;
  if (rows === null || columns === null) return null;
  const { row, column } = imageOrientation;
  const depth = dot(cross(row, column), imagePosition);
  return {
    instance,
    row,
    column,
    position: imagePosition,
    spacing: pixelSpacing,
    rows,
    columns,
    depth,
    present,
  };
}

function samePlaceMm({ placed }: Stack): number {
  const { sliceThickness, spacingBetweenSlices } = placed[0]!.instance;
  const sizes = [sliceThickness, spacingBetweenSlices].filter((mm) => mm !== null && mm > 0);
  const slice = sizes.length === 0 ? 0 : Math.min(...(sizes as number[]));
  return Math.min(SAME_PLACE_MM.most, Math.max(SAME_PLACE_MM.least, slice / 10));
}

function toSeries(stack: Stack, several: boolean, axes: readonly SeriesAxis[]): DicomSeries {
  const { placed } = stack;
  const first = placed[0]!;
  const last = placed[placed.length - 1]!;
  const ks = stepsFrom(placed, stepOf(placed));
  const slices = placed.flatMap((p, n) => (p.present ? [{ instance: p.instance, k: ks[n]! }] : []));
  const count = ks[ks.length - 1]! + 1;
  const present = new Set(slices.map((slice) => slice.k));
  const missing = Array.from({ length: count }, (_, n) => n).filter((n) => !present.has(n));
  const header = slices[0]!.instance;
  return {
    seriesUid: header.seriesUid,
    studyUid: header.studyUid,
    part: several ? stack.part.join(', ') : '',
    axes,
    header,
    slices,
    shape: [first.columns, first.rows, count],
    affine: affineOf(first, last, count),
    missingSlices: missing,
  };
}

/**
 * PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, with x and y negated: DICOM is LPS+, Precess RAS+. Index i is the
 * column, which moves along the row vector by the distance of column centres. The step along k runs from the first
 * to the last position, which averages the rounding of the positions in between.
 */
function affineOf(first: Placed, last: Placed, count: number): Affine {
  // Adding 0 turns -0 into 0.
  const ras = (v: Vec3, factor: number): Vec3 => [-v[0] * factor + 0, -v[1] * factor + 0, v[2] * factor + 0];
  const normal = cross(first.row, first.column);
  const thickness = first.instance.spacingBetweenSlices ?? first.instance.sliceThickness ?? 1;
  const step: Vec3 =
    count > 1
      ? ras(
          [
            last.position[0] - first.position[0],
            last.position[1] - first.position[1],
            last.position[2] - first.position[2],
          ],
          1 / (count - 1),
        )
      : ras(normal, thickness > 0 ? thickness : 1);
  return affineFrom(
    ras(first.row, first.spacing[1]),
    ras(first.column, first.spacing[0]),
    step,
    ras(first.position, 1),
  );
}
