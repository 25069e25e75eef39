/** Student-teacher pretraining: its settings and the program of a step. */
import {
  add,
  cast,
  concat,
  div,
  gather,
  greater,
  Graph,
  mul,
  reshape,
  slice,
  stopGradient,
  type Precision,
  type Ranks,
  type Value,
} from '../graph/index.js';
import { imageInputs } from '../models/inputs.js';
import { imageSummary, vit3d, type ImageInputs } from '../models/vit3d.js';
import type { ModelConfig } from '../models/sizes.js';
import { linear, Params, type Scope } from '../nn/index.js';
import { languageLoss, type TextSide } from './align.js';
import { shareOf } from './loader.js';
import { stepGradient } from './loss-scale.js';
import type { Pretraining } from './objectives.js';
import {
  dinoLoss,
  ibotLoss,
  koleoLoss,
  pixelLoss,
  prototypeHead,
  sinkhorn,
  type HeadConfig,
} from './self-distillation.js';
import { NO_AUGMENTATION, type Augmentation, type ViewSpec } from './views.js';

export interface PretrainRecipe {
  readonly global: ViewSpec;
  readonly local: ViewSpec;
  /** Local views of each image. */
  readonly locals: number;
  readonly augmentation: Augmentation;
  readonly head: HeadConfig;
  /** Share of a global view's tokens that may be masked, at most. */
  readonly maskRatio: number;
  readonly studentTemperature: number;
  /** Teacher temperature: from, to, and the share of the run over which it rises. */
  readonly teacherTemperature: readonly [from: number, to: number, share: number];
  readonly weights: { readonly dino: number; readonly ibot: number; readonly koleo: number };
  /** Probability that the second global view and half of the locals are of another series at the same place. */
  readonly crossContrast: number;
  /** Weight of saying what masked tokens hold, at the first step and at the last; null leaves that head out. */
  readonly pixels: readonly [from: number, to: number] | null;
  /** Weight of agreeing with what is said of the series, at the first step and at the last; without it there is no text. */
  readonly text?: readonly [from: number, to: number];
  /**
   * Learning rate of a layer of the image encoder as a share of that of the layer above it (Clark et al. 2020; 0.9 in
   * DINOv2); all learn alike without it.
   */
  readonly layerDecay?: number;
  /** Larger views for the last share of the steps, as DINOv2 ends on larger images (Touvron et al. 2019). */
  readonly late?: {
    readonly share: number;
    readonly global?: Partial<ViewSpec>;
    readonly local?: Partial<ViewSpec>;
  };
}

/** DINOv2's settings (Oquab et al. 2023, table 16) with fewer prototypes and views of tokens instead of pixels. */
export const PRETRAIN: PretrainRecipe = {
  global: {
    tokens: 128,
    patchMm: [
      [16, 0.5],
      [32, 0.4],
      [8, 0.1],
    ],
    extent: [0.5, 1],
  },
  local: {
    tokens: 32,
    patchMm: [
      [16, 0.5],
      [32, 0.2],
      [8, 0.3],
    ],
    extent: [0.2, 0.5],
  },
  locals: 4,
  augmentation: {
    ...NO_AUGMENTATION,
    gamma: 0.35,
    bias: 0.25,
    noise: 0.15,
    missingSlices: 0.3,
    thickSlices: 0.2,
    ghost: 0.1,
  },
  head: { hidden: 512, bottleneck: 128, prototypes: 1024 },
  maskRatio: 0.5,
  studentTemperature: 0.1,
  teacherTemperature: [0.04, 0.07, 0.3],
  weights: { dino: 1, ibot: 1, koleo: 0.1 },
  crossContrast: 0,
  pixels: null,
};

/** Self-distillation that also says what the masked tokens hold, at first above all: a joint schedule. */
export const JOINT: PretrainRecipe = { ...PRETRAIN, pixels: [2, 0.5] };

/**
 * All of it in one run (SLIP, Mu et al. 2021): the same, and the first global view agrees with the text of its series.
 * The hidden cubes count most at first, the text at the end.
 */
export const SLIP: PretrainRecipe = { ...JOINT, text: [0.5, 2] };

/** The recipe of an objective as it is unless told otherwise; the default's for "mae", which has one of its own. */
export const usualRecipe = (objective: Pretraining = 'dino'): PretrainRecipe =>
  ({ dino: PRETRAIN, joint: JOINT, slip: SLIP, mae: PRETRAIN })[objective];

/**
 * The image encoder and the two heads of pretraining under one scope: the layout that student and teacher share. With a
 * text, also what `align` has, under the same names.
 */
function declare(
  scope: Scope,
  config: ModelConfig,
  recipe: PretrainRecipe,
  input: ImageInputs,
  side: TextSide | null,
  batch: number,
): void {
  const features = vit3d(scope.child('image'), config, input);
  prototypeHead(scope.child('dino'), imageSummary(features), recipe.head);
  prototypeHead(scope.child('ibot'), features.cls, recipe.head);
  if (recipe.pixels) pixelHead(scope, features.cls, config);
  if (side !== null) languageLoss(scope, config, side, imageSummary(features), batch);
}

/** What masked tokens are said to hold, by one linear layer as in SimMIM. [R, D] → [R, samples³] */
const pixelHead = (scope: Scope, tokens: Value, config: ModelConfig): Value =>
  linear(scope.child('pixels'), tokens, config.samples ** 3);

/** The parameters of student and of teacher, in one layout. `text` is there where the recipe has a text. */
export function pretrainParams(
  config: ModelConfig,
  recipe: PretrainRecipe,
  text: { readonly side: TextSide; readonly batch: number } | null = null,
): Params {
  return Params.collect((graph, scope) => {
    const input = imageInputs(graph, 'any', 1, 4, config.samples);
    declare(scope, config, recipe, input, text && text.side, text ? text.batch : 1);
  });
}

/** Tokens of a global view that the program has places to hide for. */
export const masksOf = (recipe: PretrainRecipe): number =>
  Math.max(1, Math.floor(recipe.global.tokens * recipe.maskRatio));

/**
 * The program of one step: inputs `params` and `teacher` (flat), `teacherTemperature` and the views (and `pixelWeight`,
 * `global.maskMeasured` where the recipe has pixels, `textWeight`, `pairs` and the texts where it has them); outputs
 * `grads` (flat) and the scalars `loss`, `dino`, `ibot`, `koleo` (and `pixels`, `text`). Global views lie crop-major: [crop 0 of every image, crop 1
 * of every image]. With several ranks, `batch` is that of all, the views are this rank's share, and gradient and losses
 * are parts that add up to those of the whole batch.
 */
export function pretrainStep(
  params: Params,
  config: ModelConfig,
  recipe: PretrainRecipe,
  wholeBatch: number,
  ranks?: Ranks,
  { side = null, precision }: { readonly side?: TextSide | null; readonly precision?: Precision } = {},
): Graph {
  const graph = new Graph('pretrain', ranks, precision);
  const batch = shareOf(wholeBatch, graph.ranks.size);
  const flat = graph.input('params', 'float32', [params.size]);
  const teacherFlat = graph.input('teacher', 'float32', [params.size]);
  const temperature = graph.input('teacherTemperature', 'float32', []);
  const d = config.embedDim;
  const k = recipe.head.prototypes;
  const rows = 2 * batch;
  const n = recipe.global.tokens;
  const masks = masksOf(recipe);
  const views = imageInputs(graph, 'global', rows, n, config.samples);
  const masked = graph.input('global.masked', 'float32', [rows, n]);
  const maskIndex = graph.input('global.maskIndex', 'int32', [rows * masks]);
  const maskWeight = graph.input('global.maskWeight', 'float32', [rows * masks]);
  const localViews =
    recipe.locals > 0
      ? imageInputs(graph, 'local', recipe.locals * batch, recipe.local.tokens, config.samples)
      : null;

  const teacher = params.bind(teacherFlat);
  const seen = vit3d(teacher.child('image'), config, views);
  const pick = (tokens: Value): Value => gather(reshape(tokens, [rows * n, d]), maskIndex, 0);
  const targets = reshape(
    sinkhorn(prototypeHead(teacher.child('dino'), imageSummary(seen), recipe.head), temperature, null),
    [2, batch, k],
  );
  const tokenTargets = sinkhorn(
    prototypeHead(teacher.child('ibot'), pick(seen.tokens), recipe.head),
    temperature,
    cast(greater(maskWeight, 0), 'float32'),
  );

  const student = params.bind(flat);
  const hidden = vit3d(student.child('image'), config, { ...views, masked });
  const local = localViews && vit3d(student.child('image'), config, localViews);
  // One pass of the head over all crops. It sees what an embedding is made of, class token and token mean.
  const whole = imageSummary(hidden);
  const crops = local ? concat([whole, imageSummary(local)], 0) : whole;
  const logits = prototypeHead(student.child('dino'), crops, recipe.head);
  const globalLogits = reshape(slice(logits, [0], [rows]), [2, batch, k]);
  const localLogits =
    local && reshape(slice(logits, [rows], [rows + recipe.locals * batch]), [recipe.locals, batch, k]);
  const dino = dinoLoss(targets, globalLogits, localLogits, recipe.studentTemperature);
  const tokenLogits = prototypeHead(student.child('ibot'), pick(hidden.tokens), recipe.head);
  const ibot = ibotLoss(tokenTargets, tokenLogits, maskWeight, recipe.studentTemperature);
  const half = (c: number): Value => koleoLoss(slice(whole, [c * batch], [(c + 1) * batch]));
  const koleo = wholeBatch > 1 ? div(add(half(0), half(1)), 2) : mul(stopGradient(dino), 0);
  const { weights } = recipe;
  let loss = add(add(mul(dino, weights.dino), mul(ibot, weights.ibot)), mul(koleo, weights.koleo));
  if (recipe.pixels) {
    const size = config.samples ** 3;
    const said = pixelHead(student, pick(hidden.tokens), config);
    const truth = gather(reshape(views.patches, [rows * n, size]), maskIndex, 0);
    const measured = graph.input('global.maskMeasured', 'float32', [rows * masks, size]);
    const pixels = pixelLoss(said, truth, measured);
    loss = add(loss, mul(pixels, graph.input('pixelWeight', 'float32', [])));
    graph.output('pixels', pixels);
  }
  if (side !== null) {
    // The second global view may be of another series.
    const first = slice(whole, [0], [batch]);
    const text = languageLoss(student, config, side, first, wholeBatch);
    loss = add(loss, mul(text, graph.input('textWeight', 'float32', [])));
    graph.output('text', text);
  }

  graph.output('grads', stepGradient(loss, flat));
  graph.output('loss', loss);
  graph.output('dino', dino);
  graph.output('ibot', ibot);
  graph.output('koleo', koleo);
  return graph;
}

/** The first step with the late views, of a run of `steps`; null where there are none. */
export const lateFrom = ({ late }: PretrainRecipe, steps: number): number | null =>
  late ? Math.round(steps * (1 - late.share)) : null;

/** The recipe of a step: with its late views from {@link lateFrom} on. */
export function recipeAt(recipe: PretrainRecipe, step: number, steps: number): PretrainRecipe {
  const from = lateFrom(recipe, steps);
  if (from === null || step < from) return recipe;
  const { global, local } = recipe.late!;
  return { ...recipe, global: { ...recipe.global, ...global }, local: { ...recipe.local, ...local } };
}

/**
 * What each element's learning rate is multiplied by under a decay from layer to layer: 1 for the heads and the last
 * norm, `decay` for the last block, down to `decay` ^ (layers + 1) for what makes tokens of cubes.
 */
export function layerRates(params: Params, layers: number, decay: number): Float32Array {
  const rates = new Float32Array(params.size).fill(1);
  for (const { name, offset, size } of params.slices) {
    if (!name.startsWith('image.') || name.startsWith('image.norm.')) continue;
    const block = /^image\.blocks\.(\d+)\./.exec(name)?.[1];
    const depth = block === undefined ? layers + 1 : layers - Number(block);
    rates.fill(decay ** depth, offset, offset + size);
  }
  return rates;
}

/** Weight of a loss at a step of a run of `steps`: from one to the other along half a cosine. */
export function scheduledWeight([from, to]: readonly [number, number], step: number, steps: number): number {
  return to + ((from - to) * (1 + Math.cos((Math.PI * Math.min(step, steps)) / Math.max(1, steps)))) / 2;
}

/** Teacher temperature at a step of a run of `steps`: rises linearly, then stays. */
export function teacherTemperature(recipe: PretrainRecipe, step: number, steps: number): number {
  const [from, to, share] = recipe.teacherTemperature;
  return from + (to - from) * Math.min(1, step / Math.max(1, share * steps));
}
