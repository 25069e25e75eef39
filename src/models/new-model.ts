/** A model before any training. */
import { Params } from '../nn/index.js';
import { imageInputs } from './inputs.js';
import type { ModelFile } from './model-file.js';
import { NO_PROVENANCE } from './provenance.js';
import type { ModelConfig } from './sizes.js';
import { vit3d } from './vit3d.js';

/** An image encoder with random weights: a starting point, or a stand-in where only speed and shapes matter. */
export function newModel(config: ModelConfig, seed: number): ModelFile {
  const params = Params.collect((graph, scope) => {
    vit3d(scope.child('image'), config, imageInputs(graph, 'image', 1, 4, config.samples));
  });
  const flat = params.initialize(seed);
  return {
    config,
    tokenizer: null,
    step: 0,
    provenance: NO_PROVENANCE,
    tensors: new Map(
      params.slices.map(({ name, shape, offset, size }) => [
        name,
        { name, shape, data: flat.subarray(offset, offset + size) },
      ]),
    ),
  };
}
