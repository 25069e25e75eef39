/** DICOM: files → instances → series → Volume, and back. */
export { readDicomDir } from './dicomdir.js';
export { DicomError } from './error.js';
export {
  type DicomInstance,
  FIRST_READ,
  type PixelLocation,
  readDicomHeader,
  readOpenDicomHeader,
} from './instance.js';
export { readIdentifyingValues, wordsOfPlace } from './identifying.js';
export type { AxisValue, SeriesAxis } from './axes.js';
export { isDicom } from './start.js';
export { type DicomSeries, type GroupedSeries, groupSeries, type SkippedFile } from './group.js';
export { loadSeries, type LoadOptions } from './load.js';
export { type MrHeader, newUid, writeDicomSeries } from './write.js';
export { encodePrediction, type ReportedPrediction, type ReportedSeries } from './structured-report.js';
