/** Alignment: image and text encoders are taught to agree about what belongs together. */
import { gradients, Graph, mul, stopGradient, type Ranks, type Value } from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import type { ExternalText } from '../models/external-text.js';
import { imageInputs, textInputs } from '../models/inputs.js';
import type { ModelConfig } from '../models/sizes.js';
import { textEncoder, textVector } from '../models/text-encoder.js';
import { imageSummary, imageVector, vit3d, type ImageInputs } from '../models/vit3d.js';
import { Params, type Scope } from '../nn/index.js';
import type { Series } from '../corpus/series.js';
import { claimsOf, factsOf, paraphrases } from '../text/paraphrases.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import { Random } from '../volume/random.js';
import type { TokenSet } from '../volume/tokens.js';
import { sigmoidContrastiveLoss } from './contrast.js';
import { shareOf, shareOfStep, usable, type StepShare, type VolumeCache } from './loader.js';
import type { Batch } from './loop.js';
import { drawScanned, NO_AUGMENTATION, type Augmentation, type ViewSpec } from './views.js';

export interface AlignRecipe {
  readonly view: ViewSpec;
  readonly augmentation: Augmentation;
  /** The image encoder keeps its weights; only the projections and the text encoder learn. */
  readonly freezeImage: boolean;
  /** Share of texts whose header sentence is said in other words. */
  readonly paraphrase: number;
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
  augmentation: { ...NO_AUGMENTATION, gamma: 0.15, bias: 0.15, noise: 0.1, missingSlices: 0.3 },
  freezeImage: false,
  paraphrase: 0.25,
};

/** Words of the model's own text encoder, or the width of the vectors of a frozen one from elsewhere. */
export type TextSide = number | { readonly dim: number };

/** [B, 2 D] image summaries and [B, textDim or dim] text features: what the joint space is mapped from. */
function summaries(scope: Scope, config: ModelConfig, side: TextSide, image: ImageInputs, texts: number) {
  const { graph } = image.patches;
  return {
    image: imageSummary(vit3d(scope.child('image'), config, image)),
    text:
      typeof side === 'number'
        ? textEncoder(scope.child('text'), config, side, textInputs(graph, texts, config.textLength))
        : graph.input('text.features', 'float32', [texts, side.dim]),
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
export function alignParams(config: ModelConfig, side: TextSide, batch: number): Params {
  return Params.collect((graph, scope) => {
    const image = imageInputs(graph, 'any', 1, 4, config.samples);
    joint(scope, config, summaries(scope, config, side, image, 1), batch);
  });
}

/**
 * The program of one step: inputs `params`, the views, the texts and `pairs`; outputs `grads` and `loss`. With several
 * ranks, `batch` is that of all, the inputs are this rank's share (its images against all texts in `pairs`), and the
 * outputs are parts that add up to those of the whole batch.
 */
export function alignStep(
  params: Params,
  config: ModelConfig,
  side: TextSide,
  recipe: AlignRecipe,
  wholeBatch: number,
  ranks?: Ranks,
): Graph {
  const graph = new Graph('align', ranks);
  const batch = shareOf(wholeBatch, graph.ranks.size);
  const flat = graph.input('params', 'float32', [params.size]);
  const image = imageInputs(graph, 'view', batch, recipe.view.tokens, config.samples);
  const pairs = graph.input('pairs', 'float32', [batch, wholeBatch]);
  const scope = params.bind(flat);
  const features = summaries(scope, config, side, image, batch);
  const model = joint(
    scope,
    config,
    {
      ...features,
      ...(recipe.freezeImage && { image: stopGradient(features.image) }),
    },
    wholeBatch,
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

/** What is said of a series at a step, and what that claims: clauses in its own words, or claims of a paraphrase. */
export interface Said {
  readonly text: string;
  readonly claims: readonly string[];
}

const written = (sentences: readonly string[][]): string =>
  sentences.map((clauses) => `${clauses.join(', ')}.`).join(' ');

/** Some of a series' text, its header sentence in other words in the given share of cases. */
export function sayOf(series: Series, share: number, random: Random): Said {
  const sentences = shorten(series.text, random);
  if (!random.chance(share)) return { text: written(sentences), claims: sentences.flat() };
  const [other] = paraphrases(factsOf(series), 1, random.int(2 ** 31));
  const header = clausesOf(series.text)[0]?.[0];
  const rest = sentences.filter((clauses) => clauses[0] !== header);
  return {
    text: [other!.text.toLowerCase(), written(rest)].filter(Boolean).join(' '),
    claims: [...other!.claims, ...rest.flat()],
  };
}

/** [images, texts] +1 where everything that is said is also so of the image, else -1. */
export function saidPairs(series: readonly Series[], said: readonly Pick<Said, 'claims'>[]): Float32Array {
  const known = series.map((one) => new Set([...clausesOf(one.text).flat(), ...claimsOf(factsOf(one))]));
  return Float32Array.from(
    known.flatMap((set) => said.map(({ claims }) => (claims.every((claim) => set.has(claim)) ? 1 : -1))),
  );
}

async function textFeeds(
  words: TextTokenizer | ExternalText,
  texts: readonly string[],
  length: number,
): Promise<Batch['feeds']> {
  if ('encodeBatch' in words) {
    const { ids, mask } = words.encodeBatch(texts, length);
    return { 'text.ids': ids, 'text.mask': mask };
  }
  const { dim } = words.record;
  const features = new Float32Array(texts.length * dim);
  (await words.embed(texts)).forEach((vector, row) => features.set(vector, row * dim));
  return { 'text.features': features };
}

/**
 * The feeds of a rank's share of a step, decided by (seed, step) and which series they are of. What the texts claim is
 * told to all ranks, so that each knows which of all texts are true of its images.
 */
export async function alignBatch(
  cache: VolumeCache,
  series: readonly Series[],
  words: TextTokenizer | ExternalText,
  config: ModelConfig,
  recipe: AlignRecipe,
  at: StepShare,
): Promise<Batch> {
  const sets: TokenSet[] = [];
  const shown: Series[] = [];
  const said: Said[] = [];
  for (const { index, wanted } of shareOfStep(series, at)) {
    const { prepared, series: found } = await usable(cache, series, wanted);
    const random = new Random(at.seed, at.step, index);
    sets.push(await drawScanned(prepared, config.samples, recipe.view, recipe.augmentation, random));
    shown.push(found);
    said.push(sayOf(found, recipe.paraphrase, random));
  }
  const texts = said.map(({ text }) => text);
  const feeds: Batch['feeds'] = await textFeeds(words, texts, config.textLength);
  for (const [name, data] of Object.entries(imageBatch(sets, recipe.view.tokens, config.samples)))
    feeds[`view.${name}`] = data as Float32Array;
  return {
    feeds,
    tokens: sets.reduce((sum, set) => sum + set.count, 0),
    ids: shown.map(({ id }) => id),
    tell: Buffer.from(JSON.stringify(said.map(({ claims }) => claims))),
    hear(all) {
      const claims = all.flatMap((bytes) => JSON.parse(Buffer.from(bytes).toString()) as string[][]);
      return {
        pairs: saidPairs(
          shown,
          claims.map((one) => ({ claims: one })),
        ),
      };
    },
  };
}
