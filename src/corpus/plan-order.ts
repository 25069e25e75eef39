/** What plans of several series have to do with each other. */
import { bodyPartFrom } from '../text/header.js';
import type { Planned } from './plan.js';
import type { StoredSeries } from './table.js';

/** Plans of one series together, the one made from most slices first; the others count where it cannot be stored. */
export function bySeries(all: readonly Planned[]): Planned[][] {
  const groups = new Map<string, Planned[]>();
  for (const item of all) {
    const group = groups.get(item.id);
    if (group === undefined) groups.set(item.id, [item]);
    else group.push(item);
  }
  return [...groups.values()].map((group) => group.sort((a, b) => b.instances - a.instances));
}

/** study → the body part that all its series which name one agree on. */
export function studyBodyParts(
  planned: readonly Planned[],
  rows: ReadonlyMap<string, StoredSeries>,
): Map<string, string> {
  const parts = new Map<string, Set<string>>();
  const add = (study: string, part: string): void => {
    if (part !== 'UNKNOWN') parts.set(study, (parts.get(study) ?? new Set()).add(part));
  };
  for (const item of planned) add(item.studyId, bodyPartFrom(item.fields));
  for (const { series } of rows.values()) add(series.studyId, series.bodyPart);
  return new Map([...parts].filter(([, set]) => set.size === 1).map(([study, [part]]) => [study, part!]));
}
