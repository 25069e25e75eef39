/** Declares what the encoders take, under one naming: programs for training and for use agree on it. */
import type { Graph, Value } from '../graph/index.js';
import type { TextInputs } from './text-encoder.js';
import type { ImageInputs } from './vit3d.js';

/** The image encoder's inputs for `rows` views of `tokens` tokens, named `prefix.…`. */
export function imageInputs(
  graph: Graph,
  prefix: string,
  rows: number,
  tokens: number,
  samples: number,
): ImageInputs {
  const input = (name: string, shape: number[]): Value => graph.input(`${prefix}.${name}`, 'float32', shape);
  return {
    patches: input('patches', [rows, tokens, samples ** 3]),
    valid: input('valid', [rows, tokens]),
    keep: input('keep', [rows, tokens]),
    positions: input('positions', [rows, tokens, 3]),
    scale: input('scale', [rows]),
  };
}

/** The text encoder's inputs for `rows` texts of `length` tokens. */
export const textInputs = (graph: Graph, rows: number, length: number): TextInputs => ({
  ids: graph.input('text.ids', 'int32', [rows, length]),
  mask: graph.input('text.mask', 'float32', [rows, length]),
});
