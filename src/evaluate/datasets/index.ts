/** The public data sets that `precess evaluate NAME --data DIR` reads as published. */
import { adni, bids, ixi, oasis } from './classify.js';
import { fastmri } from './fastmri.js';
import type { ClassifyDataset, Dataset, SegmentDataset } from './dataset.js';
import type { DatasetName, LabelSetName, MaskSetName } from './names.js';
import { ljubljanaMs } from './ljubljana.js';
import { picai, prostatex, prostatexFindings } from './prostate.js';
import { acdc, brats, totalsegmentatorMri } from './segment.js';

export { DATASET_NAMES, type DatasetName, type LabelSetName, type MaskSetName, type Part } from './names.js';
export type {
  ClassifyCase,
  ClassifyDataset,
  Dataset,
  Region,
  SegmentationCase,
  SegmentDataset,
} from './dataset.js';
export { published, type Published } from './published.js';

const FIXED: readonly Dataset[] = [
  picai,
  prostatex,
  prostatexFindings,
  adni,
  oasis,
  ixi,
  fastmri,
  brats,
  acdc,
  totalsegmentatorMri,
  ljubljanaMs,
];

/** @param target the column of participants.tsv, for BIDS. */
export function datasetNamed(name: LabelSetName, target?: string): ClassifyDataset;
export function datasetNamed(name: MaskSetName): SegmentDataset;
export function datasetNamed(name: DatasetName, target?: string): Dataset;
export function datasetNamed(name: DatasetName, target = 'group'): Dataset {
  return FIXED.find((one) => one.name === name) ?? bids(target);
}
