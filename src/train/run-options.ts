/** What every training over a corpus shares: its options, the patients kept out, and how steps are shared out. */
import { createHash } from 'node:crypto';
import { allowed, requireUse } from '../corpus/rights.js';
import type { Series } from '../corpus/series.js';
import { splitOf as patientSplit } from '../corpus/split.js';
import type { Precision } from '../graph/index.js';
import { SingleProcess, type Communicator } from '../mpi/index.js';
import type { Provenance } from '../models/provenance.js';
import type { NamedTensor } from '../models/safetensors.js';
import type { ModelConfig } from '../models/sizes.js';
import type { Params } from '../nn/index.js';
import type { DeviceKind } from '../runtime/index.js';
import { TextTokenizer, trainWordPiece } from '../text/tokenizer.js';
import { threadsPerRank } from './job.js';
import { DEFAULT_MEMORY, shareOf, TrainError, VolumeCache, type VolumeSource } from './loader.js';
import type { EpochSummary, Objective, StepMetrics } from './loop.js';
import { mapProbe } from './maps.js';
import { knnProbe } from './probe.js';
import { registerWith } from './provenance.js';

/** What training needs of a corpus. */
export interface TrainingCorpus extends VolumeSource {
  /** Where the run is registered; nowhere unless given. */
  readonly dir?: string;
  list(options?: { where?: string }): Promise<Series[]>;
}

export interface RunOptions {
  readonly corpus: TrainingCorpus;
  readonly run: string;
  readonly size: string;
  readonly steps: number;
  /** Series a step, over all ranks. */
  readonly batch: number;
  /** Parts into which a step's batch is cut to save memory; losses couple the series of a part. 1 unless given. */
  readonly accumulate?: number;
  /** The processes that share the work, from `openCommunicator`; this one alone unless given. */
  readonly ranks?: Communicator;
  readonly seed: number;
  readonly resume?: boolean;
  /** SQL condition on the series to use; all unless given. */
  readonly where?: string;
  readonly learningRate?: number;
  /** Share of patients kept out of training, for the probe. */
  readonly heldOut?: number;
  readonly checkpointEvery?: number;
  readonly probeEvery?: number;
  /** Most series on either side of the probe. */
  readonly probeSeries?: number;
  readonly threads?: number;
  readonly device?: DeviceKind;
  /** float16 multiplies halves, with loss scaling: for GPUs. float32 unless given. */
  readonly precision?: Precision;
  /** Bytes that volumes may take: half of them for what is kept between steps, see VolumeCache. */
  readonly cacheBytes?: number;
  readonly signal?: AbortSignal;
  readonly onStep?: (metrics: StepMetrics) => void;
  /** Called each time the corpus has been gone through, and after the last step. */
  readonly onEpoch?: (summary: EpochSummary) => void;
  readonly warn?: (message: string) => void;
}

const DEFAULTS = {
  heldOut: 0.2,
  checkpointEvery: 50,
  probeEvery: 50,
  device: 'cpu',
} as const;

export interface Split {
  readonly training: Series[];
  readonly heldOut: Series[];
}

/**
 * The series that may be trained on, by patients; those whose rights do not permit it are left out and named.
 * @throws TrainError when the corpus holds none, CorpusError when the rights permit none.
 */
export async function byPatient(doing: string, options: RunOptions): Promise<Split> {
  const found = (await options.corpus.list(options.where === undefined ? {} : { where: options.where })).sort(
    (a, b) => (a.id < b.id ? -1 : 1),
  );
  if (found.length === 0)
    throw new TrainError(
      options.where === undefined
        ? 'train: the corpus holds no series; fill it with "precess ingest"'
        : `train: no series of the corpus matches "${options.where}"; "precess corpus show" tells what there is`,
    );
  const all = requireUse(found, 'train', {
    doing,
    // What is true of the corpus needs to be said once.
    ...(options.warn && !options.ranks?.rank && { warn: options.warn }),
  });
  const share = options.heldOut ?? DEFAULTS.heldOut;
  const isHeldOut = ({ patientId }: Series): boolean =>
    patientSplit(patientId, options.seed, share) === 'held-out';
  const training = all.filter((series) => !isHeldOut(series));
  // A corpus of very few patients may fall on one side whole; then there is nothing to hold out.
  if (training.length === 0) return { training: all, heldOut: [] };
  return { training, heldOut: allowed(all.filter(isHeldOut), 'evaluate').permitted };
}

export function namedTensors(
  params: Params,
  flat: Float32Array,
  prefixes: readonly string[],
): Map<string, NamedTensor> {
  return new Map(
    params.slices
      .filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)))
      .map(({ name, shape, offset, size }) => [
        name,
        { name, shape, data: flat.slice(offset, offset + size) },
      ]),
  );
}

/** How many series, and a hash of which: a resumed run must meet the same ones in the same order. */
function fingerprint(series: readonly Series[]): string {
  const hash = createHash('sha256').update(series.map(({ id }) => id).join());
  return `${series.length}:${hash.digest('hex').slice(0, 16)}`;
}

export function commonSettings(kind: string, options: RunOptions, split: Split): Record<string, unknown> {
  const { size, batch, seed, learningRate, heldOut = DEFAULTS.heldOut, accumulate = 1, precision } = options;
  return {
    kind,
    size,
    batch,
    ...(accumulate > 1 && { accumulate }),
    // Runs from before there was a choice name no precision.
    ...(precision === 'float16' && { precision }),
    seed,
    learningRate,
    heldOut,
    series: fingerprint(split.training),
  };
}

/** How a step's batch is shared out: among parts one after another, and the ranks side by side. */
export function sharing({ batch, accumulate = 1, ranks = new SingleProcess() }: RunOptions) {
  shareOf(batch, accumulate * ranks.size);
  const part = batch / accumulate;
  return {
    ranks,
    parts: accumulate,
    /** Series of a part over all ranks. */
    part,
    at: (seed: number, step: number, n: number) => ({
      seed,
      step: step * accumulate + n,
      batch: part,
      ranks,
    }),
  };
}

export async function loopOptions(
  options: RunOptions,
  settings: Record<string, unknown>,
  provenance: Provenance,
  momentum: readonly [number, number],
  seriesCount: number,
) {
  const {
    run,
    steps,
    resume = false,
    signal,
    onStep,
    onEpoch,
    batch,
    corpus,
    warn = () => undefined,
    ranks,
  } = options;
  const threads = options.threads ?? (ranks && (await threadsPerRank(ranks)));
  return {
    async onStart() {
      if (corpus.dir !== undefined) await registerWith(corpus.dir, provenance, run, resume, warn);
    },
    run,
    steps,
    settings,
    resume,
    schedule: {
      learningRate: settings.learningRate as number,
      warmupSteps: Math.max(1, Math.round(steps * 0.1)),
      weightDecay: 0.05,
      clipNorm: 3,
      teacherMomentum: momentum,
    },
    checkpointEvery: options.checkpointEvery ?? DEFAULTS.checkpointEvery,
    probeEvery: options.probeEvery ?? DEFAULTS.probeEvery,
    device: options.device ?? DEFAULTS.device,
    ...(threads !== undefined && { threads }),
    ...(ranks && { ranks }),
    ...(signal && { signal }),
    ...(onStep && { onStep }),
    ...(onEpoch && { onEpoch, stepsPerEpoch: seriesCount / batch }),
  };
}

export const cacheOf = (options: RunOptions): VolumeCache =>
  new VolumeCache(options.corpus, options.cacheBytes ?? DEFAULT_MEMORY, options.warn ?? (() => undefined));

/** What is watched while a run learns: the kNN probe where patients are held out, and maps of a few images. */
export const watching = (
  params: Params,
  config: ModelConfig,
  cache: VolumeCache,
  { training, heldOut }: Split,
  { probeSeries }: RunOptions,
): Pick<Objective, 'probe' | 'maps'> => ({
  ...(heldOut.length > 0 && { probe: knnProbe(params, config, cache, training, heldOut, probeSeries) }),
  maps: mapProbe(params, config, cache, training),
});

/** The series that have a text. @throws TrainError when there are none. */
export function withTexts(series: readonly Series[], doing: string): Series[] {
  const some = series.filter(({ text }) => text.trim() !== '');
  if (some.length > 0) return some;
  throw new TrainError(
    `${doing}: no series of the corpus has a text; ingest reports, or series with a header`,
  );
}

export const wordsOf = (series: readonly Series[]): TextTokenizer =>
  new TextTokenizer(trainWordPiece(series.map(({ text }) => text)));
