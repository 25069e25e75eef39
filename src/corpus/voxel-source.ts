/** Where the voxels of a planned series are, as plain data that travels between threads, and how they are read. */
import { type DicomInstance, type DicomSeries, loadSeries, readDicomHeader } from '../formats/dicom/index.js';
import { readNiftiFile } from '../formats/nifti/index.js';
import type { Volume } from '../volume/volume.js';

/** An instance without its function, which no thread can be sent. */
export type PlainInstance = Omit<DicomInstance, 'identifyingValues'>;

export interface PlainDicomSeries extends Omit<DicomSeries, 'header' | 'slices'> {
  readonly header: PlainInstance;
  readonly slices: readonly { readonly instance: PlainInstance; readonly k: number }[];
}

/**
 * One volume. Paths are as openBytes takes them; a "memory:" path is known only in the thread that mounted it. To read
 * another format, add its kind here and its case to `loadVoxels`.
 */
export type VoxelSource =
  | { readonly kind: 'dicom'; readonly series: PlainDicomSeries }
  | { readonly kind: 'file'; readonly format: 'nifti'; readonly path: string; readonly frame: number };

/** What identifies the person in a source: known already, or read from a DICOM file when it is needed. */
export type IdentifyingSource =
  | { readonly kind: 'values'; readonly values: readonly string[] }
  | { readonly kind: 'dicom'; readonly path: string };

/** The series without functions, so that `structuredClone` and `postMessage` take it. */
export function plainSeries(series: DicomSeries): PlainDicomSeries {
  const plain = (instance: DicomInstance): PlainInstance => {
    const copy = { ...instance, identifyingValues: undefined };
    return copy;
  };
  return {
    ...series,
    header: plain(series.header),
    slices: series.slices.map(({ instance, k }) => ({ instance: plain(instance), k })),
  };
}

function revivedSeries(series: PlainDicomSeries): DicomSeries {
  const revived = (instance: PlainInstance): DicomInstance => ({
    ...instance,
    identifyingValues: () => [],
  });
  return {
    ...series,
    header: revived(series.header),
    slices: series.slices.map(({ instance, k }) => ({ instance: revived(instance), k })),
  };
}

/** Reads the whole volume. @throws DicomError, NiftiError or a system error when it cannot be read. */
export async function loadVoxels(source: VoxelSource): Promise<Volume> {
  switch (source.kind) {
    case 'dicom':
      return loadSeries(revivedSeries(source.series));
    case 'file':
      return (await readNiftiFile(source.path)).frame(source.frame);
  }
}

/** Names, ids, dates and places that the source holds; null where they cannot be read. */
export async function readIdentifying(source: IdentifyingSource): Promise<readonly string[] | null> {
  if (source.kind === 'values') return source.values;
  try {
    return (await readDicomHeader(source.path)).identifyingValues();
  } catch {
    return null;
  }
}

/** Whether only this thread can read the source, because bytes of it are mounted in its memory. */
export function isBoundToThread(source: VoxelSource, identifying: IdentifyingSource): boolean {
  const paths =
    source.kind === 'dicom' ? source.series.slices.map(({ instance }) => instance.path) : [source.path];
  if (identifying.kind === 'dicom') paths.push(identifying.path);
  return paths.some((path) => path.startsWith('memory:'));
}
