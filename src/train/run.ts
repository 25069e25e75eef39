/** `pretrain` and `align` over a corpus: settings in, a run folder out. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { allowed, requireUse } from '../corpus/rights.js';
import type { Series } from '../corpus/series.js';
import { splitOf as patientSplit } from '../corpus/split.js';
import type { Precision } from '../graph/index.js';
import { SingleProcess, type Communicator } from '../mpi/index.js';
import { ExternalText, keepTextEncoder, TEXT_ENCODER_FOLDER } from '../models/external-text.js';
import { openModel, type ModelFile } from '../models/model-file.js';
import type { Provenance } from '../models/provenance.js';
import type { NamedTensor } from '../models/safetensors.js';
import { modelConfig, ModelError, type ModelConfig } from '../models/sizes.js';
import type { Params } from '../nn/index.js';
import type { DeviceKind } from '../runtime/index.js';
import { Random } from '../volume/random.js';
import { TextTokenizer, trainWordPiece } from '../text/tokenizer.js';
import { ALIGN, alignBatch, alignParams, alignStep, sayOf, textBatch, type AlignRecipe } from './align.js';
import { threadsPerRank } from './job.js';
import {
  DEFAULT_MEMORY,
  shareOf,
  shareOfStep,
  TrainError,
  VolumeCache,
  type VolumeSource,
} from './loader.js';
import { MAE, maeBatch, maeParams, maeStep, type MaeRecipe } from './mae.js';
import { train, type EpochSummary, type Objective, type StepMetrics, type TrainResult } from './loop.js';
import { pretrainBatch, studiesOf } from './crops.js';
import {
  lateFrom,
  layerRates,
  pretrainParams,
  pretrainStep,
  recipeAt,
  scheduledWeight,
  teacherTemperature,
  usualRecipe,
  type PretrainRecipe,
} from './pretrain.js';
import { mapProbe } from './maps.js';
import type { Pretraining } from './objectives.js';
import { knnProbe } from './probe.js';
import { provenanceOf, registerWith } from './provenance.js';

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

export interface PretrainOptions extends RunOptions {
  /**
   * "dino" (unless given): student-teacher self-distillation. "joint": the same, and what the hidden cubes hold. "slip":
   * the same again, and agreement with the texts of the corpus. "mae": masked autoencoding alone.
   */
  readonly objective?: Pretraining;
  readonly recipe?: PretrainRecipe;
  readonly maeRecipe?: MaeRecipe;
}

export interface AlignOptions extends RunOptions {
  /** A pretrained run or model to start the image encoder from; random weights without it. */
  readonly from?: string;
  /** Folder of a frozen text encoder in the layout of Hugging Face; the model's own unless given. */
  readonly textEncoder?: string;
  readonly recipe?: AlignRecipe;
}

const DEFAULTS = {
  heldOut: 0.2,
  checkpointEvery: 50,
  probeEvery: 50,
  device: 'cpu',
} as const;

interface Split {
  readonly training: Series[];
  readonly heldOut: Series[];
}

/**
 * The series that may be trained on, by patients; those whose rights do not permit it are left out and named.
 * @throws TrainError when the corpus holds none, CorpusError when the rights permit none.
 */
async function byPatient(doing: string, options: RunOptions): Promise<Split> {
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

function namedTensors(
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

function commonSettings(kind: string, options: RunOptions, split: Split): Record<string, unknown> {
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
function sharing({ batch, accumulate = 1, ranks = new SingleProcess() }: RunOptions) {
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

async function loopOptions(
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

const cacheOf = (options: RunOptions): VolumeCache =>
  new VolumeCache(options.corpus, options.cacheBytes ?? DEFAULT_MEMORY, options.warn ?? (() => undefined));

/** The series that have a text. @throws TrainError when there are none. */
function withTexts(series: readonly Series[], doing: string): Series[] {
  const some = series.filter(({ text }) => text.trim() !== '');
  if (some.length > 0) return some;
  throw new TrainError(
    `${doing}: no series of the corpus has a text; ingest reports, or series with a header`,
  );
}

const wordsOf = (series: readonly Series[]): TextTokenizer =>
  new TextTokenizer(trainWordPiece(series.map(({ text }) => text)));

/**
 * Pretraining of the image encoder without labels, on every series of the corpus but the held-out patients'. The model
 * file holds the encoder alone; with texts, also the text encoder, as after `align`.
 */
export async function pretrain(options: PretrainOptions): Promise<TrainResult> {
  const config = modelConfig(options.size);
  const split = await byPatient('pretrain', options);
  const cache = cacheOf(options);
  const { objective: kind = 'dino', steps, learningRate = 5e-4 } = options;
  const settings = commonSettings('pretrain', { ...options, learningRate }, split);
  // Runs from before there was a choice name no objective.
  if (kind !== 'dino') settings.objective = kind;
  const recipe = options.recipe ?? usualRecipe(kind);
  settings.recipe = kind === 'mae' ? (options.maeRecipe ?? MAE) : recipe;
  const provenance = provenanceOf('pretrain', settings, split.training);
  const at: Parts = { options, config, series: split.training, cache, share: sharing(options) };
  const words = kind !== 'mae' && recipe.text ? wordsOf(withTexts(split.training, 'pretrain')) : null;
  const { params, ...learnt } = kind === 'mae' ? maeObjective(at) : dinoObjective(at, recipe, words);
  const objective: Objective = {
    ...learnt,
    params,
    parts: at.share.parts,
    initial: params.initialize(options.seed),
    model: (weights, step) => ({
      config,
      tokenizer: words && words.json,
      step,
      provenance,
      tensors: namedTensors(params, weights, words ? ['image.', 'text.', 'align.'] : ['image.']),
    }),
    ...(split.heldOut.length > 0 && {
      probe: knnProbe(params, config, cache, split.training, split.heldOut, options.probeSeries),
    }),
    maps: mapProbe(params, config, cache, split.training),
  };
  // A teacher that keeps 99 % of itself a step would, in a short run, end as it began.
  const momentum = Math.min(0.996, Math.max(0.9, 1 - 8 / steps));
  return train(
    objective,
    await loopOptions(options, settings, provenance, [momentum, 1], split.training.length),
  );
}

/** What the objectives of pretraining are made from. */
interface Parts {
  readonly options: PretrainOptions;
  readonly config: ModelConfig;
  readonly series: readonly Series[];
  readonly cache: VolumeCache;
  readonly share: ReturnType<typeof sharing>;
}

type Learnt = Pick<Objective, 'params' | 'program' | 'late' | 'rates' | 'losses' | 'teacher' | 'batch'>;

/** Keeps the draw of what is said apart from those of the views. */
const SAID = 0x5a1d;

function dinoObjective(
  { options, config, series, cache, share }: Parts,
  recipe: PretrainRecipe,
  words: TextTokenizer | null,
): Learnt {
  const { seed, steps, precision } = options;
  const side = words && words.vocabSize;
  const params = pretrainParams(config, recipe, side === null ? null : { side, batch: share.part });
  const studies = studiesOf(series);
  const program = (of: PretrainRecipe) =>
    pretrainStep(params, config, of, share.part, share.ranks, { side, ...(precision && { precision }) });
  const from = lateFrom(recipe, steps);
  return {
    params,
    program: program(recipe),
    ...(from !== null && { late: { from, program: program(recipeAt(recipe, from, steps)) } }),
    ...(recipe.layerDecay !== undefined && { rates: layerRates(params, config.layers, recipe.layerDecay) }),
    losses: [
      'loss',
      'dino',
      'ibot',
      'koleo',
      ...(recipe.pixels ? ['pixels'] : []),
      ...(words ? ['text'] : []),
    ],
    teacher: true,
    async batch(step, n) {
      const at = share.at(seed, step, n);
      const now = recipeAt(recipe, step, steps);
      const { feeds, shown, ...rest } = await pretrainBatch(cache, series, config, now, at, studies);
      feeds.teacherTemperature = Float32Array.of(teacherTemperature(recipe, step, steps));
      const weight = (range: readonly [number, number]) =>
        Float32Array.of(scheduledWeight(range, step, steps));
      if (recipe.pixels) feeds.pixelWeight = weight(recipe.pixels);
      if (!words || !recipe.text) return { feeds, ...rest };
      feeds.textWeight = weight(recipe.text);
      const said = shareOfStep(series, at).map(({ index }, row) => {
        const one = shown[row]!;
        const random = new Random(at.seed, at.step, index, SAID);
        return one.text.trim() === '' ? null : sayOf(one, ALIGN.paraphrase, random);
      });
      const texts = await textBatch(words, config, shown, said);
      return { ...rest, ...texts, feeds: { ...feeds, ...texts.feeds } };
    },
  };
}

function maeObjective({ options, config, series, cache, share }: Parts): Learnt {
  const { seed, maeRecipe: recipe = MAE, precision } = options;
  const params = maeParams(config, recipe);
  return {
    params,
    program: maeStep(params, config, recipe, share.part, share.ranks, precision),
    losses: ['loss'],
    teacher: false,
    batch: (step, n) => maeBatch(cache, series, config, recipe, share.at(seed, step, n)),
  };
}

/**
 * Aligns the image encoder with a text encoder on the texts of the corpus. Series without a text are left out. A frozen
 * text encoder from elsewhere is kept in the run folder, beside the checkpoints that need it.
 */
export async function align(options: AlignOptions): Promise<TrainResult> {
  const { textEncoder, ranks: all, run } = options;
  if (textEncoder === undefined) return alignWith(options, null);
  const threads = options.threads ?? (all && (await threadsPerRank(all)));
  const external = await ExternalText.open(textEncoder, threads === undefined ? {} : { threads });
  try {
    const keep = () => keepTextEncoder(textEncoder, join(run, TEXT_ENCODER_FOLDER));
    return await alignWith(options, external, all && all.rank > 0 ? undefined : keep);
  } finally {
    await external.close();
  }
}

async function alignWith(
  options: AlignOptions,
  external: ExternalText | null,
  keep?: () => Promise<void>,
): Promise<TrainResult> {
  const recipe = options.recipe ?? ALIGN;
  const whole = await byPatient('align', options);
  const split = { ...whole, training: withTexts(whole.training, 'align') };
  const start = options.from === undefined ? null : await openModel(options.from);
  const config = alignConfig(options.size, start);
  const cache = cacheOf(options);
  // A model that already speaks keeps its words; their ids are baked into its text encoder.
  const words = external ?? (start?.tokenizer ? new TextTokenizer(start.tokenizer) : wordsOf(split.training));
  const side = words instanceof TextTokenizer ? words.vocabSize : words.record;
  const { ranks, parts, part, at } = sharing(options);
  const { studySeries } = recipe;
  shareOf(part, ranks.size * studySeries);
  const params = alignParams(config, side, part, studySeries);
  const { seed } = options;
  const settings = {
    ...commonSettings('align', { ...options, learningRate: options.learningRate ?? 5e-4 }, split),
    freezeImage: recipe.freezeImage,
    // Runs from before there was a choice show series alone.
    ...(studySeries > 1 && { studySeries }),
    start: start ? { step: start.step, tokenizer: start.tokenizer !== null } : null,
    ...(external && { textEncoder: external.record }),
  };
  const initial = startFrom(params, params.initialize(seed), start);
  const provenance = provenanceOf('align', settings, split.training, start?.provenance);
  const objective: Objective = {
    params,
    program: alignStep(params, config, side, recipe, part, ranks, options.precision),
    parts,
    losses: ['loss', ...(studySeries > 1 ? ['seriesLoss', 'studyLoss'] : [])],
    initial,
    teacher: false,
    ...(recipe.freezeImage && { trainable: trainable(params) }),
    batch: (step, n) => alignBatch(cache, split.training, words, config, recipe, at(seed, step, n)),
    model: (weights, step) => ({
      config,
      tokenizer: words instanceof TextTokenizer ? words.json : null,
      ...(external && { textEncoder: external.record }),
      step,
      provenance,
      tensors: namedTensors(params, weights, ['image.', 'text.', 'align.']),
    }),
    ...(split.heldOut.length > 0 && {
      probe: knnProbe(params, config, cache, split.training, split.heldOut, options.probeSeries),
    }),
    maps: mapProbe(params, config, cache, split.training),
  };
  const loop = await loopOptions(options, settings, provenance, [1, 1], split.training.length);
  return train(objective, {
    ...loop,
    async onStart() {
      await loop.onStart();
      await keep?.();
    },
  });
}

function alignConfig(size: string, start: ModelFile | null): ModelConfig {
  if (start && start.config.size !== size)
    throw new ModelError(
      `align: the model to start from is ${start.config.size}, got --size ${size}; use its size`,
    );
  return start?.config ?? modelConfig(size);
}

/** Initial weights with every tensor that the starting model has by the same name and shape. */
function startFrom(params: Params, initial: Float32Array, start: ModelFile | null): Float32Array {
  if (!start) return initial;
  for (const { name, offset, shape } of params.slices) {
    const tensor = start.tensors.get(name);
    if (tensor?.shape.join() === shape.join()) initial.set(tensor.data, offset);
  }
  return initial;
}

function trainable(params: Params): Float32Array {
  const mask = new Float32Array(params.size).fill(1);
  for (const { name, offset, size } of params.slices)
    if (name.startsWith('image.')) mask.fill(0, offset, offset + size);
  return mask;
}
