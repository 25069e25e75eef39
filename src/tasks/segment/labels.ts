/** Which values of a label map are which label of a head. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Volume } from '../../volume/volume.js';
import { TaskError } from '../error.js';

/** Label 0 is the background: whatever no other label names. */
export interface LabelTable {
  readonly names: readonly string[];
  /** The value that each label gets in a map that is written; 0 for the background. */
  readonly values: readonly number[];
  /** Value in a given map → number of the label. */
  readonly numberOf: ReadonlyMap<number, number>;
}

export const BACKGROUND = 'background';
const MOST_LABELS = 256;

const value = z.number().int().min(1).max(65535);
const fileSchema = z.record(
  z.string().trim().min(1),
  z.union([value.transform((one) => [one]), z.array(value).min(1)]),
);

/** The table of `{"name": value}` or `{"name": [value, …]}`. A label is written as the first of its values. */
export function labelTable(entries: Readonly<Record<string, readonly number[]>>): LabelTable {
  const named = Object.entries(entries);
  if (named.length === 0) throw new TaskError('labels: there must be at least one label, got none; name one');
  if (named.length >= MOST_LABELS)
    throw new TaskError(
      `labels: at most ${MOST_LABELS - 1} can be told apart, got ${named.length}; merge some`,
    );
  const numberOf = new Map<number, number>();
  named.forEach(([name, values], n) => {
    if (name === BACKGROUND)
      throw new TaskError(`labels: "${BACKGROUND}" is what no label names; leave it out of the table`);
    for (const one of values) {
      if (numberOf.has(one))
        throw new TaskError(
          `labels: value ${one} must be of one label, but "${name}" is the second; give it to one`,
        );
      numberOf.set(one, n + 1);
    }
  });
  return {
    names: [BACKGROUND, ...named.map(([name]) => name)],
    values: [0, ...named.map(([, values]) => values[0]!)],
    numberOf,
  };
}

/** Reads a JSON file of labels. @throws TaskError naming what is wrong with it. */
export async function readLabelTable(path: string): Promise<LabelTable> {
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new TaskError(
      `labels: ${path} must be a JSON file, got ${error instanceof Error ? error.message : String(error)}; correct it`,
    );
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success)
    throw new TaskError(
      `labels: ${path} must name labels as {"left kidney": 2, "cortex": [3, 42]}, but ` +
        `${parsed.error.issues[0]!.path.join('.') || 'it'} is wrong: ${parsed.error.issues[0]!.message}`,
    );
  return labelTable(parsed.data);
}

/** A table of the values that maps have, named "label 3" and so on. */
export function tableOfValues(maps: readonly Volume[]): LabelTable {
  const values = new Set<number>();
  for (const map of maps) for (const one of valuesOf(map)) values.add(one);
  values.delete(0);
  if (values.size === 0)
    throw new TaskError('labels: no mask has a value other than 0; check that they are masks');
  const sorted = [...values].sort((a, b) => a - b);
  return labelTable(Object.fromEntries(sorted.map((one) => [`label ${one}`, [one]])));
}

/** The distinct values of a map. @throws TaskError unless they are whole numbers from 0 to 65535. */
export function valuesOf({ data, slope, intercept }: Volume): Set<number> {
  const stored = new Set<number>();
  let last = NaN;
  for (let n = 0; n < data.length; n++) {
    if (data[n] === last) continue;
    last = data[n]!;
    stored.add(last);
  }
  const values = new Set([...stored].map((one) => one * slope + intercept));
  for (const one of values)
    if (!Number.isInteger(one) || one < 0 || one > 65535)
      throw new TaskError(
        `labels: a mask holds whole numbers from 0 to 65535, got ${one}; give a label map, not an image`,
      );
  return values;
}

/** The number of each voxel's label, in the order of the map's data. */
export function numbersOf({ data, slope, intercept }: Volume, { numberOf }: LabelTable): Uint8Array {
  const table = new Uint8Array(65536);
  for (const [one, number] of numberOf) table[one] = number;
  const out = new Uint8Array(data.length);
  for (let n = 0; n < out.length; n++) out[n] = table[data[n]! * slope + intercept]!;
  return out;
}

/** The number of each voxel's label in a map of the values that labels are written as. */
export function numbersIn({ data }: Volume, { values }: LabelTable): Uint8Array {
  const table = new Uint8Array(65536);
  values.forEach((one, number) => (table[one] = number));
  return Uint8Array.from(data, (one) => table[one]!);
}

/**
 * Which label takes a label's place in a mirror: names that differ in their side only ("left kidney", "Kidney_R") are
 * exchanged, others stay. null where a name has a side and no partner: such a head cannot look into a mirror.
 */
export function mirrored(names: readonly string[]): readonly number[] | null {
  const keys = names.map((name) => name.toLowerCase());
  const out: number[] = [];
  for (const key of keys) {
    const other = otherSide(key);
    const at = other === null ? keys.indexOf(key) : keys.indexOf(other);
    if (at < 0) return null;
    out.push(at);
  }
  return out;
}

/** The name with its side exchanged; null for a name without a side. */
function otherSide(name: string): string | null {
  const swap: Readonly<Record<string, string>> = {
    left: 'right',
    right: 'left',
    l: 'r',
    r: 'l',
    lh: 'rh',
    rh: 'lh',
  };
  const out = name.replace(/[a-z]+/g, (word) => {
    if (!Object.hasOwn(swap, word)) return word;
    return swap[word]!;
  });
  return out === name ? null : out;
}
