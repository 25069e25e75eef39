/** The public data sets that `precess evaluate NAME --data DIR` reads as published. */
import { adni, bids, ixi, oasis } from './classify.js';
import { fastmri } from './fastmri.js';
import type { Dataset } from './dataset.js';
import type { DatasetName } from './names.js';
import { picai, prostatex, prostatexFindings } from './prostate.js';
import { acdc, brats, ljubljanaMs, totalsegmentatorMri } from './segment.js';

export { DATASET_NAMES, type DatasetName } from './names.js';
export { published, type Published } from './published.js';
export type { ClassifyCase, ClassifyDataset, Dataset, SegmentationCase, SegmentDataset } from './dataset.js';

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
export function datasetNamed(name: DatasetName, target = 'group'): Dataset {
  return FIXED.find((one) => one.name === name) ?? bids(target);
}
