/** Which slices lie on one regular grid: the geometry that they share, and the distances between them. */
import { cross, dot } from '../../volume/affine.js';
import type { Vec3 } from '../../volume/volume.js';
import type { AxisValue } from './axes.js';
import type { Placed, Stack } from './group.js';
import { SAME_PLACE_MM } from './repeats.js';

// Distances of neighbours that differ by less than this share of the step are one step (dcm2niix warns at 10% too).
const STEP_TOLERANCE = 0.1;

/** Orientation within 1e-3 of a direction cosine (0.06°), spacing within 1e-4 mm; the rest exactly. */
export function splitByGeometry(members: readonly Placed[]): Stack[] {
  const groups: Placed[][] = [];
  for (const member of members) {
    const group = groups.find(([first]) => sameGrid(first!, member));
    if (group === undefined) groups.push([member]);
    else group.push(member);
  }
  const labels = groups.map(([first]) => gridLabels(first!, groups));
  // Only what differs between the groups is worth saying.
  const telling = labels[0]!.map((_, n) => new Set(labels.map((label) => label[n])).size > 1);
  const axes = gridAxes(groups.map(([first]) => first!));
  return groups.map((placed, i) => ({
    placed,
    part: labels[i]!.filter((_, n) => telling[n]),
    axes: axes[i]!,
  }));
}

/** Signal part and image type where they differ, and the grids in the order in which they are found. */
function gridAxes(firsts: readonly Placed[]): AxisValue[][] {
  const parts = firsts.map(({ instance }) => instance.complexPart);
  const differ = new Set(parts).size > 1;
  const types = firsts.map(({ instance, ...rest }, n) => {
    const others = firsts.filter((other, m) => m !== n && sameShape(other, { ...rest, instance }));
    // What the part of the signal says already is not said again.
    const unexplained = others.some(
      (other) => !differ || other.instance.complexPart === instance.complexPart,
    );
    return unexplained ? instance.imageType.slice(2).join('\\') : '';
  });
  const shapes = firsts.map((first) => firsts.findIndex((other) => sameShape(other, first)));
  const numbers = [...new Set(shapes)];
  return firsts.map((_, n) => [
    ...(numbers.length > 1 ? [{ name: 'stack' as const, value: numbers.indexOf(shapes[n]!) + 1 }] : []),
    ...(differ ? [{ name: 'part' as const, value: parts[n] === '' ? null : parts[n]! }] : []),
    ...(types[n] !== '' ? [{ name: 'image type' as const, value: types[n]! }] : []),
  ]);
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

function sameShape(a: Placed, b: Placed): boolean {
  return (
    a.rows === b.rows && a.columns === b.columns && sameOrientation(a, b) && near(a.spacing, b.spacing, 1e-4)
  );
}

const sameGrid = (a: Placed, b: Placed): boolean =>
  sameShape(a, b) && a.instance.imageType.join('\\') === b.instance.imageType.join('\\');

/**
 * Cuts a stack where neighbours are neither one step nor a whole number of steps apart, and where slices that are lie
 * off the straight line that a volume's slices are on.
 */
export function splitAtIrregularities(stack: Stack): Stack[] {
  const sorted = [...stack.placed].sort((a, b) => a.depth - b.depth);
  const straight = evenPieces(sorted).flatMap(straightPieces);
  if (straight.length === 1) return [{ ...stack, placed: sorted }];
  return straight.map((placed, i) => ({
    placed,
    part: [...stack.part, `stack ${i + 1}`],
    axes: [...stack.axes, { name: 'stack', value: i + 1 }],
  }));
}

/** Pieces of one step each. Slices that the most frequent step leaves alone may have a step of their own. */
function evenPieces(sorted: readonly Placed[]): Placed[][] {
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
  const even: Placed[][] = [];
  for (let n = 0; n < pieces.length;) {
    let end = n;
    while (end < pieces.length && pieces[end]!.length === 1) end++;
    if (end === n) even.push(pieces[n++]!);
    else {
      const alone = pieces.slice(n, end).flat();
      even.push(
        ...(alone.length > 1 && alone.length < sorted.length ? evenPieces(alone) : pieces.slice(n, end)),
      );
      n = end;
    }
  }
  return even;
}

/**
 * One affine puts slices on a straight line at even distances, from the first position to the last. A piece of which a
 * slice lies more than a quarter of a step (and 0.3 mm) off is cut at the slice that is farthest off.
 */
function straightPieces(placed: readonly Placed[]): Placed[][] {
  if (placed.length < 3) return [[...placed]];
  const step = stepOf(placed);
  const ks = stepsFrom(placed, step);
  const [first, last] = [placed[0]!.position, placed[placed.length - 1]!.position];
  const count = ks[ks.length - 1]!;
  const off = placed.map(({ position }, n) =>
    Math.hypot(
      ...position.map((mm, axis) => mm - first[axis]! - ((last[axis]! - first[axis]!) * ks[n]!) / count),
    ),
  );
  const worst = off.indexOf(Math.max(...off));
  if (off[worst]! <= Math.max(SAME_PLACE_MM.most, step / 4)) return [[...placed]];
  return [...straightPieces(placed.slice(0, worst)), ...straightPieces(placed.slice(worst))];
}

/** The index along k of every slice. */
export function stepsFrom(placed: readonly Placed[], step: number): number[] {
  let k = 0;
  return placed.map((p, n) => {
    if (n > 0) k += Math.max(1, Math.round((p.depth - placed[n - 1]!.depth) / step));
    return k;
  });
}

/** How many steps a distance is; null when that is no whole number, or leaves a longer gap than there are slices. */
function stepsIn(distance: number, step: number, slices: number): number | null {
  const steps = Math.round(distance / step);
  if (steps < 1 || steps - 1 > slices) return null;
  return Math.abs(distance - steps * step) <= STEP_TOLERANCE * step ? steps : null;
}

/** The distance of neighbours that explains most distances as a whole number of steps; the largest of those. */
export function stepOf(sorted: readonly Placed[]): number {
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
