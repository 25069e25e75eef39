// The ViT of the engine benchmark: pre-norm blocks over embedded tokens, then mean of squares.
import { Graph, gelu, gradients, reduceMean, relu, silu, square } from '../../dist/graph/index.js';
import { layerNorm, Params, transformerBlock } from '../../dist/nn/index.js';

export const shape = { batch: 4, tokens: 512, width: 384, layers: 6, heads: 6 };

export const activations = {
  gelu,
  silu,
  reluSquared: (x) => square(relu(x)),
};

function model(graph, scope, { batch, tokens, width, layers, heads }, activation) {
  let x = graph.input('x', 'float32', [batch, tokens, width]);
  for (let layer = 0; layer < layers; layer++) {
    x = transformerBlock(scope.child(`blocks.${layer}`), x, { heads, activation });
  }
  return reduceMean(square(layerNorm(scope.child('norm'), x)));
}

/** `forward`: weights stored in the program, as for inference. `backward`: weights and gradients as flat vectors. */
export function buildVit(activationName, size = shape) {
  const activation = activations[activationName];
  const params = Params.collect((graph, scope) => void model(graph, scope, size, activation));
  const weights = params.initialize(1);

  const forward = new Graph('vit forward');
  forward.output('loss', model(forward, params.bindConstants(forward, weights), size, activation));

  const backward = new Graph('vit forward+backward');
  const flat = backward.input('params', 'float32', [params.size]);
  const loss = model(backward, params.bind(flat), size, activation);
  backward.output('loss', loss);
  backward.output('grads', gradients(loss, [flat])[0]);
  return { params, weights, forward, backward };
}
