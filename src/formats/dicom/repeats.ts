/** Splits stacks in which several slices share a position: echoes, b-values, time points, repetitions. */
import { type AxisName, type AxisValue, compareValues } from './axes.js';
import type { Placed, Stack } from './group.js';
import type { DicomInstance } from './instance.js';

// Slices closer than a tenth of a slice are at one place (positions are rounded, and follow a moving head), within
// these bounds, because some headers give the thickness of the slab instead.
export const SAME_PLACE_MM = { least: 0.02, most: 0.3 };

type Value = string | number | null;

interface Discriminator {
  readonly name: string;
  readonly axis: AxisName;
  /** Counts on from slice to slice in some series, where it names no volumes. */
  readonly counts?: true;
  /** A time of the day, which tells more of a person than the time since the first volume does. */
  readonly clock?: true;
  readonly of: (instance: DicomInstance) => Value;
}

/** What can tell slices at one position apart, in the order in which it is tried. */
const DISCRIMINATORS: readonly Discriminator[] = [
  { name: 'part', axis: 'part', of: (i) => i.complexPart },
  { name: 'stack', axis: 'stack', of: (i) => i.stackId },
  { name: 'echo', axis: 'echo', of: (i) => i.echoNumber },
  { name: 'echo time', axis: 'echo', of: (i) => i.echoTime },
  { name: 'b-value', axis: 'b-value', of: (i) => i.diffusionBValue },
  { name: 'direction', axis: 'direction', of: (i) => i.diffusionDirection },
  { name: 'inversion time', axis: 'inversion time', of: (i) => i.inversionTime },
  { name: 'flip angle', axis: 'flip angle', of: (i) => i.flipAngle },
  { name: 'time point', axis: 'time', of: (i) => i.temporalPosition },
  { name: 'sequence', axis: 'sequence', of: (i) => i.sequenceName },
  { name: 'acquisition', axis: 'acquisition', counts: true, of: (i) => i.acquisitionNumber },
  { name: 'trigger time', axis: 'trigger', counts: true, of: (i) => i.triggerTime },
  { name: 'acquisition time', axis: 'time', counts: true, clock: true, of: (i) => i.acquisitionTime },
];

/** What puts the slices of every position in one order where each slice has a value of its own. */
const ORDERS: readonly { axis: AxisName; of: (instance: DicomInstance) => number | null }[] = [
  { axis: 'trigger', of: (i) => i.triggerTime },
  { axis: 'time', of: (i) => i.acquisitionTime },
];

/** Slices of one stack by position, each list in order of Instance Number and frame. */
function byPosition(placed: readonly Placed[], samePlaceMm: number): Placed[][] {
  const positions: Placed[][] = [];
  for (const slice of [...placed].sort((a, b) => a.depth - b.depth)) {
    const here = positions[positions.length - 1];
    if (here !== undefined && slice.depth - here[0]!.depth <= samePlaceMm) here.push(slice);
    else positions.push([slice]);
  }
  const number = (p: Placed): number => p.instance.instanceNumber ?? 0;
  const frame = (p: Placed): number => p.instance.frame ?? 0;
  for (const here of positions) here.sort((a, b) => number(a) - number(b) || frame(a) - frame(b));
  return positions;
}

/**
 * Splits until no position is taken twice. Where no field tells the slices of a position apart but every position has
 * as many, they are repetitions in order of their trigger or acquisition time, else of Instance Number; else all but
 * the first are left out as duplicates.
 */
export function splitRepeats(stack: Stack, samePlaceMm: number, duplicates: DicomInstance[]): Stack[] {
  const positions = byPosition(stack.placed, samePlaceMm);
  if (positions.every((here) => here.length === 1)) return [stack];
  const telling = DISCRIMINATORS.find((one) => tells(one, stack, positions));
  if (telling !== undefined)
    return partsOf(stack, telling).flatMap((part) => splitRepeats(part, samePlaceMm, duplicates));

  const repeats = positions[0]!.length;
  if (positions.length > 1 && positions.every((here) => here.length === repeats))
    return repetitions(stack, positions, repeats);

  const kept = positions.map((here) => here.find(({ present }) => present) ?? here[0]!);
  positions.forEach((here, n) => {
    // Of a truncated one it was said already that it is left out.
    for (const { instance, present } of here)
      if (present && instance !== kept[n]!.instance) duplicates.push(instance);
  });
  return [{ ...stack, placed: kept }];
}

/**
 * A field with more values than slices at one position counts slices rather than naming volumes (trigger time in a
 * cine series); splitting by it would tear volumes apart. So would one whose values are each at few positions.
 */
function tells({ of, counts }: Discriminator, stack: Stack, positions: readonly Placed[][]): boolean {
  const most = Math.max(...positions.map((here) => here.length));
  const uses = new Map<Value, number>();
  for (const { instance } of stack.placed) uses.set(of(instance), (uses.get(of(instance)) ?? 0) + 1);
  if (uses.size > most || !positions.some((here) => new Set(here.map((p) => of(p.instance))).size > 1))
    return false;
  return counts !== true || [...uses.values()].every((slices) => slices * 2 >= positions.length);
}

function partsOf(stack: Stack, telling: Discriminator): Stack[] {
  const parts = new Map<Value, Placed[]>();
  for (const p of stack.placed) {
    const value = telling.of(p.instance);
    const list = parts.get(value);
    if (list === undefined) parts.set(value, [p]);
    else list.push(p);
  }
  // An echo is told by its time, where the numbers have one each.
  const times = new Map([...parts].map(([value, [first]]) => [value, first!.instance.echoTime]));
  const timed = telling.axis === 'echo' && new Set(times.values()).size === parts.size;
  const earliest = Math.min(...[...parts.keys()].filter((value) => typeof value === 'number'));
  return [...parts]
    .sort(([a], [b]) => compareValues(a, b))
    .map(([value, placed]) => {
      const axis: AxisValue = {
        name: telling.axis,
        value: timed
          ? times.get(value)!
          : telling.clock === true && typeof value === 'number'
            ? roundedSeconds(value - earliest)
            : value === ''
              ? null
              : value,
      };
      const part = `${telling.name} ${value === null || value === '' ? 'none' : value}`;
      return { placed, part: [...stack.part, part], axes: [...stack.axes, axis] };
    });
}

function repetitions(stack: Stack, positions: readonly Placed[][], count: number): Stack[] {
  const order = ORDERS.find(({ of }) =>
    positions.every((here) => {
      const values = new Set(here.map((p) => of(p.instance)));
      return values.size === count && !values.has(null);
    }),
  );
  const ordered =
    order === undefined
      ? positions
      : positions.map((here) => [...here].sort((a, b) => order.of(a.instance)! - order.of(b.instance)!));
  const volumes = Array.from({ length: count }, (_, n) => ordered.map((here) => here[n]!));
  const start = (placed: readonly Placed[]): number => Math.min(...placed.map((p) => order!.of(p.instance)!));
  return volumes.map((placed, n) => {
    const value =
      order === undefined
        ? n + 1
        : order.axis === 'time'
          ? roundedSeconds(start(placed) - start(volumes[0]!))
          : start(placed);
    return {
      placed,
      part: [...stack.part, `repetition ${n + 1}`],
      axes: [...stack.axes, { name: order?.axis ?? 'repetition', value }],
    };
  });
}

/** To the microseconds that a DICOM time has. */
const roundedSeconds = (seconds: number): number => Math.round(seconds * 1e6) / 1e6;
