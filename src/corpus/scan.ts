/** From files to a plan: which series there are, whose they are and what they are called, voxels still unread. */
import { dirname, join } from 'node:path';
import { existsBytes, openBytes } from '../formats/bytes.js';
import {
  type DicomInstance,
  FIRST_READ,
  isDicom,
  readDicomDir,
  readOpenDicomHeader,
} from '../formats/dicom/index.js';
import { BidsDatasets, bidsName } from './bids.js';
import { fileFormat, IMAGE_ENDING } from './file-names.js';
import type { MetadataTable } from './metadata-csv.js';
import type { Plan } from './plan.js';
import { type FoundInstance, planDicom } from './plan-dicom.js';
import { planFile } from './plan-file.js';
import type { Pseudonyms } from './pseudonym.js';
import { reasonOf } from './reason.js';
import { documentOf } from './reports/sr.js';
import type { SourceFile } from './walk.js';

const READ_AT_ONCE = 16;
const SIDECAR = /\.(json|bval|bvec)$/i;
/** What a data set says of its images, which is read with them. */
const DATASET =
  /(^|[\\/])(dataset_description\.json|participants\.(tsv|json)|\S*_(scans|sessions)\.(tsv|json)|README(\.\w+)?|CHANGES)$/;

/**
 * Reads the headers of `files` and plans their series. A file that is no MR image or cannot be read is listed in
 * `skipped` with the reason; none makes this throw. Headers of all DICOM files are held at once (about 2 kB each).
 */
export async function scan(
  files: readonly SourceFile[],
  pseudonyms: Pseudonyms,
  sourceNames: readonly string[],
  onFile: (done: number) => void,
  signal?: AbortSignal,
  metadata: MetadataTable | null = null,
  everyVolume = false,
): Promise<Plan> {
  const plan: Plan = { planned: [], skipped: [], documents: [], notes: [] };
  const instances: FoundInstance[] = [];
  const sources = sourceNames.map((name) => pseudonyms.source(name));
  const stems = new Set(files.filter(({ path }) => IMAGE_ENDING.test(path)).map(({ path }) => stemOf(path)));
  const headers = new Set(
    files.filter(({ path }) => /\.hdr(\.gz)?$/i.test(path)).map(({ path }) => stemOf(path)),
  );
  const parts = new Set<string>();
  /** Paths of all files, without case: a medium has capitals that a copy of it may not have. */
  let there: Set<string> | null = null;
  const context = { pseudonyms, sources, plan, datasets: new BidsDatasets(), metadata, everyVolume, parts };
  /** By path: left out unless another file has it for its voxels. */
  const unknown = new Map<string, { path: string; reason: string }>();

  /** An index says nothing that the files do not say, but which of them are lost. */
  const directory = async (file: SourceFile, named: readonly string[][]): Promise<void> => {
    plan.skipped.push({ path: file.shown, reason: 'a DICOMDIR: the index of the files beside it' });
    there ??= new Set(files.map(({ path }) => path.toLowerCase()));
    for (const components of named) {
      const path = join(dirname(file.path), ...components);
      if (there.has(path.toLowerCase()) || (await existsBytes(path))) continue;
      plan.skipped.push({
        path: join(dirname(file.shown), ...components),
        reason: 'named in a DICOMDIR, but the file is missing; copy it from the medium',
      });
    }
  };

  const look = async (file: SourceFile): Promise<void> => {
    const kind = await kindOf(file);
    if (typeof kind !== 'string') {
      const instance = kind;
      // A DICOMDIR has no SOP Class UID outside its file meta group.
      const named = instance.sopClassUid === '' ? await readDicomDir(file.path) : null;
      if (named !== null) await directory(file, named);
      else if (documentOf(instance.sopClassUid) === true) plan.documents.push(file);
      else instances.push({ instance, file });
    } else if (kind === 'image') {
      // Of a pair the header stands for both files.
      const second = /\.img(\.gz)?$/i.test(file.path) && headers.has(stemOf(file.path));
      if (!second) await planFile(file, fileFormat(file.path)!, context);
    } else if (!(SIDECAR.test(file.path) && (stems.has(stemOf(file.path)) || bidsName(file.path) !== null)))
      unknown.set(file.path, { path: file.shown, reason: kind });
  };
  let done = 0;
  await atOnce(READ_AT_ONCE, files, async (file) => {
    if (signal?.aborted) return;
    try {
      await look(file);
    } catch (error) {
      plan.skipped.push({ path: file.shown, reason: reasonOf(error, file.path) });
    }
    onFile(++done);
  });
  if (signal?.aborted) return plan;
  for (const [path, one] of unknown) if (!parts.has(path)) plan.skipped.push(one);
  for (const path of metadata?.unused() ?? [])
    plan.skipped.push({ path, reason: 'named in the table of metadata, but no such image was found' });
  planDicom(instances, pseudonyms, sources, plan, everyVolume);
  // Files were read side by side, so the order is put back.
  const byPath = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  plan.planned.sort((a, b) => byPath(a.shown, b.shown));
  plan.skipped.sort((a, b) => byPath(a.path, b.path));
  plan.notes.sort((a, b) => byPath(a.path, b.path));
  return plan;
}

/** Runs `work` on every item, `limit` at a time. */
async function atOnce<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}

const stemOf = (path: string): string => path.replace(SIDECAR, '').replace(IMAGE_ENDING, '');

const ARCHIVE = /\.(7z|rar|bz2|xz|zst|lz4?)$/i;

/**
 * What a file is by its first bytes and its name: the header of a DICOM file, 'image', and for everything that is no
 * image, why it is passed over.
 */
async function kindOf(file: SourceFile): Promise<DicomInstance | string> {
  if (file.size === 0) return 'empty file';
  if (fileFormat(file.path) !== null) return 'image';
  const source = await openBytes(file.path);
  try {
    const first = await source.read(0, FIRST_READ);
    if (isDicom(first)) return await readOpenDicomHeader(source, file.path, first);
  } finally {
    await source.close();
  }
  if (/\.(dcm|dicom|ima)$/i.test(file.path)) return 'not a DICOM file, whatever its name says';
  if (ARCHIVE.test(file.path)) return 'an archive of another kind than zip and tar; unpack it first';
  return DATASET.test(file.path) ? 'describes a data set' : 'neither DICOM nor NIfTI nor another volume file';
}
