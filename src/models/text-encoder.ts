/** The text encoder: a small transformer over WordPiece tokens. */
import { add, div, expandDims, l2Normalize, mul, reduceSum, slice, type Value } from '../graph/index.js';
import { embedding, layerNorm, linear, transformerBlock, type Scope } from '../nn/index.js';
import { LAYER_SCALE } from './vit3d.js';
import type { ModelConfig } from './sizes.js';

export interface TextInputs {
  /** [B, L] int32 token ids. */
  readonly ids: Value;
  /** [B, L] 1 for a token, 0 for padding. */
  readonly mask: Value;
}

/**
 * Features of texts: mean of the tokens after the last norm, [B, textDim]. Learned absolute positions, pre-norm. Inputs
 * may be shorter than the longest text of the model.
 */
export function textEncoder(scope: Scope, config: ModelConfig, vocabSize: number, input: TextInputs): Value {
  const length = input.ids.shape[1]!;
  const d = config.textDim;
  let x = embedding(scope.child('tokens'), input.ids, vocabSize, d); // [B, L, D]
  const positions = scope.param('positions', [1, config.textLength, d], { normal: 0.02 });
  x = add(x, length < config.textLength ? slice(positions, [0], [length], [1]) : positions);
  for (let layer = 0; layer < config.textLayers; layer++)
    x = transformerBlock(scope.child(`blocks.${layer}`), x, {
      heads: config.textHeads,
      mask: input.mask,
      layerScale: LAYER_SCALE,
    });
  x = layerNorm(scope.child('norm'), x);
  const weights = expandDims(input.mask, 2);
  return div(reduceSum(mul(x, weights), { axes: [1] }), add(reduceSum(weights, { axes: [1] }), 1e-6));
}

/** [B, jointDim] unit vector of a text in the space shared with images. */
export function textVector(scope: Scope, config: ModelConfig, features: Value): Value {
  return l2Normalize(linear(scope.child('text'), features, config.jointDim), 1);
}
