/** Student-teacher pretraining: the program of a step and the batches it eats. */
import {
  add,
  cast,
  concat,
  div,
  gather,
  gradients,
  greater,
  Graph,
  mul,
  reshape,
  slice,
  stopGradient,
  type Ranks,
  type TypedArray,
  type Value,
} from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import { imageInputs } from '../models/inputs.js';
import { imageSummary, vit3d, type ImageInputs } from '../models/vit3d.js';
import type { ModelConfig } from '../models/sizes.js';
import { Params, type Scope } from '../nn/index.js';
import type { Series } from '../corpus/series.js';
import { Random } from '../volume/random.js';
import type { TokenSet } from '../volume/tokens.js';
import { shareOf, shareOfStep, usable, type StepShare, type VolumeCache } from './loader.js';
import {
  dinoLoss,
  ibotLoss,
  koleoLoss,
  prototypeHead,
  sinkhorn,
  type HeadConfig,
} from './self-distillation.js';
import { drawView, type Augmentation, type ViewSpec } from './views.js';

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
  augmentation: { gamma: 0.35, bias: 0.25, noise: 0.15, missingSlices: 0.3 },
  head: { hidden: 512, bottleneck: 128, prototypes: 1024 },
  maskRatio: 0.5,
  studentTemperature: 0.1,
  teacherTemperature: [0.04, 0.07, 0.3],
  weights: { dino: 1, ibot: 1, koleo: 0.1 },
};

/** The image encoder and the two heads of pretraining under one scope: the layout that student and teacher share. */
function declare(scope: Scope, config: ModelConfig, recipe: PretrainRecipe, input: ImageInputs): void {
  const features = vit3d(scope.child('image'), config, input);
  prototypeHead(scope.child('dino'), imageSummary(features), recipe.head);
  prototypeHead(scope.child('ibot'), features.cls, recipe.head);
}

/** The parameters of student and of teacher, in one layout. */
export function pretrainParams(config: ModelConfig, recipe: PretrainRecipe): Params {
  return Params.collect((graph, scope) => {
    declare(scope, config, recipe, imageInputs(graph, 'any', 1, 4, config.samples));
  });
}

const masksOf = (recipe: PretrainRecipe): number =>
  Math.max(1, Math.floor(recipe.global.tokens * recipe.maskRatio));

/**
 * The program of one step: inputs `params` and `teacher` (flat), `teacherTemperature` and the views; outputs `grads`
 * (flat) and the scalars `loss`, `dino`, `ibot`, `koleo`. Global views lie crop-major: [crop 0 of every image, crop 1
 * of every image]. With several ranks, `batch` is that of all, the views are this rank's share, and gradient and losses
 * are parts that add up to those of the whole batch.
 */
export function pretrainStep(
  params: Params,
  config: ModelConfig,
  recipe: PretrainRecipe,
  wholeBatch: number,
  ranks?: Ranks,
): Graph {
  const graph = new Graph('pretrain', ranks);
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
  const loss = add(add(mul(dino, weights.dino), mul(ibot, weights.ibot)), mul(koleo, weights.koleo));

  graph.output('grads', gradients(loss, [flat])[0]!);
  graph.output('loss', loss);
  graph.output('dino', dino);
  graph.output('ibot', ibot);
  graph.output('koleo', koleo);
  return graph;
}

/** Teacher temperature at a step of a run of `steps`: rises linearly, then stays. */
export function teacherTemperature(recipe: PretrainRecipe, step: number, steps: number): number {
  const [from, to, share] = recipe.teacherTemperature;
  return from + (to - from) * Math.min(1, step / Math.max(1, share * steps));
}

/** The feeds of a rank's views of a step, decided by (seed, step) and which series they are of. */
export async function pretrainBatch(
  cache: VolumeCache,
  series: readonly Series[],
  config: ModelConfig,
  recipe: PretrainRecipe,
  at: StepShare,
): Promise<{ feeds: Record<string, TypedArray>; tokens: number }> {
  const share = shareOfStep(series, at);
  const batch = share.length;
  const globals: TokenSet[] = [];
  const locals: TokenSet[] = [];
  for (const [i, { index, wanted }] of share.entries()) {
    const { prepared } = await usable(cache, series, wanted);
    const random = new Random(at.seed, at.step, index);
    for (let c = 0; c < 2; c++)
      globals[c * batch + i] = drawView(prepared, config.samples, recipe.global, recipe.augmentation, random);
    for (let c = 0; c < recipe.locals; c++)
      locals[c * batch + i] = drawView(prepared, config.samples, recipe.local, recipe.augmentation, random);
  }
  const n = recipe.global.tokens;
  const feeds: Record<string, TypedArray> = {};
  const put = (prefix: string, sets: TokenSet[], tokens: number): void => {
    for (const [name, data] of Object.entries(imageBatch(sets, tokens, config.samples)))
      feeds[`${prefix}.${name}`] = data as Float32Array;
  };
  put('global', globals, n);
  if (recipe.locals > 0) put('local', locals, recipe.local.tokens);
  const masks = maskTokens(globals, n, masksOf(recipe), (row) => {
    const { index } = share[row % batch]!;
    return new Random(at.seed, at.step, index, Math.floor(row / batch));
  });
  feeds['global.masked'] = masks.masked;
  feeds['global.maskIndex'] = masks.index;
  feeds['global.maskWeight'] = masks.weight;
  const tokens = [...globals, ...locals].reduce((sum, set) => sum + set.count, 0);
  return { feeds, tokens };
}

/**
 * Chooses tokens to hide in each view: 10 % of them up to `most`, half of the time those nearest to a random token (a
 * missing region of anatomy), half of the time scattered; `randomOf` gives the generator of a row. `index` points into
 * [views * length]; unused places point to hidden tokens again and have weight 0; the weights of a view add up to 1.
 */
export function maskTokens(
  views: readonly TokenSet[],
  length: number,
  most: number,
  randomOf: (row: number) => Random,
): { masked: Float32Array; index: Int32Array; weight: Float32Array } {
  const masked = new Float32Array(views.length * length);
  const index = new Int32Array(views.length * most);
  const weight = new Float32Array(views.length * most);
  views.forEach((view, row) => {
    const random = randomOf(row);
    const ratio = random.uniform(0.1, most / length);
    const count = Math.max(1, Math.min(most, Math.floor(view.count * ratio)));
    let chosen: ArrayLike<number> = random.sample(view.count, count);
    if (random.chance(0.5)) {
      const centre = random.int(view.count) * 3;
      const p = view.positions;
      const distance = (n: number): number =>
        Math.hypot(p[n * 3]! - p[centre]!, p[n * 3 + 1]! - p[centre + 1]!, p[n * 3 + 2]! - p[centre + 2]!);
      chosen = Array.from({ length: view.count }, (_, n) => n)
        .sort((a, b) => distance(a) - distance(b))
        .slice(0, count);
    }
    for (let m = 0; m < most; m++) {
      const at = row * length + chosen[m % chosen.length]!;
      masked[at] = 1;
      index[row * most + m] = at;
      weight[row * most + m] = m < chosen.length ? 1 / chosen.length : 0;
    }
  });
  return { masked, index, weight };
}
