/** Training over a corpus: settings in, a run folder out. */
export { align, type AlignOptions } from './run-align.js';
export type { RunOptions, TrainingCorpus } from './run-options.js';
export { pretrain, type PretrainOptions } from './run-pretrain.js';
