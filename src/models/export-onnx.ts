/** A model as ONNX files that any runtime opens: weights baked in, standard names, one file an encoder. */
import { Graph, type Value } from '../graph/index.js';
import { Params, type Scope } from '../nn/index.js';
import { flatten } from './encoder.js';
import { imageInputs, textInputs } from './inputs.js';
import { hasMetText, type ModelFile } from './model-file.js';
import { ModelError } from './sizes.js';
import { textEncoder, textVector } from './text-encoder.js';
import { imageSummary, imageVector, plainImageVector, vit3d } from './vit3d.js';

export interface OnnxShape {
  /** Images (or texts) of one run. */
  readonly batch: number;
  /** Tokens of an image; smaller sets are padded and their padding marked in `image.keep`. */
  readonly tokens: number;
}

/**
 * The image encoder. Inputs `image.patches` [batch, tokens, samples³], `image.valid` [batch, tokens], `image.keep`
 * [batch, tokens], `image.positions` [batch, tokens, 3] mm, `image.scale` [batch]; outputs `vector` [batch, dim] (unit,
 * the joint space where the model has met text), `summary` [batch, 2 embedDim] and `tokens` [batch, tokens, embedDim].
 */
export function imageOnnx(model: ModelFile, { batch, tokens }: OnnxShape): Uint8Array {
  const { config } = model;
  return bake(model, 'precess-image', (graph, scope) => {
    const features = vit3d(
      scope.child('image'),
      config,
      imageInputs(graph, 'image', batch, tokens, config.samples),
    );
    const summary = imageSummary(features);
    return {
      vector: hasMetText(model)
        ? imageVector(scope.child('align'), config, summary)
        : plainImageVector(features),
      summary,
      tokens: features.tokens,
    };
  });
}

/**
 * The text encoder. Inputs `text.ids` int32 and `text.mask` float32, both [batch, textLength]; output `vector`
 * [batch, jointDim], unit. @throws ModelError for a model that has met no text.
 */
export function textOnnx(model: ModelFile, { batch }: Pick<OnnxShape, 'batch'>): Uint8Array {
  const { config, tokenizer } = model;
  if (!tokenizer)
    throw new ModelError(
      'export: the model has met no text, so there is no text encoder; export the image encoder only',
    );
  const vocabulary = Object.keys(tokenizer.model.vocab).length;
  return bake(model, 'precess-text', (graph, scope) => {
    const inputs = textInputs(graph, batch, config.textLength);
    const features = textEncoder(scope.child('text'), config, vocabulary, inputs);
    return { vector: textVector(scope.child('align'), config, features) };
  });
}

function bake(
  model: ModelFile,
  name: string,
  build: (graph: Graph, scope: Scope) => Readonly<Record<string, Value>>,
): Uint8Array {
  const params = Params.collect((graph, scope) => void build(graph, scope));
  const graph = new Graph(name);
  const outputs = build(graph, params.bindConstants(graph, flatten(params, model.tensors)));
  for (const [output, value] of Object.entries(outputs)) graph.output(output, value);
  return graph.toOnnx();
}
