/** From files in any order to stacks of parallel, evenly spaced slices: one stack is one volume. */
import { affineFrom, cross, dot } from '../../volume/affine.js';
import type { Affine, Vec3 } from '../../volume/volume.js';
import type { DicomInstance } from './instance.js';
import { splitRepeats } from './repeats.js';
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
  /** The header of the first slice along the normal. */
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
}

/** A stack on its way to a series, and what it was split by. */
export interface Stack {
  readonly placed: readonly Placed[];
  readonly part: readonly string[];
}

// Slices closer than a tenth of a slice are at one place (positions are rounded, and follow a moving head), within
// these bounds, because some headers give the thickness of the slab instead.
const SAME_PLACE_MM = { least: 0.02, most: 0.3 };
// Larger than any MR image; a damaged header must not ask for the memory.
const MAX_SIDE = 8192;
const MULTI_FRAME = new Set([
  '1.2.840.10008.5.1.4.1.1.4.1', // Enhanced MR Image Storage
  '1.2.840.10008.5.1.4.1.1.4.4', // Legacy Converted Enhanced MR Image Storage
]);
// Distances of neighbours that differ by less than this share of the step are one step (dcm2niix warns at 10% too).
const STEP_TOLERANCE = 0.1;

/**
 * Groups MR image files into volumes; the frames of a multi-frame file and the tiles of a mosaic count as files. They are grouped by Series Instance UID, then by orientation, matrix, pixel
 * spacing and image type; where slices still share positions the stack is split by what tells them apart (echo,
 * b-value, direction, time, acquisition …). Slices are sorted along the cross product of the image orientation's
 * row and column vectors (PS3.3 C.7.6.2.1.1). A distance of n steps is a gap of n - 1 missing slices; a distance
 * that is no multiple of the step, or longer than all slices there are, starts a new stack.
 *
 * Nothing is thrown for a bad file: it is left out and listed in `skipped` with the reason.
 */
export function groupSeries(instances: readonly DicomInstance[]): GroupedSeries {
  const skipped: SkippedFile[] = [];
  const bySeries = new Map<string, Placed[]>();
  const seen = new Set<string>();
  for (const instance of instances.flatMap((file) => (file.frames.length > 0 ? file.frames : [file]))) {
    const reason = unusable(instance);
    const placed = reason === null ? place(instance) : null;
    if (placed === null) {
      skipped.push({
        path: instance.path,
        reason: reason ?? 'its position or orientation is missing or malformed',
      });
      continue;
    }
    const uid = `${instance.sopInstanceUid}/${instance.frame ?? 0}`;
    if (instance.sopInstanceUid !== '' && seen.has(uid)) {
      skipped.push({ path: instance.path, reason: 'a copy of a file already read (same SOP Instance UID)' });
      continue;
    }
    seen.add(uid);
    const key = `${instance.studyUid}/${instance.seriesUid}`;
    const list = bySeries.get(key);
    if (list === undefined) bySeries.set(key, [placed]);
    else list.push(placed);
  }

  const series: DicomSeries[] = [];
  for (const members of bySeries.values()) {
    const stacks = splitByGeometry(members)
      .flatMap((stack) => splitRepeats(stack, samePlaceMm(stack), skipped))
      .flatMap(splitAtIrregularities);
    for (const stack of stacks) series.push(toSeries(stack, stacks.length > 1));
  }
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
  if (![8, 16, 32].includes(instance.bits.allocated))
    return `its pixels have ${instance.bits.allocated} bits`;
  if (rows === null || columns === null || rows === 0 || columns === 0) return 'rows or columns are missing';
  if (rows > MAX_SIDE || columns > MAX_SIDE)
    return `it has ${columns}×${rows} pixels, more than any MR image`;
  if (pixels.length !== 0xffffffff) {
    const image = instance.tile ?? { rows, columns };
    const expected = (image.rows * image.columns * instance.bits.allocated) / 8;
    const present = instance.transferSyntax.endsWith('.99')
      ? pixels.length
      : instance.fileSize - pixels.offset;
    if (Math.min(pixels.length, present) < expected)
      return 'it is truncated: the pixels end before the last row';
  }
  return null;
}

function place(instance: DicomInstance): Placed | null {
  const { imageOrientation, imagePosition, pixelSpacing, rows, columns } = instance;
  if (imageOrientation === null || imagePosition === null || pixelSpacing === null) return null;
  if (rows === null || columns === null) return null;
  const { row, column } = imageOrientation;
  const depth = dot(cross(row, column), imagePosition);
  return { instance, row, column, position: imagePosition, spacing: pixelSpacing, rows, columns, depth };
}

function samePlaceMm({ placed }: Stack): number {
  const { sliceThickness, spacingBetweenSlices } = placed[0]!.instance;
  const sizes = [sliceThickness, spacingBetweenSlices].filter((mm) => mm !== null && mm > 0);
  const slice = sizes.length === 0 ? 0 : Math.min(...(sizes as number[]));
  return Math.min(SAME_PLACE_MM.most, Math.max(SAME_PLACE_MM.least, slice / 10));
}

/** Orientation within 1e-3 of a direction cosine (0.06°), spacing within 1e-4 mm; the rest exactly. */
function splitByGeometry(members: readonly Placed[]): Stack[] {
  const groups: Placed[][] = [];
  for (const member of members) {
    const group = groups.find(([first]) => sameGrid(first!, member));
    if (group === undefined) groups.push([member]);
    else group.push(member);
  }
  const labels = groups.map(([first]) => gridLabels(first!, groups));
  // Only what differs between the groups is worth saying.
  const telling = labels[0]!.map((_, n) => new Set(labels.map((label) => label[n])).size > 1);
  return groups.map((placed, i) => ({ placed, part: labels[i]!.filter((_, n) => telling[n]) }));
}

/** What a group of slices on one grid can be told from the other groups of its series by. */
function gridLabels(first: Placed, groups: readonly (readonly Placed[])[]): string[] {
  const orientations = groups.map((group) => group[0]!);
  const orientation = orientations.findIndex((other) => sameOrientation(other, first));
  const earlier = orientations.filter(
    (other, n) => n < orientation && orientations.findIndex((o) => sameOrientation(o, other)) === n,
  );
  return [
    `image type ${first.instance.imageType.slice(2).join('\\') || 'unnamed'}`,
    `orientation ${earlier.length + 1}`,
    `matrix ${first.columns}×${first.rows}`,
    `pixels ${first.spacing[1]}×${first.spacing[0]} mm`,
  ];
}

const near = (u: readonly number[], v: readonly number[], tolerance: number): boolean =>
  u.every((value, i) => Math.abs(value - v[i]!) <= tolerance);

const sameOrientation = (a: Placed, b: Placed): boolean =>
  near(a.row, b.row, 1e-3) && near(a.column, b.column, 1e-3);

function sameGrid(a: Placed, b: Placed): boolean {
  return (
    a.rows === b.rows &&
    a.columns === b.columns &&
    sameOrientation(a, b) &&
    near(a.spacing, b.spacing, 1e-4) &&
    a.instance.imageType.join('\\') === b.instance.imageType.join('\\')
  );
}

/** Cuts a stack where neighbours are neither one step nor a whole number of steps apart. */
function splitAtIrregularities(stack: Stack): Stack[] {
  const sorted = [...stack.placed].sort((a, b) => a.depth - b.depth);
  const step = stepOf(sorted);
  const pieces: Placed[][] = [[]];
  sorted.forEach((placed, n) => {
    const before = sorted[n - 1];
    if (before !== undefined) {
      const steps = stepsIn(placed.depth - before.depth, step, sorted.length);
      if (steps === null || drifts(before, placed, sorted[0]!)) pieces.push([]);
    }
    pieces[pieces.length - 1]!.push(placed);
  });
  if (pieces.length === 1) return [{ ...stack, placed: sorted }];
  return pieces.map((placed, i) => ({ placed, part: [...stack.part, `stack ${i + 1}`] }));
}

/** How many steps a distance is; null when that is no whole number, or leaves a longer gap than there are slices. */
function stepsIn(distance: number, step: number, slices: number): number | null {
  const steps = Math.round(distance / step);
  if (steps < 1 || steps - 1 > slices) return null;
  return Math.abs(distance - steps * step) <= STEP_TOLERANCE * step ? steps : null;
}

/** The distance of neighbours that explains most distances as a whole number of steps; the largest of those. */
function stepOf(sorted: readonly Placed[]): number {
  const gaps = sorted.slice(1).map((placed, n) => placed.depth - sorted[n]!.depth);
  if (gaps.length === 0) return 1;
  const explained = (step: number): number =>
    gaps.filter((gap) => stepsIn(gap, step, sorted.length) !== null).length;
  // Distances that are the same but for rounding are tried once, at their mean.
  const candidates: number[][] = [];
  for (const gap of [...gaps].sort((a, b) => b - a)) {
    const last = candidates[candidates.length - 1];
    if (last !== undefined && last[0]! - gap <= STEP_TOLERANCE * last[0]!) last.push(gap);
    else candidates.push([gap]);
  }
  const means = candidates.map((same) => same.reduce((sum, gap) => sum + gap, 0) / same.length);
  return means.reduce((best, step) => (explained(step) > explained(best) ? step : best));
}

/** Whether a slice is shifted in its plane by more than half its depth step: another slab, not the next slice. */
function drifts(before: Placed, after: Placed, first: Placed): boolean {
  const moved: Vec3 = [
    after.position[0] - before.position[0],
    after.position[1] - before.position[1],
    after.position[2] - before.position[2],
  ];
  const along = dot(cross(first.row, first.column), moved);
  return (
    Math.hypot(dot(moved, first.row), dot(moved, first.column)) > Math.abs(along) * 0.5 + SAME_PLACE_MM.least
  );
}

function toSeries(stack: Stack, several: boolean): DicomSeries {
  const { placed } = stack;
  const first = placed[0]!;
  const last = placed[placed.length - 1]!;
  const step = stepOf(placed);
  let k = 0;
  const slices = placed.map((p, n) => {
    if (n > 0) k += Math.max(1, Math.round((p.depth - placed[n - 1]!.depth) / step));
    return { instance: p.instance, k };
  });
  const count = k + 1;
  const present = new Set(slices.map((slice) => slice.k));
  const missing = Array.from({ length: count }, (_, n) => n).filter((n) => !present.has(n));
  return {
    seriesUid: first.instance.seriesUid,
    studyUid: first.instance.studyUid,
    part: several ? stack.part.join(', ') : '',
    header: first.instance,
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
