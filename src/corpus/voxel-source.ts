/** Where the voxels of a planned series are, as plain data that travels between threads, and how they are read. */
import {
  type DicomInstance,
  type DicomSeries,
  loadSeries,
  readIdentifyingValues,
} from '../formats/dicom/index.js';
import { openNiftiSlabs, readNiftiFile } from '../formats/nifti/index.js';
import { openImageFile } from '../formats/volume-files.js';
import type { Volume, VoxelArray } from '../volume/volume.js';
import { CorpusError } from './error.js';
import type { FileFormat } from './file-names.js';
import type { Slabs } from './voxels.js';

/** An instance without its function, which no thread can be sent. */
export type PlainInstance = Omit<DicomInstance, 'identifyingValues'>;

export interface PlainDicomSeries extends Omit<DicomSeries, 'header' | 'slices'> {
  readonly header: PlainInstance;
  readonly slices: readonly { readonly instance: PlainInstance; readonly k: number }[];
}

/**
 * One volume. Paths are as openBytes takes them; a "memory:" path is known only in the thread that mounted it. To read
 * another format, add its kind here and its case to `loadVoxels` and `openVoxels`.
 */
export type VoxelSource =
  | { readonly kind: 'dicom'; readonly series: PlainDicomSeries }
  | { readonly kind: 'file'; readonly format: FileFormat; readonly path: string; readonly frame: number };

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
      return source.format === 'nifti'
        ? (await readNiftiFile(source.path)).frame(source.frame)
        : (await openImageFile(source.format, source.path)).frame(source.frame);
  }
}

/** A volume that is read some slices at a time, in rising order. */
export interface VoxelReader extends Slabs {
  /** Of all voxels as stored. */
  readonly bytes: number;
  close(): Promise<void>;
}

/** Opens a volume to be read in slabs. @throws as loadVoxels. */
export async function openVoxels(source: VoxelSource): Promise<VoxelReader> {
  switch (source.kind) {
    case 'dicom':
      return dicomReader(revivedSeries(source.series));
    case 'file':
      return source.format === 'nifti'
        ? openNiftiSlabs(source.path, source.frame)
        : (await openImageFile(source.format, source.path)).slabs(source.frame);
  }
}

/** Slabs of a DICOM series are series of their own; where slices are scaled or stored differently, all are floats. */
function dicomReader(series: DicomSeries): VoxelReader {
  const { shape, affine, header, slices, missingSlices } = series;
  const uniform = slices.every(
    ({ instance: { rescale, bits } }) =>
      rescale.slope === header.rescale.slope &&
      rescale.intercept === header.rescale.intercept &&
      bits.allocated === header.bits.allocated &&
      bits.signed === header.bits.signed &&
      bits.float === header.bits.float,
  );
  const area = shape[0] * shape[1];
  const type = uniform ? arrayOf(header.bits) : Float32Array;
  return {
    shape,
    affine,
    slope: uniform ? header.rescale.slope : 1,
    intercept: uniform ? header.rescale.intercept : 0,
    bytes: area * shape[2] * (uniform ? header.bits.allocated / 8 : 4),
    readSlices: async (k0, k1) => {
      const within = slices.filter(({ k }) => k >= k0 && k < k1);
      if (within.length === 0) {
        return { data: new type(area * (k1 - k0)), valid: new Uint8Array(area * (k1 - k0)) };
      }
      const volume = await loadSeries({
        ...series,
        header: within[0]!.instance,
        slices: within.map(({ instance, k }) => ({ instance, k: k - k0 })),
        shape: [shape[0], shape[1], k1 - k0],
        missingSlices: missingSlices.filter((k) => k >= k0 && k < k1).map((k) => k - k0),
      });
      const data = uniform ? volume.data : real(volume);
      if (!(data instanceof type))
        throw new CorpusError('internal: the slabs of a DICOM series must be of one voxel type');
      return { data, valid: volume.valid };
    },
    close: () => Promise.resolve(),
  };
}

function arrayOf({ allocated, signed, float }: DicomInstance['bits']): new (n: number) => VoxelArray {
  if (float) return allocated === 64 ? Float64Array : Float32Array;
  if (allocated === 8) return signed ? Int8Array : Uint8Array;
  if (allocated === 16) return signed ? Int16Array : Uint16Array;
  return signed ? Int32Array : Uint32Array;
}

function real({ data, slope, intercept }: Volume): Float32Array {
  const values = Float32Array.from(data);
  for (let n = 0; n < values.length; n++) values[n] = values[n]! * slope + intercept;
  return values;
}

/** Names, ids, dates and places that the source holds; null where they cannot be read. */
export async function readIdentifying(source: IdentifyingSource): Promise<readonly string[] | null> {
  if (source.kind === 'values') return source.values;
  try {
    return await readIdentifyingValues(source.path);
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
