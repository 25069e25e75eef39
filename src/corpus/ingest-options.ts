/** What an ingest is told, and what it tells. */
import type { Communicator } from '../mpi/index.js';
import type { ReportOptions, ReportSummary } from './reports/studies.js';
import type { GivenRights } from './rights.js';
import type { Series } from './series.js';
import type { Skipped } from './walk.js';

export interface IngestProgress {
  /** "scan" reads headers, `done` of `total` files; "store" writes voxels, `done` of `total` series. */
  readonly phase: 'scan' | 'store';
  readonly done: number;
  readonly total: number;
}

export interface IngestOptions {
  /** The folder of the corpus; made where it is missing. */
  readonly corpus: string;
  /**
   * What may be done with these series, for all or by source; DEFAULT_RIGHTS where not given. Given ones also replace
   * those stored before.
   */
  readonly rights?: GivenRights;
  /** Who does it, for the audit log. */
  readonly operator?: string;
  /** "report" (usual) keeps cleaned image comments after the header sentence; "header" keeps the sentence only. */
  readonly text?: 'report' | 'header';
  /** Reports from elsewhere; structured reports among the images are taken without being asked for. */
  readonly reports?: ReportOptions;
  /** A table (CSV, TSV) of what is known of image files, as MetadataTable reads it. */
  readonly metadata?: string;
  /** Keeps all volumes of a series in more than four that differ by time or direction only, of which else the first is. */
  readonly everyVolume?: boolean;
  /** Keeps sex and age (PS3.15 E.3.7, Retain Patient Characteristics); ages of 90 and above become 90. */
  readonly retainCharacteristics?: boolean;
  /** Keeps the day of each study, moved by days that only the corpus's key tells (PS3.15 E.3.6); false keeps none. */
  readonly dates?: boolean;
  /** Takes the face out of images of the head (see deidentify/deface.ts); those where it cannot are quarantined. */
  readonly deface?: boolean;
  /** Threads that read, inspect and write voxels; one a core where not given. Below 2 the calling thread does it. */
  readonly workers?: number;
  /**
   * The processes that store series together, this one being rank 0; the others call `storeForRank0` meanwhile. Alone where
   * not given.
   */
  readonly ranks?: Communicator;
  readonly onProgress?: (progress: IngestProgress) => void;
  /** Stops after the series at hand; what is stored by then is complete. */
  readonly signal?: AbortSignal;
}

export interface Ingested {
  /** Every series of the sources that the corpus holds now, old and new. */
  readonly series: Series[];
  /** Files, or series named by their first file, that were left out. Paths are for the person, and stored nowhere. */
  readonly skipped: Skipped[];
  /** Decisions such as "kept the first of 30 frames". */
  readonly notes: Skipped[];
  /** Null where there was no report. */
  readonly reports: ReportSummary | null;
  readonly added: number;
  /** Series that came back with more slices than before, and were written anew. */
  readonly replaced: number;
  /** Series that were there already. */
  readonly present: number;
  readonly interrupted: boolean;
}
