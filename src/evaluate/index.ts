/** How well a model does: scores, intervals and tests, and named suites of questions. */
export { compare, type Difference } from './compare.js';
export {
  accuracy,
  balancedAccuracy,
  brier,
  calibration,
  confusion,
  expectedCalibrationError,
  f1PerClass,
  macroF1,
  type CalibrationBin,
} from './decisions.js';
export { EvaluateError } from './error.js';
export { bootstrap, delong, permutationTest, quantile, type Comparison, type Measured } from './intervals.js';
export { type Judged, type Query } from './judged.js';
export { checkApart, thumbprint } from './leakage.js';
export { dice, diceByLabel, hausdorff95, normalisedSurfaceDistance, surfaceDistances } from './overlap.js';
export { auroc, averagePrecision, meanAveragePrecision, rocCurve, type CurvePoint } from './ranking.js';
export { chanceAveragePrecision, chanceRecall, retrieval, type Retrieval } from './retrieval.js';
export { subgroups, type Subgroup, type SubgroupTable } from './subgroups.js';
export {
  fieldTarget,
  fitSuite,
  headSuite,
  imageRetrievalSuite,
  retrievalSuite,
  SUITES,
  type HeadQuestion,
  type Suite,
  type SuiteOptions,
  type SuiteResult,
} from './suites.js';
export {
  joinUnits,
  measureAll,
  scoresByLabel,
  scoresFor,
  taskScores,
  type LabelResult,
  type Outcome,
  type ScoreOptions,
  type Scores,
} from './task-scores.js';
