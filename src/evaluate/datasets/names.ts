/** Names of the public data sets, apart so that the command line loads nothing else to list them. */
export const DATASET_NAMES = [
  'picai',
  'prostatex',
  'prostatex-findings',
  'adni',
  'oasis',
  'ixi',
  'fastmri',
  'bids',
  'brats',
  'acdc',
  'totalsegmentator-mri',
  'ljubljana-ms',
] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];
