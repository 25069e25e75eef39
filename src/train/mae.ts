/** Masked autoencoding: the encoder sees some cubes of anatomy, a small decoder says what the others hold. */
import {
  add,
  allReduceSum,
  concat,
  div,
  expand,
  expandDims,
  Graph,
  mul,
  reduceSum,
  reshape,
  slice,
  square,
  sub,
  type Precision,
  type Ranks,
  type TypedArray,
  type Value,
} from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import { imageInputs } from '../models/inputs.js';
import type { ModelConfig } from '../models/sizes.js';
import { LAYER_SCALE, vit3d, WAVELENGTHS_MM } from '../models/vit3d.js';
import { layerNorm, linear, Params, rope3d, transformerBlock, type Scope } from '../nn/index.js';
import type { Series } from '../corpus/series.js';
import { Random } from '../volume/random.js';
import type { TokenSet } from '../volume/tokens.js';
import { stepGradient } from './loss-scale.js';
import { shareOf, shareOfStep, usable, type StepShare, type VolumeCache } from './loader.js';
import { drawScanned, NO_AUGMENTATION, type Augmentation, type ViewSpec } from './views.js';

export interface MaeRecipe {
  readonly view: ViewSpec;
  /** Tokens of a view that the encoder sees; the rest of the view's budget is hidden. */
  readonly visible: number;
  readonly augmentation: Augmentation;
  readonly decoder: { readonly width: number; readonly layers: number; readonly heads: number };
}

/** He et al. 2022 hide three quarters of an image; cubes of 16 mm share less with their neighbours, so that less is hidden. */
export const MAE: MaeRecipe = {
  view: {
    tokens: 160,
    patchMm: [
      [16, 0.5],
      [32, 0.3],
      [8, 0.2],
    ],
    extent: [0.4, 1],
  },
  visible: 64,
  augmentation: { ...NO_AUGMENTATION, gamma: 0.2, bias: 0.2, noise: 0.1, missingSlices: 0.3 },
  decoder: { width: 128, layers: 2, heads: 2 },
};

interface Hidden {
  /** [B, H, 3] mm from the middle of the visible tokens. */
  readonly positions: Value;
  /** [B, H] 1 for a token, 0 for padding. */
  readonly keep: Value;
}

const hiddenOf = (recipe: MaeRecipe): number => recipe.view.tokens - recipe.visible;

function hiddenInputs(graph: Graph, rows: number, count: number): Hidden {
  return {
    positions: graph.input('hidden.positions', 'float32', [rows, count, 3]),
    keep: graph.input('hidden.keep', 'float32', [rows, count]),
  };
}

/** [B, H, samples³] what the hidden cubes are said to hold. */
function predict(
  scope: Scope,
  config: ModelConfig,
  recipe: MaeRecipe,
  view: ReturnType<typeof imageInputs>,
  hidden: Hidden,
): Value {
  const { width, layers, heads } = recipe.decoder;
  const [b, v] = [view.keep.shape[0]!, view.keep.shape[1]!];
  const h = hidden.keep.shape[1]!;
  const { cls, tokens } = vit3d(scope.child('image'), config, view);
  const decoder = scope.child('decoder');
  const seen = linear(decoder.child('in'), concat([expandDims(cls, 1), tokens], 1), width); // [B, 1 + V, W]
  const scale = expand(reshape(view.scale, [b, 1, 1]), [b, h, 1]);
  const place = mul(hidden.positions, 1 / 100);
  const asked = linear(decoder.child('asked'), concat([scale, place, mul(place, place)], 2), width, {
    init: { normal: 0.1 },
  });
  let x = concat([seen, asked], 1); // [B, 1 + V + H, W]
  const graph = view.keep.graph;
  const one = graph.constant(new Float32Array(b).fill(1), [b, 1]);
  const origin = graph.constant(new Float32Array(b * 3), [b, 1, 3]);
  const mask = concat([one, view.keep, hidden.keep], 1);
  const rope = rope3d(concat([origin, view.positions, hidden.positions], 1), width / heads, WAVELENGTHS_MM);
  for (let layer = 0; layer < layers; layer++)
    x = transformerBlock(decoder.child(`blocks.${layer}`), x, { heads, mask, rope, layerScale: LAYER_SCALE });
  x = layerNorm(decoder.child('norm'), slice(x, [1 + v], [1 + v + h], [1]));
  return linear(decoder.child('out'), x, config.samples ** 3);
}

/** The parameters of encoder (`image.…`) and decoder (`decoder.…`). */
export function maeParams(config: ModelConfig, recipe: MaeRecipe): Params {
  return Params.collect((graph, scope) => {
    predict(
      scope,
      config,
      recipe,
      imageInputs(graph, 'view', 1, 4, config.samples),
      hiddenInputs(graph, 1, 4),
    );
  });
}

/**
 * The program of one step: inputs `params` (flat), the visible tokens `view.…`, `hidden.positions`, `hidden.keep`,
 * `hidden.patches` and `hidden.measured` [batch, H, samples³]; outputs `grads` (flat) and `loss`, the mean squared error
 * over the measured samples of the hidden cubes (He et al. 2022, equation in section 3), in units where the 5th to 95th
 * percentile of the body spans 2.
 */
export function maeStep(
  params: Params,
  config: ModelConfig,
  recipe: MaeRecipe,
  wholeBatch: number,
  ranks?: Ranks,
  precision?: Precision,
): Graph {
  const graph = new Graph('mae', ranks, precision);
  const batch = shareOf(wholeBatch, graph.ranks.size);
  const flat = graph.input('params', 'float32', [params.size]);
  const h = hiddenOf(recipe);
  const size = config.samples ** 3;
  const view = imageInputs(graph, 'view', batch, recipe.visible, config.samples);
  const hidden = hiddenInputs(graph, batch, h);
  const truth = graph.input('hidden.patches', 'float32', [batch, h, size]);
  const measured = graph.input('hidden.measured', 'float32', [batch, h, size]);
  const said = predict(params.bind(flat), config, recipe, view, hidden);
  const error = reduceSum(mul(square(sub(said, truth)), measured));
  // This rank's part of the mean over the samples of all ranks.
  const loss = div(error, add(allReduceSum(reduceSum(measured)), 1e-6));
  graph.output('grads', stepGradient(loss, flat));
  graph.output('loss', loss);
  return graph;
}

/** A view parted into what is seen and what is asked, as feeds. */
export function maeFeeds(
  views: readonly TokenSet[],
  samples: number,
  recipe: MaeRecipe,
): Record<string, TypedArray> {
  const h = hiddenOf(recipe);
  const size = samples ** 3;
  const share = recipe.visible / recipe.view.tokens;
  const feeds = {
    positions: new Float32Array(views.length * h * 3),
    keep: new Float32Array(views.length * h),
    patches: new Float32Array(views.length * h * size),
    measured: new Float32Array(views.length * h * size),
  };
  // The tokens of a view are in random order, so that the first ones are a random choice.
  const seen = views.map((view) =>
    firstOf(view, Math.max(1, Math.min(recipe.visible, Math.round(view.count * share)))),
  );
  views.forEach((view, row) => {
    const { count } = seen[row]!;
    const mean = [0, 0, 0];
    for (let n = 0; n < count; n++)
      for (let d = 0; d < 3; d++) mean[d]! += view.positions[n * 3 + d]! / count;
    for (let n = count, to = row * h; n < Math.min(view.count, count + h); n++, to++) {
      feeds.keep[to] = 1;
      for (let d = 0; d < 3; d++) feeds.positions[to * 3 + d] = view.positions[n * 3 + d]! - mean[d]!;
      feeds.patches.set(view.patches.subarray(n * size, (n + 1) * size), to * size);
      feeds.measured.set(view.measured.subarray(n * size, (n + 1) * size), to * size);
    }
  });
  const out: Record<string, TypedArray> = {};
  for (const [name, data] of Object.entries(feeds)) out[`hidden.${name}`] = data;
  for (const [name, data] of Object.entries(imageBatch(seen, recipe.visible, samples)))
    out[`view.${name}`] = data as Float32Array;
  return out;
}

function firstOf(set: TokenSet, count: number): TokenSet {
  const size = set.samples ** 3;
  return {
    ...set,
    count,
    patches: set.patches.subarray(0, count * size),
    measured: set.measured.subarray(0, count * size),
    valid: set.valid.subarray(0, count),
    positions: set.positions.subarray(0, count * 3),
  };
}

/** The feeds of a rank's share of a step, decided by the step alone. */
export async function maeBatch(
  cache: VolumeCache,
  series: readonly Series[],
  config: ModelConfig,
  recipe: MaeRecipe,
  at: StepShare,
): Promise<{ feeds: Record<string, TypedArray>; tokens: number; ids: string[]; shown: Series[] }> {
  const views: TokenSet[] = [];
  const shown: Series[] = [];
  for (const { index, wanted } of shareOfStep(series, at)) {
    const { prepared, series: found } = await usable(cache, series, wanted);
    shown.push(found);
    const random = new Random(at.seed, at.step, index);
    views.push(await drawScanned(prepared, config.samples, recipe.view, recipe.augmentation, random));
  }
  const tokens = views.reduce((sum, { count }) => sum + count, 0);
  return {
    feeds: maeFeeds(views, config.samples, recipe),
    tokens,
    ids: shown.map(({ id }) => id),
    shown,
  };
}
