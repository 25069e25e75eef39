/** Alignment: image and text encoders are taught to agree about what belongs together. */
import { gradients, Graph, mul, stopGradient, type TypedArray, type Value } from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import { imageInputs, textInputs } from '../models/inputs.js';
import type { ModelConfig } from '../models/sizes.js';
import { textEncoder, textVector, type TextInputs } from '../models/text-encoder.js';
import { imageSummary, imageVector, vit3d, type ImageInputs } from '../models/vit3d.js';
import { Params, type Scope } from '../nn/index.js';
import type { Series } from '../corpus/series.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import { Random } from '../volume/random.js';
import type { TokenSet } from '../volume/tokens.js';
import { sigmoidContrastiveLoss } from './contrast.js';
import { seriesOfStep, usable, type VolumeCache } from './loader.js';
import { drawView, type Augmentation, type ViewSpec } from './views.js';

export interface AlignRecipe {
  readonly view: ViewSpec;
  readonly augmentation: Augmentation;
  /** The image encoder keeps its weights; only the projections and the text encoder learn. */
  readonly freezeImage: boolean;
}

/** Contrast is meaning here, so the gamma and bias changes are milder than in pretraining. */
export const ALIGN: AlignRecipe = {
  view: {
    tokens: 128,
    patchMm: [
      [16, 0.6],
      [32, 0.4],
    ],
    extent: [0.7, 1],
  },
  augmentation: { gamma: 0.15, bias: 0.15, noise: 0.1, missingSlices: 0.3 },
  freezeImage: false,
};

/** [B, 2 D] image summaries and [B, textDim] text features: what the joint space is mapped from. */
function summaries(
  scope: Scope,
  config: ModelConfig,
  vocabSize: number,
  image: ImageInputs,
  text: TextInputs,
) {
  return {
    image: imageSummary(vit3d(scope.child('image'), config, image)),
    text: textEncoder(scope.child('text'), config, vocabSize, text),
  };
}

/** Temperature and bias are stored at a tenth, so that one learning rate moves them ten times as fast as weights. */
const SCALAR_SPEED = 10;

function joint(scope: Scope, config: ModelConfig, features: { image: Value; text: Value }, batch: number) {
  const scalar = (name: string, start: number): Value =>
    mul(scope.param(name, [1], { constant: start / SCALAR_SPEED }), SCALAR_SPEED);
  return {
    images: imageVector(scope.child('align'), config, features.image),
    texts: textVector(scope.child('align'), config, features.text),
    // SigLIP starts at a scale of 10 and a bias of -10, which is about the log odds of a match in its batches of
    // 32,768. Here the batch says what the odds are, and the scale starts lower: in a small batch the noise of a large
    // one is first unlearnt by making all vectors alike.
    logScale: scalar('align.logScale', Math.log(4)),
    bias: scalar('align.bias', -Math.log(Math.max(2, batch) - 1)),
  };
}

/** The parameters of both encoders and their projections. */
export function alignParams(config: ModelConfig, vocabSize: number, batch: number): Params {
  return Params.collect((graph, scope) => {
    const image = imageInputs(graph, 'any', 1, 4, config.samples);
    joint(
      scope,
      config,
      summaries(scope, config, vocabSize, image, textInputs(graph, 1, config.textLength)),
      batch,
    );
  });
}

/** The program of one step: inputs `params`, the views, the texts and `pairs`; outputs `grads` and `loss`. */
export function alignStep(
  params: Params,
  config: ModelConfig,
  vocabSize: number,
  recipe: AlignRecipe,
  batch: number,
): Graph {
  const graph = new Graph('align');
  const flat = graph.input('params', 'float32', [params.size]);
  const image = imageInputs(graph, 'view', batch, recipe.view.tokens, config.samples);
  const text = textInputs(graph, batch, config.textLength);
  const pairs = graph.input('pairs', 'float32', [batch, batch]);
  const scope = params.bind(flat);
  const features = summaries(scope, config, vocabSize, image, text);
  const model = joint(
    scope,
    config,
    {
      ...features,
      ...(recipe.freezeImage && { image: stopGradient(features.image) }),
    },
    batch,
  );
  const loss = sigmoidContrastiveLoss(model.images, model.texts, model.logScale, model.bias, pairs);
  graph.output('grads', gradients(loss, [flat])[0]!);
  graph.output('loss', loss);
  return graph;
}

/** A text as its sentences, each as its clauses, trimmed and lower-cased: the units in which texts are compared. */
export function clausesOf(text: string): string[][] {
  return text
    .split(/(?<=[.;!?])\s+/)
    .map((sentence) =>
      sentence
        .split(/,\s+/)
        .map((clause) =>
          clause
            .replace(/[\s.;!?]+$/, '')
            .trim()
            .toLowerCase(),
        )
        .filter((clause) => clause !== ''),
    )
    .filter((sentence) => sentence.length > 0);
}

/**
 * Says less than the whole text, as a person who searches does: some of its sentences, some cut after their first
 * clause. Half of the time the whole text is kept.
 */
export function shorten(text: string, random: Random): string[][] {
  const sentences = clausesOf(text);
  if (sentences.length === 0 || random.chance(0.5)) return sentences;
  const kept = sentences.filter(() => random.chance(0.5));
  const some = kept.length > 0 ? kept : [random.choice(sentences)];
  return some.map((clauses) => (random.chance(0.5) ? clauses.slice(0, 1) : clauses));
}

/** [images, texts] +1 where everything that the text says is also said of the image, else -1. */
export function truePairs(full: readonly string[], shortened: readonly string[][][]): Float32Array {
  const said = full.map((text) => new Set(clausesOf(text).flat()));
  return Float32Array.from(
    said.flatMap((set) => shortened.map((text) => (text.flat().every((clause) => set.has(clause)) ? 1 : -1))),
  );
}

/** The feeds of a step, decided by (seed, step) alone. */
export async function alignBatch(
  cache: VolumeCache,
  series: readonly Series[],
  tokenizer: TextTokenizer,
  config: ModelConfig,
  recipe: AlignRecipe,
  { seed, step, batch }: { seed: number; step: number; batch: number },
): Promise<{ feeds: Record<string, TypedArray>; tokens: number }> {
  const sets: TokenSet[] = [];
  const full: string[] = [];
  const said: string[][][] = [];
  for (const [i, wanted] of seriesOfStep(series, seed, step, batch).entries()) {
    const { prepared, series: found } = await usable(cache, series, wanted);
    const random = new Random(seed, step, i);
    sets.push(drawView(prepared, config.samples, recipe.view, recipe.augmentation, random));
    full.push(found.text);
    said.push(shorten(found.text, random));
  }
  const texts = said.map((sentences) => sentences.map((clauses) => `${clauses.join(', ')}.`).join(' '));
  const { ids, mask } = tokenizer.encodeBatch(texts, config.textLength);
  const feeds: Record<string, TypedArray> = {
    'text.ids': ids,
    'text.mask': mask,
    pairs: truePairs(full, said),
  };
  for (const [name, data] of Object.entries(imageBatch(sets, recipe.view.tokens, config.samples)))
    feeds[`view.${name}`] = data as Float32Array;
  return { feeds, tokens: sets.reduce((sum, set) => sum + set.count, 0) };
}
