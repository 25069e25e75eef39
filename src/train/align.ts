/** Alignment: image and text encoders are taught to agree about what belongs together. */
import {
  add,
  Graph,
  mul,
  stopGradient,
  type Precision,
  type Ranks,
  type TypedArray,
  type Value,
} from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import type { ExternalText } from '../models/external-text.js';
import { imageInputs, textInputs } from '../models/inputs.js';
import type { ModelConfig } from '../models/sizes.js';
import { STUDY_SCOPE, studyPool } from '../models/study-pool.js';
import { textEncoder, textVector } from '../models/text-encoder.js';
import { imageSummary, imageVector, vit3d, type ImageInputs } from '../models/vit3d.js';
import { Params, type Scope } from '../nn/index.js';
import type { Series } from '../corpus/series.js';
import { claimsOf, factsOf, paraphrases } from '../text/paraphrases.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import { Random } from '../volume/random.js';
import type { Scanned, TokenSet } from '../volume/tokens.js';
import { sigmoidContrastiveLoss } from './contrast.js';
import { studiesOf } from './crops.js';
import { stepGradient } from './loss-scale.js';
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
  /**
   * Series of a study that are shown together; 1 shows series alone. With more, a batch is made of studies, and texts are
   * matched with series and with studies alike.
   */
  readonly studySeries: number;
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
  studySeries: 1,
};

/** Words of the model's own text encoder, or the width of the vectors of a frozen one from elsewhere. */
export type TextSide = number | { readonly dim: number };

/** [texts, textDim or dim] features of what is said. */
const textFeatures = (
  scope: Scope,
  graph: Graph,
  config: ModelConfig,
  side: TextSide,
  texts: number,
): Value =>
  typeof side === 'number'
    ? textEncoder(scope.child('text'), config, side, textInputs(graph, texts, config.textLength))
    : graph.input('text.features', 'float32', [texts, side.dim]);

/** [B, 2 D] image summaries and [B, textDim or dim] text features: what the joint space is mapped from. */
const summaries = (scope: Scope, config: ModelConfig, side: TextSide, image: ImageInputs, texts: number) => ({
  image: imageSummary(vit3d(scope.child('image'), config, image)),
  text: textFeatures(scope, image.patches.graph, config, side, texts),
});

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

/**
 * The sigmoid loss between summaries [B, 2 D] of this rank's series and what is said of them, for objectives that learn
 * from images besides; inputs are the texts and `pairs`. The parameters are those of {@link alignStep}.
 */
export function languageLoss(
  scope: Scope,
  config: ModelConfig,
  side: TextSide,
  image: Value,
  wholeBatch: number,
): Value {
  const { graph } = image;
  const [batch] = image.shape as [number, number];
  const features = { image, text: textFeatures(scope, graph, config, side, batch) };
  const { images, texts, logScale, bias } = joint(scope, config, features, wholeBatch);
  const pairs = graph.input('pairs', 'float32', [batch, batch * graph.ranks.size]);
  return sigmoidContrastiveLoss(images, texts, logScale, bias, pairs);
}

/** The parameters of both encoders and their projections; of the pool over a study's series where studies are shown. */
export function alignParams(config: ModelConfig, side: TextSide, batch: number, studySeries = 1): Params {
  return Params.collect((graph, scope) => {
    const image = imageInputs(graph, 'any', 1, 4, config.samples);
    const { images } = joint(scope, config, summaries(scope, config, side, image, 1), batch);
    if (studySeries > 1)
      studyPool(scope.child(STUDY_SCOPE), images, graph.input('member', 'float32', [1, 1]));
  });
}

/**
 * The program of one step: inputs `params`, the views, the texts and `pairs`; outputs `grads` and `loss`. Where studies
 * are shown, `member` says which views are of which study and `studyPairs` which texts are true of it, and the loss is
 * the mean of `seriesLoss` and `studyLoss`. With several
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
  precision?: Precision,
): Graph {
  const graph = new Graph('align', ranks, precision);
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
  const { images, texts, logScale, bias } = model;
  let loss = sigmoidContrastiveLoss(images, texts, logScale, bias, pairs);
  if (recipe.studySeries > 1) {
    const studies = batch / recipe.studySeries;
    const member = graph.input('member', 'float32', [studies, batch]);
    const studyPairs = graph.input('studyPairs', 'float32', [studies, wholeBatch]);
    const vectors = studyPool(scope.child(STUDY_SCOPE), images, member);
    const studyLoss = sigmoidContrastiveLoss(vectors, texts, logScale, bias, studyPairs);
    graph.output('seriesLoss', loss);
    graph.output('studyLoss', studyLoss);
    loss = mul(add(loss, studyLoss), 0.5);
  }
  graph.output('grads', stepGradient(loss, flat));
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

/** All that may be said of a series. */
const knownOf = (one: Series): Set<string> =>
  new Set([...clausesOf(one.text).flat(), ...claimsOf(factsOf(one))]);

/** [images, texts] +1 where everything that is said is also so of the image, else -1. */
export function saidPairs(series: readonly Series[], said: readonly Pick<Said, 'claims'>[]): Float32Array {
  const known = series.map(knownOf);
  return Float32Array.from(
    known.flatMap((set) => said.map(({ claims }) => (claims.every((claim) => set.has(claim)) ? 1 : -1))),
  );
}

async function textFeeds(
  words: TextTokenizer | ExternalText,
  texts: readonly string[],
  length: number,
): Promise<Record<string, TypedArray>> {
  if ('encodeBatch' in words) {
    const { ids, mask } = words.encodeBatch(texts, length);
    return { 'text.ids': ids, 'text.mask': mask };
  }
  const { dim } = words.record;
  const features = new Float32Array(texts.length * dim);
  (await words.embed(texts)).forEach((vector, row) => features.set(vector, row * dim));
  return { 'text.features': features };
}

/** Keeps the draw of a study's series apart from those of their views. */
const STUDY = 0x57d1;

/** What is shown in one place of a batch; null in the places that a study has no series for. */
type Slot = { readonly series: Series; readonly image: Scanned; readonly random: Random } | null;

/** The places of a rank's share of a step: one a series, or `studySeries` for each study in turn. */
async function slotsOf(
  cache: VolumeCache,
  series: readonly Series[],
  studySeries: number,
  at: StepShare,
): Promise<Slot[]> {
  const slots: Slot[] = [];
  if (studySeries === 1) {
    for (const { index, wanted } of shareOfStep(series, at)) {
      const { prepared: image, series: found } = await usable(cache, series, wanted);
      slots.push({ series: found, image, random: new Random(at.seed, at.step, index) });
    }
    return slots;
  }
  const studies = studiesOf(series);
  const firsts = [...studies.values()].map((list) => list[0]!);
  for (const { index, wanted } of shareOfStep(firsts, { ...at, batch: at.batch / studySeries })) {
    const list = studies.get(wanted.studyId)!;
    const order = new Random(at.seed, at.step, index, STUDY).sample(list.length, list.length);
    const found: { series: Series; prepared: Scanned }[] = [];
    for (const n of order) {
      if (found.length === studySeries) break;
      const prepared = await cache.get(list[n]!.id);
      if (prepared) found.push({ series: list[n]!, prepared });
    }
    if (found.length === 0) found.push(await usable(cache, series, wanted));
    for (let s = 0; s < studySeries; s++) {
      const random = new Random(at.seed, at.step, index * studySeries + s);
      const one = found[s];
      slots.push(one ? { series: one.series, image: one.prepared, random } : null);
    }
  }
  return slots;
}

/**
 * The feeds of a rank's share of a step, decided by (seed, step) and which series they are of. What the texts claim is
 * told to all ranks, so that each knows which of all texts are true of its images. A place without a series has an empty
 * text, takes part in no pair and is member of no study.
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
  const said: (Said | null)[] = [];
  const slots = await slotsOf(cache, series, recipe.studySeries, at);
  for (const slot of slots) {
    sets.push(
      slot
        ? await drawScanned(slot.image, config.samples, recipe.view, recipe.augmentation, slot.random)
        : noTokens(config.samples),
    );
    said.push(slot && sayOf(slot.series, recipe.paraphrase, slot.random));
  }
  const groups = groupsOf(slots, recipe.studySeries);
  const texts = await textBatch(
    words,
    config,
    slots.map((slot) => slot?.series ?? null),
    said,
    recipe.studySeries > 1 ? groups.map((group) => group.map((slot) => slot.series)) : null,
  );
  const { feeds } = texts;
  for (const [name, data] of Object.entries(imageBatch(sets, recipe.view.tokens, config.samples)))
    feeds[`view.${name}`] = data as Float32Array;
  if (recipe.studySeries > 1)
    feeds.member = Float32Array.from(
      groups.flatMap((group) => slots.map((slot) => (slot && group.includes(slot) ? 1 : 0))),
    );
  return {
    ...texts,
    tokens: sets.reduce((sum, set) => sum + set.count, 0),
    ids: slots.flatMap((slot) => (slot ? [slot.series.id] : [])),
  };
}

/**
 * The text side of a batch: what is said of each series shown (null: nothing, or a place without a series), and which
 * of all that the ranks say is true of each of this rank's series, and of its studies where they are given.
 */
export async function textBatch(
  words: TextTokenizer | ExternalText,
  config: ModelConfig,
  shown: readonly (Series | null)[],
  said: readonly (Said | null)[],
  studies: readonly (readonly Series[])[] | null = null,
): Promise<{ feeds: Record<string, TypedArray> } & Required<Pick<Batch, 'tell' | 'hear'>>> {
  return {
    feeds: await textFeeds(
      words,
      said.map((one) => one?.text ?? ''),
      config.textLength,
    ),
    tell: Buffer.from(JSON.stringify(said.map((one) => one && one.claims))),
    hear(all) {
      const claims = all.flatMap((bytes) => JSON.parse(Buffer.from(bytes).toString()) as (string[] | null)[]);
      const pairs = shown.flatMap((one) => truthOf(one ? [one] : [], claims));
      return {
        pairs: Float32Array.from(pairs),
        ...(studies && { studyPairs: Float32Array.from(studies.flatMap((group) => truthOf(group, claims))) }),
      };
    },
  };
}

const groupsOf = (slots: readonly Slot[], size: number): NonNullable<Slot>[][] =>
  Array.from({ length: slots.length / size }, (_, g) =>
    slots.slice(g * size, (g + 1) * size).filter((slot) => slot !== null),
  );

const noTokens = (samples: number): TokenSet => ({
  count: 0,
  patchMm: 16,
  samples,
  patches: new Float32Array(),
  measured: new Uint8Array(),
  valid: new Float32Array(),
  positions: new Float32Array(),
});

/** Of each text, 1 where all it claims is so of one of the series, else -1; 0 where there is no text or no series. */
function truthOf(series: readonly Series[], claims: readonly (readonly string[] | null)[]): number[] {
  const known = series.map((one) => knownOf(one));
  return claims.map((one) => {
    if (one === null || known.length === 0) return 0;
    return known.some((set) => one.every((claim) => set.has(claim))) ? 1 : -1;
  });
}
