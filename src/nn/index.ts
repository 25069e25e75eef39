/** Neural network layers over the graph. */
export {
  attention,
  embedding,
  firstTokenAttention,
  layerNorm,
  linear,
  mlp,
  transformerBlock,
  type AttentionOptions,
  type BlockOptions,
  type LinearOptions,
  type MlpOptions,
} from './layers.js';
export { Params, type Init, type ParamOptions, type ParamSlice, type Scope } from './params.js';
export { loraScope, mergeLora, type LoraOptions } from './lora.js';
export { rope3d, type Rope, type RopeOptions } from './rope.js';
