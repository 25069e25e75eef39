/** The 3D image encoder: a transformer over cubes of anatomy with places in millimetres. */
import {
  abs,
  add,
  concat,
  div,
  expand,
  expandDims,
  gelu,
  greater,
  l2Normalize,
  mul,
  reduceMean,
  reduceSum,
  relu,
  reshape,
  slice,
  sub,
  where,
  type Value,
} from '../graph/index.js';
import { firstTokenAttention, layerNorm, linear, rope3d, transformerBlock, type Scope } from '../nn/index.js';
import type { ModelConfig } from './sizes.js';

/** A batch of token sets, padded to N tokens each. */
export interface ImageInputs {
  /** [B, N, samples³] */
  readonly patches: Value;
  /** [B, N] measured share of each token; 0 for padding. */
  readonly valid: Value;
  /** [B, N] 1 for a token, 0 for padding. */
  readonly keep: Value;
  /** [B, N, 3] centres in RAS+ mm, about the middle of the view. */
  readonly positions: Value;
  /** [B] log2(patchMm / 16) */
  readonly scale: Value;
  /** [B, N] 1 where the token's content is hidden from the encoder (iBOT); absent at inference. */
  readonly masked?: Value;
}

export interface ImageFeatures {
  /** [B, D] class token after the last norm. */
  readonly cls: Value;
  /** [B, N, D] tokens after the last norm. */
  readonly tokens: Value;
  /** [B, D] mean of the kept tokens. */
  readonly mean: Value;
  /** [B, N] what the class token attends to in the last block; computed, and so there, only where it is asked for. */
  readonly attention?: Value;
}

/**
 * Starting factor of each block's branches (Touvron et al. 2021, CaiT): a deep network starts close to its patch
 * embedding, and short trainings at a small batch stay stable.
 */
export const LAYER_SCALE = 0.1;

/** Wavelengths of the rotary positions: from the smallest token (8 mm) apart to a whole body (2 m). */
export const WAVELENGTHS_MM = { minWavelengthMm: 16, maxWavelengthMm: 2048 };

/**
 * Encodes a batch: linear patch embedding (Dosovitskiy et al. 2021) plus what the token knows of itself (measured
 * share, cube size, place in the view), a class token, pre-norm blocks with rotary positions in mm on three axes (Su et al. 2021) and
 * attention over kept tokens only.
 */
export function vit3d(
  scope: Scope,
  config: ModelConfig,
  input: ImageInputs,
  show: { readonly attention?: boolean } = {},
): ImageFeatures {
  const [b, n] = [input.patches.shape[0]!, input.patches.shape[1]!];
  const d = config.embedDim;
  const graph = input.patches.graph;
  const init = { normal: 0.02 } as const;

  const content = concat([input.patches, statistics(input.patches, config.samples)], 2);
  const hiddenContent = gelu(linear(scope.child('patch.fc1'), content, d));
  let x = linear(scope.child('patch.fc2'), hiddenContent, d, { init: { normal: 1 / Math.sqrt(d) } }); // [B, N, D]
  if (input.masked) {
    const token = scope.param('mask', [1, 1, d], init);
    x = where(greater(expandDims(input.masked, 2), graph.constant(0.5)), token, x);
  } else scope.param('mask', [1, 1, d], init);
  const scale = expand(reshape(input.scale, [b, 1, 1]), [b, n, 1]);
  // Rotary positions tell distances between tokens; these tell each token how far out in the view it lies.
  const place = mul(input.positions, 1 / 100);
  const known = concat(
    [sub(expandDims(input.valid, 2), 1), scale, mul(scale, scale), place, mul(place, place)],
    2,
  ); // [B, N, 9]
  x = add(x, linear(scope.child('known'), known, d, { init: { normal: 0.1 } }));

  const cls = expand(scope.param('cls', [1, 1, d], init), [b, 1, d]);
  x = concat([cls, x], 1); // [B, 1 + N, D]
  const one = graph.constant(new Float32Array(b).fill(1), [b, 1]);
  const keep = concat([one, input.keep], 1);
  const origin = graph.constant(new Float32Array(b * 3), [b, 1, 3]);
  const rope = rope3d(concat([origin, input.positions], 1), d / config.heads, WAVELENGTHS_MM);
  const options = { heads: config.heads, mask: keep, rope, layerScale: LAYER_SCALE };
  let attention: Value | null = null;
  for (let layer = 0; layer < config.layers; layer++) {
    const block = scope.child(`blocks.${layer}`);
    if (show.attention && layer === config.layers - 1) {
      const all = firstTokenAttention(block.child('attention'), layerNorm(block.child('norm1'), x), options);
      attention = slice(all, [1], [1 + n], [1]);
    }
    x = transformerBlock(block, x, options);
  }
  x = layerNorm(scope.child('norm'), x);

  const tokens = slice(x, [1], [1 + n], [1]); // [B, N, D]
  const weights = expandDims(input.keep, 2);
  const mean = div(
    reduceSum(mul(tokens, weights), { axes: [1] }),
    add(reduceSum(weights, { axes: [1] }), 1e-6),
  );
  return { cls: reshape(slice(x, [0], [1], [1]), [b, d]), tokens, mean, ...(attention && { attention }) };
}

/** [B, 2 D] what the joint space is made from: class token and token mean. */
export const imageSummary = ({ cls, mean }: ImageFeatures): Value => concat([cls, mean], 1);

/** [B, jointDim] unit vector of an image in the space shared with text: a linear map of its summary. */
export function imageVector(scope: Scope, config: ModelConfig, summary: Value): Value {
  return l2Normalize(linear(scope.child('image'), summary, config.jointDim), 1);
}

/** [B, 2 D] unit vector of an image from a model that has met no text: class token and token mean side by side. */
export function plainImageVector(features: ImageFeatures): Value {
  return l2Normalize(concat([l2Normalize(features.cls, 1), l2Normalize(features.mean, 1)], 1), 1);
}

/** Centres of the tents of {@link statistics}, in units where the 5th to 95th percentile of the body is [-1, 1]. */
const BINS = [-1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2] as const;
const BIN_WIDTH = 0.5;

/**
 * What a linear map of a cube's samples cannot tell: how its intensities are spread (a soft histogram, mean and mean
 * square) and how much they change along x, y and z (thick slices change little across themselves).
 * patches [B, N, samples³] → [B, N, 13].
 */
function statistics(patches: Value, samples: number): Value {
  const [b, n] = [patches.shape[0]!, patches.shape[1]!];
  const over = (v: Value): Value => reduceMean(v, { axes: [2], keepDims: true });
  const bins = BINS.map((centre) => over(relu(sub(1, mul(abs(sub(patches, centre)), 1 / BIN_WIDTH)))));
  const cubes = reshape(patches, [b, n, samples, samples, samples]); // z, y, x
  const changes = [4, 3, 2].map((axis) => {
    const step = sub(slice(cubes, [1], [samples], [axis]), slice(cubes, [0], [samples - 1], [axis]));
    return reshape(reduceMean(abs(step), { axes: [2, 3, 4] }), [b, n, 1]);
  });
  return concat([over(patches), over(mul(patches, patches)), ...bins, ...changes], 2);
}
