/** `align` over a corpus: settings in, a run folder out. */
import { join } from 'node:path';
import { ExternalText, keepTextEncoder, TEXT_ENCODER_FOLDER } from '../models/external-text.js';
import { openModel, type ModelFile } from '../models/model-file.js';
import { modelConfig, ModelError, type ModelConfig } from '../models/sizes.js';
import type { Params } from '../nn/index.js';
import { TextTokenizer } from '../text/tokenizer.js';
import { ALIGN, alignBatch, alignParams, alignStep, type AlignRecipe } from './align.js';
import { threadsPerRank } from './job.js';
import { shareOf } from './loader.js';
import { train, type Objective, type TrainResult } from './loop.js';
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

export interface AlignOptions extends RunOptions {
  /** A pretrained run or model to start the image encoder from; random weights without it. */
  readonly from?: string;
  /** Folder of a frozen text encoder in the layout of Hugging Face; the model's own unless given. */
  readonly textEncoder?: string;
  readonly recipe?: AlignRecipe;
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
    ...watching(params, config, cache, split, options),
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
