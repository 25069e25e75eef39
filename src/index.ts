/** The library: what the commands are made of. */
export {
  Corpus,
  CorpusError,
  ingest,
  parseRights,
  splitOf,
  type Ingested,
  type Series,
} from './corpus/index.js';
export {
  DATASET_NAMES,
  datasetNamed,
  type ClassifyCase,
  type ClassifyDataset,
  type Dataset,
  type DatasetName,
  type SegmentationCase,
  type SegmentDataset,
} from './evaluate/datasets/index.js';
/** Scores, intervals, tests between models, and suites. */
export * as evaluation from './evaluate/index.js';
export { retrieval, type Retrieval } from './evaluate/retrieval.js';
export {
  groupSeries,
  loadSeries,
  readDicomHeader,
  writeDicomSeries,
  DicomError,
} from './formats/dicom/index.js';
export { readNifti, readNiftiFile, writeNifti, writeNiftiFile, NiftiError } from './formats/nifti/index.js';
export { Encoder, tokensFor, type EmbedOptions } from './models/encoder.js';
export { openModel, writeModel, type ModelFile } from './models/model-file.js';
export { newModel } from './models/new-model.js';
export { modelConfig, MODEL_SIZES, ModelError, type ModelConfig } from './models/sizes.js';
/** Heads on frozen features: tables of labels, fitting, predicting, and the files of heads. */
export * as classification from './tasks/classify/index.js';
export { openImages } from './tasks/images.js';
export { TaskError } from './tasks/error.js';
export { ground, type Grounding, type GroundOptions } from './tasks/grounding.js';
export { pointingGame, type Pointing } from './tasks/grounding-pointing.js';
export { buildIndex, Index, type Hit, type SearchOptions } from './tasks/index-store.js';
export {
  fitSegment,
  readSegmentHead,
  Segmenter,
  writeSegmentHead,
  type SegmentHead,
  type SegmentOptions,
} from './tasks/segment/index.js';
export { align, pretrain, type AlignOptions, type PretrainOptions } from './train/run.js';
export { Prepared, tokenize, type TokenSet } from './volume/tokens.js';
export { VolumeError, type Affine, type Volume } from './volume/volume.js';
