/** The public data sets that `precess evaluate NAME --data DIR` reads as published. */
import { adni, bids, ixi, oasis, picai, prostatex } from './classify.js';
import type { Dataset } from './dataset.js';
import { acdc, brats, ljubljanaMs, totalsegmentatorMri } from './segment.js';

export type { ClassifyCase, ClassifyDataset, Dataset, SegmentationCase, SegmentDataset } from './dataset.js';

export const DATASET_NAMES = [
  'picai',
  'prostatex',
  'adni',
  'oasis',
  'ixi',
  'bids',
  'brats',
  'acdc',
  'totalsegmentator-mri',
  'ljubljana-ms',
] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];

const FIXED: readonly Dataset[] = [
  picai,
  prostatex,
  adni,
  oasis,
  ixi,
  brats,
  acdc,
  totalsegmentatorMri,
  ljubljanaMs,
];

/** @param target the column of participants.tsv, for BIDS. */
export function datasetNamed(name: DatasetName, target = 'group'): Dataset {
  return FIXED.find((one) => one.name === name) ?? bids(target);
}
