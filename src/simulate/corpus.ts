/** Many simulated studies on disk, by worker threads. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { readNiftiFile } from '../formats/nifti/index.js';
import { SimulationError } from './anatomy.js';
import { FREESURFER_TISSUES } from './label-map.js';
import { simulateStudy, type Size, type StudyOptions } from './study.js';
import { writeStudy } from './write.js';

export interface CorpusOptions {
  readonly patients: number;
  /** Studies of each patient; 1 by default. */
  readonly studies?: number;
  readonly seed: number;
  readonly size?: Size;
  /** Series a study; by default 2 to 4. */
  readonly series?: number;
  /** NIfTI files of heads labelled as FreeSurfer does: patient n is the n-th of them, with 12 series by default. */
  readonly labelMaps?: readonly string[];
  /** Threads; 2 by default. 0 simulates on the calling thread. */
  readonly threads?: number;
  /** Called after each study with the number of studies done. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface CorpusSummary {
  readonly studies: number;
  readonly series: number;
  readonly files: number;
}

/** What a worker is asked and what it answers. */
export interface WorkerTask {
  readonly dir: string;
  readonly options: StudyOptions;
  /** A label map to take images of. */
  readonly labelMap?: string;
}
export interface WorkerAnswer {
  readonly series: number;
  readonly files: number;
  readonly error?: string;
}

/** Simulates one study and writes it into `dir`. */
export async function simulateInto({ dir, options, labelMap }: WorkerTask): Promise<WorkerAnswer> {
  const labels = labelMap !== undefined && {
    volume: (await readNiftiFile(labelMap)).frame(0),
    tissues: FREESURFER_TISSUES,
  };
  const study = simulateStudy({ ...options, ...(labels && { labels }) });
  const { files } = await writeStudy(dir, study);
  return { series: study.series.length, files: files.length };
}

/**
 * Simulates patients 0, 1, ... and writes each one's study into a folder of its own under `dir`. What is written
 * does not depend on the number of threads.
 * @throws SimulationError when the options make no sense or a worker fails (no space left, for example).
 * @throws the signal's reason when it is aborted; studies under way are then left unfinished.
 */
export async function writeCorpus(dir: string, options: CorpusOptions): Promise<CorpusSummary> {
  const { patients, seed, signal, onProgress, labelMaps } = options;
  if (!Number.isInteger(patients) || patients < 1) {
    throw new SimulationError(`simulate a corpus: it has at least one patient, got ${patients}`);
  }
  if (labelMaps && patients > labelMaps.length) {
    throw new SimulationError(
      `simulate a corpus: each label map is one patient, got ${patients} patients of ${labelMaps.length} maps`,
    );
  }
  const series = options.series ?? (labelMaps && LABEL_MAP_SERIES);
  const each = options.studies ?? 1;
  if (!Number.isInteger(each) || each < 1) {
    throw new SimulationError(`simulate a corpus: a patient has at least one study, got ${each}`);
  }
  const threads = Math.min(options.threads ?? 2, patients * each);
  let [next, studies, written, files] = [0, 0, 0, 0];
  const task = (): WorkerTask | null => {
    if (next >= patients * each) return null;
    const [patient, study] = [Math.floor(next / each), next % each];
    next++;
    const folder = join(dir, `patient-${String(patient).padStart(5, '0')}`);
    return {
      dir: each === 1 ? folder : join(folder, `study-${study + 1}`),
      options: {
        seed,
        patient,
        study,
        ...(options.size !== undefined ? { size: options.size } : {}),
        ...(series !== undefined ? { series } : {}),
      },
      ...(labelMaps && { labelMap: labelMaps[patient]! }),
    };
  };
  const count = (answer: WorkerAnswer): void => {
    studies++;
    written += answer.series;
    files += answer.files;
    onProgress?.(studies, patients * each);
  };
  signal?.throwIfAborted();
  if (threads === 0) {
    for (let one = task(); one !== null; one = task()) {
      count(await simulateInto(one));
      signal?.throwIfAborted();
    }
  } else {
    const workers = Array.from({ length: threads }, () => new Worker(WORKER_FILE));
    try {
      await Promise.all(workers.map((worker) => drive(worker, task, count, signal)));
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  }
  return { studies, series: written, files };
}

/** The examinations of a head know about so many pairs of contrast and plane. */
const LABEL_MAP_SERIES = 12;

const WORKER_FILE = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/simulate/worker.js' : './worker.js',
  import.meta.url,
);

/** Gives a worker one task after the other until there is none. */
function drive(
  worker: Worker,
  task: () => WorkerTask | null,
  count: (answer: WorkerAnswer) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal?.reason as Error);
    const done = (): void => {
      signal?.removeEventListener('abort', stop);
      resolve();
    };
    const give = (): void => {
      const one = task();
      if (one === null) done();
      else worker.postMessage(one);
    };
    signal?.addEventListener('abort', stop, { once: true });
    worker.on('message', (answer: WorkerAnswer) => {
      if (signal?.aborted) return;
      if (answer.error !== undefined) {
        reject(new SimulationError(`simulate a corpus: a study could not be written: ${answer.error}`));
        return;
      }
      count(answer);
      give();
    });
    worker.on('error', reject);
    give();
  });
}
