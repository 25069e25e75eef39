/** Public data sets as they are published: from a user's own download to cases with labels or masks. */
import type { LesionRule } from '../lesion-wise.js';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { readTable } from '../../corpus/table-file.js';
import { EvaluateError } from '../error.js';
import type { Evaluated } from '../suites.js';
import type { Vec3 } from '../../volume/volume.js';
import type { Published } from './published.js';

/** What is known of a case beside its images. */
export type About = Partial<
  Pick<Evaluated, 'manufacturer' | 'fieldStrengthT' | 'sex' | 'ageYears' | 'source'>
>;

export interface ClassifyCase {
  /** Hashes; the publisher's names are not kept. */
  readonly id: string;
  readonly patientId: string;
  /** File or DICOM folder by channel ("t2w", "adc"). */
  readonly images: Readonly<Record<string, string>>;
  /** A class, or a number. */
  readonly label: string;
  /** The published fold; -1 where the case only teaches; null where no split is published. */
  readonly fold: number | null;
  readonly about: About;
  /** Of a case that is a place in the images, not the whole of them. */
  readonly finding?: Finding;
}

export interface Finding {
  /** The publisher's number of it within the patient. */
  readonly fid: number;
  /** RAS+ millimetres. */
  readonly positionMm: Vec3;
  /** Of the organ, as published. */
  readonly zone: string;
}

export interface SegmentationCase {
  readonly id: string;
  readonly patientId: string;
  readonly images: Readonly<Record<string, string>>;
  /** A label map, or one binary mask for each label. */
  readonly mask: string | Readonly<Record<string, string>>;
  /** Value in the label map (1 in a binary mask) by name. */
  readonly labels: Readonly<Record<string, number>>;
  readonly split: 'train' | 'validation' | 'test' | null;
  /** Where the regions are scored lesion by lesion as well: by which rule. */
  readonly lesions?: LesionRule;
}

interface Described extends Published {
  readonly title: string;
}

export interface ClassifyDataset extends Described {
  readonly kind: 'classify';
  /** Channels that a case must have, in the order in which their features are joined. */
  readonly channels: readonly string[];
  /** Of a set of findings: the side of the cube around each that is looked at, and of its tokens. */
  readonly look?: { readonly sideMm: number; readonly patchMm: number };
  /** @throws EvaluateError when `dir` is not laid out as published. */
  read(dir: string): Promise<ClassifyCase[]>;
}

/** Labels that a set's publication also scores as one. */
export interface Region {
  /** Short, for the names of scores. */
  readonly name: string;
  /** What a head may call it that has it as one label. */
  readonly title: string;
  readonly of: readonly string[];
}

export interface SegmentDataset extends Described {
  readonly kind: 'segment';
  /** Images that a case may have; unless one is asked for, the first that any case has is measured on. */
  readonly channels: readonly string[];
  /** Within so many mm surfaces agree: what the set's publication says, else 2. */
  readonly toleranceMm: number;
  readonly regions: readonly Region[];
  /** @throws EvaluateError when `dir` is not laid out as published. */
  read(dir: string): Promise<SegmentationCase[]>;
}

export type Dataset = ClassifyDataset | SegmentDataset;

/** A publisher's name as a hash: names never leave this folder. */
export const hashed = (prefix: string, name: string): string =>
  `${prefix}-${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;

/** The ids of a case with a mask. */
export const named = (id: string, patient: string): Pick<SegmentationCase, 'id' | 'patientId'> => ({
  id: hashed('se', id),
  patientId: hashed('pt', patient),
});

/** Paths of all files below `dir` with / between folders, sorted. @throws EvaluateError when it is no folder. */
export async function filesIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => {
    throw new EvaluateError(
      `evaluate: ${dir} must be a folder that can be read; give the download with --data`,
    );
  });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}

/** The one table whose path matches. @throws EvaluateError naming what is missing. */
export async function tableIn(
  dir: string,
  files: readonly string[],
  pattern: RegExp,
  named: string,
  columns: readonly string[],
): Promise<readonly ReadonlyMap<string, string>[]> {
  const path = files.find((file) => pattern.test(file));
  if (path === undefined)
    throw new EvaluateError(`evaluate: ${dir} must hold ${named}, but does not; put it there as published`);
  const table = await readTable(join(dir, path));
  const missing = columns.filter((column) => !table.columns.includes(column));
  if (missing.length > 0)
    throw new EvaluateError(
      `evaluate: ${path} must have the columns ${columns.join(', ')}, but lacks ${missing.join(', ')}; take it as published`,
    );
  return table.rows;
}

/** @throws EvaluateError when nothing was found. */
export function found<T>(cases: readonly T[], dir: string, layout: string): T[] {
  if (cases.length === 0)
    throw new EvaluateError(
      `evaluate: ${dir} must be laid out as ${layout}, but holds no such case; give its top folder`,
    );
  return [...cases];
}

export function sexFrom(text: string | undefined): 'F' | 'M' | null {
  if (text === undefined) return null;
  return /^f/i.test(text) ? 'F' : /^m/i.test(text) ? 'M' : null;
}

export function numberFrom(text: string | undefined): number | null {
  const n = Number(text);
  return text === undefined || text === '' || !Number.isFinite(n) ? null : n;
}

/** Ids of a case, from the publisher's names. */
export const one = (id: string, patient: string): Pick<ClassifyCase, 'id' | 'patientId'> => ({
  id: hashed('se', id),
  patientId: hashed('pt', patient),
});

/** All channels or none: a case without one of them cannot be compared with the others. */
export function channelsFrom(
  dir: string,
  channels: readonly string[],
  of: (channel: string) => string | undefined,
): Record<string, string> | null {
  const paths = channels.map((channel) => [channel, of(channel)] as const);
  if (paths.some(([, path]) => path === undefined)) return null;
  return Object.fromEntries(paths.map(([channel, path]) => [channel, join(dir, path!)]));
}
