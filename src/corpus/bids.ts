/**
 * Data sets in the Brain Imaging Data Structure (BIDS 1.10): who took part, which sidecars hold for an image
 * ("The Inheritance Principle"), and what of the derivatives is no image of its own.
 */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { archivePath, listArchive } from '../formats/archive/index.js';
import { existsBytes } from '../formats/bytes.js';
import { imageStem } from './file-names.js';
import { readJson } from './sidecar.js';
import { type Table, readTable } from './table-file.js';

export interface BidsName {
  /** "sub" → "01", in the order of the name. */
  readonly entities: ReadonlyMap<string, string>;
  /** "T1w", "bold", "dseg", … */
  readonly suffix: string;
}

/** Entities and suffix of a file name such as "sub-01_ses-2_run-1_T1w.nii.gz"; null where it is no such name. */
export function bidsName(path: string): BidsName | null {
  const parts = imageStem(path)
    .replace(/\.json$/i, '')
    .split('_');
  const suffix = parts.pop()!;
  const entities = new Map<string, string>();
  for (const part of parts) {
    const match = /^([a-zA-Z]+)-([a-zA-Z0-9+.]+)$/.exec(part);
    if (match === null) return null;
    entities.set(match[1]!, match[2]!);
  }
  return /^[a-zA-Z0-9]+$/.test(suffix) ? { entities, suffix } : null;
}

export interface Subject {
  readonly sex: 'F' | 'M' | 'O' | null;
  readonly ageYears: number | null;
}

export interface BidsImage {
  /** Name of the folder that holds the subjects of the raw data, and the subject: what tells patients apart. */
  readonly patient: readonly [string, string];
  /** "ses-2", or ''. */
  readonly session: string;
  readonly subject: Subject;
  /** Values of all sidecars that hold for the image, the nearer before the farther; null where there are none. */
  readonly sidecar: Readonly<Record<string, unknown>> | null;
  /** Why it is no image of its own; null where it is. */
  readonly derived: string | null;
}

/** Suffixes of what is drawn or computed on an image (BIDS derivatives, "Masks" and "Segmentations"). */
const DRAWN: Readonly<Record<string, string>> = {
  mask: 'a mask',
  dseg: 'a label map',
  probseg: 'a probability map',
  roi: 'a mask',
};
/** Entities that only results of processing have. */
const OF_PROCESSING = new Set([
  'space',
  'desc',
  'label',
  'res',
  'den',
  'atlas',
  'from',
  'to',
  'mode',
  'seg',
  'scale',
]);

/** Reads what data sets say of their images; what was read of a folder is kept. */
export class BidsDatasets {
  private readonly folders = new Map<string, Promise<readonly string[]>>();
  private readonly participants = new Map<string, Promise<ReadonlyMap<string, Subject>>>();

  /**
   * What the data set that `path` lies in says of it; null where it lies in none. `source` is the folder that the person
   * named: processed copies are taken in where their folder is named itself.
   */
  async describe(path: string, source: string): Promise<BidsImage | null> {
    const name = bidsName(path);
    const sub = name?.entities.get('sub');
    if (name === null || sub === undefined) return null;
    const roots = await this.rootsOf(path);
    const nearest = roots[0];
    if (nearest === undefined) return null;
    // Derivatives lie in a data set of their own inside the raw one, or beside nothing.
    const raw = roots.find((root) => !isDerivative(root, roots)) ?? nearest;
    const subject = `sub-${sub}`;
    const session = name.entities.get('ses');
    const sidecars = await this.sidecarsOf(path, name, nearest);
    return {
      patient: [basename(raw), subject.toLowerCase()],
      session: session === undefined ? '' : `ses-${session}`.toLowerCase(),
      subject: (await this.participantsOf(raw)).get(subject) ?? { sex: null, ageYears: null },
      sidecar:
        sidecars.length === 0 ? null : Object.fromEntries(sidecars.flatMap((one) => Object.entries(one))),
      derived: await this.derivedFrom(path, name, raw, source),
    };
  }

  /** Folders of data sets around the file, innermost first. */
  private async rootsOf(path: string): Promise<string[]> {
    const roots: string[] = [];
    for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder))
      if (await this.has(folder, 'dataset_description.json')) roots.push(folder);
    return roots;
  }

  /** The values of every sidecar that holds for the image: same suffix, and no entity that the image has not. */
  private async sidecarsOf(path: string, image: BidsName, root: string): Promise<Record<string, unknown>[]> {
    const found: { entities: number; depth: number; path: string }[] = [];
    for (let folder = dirname(path), depth = 0; ; folder = dirname(folder), depth++) {
      for (const file of await this.list(folder)) {
        const name = file.endsWith('.json') ? bidsName(file) : null;
        if (name === null || name.suffix !== image.suffix) continue;
        const holds = [...name.entities].every(([key, value]) => image.entities.get(key) === value);
        if (holds) found.push({ entities: name.entities.size, depth, path: join(folder, file) });
      }
      if (folder === root || folder === dirname(folder)) break;
    }
    // Farther folders first, so that nearer ones replace what they say.
    found.sort((a, b) => b.depth - a.depth || a.entities - b.entities);
    const values: Record<string, unknown>[] = [];
    for (const one of found) {
      const json = await readJson(one.path);
      if (json !== null) values.push(json);
    }
    return values;
  }

  private async derivedFrom(
    path: string,
    name: BidsName,
    raw: string,
    source: string,
  ): Promise<string | null> {
    const what = DRAWN[name.suffix];
    const inside = isInDerivatives(path);
    const named = isInDerivatives(`${source}/`);
    if (what === undefined && (!inside || named)) return null;
    const image = await this.imageOf(name, raw);
    const drawn = what ?? 'a processed copy';
    if (image === null) return `${drawn} among derivatives`;
    return what === undefined
      ? `${drawn} of ${image}; name its folder as a source to take it in`
      : `${drawn} of ${image}`;
  }

  /** The one raw image that has the entities of a derivative; null where there is none or several. */
  private async imageOf(name: BidsName, raw: string): Promise<string | null> {
    const wanted = [...name.entities].filter(([key]) => !OF_PROCESSING.has(key));
    const session = name.entities.get('ses');
    const folder = join(
      raw,
      `sub-${name.entities.get('sub')!}`,
      session === undefined ? '' : `ses-${session}`,
    );
    const matching: string[] = [];
    for (const kind of ['anat', 'func', 'dwi', 'perf']) {
      for (const file of await this.list(join(folder, kind))) {
        const image = /\.nii(\.gz)?$/i.test(file) ? bidsName(file) : null;
        if (image === null || DRAWN[image.suffix] !== undefined) continue;
        if (DRAWN[name.suffix] === undefined && image.suffix !== name.suffix) continue;
        if (wanted.every(([key, value]) => image.entities.get(key) === value)) matching.push(file);
      }
    }
    return matching.length === 1 ? matching[0]! : null;
  }

  private participantsOf(root: string): Promise<ReadonlyMap<string, Subject>> {
    const known = this.participants.get(root) ?? readParticipants(join(root, 'participants.tsv'));
    this.participants.set(root, known);
    return known;
  }

  private async has(folder: string, name: string): Promise<boolean> {
    return (await this.list(folder)).includes(name);
  }

  /** Names of what is in a folder, of the disk or of an archive; none where it cannot be listed. */
  private list(folder: string): Promise<readonly string[]> {
    const known = this.folders.get(folder) ?? namesIn(folder);
    this.folders.set(folder, known);
    return known;
  }
}

const isInDerivatives = (path: string): boolean => /[\\/]derivatives[\\/]/.test(path);

const isDerivative = (root: string, roots: readonly string[]): boolean =>
  isInDerivatives(`${root}/`) && roots.some((other) => other !== root && root.startsWith(other));

async function namesIn(folder: string): Promise<readonly string[]> {
  const inside = archivePath(`${folder}/`);
  try {
    if (inside === null) return await readdir(folder);
    const prefix = inside.member;
    const { members } = await listArchive(inside.archive);
    return members
      .map(({ name }) => name)
      .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/'))
      .map((name) => name.slice(prefix.length));
  } catch {
    return [];
  }
}

/** Sex and age by participant; nothing where the file is not there or damaged. */
async function readParticipants(path: string): Promise<ReadonlyMap<string, Subject>> {
  if (!(await existsBytes(path))) return new Map();
  let table: Table;
  try {
    table = await readTable(path);
  } catch {
    return new Map();
  }
  return new Map(
    table.rows.map((row) => {
      const id = row.get('participant_id') ?? '';
      const subject = {
        sex: sexOf(row.get('sex') ?? row.get('gender') ?? ''),
        ageYears: ageOf(row.get('age') ?? ''),
      };
      return [id.startsWith('sub-') ? id : `sub-${id}`, subject];
    }),
  );
}

/** BIDS and its users write "F", "female", "m", "2"…; what is not clear is null. */
export function sexOf(text: string): Subject['sex'] {
  const word = text.trim().toLowerCase();
  if (/^(f|female|woman|w)$/.test(word)) return 'F';
  if (/^(m|male|man)$/.test(word)) return 'M';
  return /^(o|other)$/.test(word) ? 'O' : null;
}

/** Years, from "34", "34.5", "034Y" or "18M"; null where it is no age of a person. */
export function ageOf(text: string): number | null {
  const match = /^\s*(\d{1,3}(?:\.\d+)?)\s*([YyMm]?)\s*$/.exec(text);
  if (match === null) return null;
  const years = Number(match[1]) / (/m/i.test(match[2]!) ? 12 : 1);
  return years <= 130 ? years : null;
}
