/** Series of a corpus to NIfTI files that other programs read. */
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NiftiError, writeNiftiFile } from '../formats/nifti/index.js';
import { VolumeError } from '../volume/volume.js';
import type { Corpus } from './corpus.js';
import { CorpusError } from './error.js';
import { requireUse } from './rights.js';
import type { Series } from './series.js';

export interface ExportOptions {
  /** The folder for the files; made where it is missing. */
  readonly dir: string;
  /** Whether files of an earlier export may be replaced. */
  readonly force?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told which series are left out because of their rights. */
  readonly warn?: (message: string) => void;
  /** Stops after the series at hand; the files written by then are complete. */
  readonly signal?: AbortSignal;
}

export interface Exported {
  /** Ids, in the order of writing. */
  readonly written: string[];
  /** Series that could not be read or that NIfTI cannot hold. */
  readonly failed: { readonly id: string; readonly reason: string }[];
  readonly interrupted: boolean;
}

/**
 * Writes each series as `<id>.nii.gz` (NIfTI-1; unmeasured voxels are NaN in floats) with all that the corpus knows
 * of it in `<id>.json` beside it. One series is in memory at a time, and a file appears whole or not at all. A series
 * whose voxels cannot be read is listed in `failed` and the others are still written.
 *
 * Series whose rights do not permit "evaluate" are left out.
 *
 * @throws CorpusError when the rights of none permit it, or when files are in the way and `force` is not set, before anything is written; system errors
 * when `dir` cannot be written.
 */
export function exportNifti(
  corpus: Pick<Corpus, 'volume'>,
  all: readonly Series[],
  options: ExportOptions,
): Promise<Exported> {
  return exportEach(all, options, {
    paths: ({ id }) => [imageOf(options.dir, id), sidecarOf(options.dir, id)],
    write: (one) => writeOne(corpus, one, options.dir),
  });
}

/** A format of export: where the files (or folders) of a series are, and how they are written. */
export interface ExportFormat {
  readonly paths: (series: Series) => readonly string[];
  readonly write: (series: Series) => Promise<void>;
}

/** Writes the series that may be exported, one at a time; see `exportNifti` for what is thrown. */
export async function exportEach(
  all: readonly Series[],
  { dir, force, onProgress, signal, warn }: ExportOptions,
  format: ExportFormat,
): Promise<Exported> {
  const series = requireUse(all, 'evaluate', { doing: 'export', ...(warn && { warn }) });
  await mkdir(dir, { recursive: true });
  if (force !== true) await refuseOverwriting(series.flatMap(format.paths));
  const written: string[] = [];
  const failed: { id: string; reason: string }[] = [];
  for (const [n, one] of series.entries()) {
    if (signal?.aborted) break;
    try {
      await format.write(one);
      written.push(one.id);
    } catch (error) {
      if (!(error instanceof CorpusError || error instanceof NiftiError || error instanceof VolumeError))
        throw error;
      failed.push({ id: one.id, reason: error.message });
    }
    onProgress?.(n + 1, series.length);
  }
  return { written, failed, interrupted: written.length + failed.length < series.length };
}

const imageOf = (dir: string, id: string): string => join(dir, `${id}.nii.gz`);
const sidecarOf = (dir: string, id: string): string => join(dir, `${id}.json`);

async function refuseOverwriting(paths: readonly string[]): Promise<void> {
  const inTheWay: string[] = [];
  for (const path of paths)
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      inTheWay.push(path);
  if (inTheWay.length > 0)
    throw new CorpusError(
      `export: no file may be in the way, got ${inTheWay.length} such as ${inTheWay[0]!}; name another folder or ` +
        'replace them with --force',
    );
}

async function writeOne(corpus: Pick<Corpus, 'volume'>, series: Series, dir: string): Promise<void> {
  const volume = await corpus.volume(series.id);
  const partial = [
    join(dir, `.${series.id}.partial.nii.gz`),
    join(dir, `.${series.id}.partial.json`),
  ] as const;
  try {
    await writeNiftiFile(partial[0], volume);
    await writeFile(partial[1], `${JSON.stringify(series, null, 2)}\n`);
    // The image comes last: where it is, its sidecar is too.
    await rename(partial[1], sidecarOf(dir, series.id));
    await rename(partial[0], imageOf(dir, series.id));
  } finally {
    for (const path of partial) await rm(path, { force: true });
  }
}
