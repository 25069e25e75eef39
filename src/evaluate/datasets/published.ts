/** What the publishers of the sets score them by, and how they split them; no imports, as the command line lists it. */
import type { DatasetName } from './names.js';

export interface Published {
  readonly name: DatasetName;
  /** What the set is scored by where it was published; null where its publisher names nothing. */
  readonly metric: string | null;
  /** The score of `precess evaluate` that is the metric or a part of it; null where none is. */
  readonly scored: string | null;
  /** Names of the published parts; none where no split was published. */
  readonly splits: readonly string[];
}

type Entry = Omit<Published, 'name'>;

const NONE: Entry = { metric: null, scored: null, splits: [] };

const ENTRIES: Readonly<Record<DatasetName, Entry>> = {
  /**
   * DIAGNijmegen/picai_eval, README: the ranking is (AUROC + AP) / 2. AP needs a detection map, which a head on whole
   * images has not. The folds are those of DIAGNijmegen/picai_baseline, splits/picai/splits.json.
   */
  picai: {
    metric: 'mean of the AUROC of cases and the average precision of lesions',
    scored: 'auroc',
    splits: ['fold 0', 'fold 1', 'fold 2', 'fold 3', 'fold 4'],
  },
  /** Armato et al. 2018, doi 10.1117/1.JMI.5.4.044501: of findings; patients are asked about here. */
  prostatex: {
    metric: 'AUROC of findings (see prostatex-findings; here of patients)',
    scored: null,
    splits: ['train', 'test (labels withheld)'],
  },
  /** Armato et al. 2018, doi 10.1117/1.JMI.5.4.044501: 208 findings of the test set, by their AUROC. */
  'prostatex-findings': {
    metric: 'AUROC of findings',
    scored: 'auroc',
    splits: ['train', 'test (labels withheld)'],
  },
  /** Jack et al. 2008 name none; AUROC is what others report. */
  adni: NONE,
  /** Marcus et al. 2007 name none; AUROC is what others report. */
  oasis: NONE,
  /** brain-development.org names none; the mean absolute error is what others report of age. */
  ixi: NONE,
  /** Zbontar et al. 2018 (arXiv 1811.08839): of reconstructions, which is another task than the one asked here. */
  fastmri: {
    metric: 'NMSE, PSNR and SSIM of reconstructions (another task)',
    scored: null,
    splits: ['train', 'val', 'test (no images)'],
  },
  /** Each set has its own. */
  bids: NONE,
  /** Baid et al. 2021 (arXiv 2107.02314): of three nested regions; from 2023 on lesion by lesion. */
  brats: {
    metric: 'Dice and 95 % Hausdorff distance of the enhancing tumour, the tumour core and the whole tumour',
    scored: null,
    splits: ['train', 'validation (labels withheld)', 'test (labels withheld)'],
  },
  /** Bernard et al. 2018, doi 10.1109/TMI.2018.2837502. */
  acdc: {
    metric: 'Dice and Hausdorff distance of each structure in end-diastole and in end-systole',
    scored: null,
    splits: ['training', 'testing'],
  },
  /** Akinci D'Antonoli et al. 2025 (arXiv 2405.19492). */
  'totalsegmentator-mri': { metric: 'Dice', scored: null, splits: ['train', 'val', 'test'] },
  /** Lesjak et al. 2018, doi 10.1007/s12021-017-9348-7, whose abstract names none. */
  'ljubljana-ms': NONE,
};

export const published = (name: DatasetName): Published => ({ name, ...ENTRIES[name] });
