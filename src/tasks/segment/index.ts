/** Segmentation on the encoder: learning heads, and labels of every voxel of an image. */
export { heldOutPatients, mapsOf, maskOn, onlyVolume, pairsOf, type CaseFiles } from './cases.js';
export { type Click } from './clicks.js';
export { fitSegment, type FitOptions, type Fitted } from './fit.js';
export { labelsNamed } from './prompts.js';
export { readSegmentHead, writeSegmentHead, type SegmentHead } from './head-file.js';
export {
  labelTable,
  numbersIn,
  numbersOf,
  readLabelTable,
  tableOfValues,
  valuesOf,
  type LabelTable,
} from './labels.js';
export { Segmenter, type SegmentOptions } from './segmenter.js';
export { imageId, pairSource, readPairs, synthesisSource, type Pair, type SceneSource } from './source.js';
export {
  CONTRASTS,
  HELD_OUT_CONTRASTS,
  synthesizeAs,
  type Anatomy,
  type SynthesisOptions,
} from './synthesis.js';
