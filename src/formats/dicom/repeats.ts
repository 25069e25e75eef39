/** Splits stacks in which several slices share a position: echoes, b-values, time points, repetitions. */
import type { DicomInstance } from './instance.js';
import type { Placed, SkippedFile, Stack } from './group.js';

/** What can tell slices at one position apart, in the order in which it is tried. */
const DISCRIMINATORS: readonly { name: string; of: (instance: DicomInstance) => string | number | null }[] = [
  { name: 'stack', of: (i) => i.stackId },
  { name: 'echo', of: (i) => i.echoNumber },
  { name: 'echo time', of: (i) => i.echoTime },
  { name: 'b-value', of: (i) => i.diffusionBValue },
  { name: 'direction', of: (i) => i.diffusionDirection },
  { name: 'inversion time', of: (i) => i.inversionTime },
  { name: 'flip angle', of: (i) => i.flipAngle },
  { name: 'time point', of: (i) => i.temporalPosition },
  { name: 'sequence', of: (i) => i.sequenceName },
  { name: 'acquisition', of: (i) => i.acquisitionNumber },
  { name: 'trigger time', of: (i) => i.triggerTime },
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
 * Splits until no position is taken twice. Where nothing in the headers tells the slices of a position apart but
 * every position has as many, they are repetitions in order of Instance Number; else all but the first are left
 * out as duplicates.
 */
export function splitRepeats(stack: Stack, samePlaceMm: number, skipped: SkippedFile[]): Stack[] {
  const positions = byPosition(stack.placed, samePlaceMm);
  if (positions.every((here) => here.length === 1)) return [stack];

  // A field with more values than slices at one position counts slices rather than naming volumes (trigger time in
  // a cine series); splitting by it would tear volumes apart.
  const most = Math.max(...positions.map((here) => here.length));
  const telling = DISCRIMINATORS.find(
    ({ of }) =>
      new Set(stack.placed.map((p) => of(p.instance))).size <= most &&
      positions.some((here) => new Set(here.map((p) => of(p.instance))).size > 1),
  );
  if (telling !== undefined) {
    const parts = new Map<string | number | null, Placed[]>();
    for (const p of stack.placed) {
      const value = telling.of(p.instance);
      const list = parts.get(value);
      if (list === undefined) parts.set(value, [p]);
      else list.push(p);
    }
    return [...parts]
      .sort(([a], [b]) =>
        typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : 1,
      )
      .flatMap(([value, placed]) => {
        const part = [...stack.part, `${telling.name} ${value === null || value === '' ? 'none' : value}`];
        return splitRepeats({ placed, part }, samePlaceMm, skipped);
      });
  }

  const repeats = positions[0]!.length;
  if (positions.length > 1 && positions.every((here) => here.length === repeats))
    return Array.from({ length: repeats }, (_, n) => ({
      placed: positions.map((here) => here[n]!),
      part: [...stack.part, `repetition ${n + 1}`],
    }));

  for (const duplicate of positions.flatMap((here) => here.slice(1)))
    skipped.push({
      path: duplicate.instance.path,
      reason: 'another slice of its series has the same position',
    });
  return [{ ...stack, placed: positions.map((here) => here[0]!) }];
}
