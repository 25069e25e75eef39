/** Simulated MR studies: anatomy, signal, acquisition, reports, DICOM. */
export {
  type Acquired,
  acquire,
  type Acquisition,
  type Geometry,
  type Plane,
  stackAffine,
} from './acquire.js';
export { type Anatomy, AnatomyBuilder, type Frame, SimulationError, type Structure } from './anatomy.js';
export { type CorpusOptions, type CorpusSummary, writeCorpus } from './corpus.js';
export {
  FREESURFER_TISSUES,
  type LabelTissues,
  simulateFromLabels,
  TOTALSEGMENTATOR_TISSUES,
} from './label-map.js';
export type { Finding, Patient, Side, Traits } from './patient.js';
export type { Contrast, Protocol, Technique } from './protocol.js';
export { Stream } from './random.js';
export type { RegionBuilder, Scene } from './regions/region.js';
export { nullingTime, type Sequence, signal } from './signal.js';
export {
  type Region,
  REGIONS,
  type SeriesSpec,
  type SimulatedSeries,
  type SimulatedStudy,
  simulateStudy,
  type Size,
  type StudyOptions,
} from './study.js';
export { type Tissue, type TissueName, TISSUES } from './tissue.js';
export { writeStudy, type WriteStudyOptions, type WrittenStudy } from './write.js';
