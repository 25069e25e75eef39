/** From files to a plan: which series there are, whose they are and what they are called, voxels still unread. */
import { open } from 'node:fs/promises';
import { isDicom, readDicomHeader } from '../formats/dicom/index.js';
import type { Plan } from './plan.js';
import { type FoundInstance, planDicom } from './plan-dicom.js';
import { planNifti } from './plan-nifti.js';
import type { Pseudonyms } from './pseudonym.js';
import { reasonOf } from './reason.js';
import { documentOf } from './reports/sr.js';
import type { SourceFile } from './walk.js';

const READ_AT_ONCE = 16;
const NIFTI = /\.(nii|nii\.gz|hdr|hdr\.gz|img|img\.gz)$/i;
const SIDECAR = /\.(json|bval|bvec)$/i;

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
): Promise<Plan> {
  const plan: Plan = { planned: [], skipped: [], documents: [], notes: [] };
  const instances: FoundInstance[] = [];
  const sources = sourceNames.map((name) => pseudonyms.source(name));
  const stems = new Set(files.filter(({ path }) => NIFTI.test(path)).map(({ path }) => stemOf(path)));
  const headers = new Set(
    files.filter(({ path }) => /\.hdr(\.gz)?$/i.test(path)).map(({ path }) => stemOf(path)),
  );

  const look = async (file: SourceFile): Promise<void> => {
    const kind = await kindOf(file);
    if (kind === 'dicom') {
      const instance = await readDicomHeader(file.path);
      if (documentOf(instance.sopClassUid) === true) plan.documents.push(file);
      else instances.push({ instance, file });
    } else if (kind === 'nifti') {
      // Of a pair the header stands for both files.
      const second = /\.img(\.gz)?$/i.test(file.path) && headers.has(stemOf(file.path));
      if (!second) await planNifti(file, pseudonyms, sources, plan);
    } else if (!(SIDECAR.test(file.path) && stems.has(stemOf(file.path))))
      plan.skipped.push({ path: file.shown, reason: kind });
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
  planDicom(instances, pseudonyms, sources, plan);
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

const stemOf = (path: string): string => path.replace(/\.(nii|hdr|img|json|bval|bvec)(\.gz)?$/i, '');

/** What a file is by its first bytes; for everything but DICOM and NIfTI, why it is passed over. */
async function kindOf(file: SourceFile): Promise<string> {
  if (file.size === 0) return 'empty file';
  const first = Buffer.alloc(352);
  const handle = await open(file.path, 'r');
  let length: number;
  try {
    ({ bytesRead: length } = await handle.read(first, 0, first.length, 0));
  } finally {
    await handle.close();
  }
  if (NIFTI.test(file.path)) return 'nifti';
  if (isDicom(first.subarray(0, length))) return 'dicom';
  if (/\.(dcm|dicom|ima)$/i.test(file.path)) return 'not a DICOM file, whatever its name says';
  return 'neither DICOM nor NIfTI';
}
