/** What the volumes of one series differ by beyond space, and where each stands among the others. */

export type AxisName =
  | 'acquisition'
  | 'b-value'
  | 'direction'
  | 'echo'
  | 'flip angle'
  | 'image type'
  | 'inversion time'
  | 'part'
  | 'repetition'
  | 'sequence'
  | 'stack'
  | 'time'
  | 'trigger';

/**
 * Units of `value`: echo, inversion time and trigger in ms, b-value in s/mm², flip angle in degrees, time as the
 * Temporal Position (an index) or seconds since the first volume, part "magnitude", "phase", "real" or "imaginary"; acquisition,
 * stack and repetition are numbers that only tell apart. null where the header has none for this volume.
 */
export interface AxisValue {
  readonly name: AxisName;
  readonly value: number | string | null;
}

export interface SeriesAxis extends AxisValue {
  /** Place of the value among those that the axis has, from 0 in rising order. */
  readonly index: number;
  /** Values that the axis has in the source, where the axes before this one are as they are here. */
  readonly count: number;
}

/** The axes of every volume of one series, from the values by which the series was taken apart, outermost first. */
export function seriesAxes(volumes: readonly (readonly AxisValue[])[]): SeriesAxis[][] {
  return volumes.map((own) =>
    own.map(({ name, value }, depth) => {
      const siblings = volumes.filter(
        (other) =>
          other[depth]?.name === name && own.slice(0, depth).every((axis, n) => same(axis, other[n])),
      );
      const values = [...new Set(siblings.map((other) => other[depth]!.value))].sort(compareValues);
      return { name, value, index: values.indexOf(value), count: values.length };
    }),
  );
}

const same = (a: AxisValue, b: AxisValue | undefined): boolean => a.name === b?.name && a.value === b.value;

/** Numbers by size, after what has no value and before text. */
export function compareValues(a: number | string | null, b: number | string | null): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const rank = (value: number | string | null): number =>
    value === null || value === '' ? 0 : typeof value === 'number' ? 1 : 2;
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}
