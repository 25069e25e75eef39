/** Names of the public data sets, apart so that the command line loads nothing else to list them. */

/** Sets with a label a case. */
export const LABEL_SET_NAMES = [
  'picai',
  'prostatex',
  'prostatex-findings',
  'adni',
  'oasis',
  'ixi',
  'fastmri',
  'bids',
] as const;
export type LabelSetName = (typeof LABEL_SET_NAMES)[number];

/** Sets with masks. */
export const MASK_SET_NAMES = ['brats', 'acdc', 'totalsegmentator-mri', 'ljubljana-ms'] as const;
export type MaskSetName = (typeof MASK_SET_NAMES)[number];

export const DATASET_NAMES = [...LABEL_SET_NAMES, ...MASK_SET_NAMES] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];

/** Parts of a published split, and what is no part of it. */
export const PARTS = ['train', 'validation', 'test', 'all'] as const;
export type Part = (typeof PARTS)[number];
