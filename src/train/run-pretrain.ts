/** `pretrain` over a corpus: settings in, a run folder out. */
import type { Series } from '../corpus/series.js';
import { modelConfig, type ModelConfig } from '../models/sizes.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import { Random } from '../volume/random.js';
import { ALIGN, sayOf, textBatch } from './align.js';
import { studiesOf } from './crops.js';
import { cutBatch, type CutBatch, type CutRecipe } from './cut-batch.js';
import { Cutters, type CutterOptions } from './cutters.js';
import { shareOfStep, type VolumeCache } from './loader.js';
import { train, type Objective, type TrainResult } from './loop.js';
import { MAE, maeParams, maeStep, type MaeRecipe } from './mae.js';
import type { Pretraining } from './objectives.js';
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
import { provenanceOf } from './provenance.js';
import {
  byPatient,
  cacheOf,
  commonSettings,
  loopOptions,
  namedTensors,
  sharing,
  watching,
  withTexts,
  wordsOf,
  type RunOptions,
} from './run-options.js';

export interface PretrainOptions extends RunOptions {
  /**
   * "dino" (unless given): student-teacher self-distillation. "joint": the same, and what the hidden cubes hold. "slip":
   * the same again, and agreement with the texts of the corpus. "mae": masked autoencoding alone.
   */
  readonly objective?: Pretraining;
  readonly recipe?: PretrainRecipe;
  readonly maeRecipe?: MaeRecipe;
  /** Threads that cut views besides; none unless given. */
  readonly cutters?: CutterOptions;
}

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
  const { params, close, ...learnt } = kind === 'mae' ? maeObjective(at) : dinoObjective(at, recipe, words);
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
    ...watching(params, config, cache, split, options),
  };
  // A teacher that keeps 99 % of itself a step would, in a short run, end as it began.
  const momentum = Math.min(0.996, Math.max(0.9, 1 - 8 / steps));
  try {
    return await train(
      objective,
      await loopOptions(options, settings, provenance, [momentum, 1], split.training.length),
    );
  } finally {
    await close();
  }
}

/** What the objectives of pretraining are made from. */
interface Parts {
  readonly options: PretrainOptions;
  readonly config: ModelConfig;
  readonly series: readonly Series[];
  readonly cache: VolumeCache;
  readonly share: ReturnType<typeof sharing>;
}

type Learnt = Pick<Objective, 'params' | 'program' | 'late' | 'rates' | 'losses' | 'teacher' | 'batch'> & {
  readonly close: () => Promise<void>;
};

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
  const views = viewsOf({ options, config, series, cache, share }, (step) => recipeAt(recipe, step, steps));
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
    close: views.close,
    async batch(step, n) {
      const at = share.at(seed, step, n);
      const { feeds, shown, ...rest } = await views.cut(step, n);
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

/** Batches in store besides one a thread: a volume that is opened for the first time takes longer than a short step. */
const SPARE = 2;

/** The views of each part of each step, cut here, or in threads that work ahead of it. */
function viewsOf(
  { options, config, series, cache, share }: Parts,
  now: (step: number) => CutRecipe,
): { cut: (step: number, part: number) => Promise<CutBatch>; close: () => Promise<void> } {
  const { seed, steps, cutters: wanted } = options;
  const studies = studiesOf(series);
  if (wanted === undefined || wanted.threads < 1)
    return {
      cut: (step, part) => cutBatch(cache, series, config, now(step), share.at(seed, step, part), studies),
      close: () => Promise.resolve(),
    };
  const cutters = new Cutters(wanted, series, config, options.cacheBytes, options.warn);
  const { parts } = share;
  const ahead = new Map<number, Promise<CutBatch>>();
  return {
    cut(step, part) {
      const first = step * parts + part;
      for (let n = first; n < Math.min(first + cutters.width + SPARE, steps * parts); n++) {
        if (ahead.has(n)) continue;
        const at = Math.floor(n / parts);
        const batch = cutters.cut(now(at), share.at(seed, at, n % parts));
        // Whoever asks for it hears of an error.
        batch.catch(() => undefined);
        ahead.set(n, batch);
      }
      const batch = ahead.get(first)!;
      ahead.delete(first);
      return batch;
    },
    close: () => cutters.close(),
  };
}

function maeObjective(at: Parts): Learnt {
  const { options, config, share } = at;
  const { maeRecipe: recipe = MAE, precision } = options;
  const params = maeParams(config, recipe);
  const views = viewsOf(at, () => recipe);
  return {
    params,
    program: maeStep(params, config, recipe, share.part, share.ranks, precision),
    losses: ['loss'],
    teacher: false,
    close: views.close,
    async batch(step, n) {
      const { feeds, tokens, ids } = await views.cut(step, n);
      return { feeds, tokens, ids };
    },
  };
}
