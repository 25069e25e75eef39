/** Classes, labels and numbers from frozen features. */
export { featuresOf, type FeatureOptions, type SeriesFeatures } from './features.js';
export { readHead, vectorOf, writeHead, type FittedHead } from './head-file.js';
export {
  checkPatients,
  crossFit,
  crossPredict,
  fitHead,
  predictHead,
  type Cases,
  type CrossOptions,
  type Head,
  type Method,
  type Prediction,
  type Target,
  type Unlabelled,
} from './head.js';
export { joinPredictions } from './prediction.js';
export { allViews, viewWidths } from './views.js';
export { fitTrained, holding, TRAINED, type TrainedBy } from './trained.js';
export { readLabels, type Labelled, type LabelOptions, type Level } from './labels.js';
