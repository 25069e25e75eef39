/** The two sets of Ljubljana: lesions of multiple sclerosis at one time, and lesions that changed between two. */
import { basename, dirname, join } from 'node:path';
import { filesIn, found, named, type SegmentationCase, type SegmentDataset } from './dataset.js';
import { published } from './published.js';

const ONE_TIME = { flair: 'FLAIR', t1: 'T1W', t1ce: 'T1WKS', t2: 'T2W' };
/** Lesions that are new show in the second study. */
const TWO_TIMES = {
  'study2-flair': 'study2_FLAIR',
  'study1-flair': 'study1_FLAIR',
  'study2-t1': 'study2_T1W',
  'study1-t1': 'study1_T1W',
  'study2-t2': 'study2_T2W',
  'study1-t2': 'study1_T2W',
};

/** Of several folders with masks of one patient the first is read; `raw` images at two times are not on the mask's grid. */
const PREFERRED = ['coregistered', 'coregistered_resampled', 'other', 'raw'];

interface Found {
  readonly patient: string;
  readonly rank: number;
  readonly one: SegmentationCase;
}

/**
 * Lesjak et al. 2018 (doi 10.1007/s12021-017-9348-7): patientNN/patientNN_{FLAIR,T1W,T1WKS,T2W,consensus_gt}.nii.gz; and
 * Lesjak et al. 2016 (doi 10.1007/s12021-016-9301-1): patientNN/{study1,study2}_{FLAIR,T1W,T2W}.nii.gz and gt.nii.gz. The
 * repository muschellij2/open_ms_data has both below cross_sectional and longitudinal, in raw/ and coregistered/; there
 * some names have the patient in front, and some have not. Patients of the two sets are not the same.
 */
export const ljubljanaMs: SegmentDataset = {
  kind: 'segment',
  ...published('ljubljana-ms'),
  title: '3D-MR-MS (Ljubljana): lesions of multiple sclerosis',
  channels: [...Object.keys(ONE_TIME), ...Object.keys(TWO_TIMES)],
  toleranceMm: 2,
  regions: [],
  async read(dir) {
    const files = await filesIn(dir);
    const all = new Set(files);
    const best = new Map<string, Found>();
    for (const file of files) {
      const next = caseOf(dir, file, all);
      if (next === null) continue;
      const before = best.get(next.patient);
      if (before === undefined || next.rank < before.rank) best.set(next.patient, next);
    }
    return found(
      [...best.values()].map(({ one }) => one),
      dir,
      'patientNN/[patientNN_]{FLAIR,T1W,T1WKS,T2W,consensus_gt}.nii.gz, or ' +
        'patientNN/{study1,study2}_{FLAIR,T1W,T2W}.nii.gz and gt.nii.gz',
    );
  },
};

/** The case that a file is the mask of, if it is one. */
function caseOf(dir: string, file: string, all: ReadonlySet<string>): Found | null {
  const folder = dirname(file);
  const match = /^(?:(patient\d+)_)?(consensus_)?gt\.nii\.gz$/.exec(basename(file));
  const patient = match?.[1] ?? /^patient\d+$/.exec(basename(folder))?.[0];
  if (!match || patient === undefined) return null;
  const twoTimes = match[2] === undefined;
  const images = Object.fromEntries(
    Object.entries(twoTimes ? TWO_TIMES : ONE_TIME).flatMap(([channel, name]) => {
      const path = [`${patient}_${name}.nii.gz`, `${name}.nii.gz`]
        .map((one) => join(folder, one))
        .find((one) => all.has(one));
      return path === undefined ? [] : [[channel, join(dir, path)]];
    }),
  );
  if (twoTimes ? Object.keys(images).length === 0 : images.flair === undefined) return null;
  const own = twoTimes ? `longitudinal/${patient}` : patient;
  const within = basename(dirname(folder));
  return {
    patient: own,
    rank: PREFERRED.indexOf(PREFERRED.includes(within) ? within : 'other'),
    one: {
      ...named(own, own),
      images,
      mask: join(dir, file),
      labels: { [twoTimes ? 'changed lesion' : 'lesion']: 1 },
      split: null,
    },
  };
}
