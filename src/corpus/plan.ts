/** What ingest knows of every series before its voxels are read. */
import type { HeaderFields } from '../text/header.js';
import type { Series } from './series.js';
import type { IdentifyingSource, VoxelSource } from './voxel-source.js';
import type { Skipped, SourceFile } from './walk.js';

/** One series to be: everything known before its voxels are read. Plain data, which threads can be sent. */
export interface Planned {
  readonly id: string;
  readonly studyId: string;
  readonly patientId: string;
  readonly source: string;
  readonly fields: HeaderFields;
  /** Free text of the source about this series, or ''. */
  readonly comments: string;
  /** What identifies the person in this source; read when it is needed. */
  readonly identifying: IdentifyingSource;
  /** Slices that the voxels are made from. */
  readonly instances: number;
  readonly missingSlices: readonly number[];
  /** Where it is, for messages to the person only. */
  readonly shown: string;
  readonly voxels: VoxelSource;
  /** Name of the image file without folder and ending; '' for DICOM. */
  readonly name: string;
  readonly keys?: PlannedKeys;
  /** Of the person, where the source says. */
  readonly sex?: 'F' | 'M' | 'O' | null;
  readonly ageYears?: number | null;
  /** Day of the study as the source says it, YYYYMMDD or YYYY-MM-DD; '' or absent where it does not. */
  readonly date?: string;
  /** Where it stands among the volumes of its source; absent where it is the only one. */
  readonly axes?: Series['axes'];
}

/** What reports are matched by: original identifiers, in memory only; '' where the source has none. */
export interface PlannedKeys {
  readonly accession: string;
  readonly studyUid: string;
  readonly patient: string;
  /** YYYYMMDD. */
  readonly date: string;
  /** Of the (first) image file. */
  readonly path: string;
}

export interface Plan {
  readonly planned: Planned[];
  readonly skipped: Skipped[];
  /** Structured reports among the images. */
  readonly documents: SourceFile[];
  /** What was decided without leaving a series out. */
  readonly notes: Skipped[];
}

/** More volumes than this of one series that differ in time or direction only are one volume repeated. */
export const MOST_REPEATS = 4;
