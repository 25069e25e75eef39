/** A model that has met text, for tests. */
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { TextTokenizer, trainWordPiece } from '../../src/text/tokenizer.js';
import { alignParams } from '../../src/train/align.js';

/** Writes a model of random weights that has met text: what it says means nothing, but it can be asked. */
export async function writeAligned(path: string, seed = 9): Promise<void> {
  const config = { ...modelConfig('nano'), layers: 1, textLayers: 1 };
  const tokenizer = trainWordPiece(['knee', 'spine', 'brain'], { vocabSize: 100, minFrequency: 1 });
  const params = alignParams(config, new TextTokenizer(tokenizer).vocabSize, 2);
  const flat = params.initialize(seed);
  const tensors = params.slices.map(
    ({ name, shape, offset, size }) =>
      [name, { name, shape, data: flat.subarray(offset, offset + size) }] as const,
  );
  await writeModel(path, { ...newModel(config, 1), tokenizer, tensors: new Map(tensors) });
}
