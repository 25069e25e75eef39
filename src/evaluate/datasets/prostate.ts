/** Public sets of prostate cancer: PI-CAI by cases; PROSTATEx by patients, and by findings as its challenge scores them. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Vec3 } from '../../volume/volume.js';
import { EvaluateError } from '../error.js';
import {
  channelsFrom,
  filesIn,
  found,
  numberFrom,
  one,
  tableIn,
  type ClassifyCase,
  type ClassifyDataset,
} from './dataset.js';
import { published } from './published.js';

/**
 * Saha et al., Lancet Oncology 2024: images/PATIENT/PATIENT_STUDY_t2w.mha beside marksheet.csv (picai_labels) and, for the
 * organisers' folds, splits.json (picai_baseline).
 */
export const picai: ClassifyDataset = {
  ...published('picai'),
  kind: 'classify',
  title: 'PI-CAI: clinically significant prostate cancer (ISUP 2 and above)',
  channels: ['t2w', 'adc', 'hbv'],
  async read(dir) {
    const files = await filesIn(dir);
    const columns = ['patient_id', 'study_id', 'case_cspca'];
    const rows = await tableIn(dir, files, /(^|\/)marksheet\.csv$/, 'marksheet.csv of picai_labels', columns);
    const folds = await picaiFolds(dir, files);
    const images = new Map(files.map((file) => [/(\d+_\d+_(t2w|adc|hbv)\.mha)$/.exec(file)?.[1], file]));
    const cases = rows.flatMap((row): ClassifyCase[] => {
      const [patient, study] = [row.get('patient_id')!, row.get('study_id')!];
      const of = channelsFrom(dir, picai.channels, (channel) =>
        images.get(`${patient}_${study}_${channel}.mha`),
      );
      if (of === null) return [];
      // The archives are named picai_public_images_fold0 to fold4; unpacked into one folder they leave no fold.
      const folder = /fold(\d)(\/|_|$)/.exec(images.get(`${patient}_${study}_t2w.mha`)!)?.[1];
      const fold = folds === null ? folder : folds.of.get(`${patient}_${study}`);
      return [
        {
          ...one(`${patient}/${study}`, patient),
          images: of,
          label: row.get('case_cspca') === 'YES' ? 'yes' : 'no',
          fold: fold === undefined ? null : Number(fold),
          about: { sex: 'M', ageYears: numberFrom(row.get('patient_age')), source: row.get('center') ?? '' },
        },
      ];
    });
    const unlisted = folds === null ? 0 : cases.filter(({ fold }) => fold === null).length;
    if (unlisted > 0)
      throw new EvaluateError(
        `evaluate: ${folds!.file} must name every study in one "val", but lacks ${unlisted} of ${cases.length}; ` +
          'take splits/picai/splits.json of picai_baseline (picai_nnunet has annotated studies only)',
      );
    return found(cases, dir, 'images/PATIENT/PATIENT_STUDY_{t2w,adc,hbv}.mha');
  },
};

const SPLITS = z.array(z.object({ train: z.array(z.string()), val: z.array(z.string()) })).min(2);

/**
 * The fold in which each study (PATIENT_STUDY) is asked about, from splits.json: five of {"train": […], "val": […]}. In a
 * copy of picai_baseline it is the one in the folder picai; those of its neighbours are of other cases. Null without one.
 * @throws EvaluateError for another layout, or a study in two folds.
 */
async function picaiFolds(
  dir: string,
  files: readonly string[],
): Promise<{ file: string; of: ReadonlyMap<string, number> } | null> {
  const file =
    files.find((name) => /(^|\/)picai\/splits\.json$/.test(name)) ??
    files.find((name) => /(^|\/)splits\.json$/.test(name));
  if (file === undefined) return null;
  const refuse = (rule: string): never => {
    throw new EvaluateError(
      `evaluate: ${file} must ${rule}; take splits/picai/splits.json of picai_baseline`,
    );
  };
  let content: unknown;
  try {
    content = JSON.parse(await readFile(join(dir, file), 'utf8'));
  } catch {
    return refuse('be JSON');
  }
  const { data } = SPLITS.safeParse(content);
  if (data === undefined) return refuse('be a list of {"train": [...], "val": [...]} with names of studies');
  const of = new Map<string, number>();
  for (const [fold, { val }] of data.entries())
    for (const study of val) {
      if (of.has(study)) refuse('name every study in one "val" only');
      of.set(study, fold);
    }
  return { file, of };
}

const PROSTATEX_CHANNELS = { t2w: /t2[_-]?tse[_-]?tra/i, adc: /adc/i } as const;
const PROSTATEX_ABOUT = { sex: 'M', manufacturer: 'SIEMENS', fieldStrengthT: 3 } as const;
const PROSTATEX_LAYOUT = 'PROSTATEx/ProstateX-NNNN/STUDY/SERIES/*.dcm';

/** Litjens et al. 2014; Armato et al. 2018: DICOM of TCIA, and ProstateX-Findings-Train.csv. */
export const prostatex: ClassifyDataset = {
  ...published('prostatex'),
  kind: 'classify',
  title: 'PROSTATEx: a clinically significant finding in the patient',
  channels: ['t2w', 'adc'],
  async read(dir) {
    const { rows, imagesOf } = await prostatexIn(dir, ['proxid', 'clinsig']);
    const significant = new Map<string, boolean>();
    for (const row of rows) {
      const id = row.get('proxid')!;
      significant.set(id, (significant.get(id) ?? false) || isSignificant(row));
    }
    const cases = [...significant].flatMap(([patient, yes]): ClassifyCase[] => {
      const images = imagesOf(patient);
      if (images === null) return [];
      const label = yes ? 'yes' : 'no';
      return [{ ...one(patient, patient), images, label, fold: null, about: PROSTATEX_ABOUT }];
    });
    return found(cases, dir, PROSTATEX_LAYOUT);
  },
};

/**
 * The same, a case each finding: ProxID, fid, pos, zone and ClinSig. Positions are those of DICOM (x to the left, y to the
 * back), in mm; what is looked at is a cube around each. A finding that is listed twice counts once.
 */
export const prostatexFindings: ClassifyDataset = {
  ...published('prostatex-findings'),
  kind: 'classify',
  title: 'PROSTATEx: is a finding clinically significant',
  channels: ['t2w', 'adc'],
  look: { sideMm: 40, patchMm: 8 },
  async read(dir) {
    const { rows, imagesOf } = await prostatexIn(dir, ['proxid', 'fid', 'pos', 'zone', 'clinsig']);
    const cases = new Map<string, ClassifyCase>();
    for (const row of rows) {
      const patient = row.get('proxid')!;
      const images = imagesOf(patient);
      const fid = numberFrom(row.get('fid'));
      const positionMm = fromLps(row.get('pos'));
      if (images === null) continue;
      if (fid === null || positionMm === null)
        throw new EvaluateError(
          'evaluate: ProstateX-Findings-Train.csv must have a number as fid and three as pos in every row, but one has ' +
            'not; take it as published',
        );
      const ids = one(`${patient}/${fid}/${positionMm.join(' ')}`, patient);
      const label = isSignificant(row) ? 'yes' : 'no';
      const finding = { fid, positionMm, zone: row.get('zone') ?? '' };
      cases.set(ids.id, { ...ids, images, label, fold: null, about: PROSTATEX_ABOUT, finding });
    }
    return found([...cases.values()], dir, PROSTATEX_LAYOUT);
  },
};

type Row = ReadonlyMap<string, string>;

const isSignificant = (row: Row): boolean => /^(true|1)$/i.test(row.get('clinsig') ?? '');

/** "x y z" of DICOM to RAS+; null for anything else. */
function fromLps(text: string | undefined): Vec3 | null {
  const [x, y, z, ...more] = (text ?? '').split(/\s+/).map(numberFrom);
  if (x == null || y == null || z == null || more.length > 0) return null;
  return [-x, -y, z];
}

/** The rows of the table of findings, and a patient's series by channel (null where one is missing). */
async function prostatexIn(
  dir: string,
  columns: readonly string[],
): Promise<{ rows: readonly Row[]; imagesOf: (patient: string) => Record<string, string> | null }> {
  const files = await filesIn(dir);
  const named = 'ProstateX-Findings-Train.csv';
  const rows = await tableIn(dir, files, /ProstateX-Findings-Train\.csv$/i, named, columns);
  const folders = [...new Set(files.filter((file) => /\.dcm$/i.test(file)).map((file) => dirname(file)))];
  const imagesOf = (patient: string): Record<string, string> | null => {
    const own = folders.filter((folder) => folder.split('/').includes(patient));
    return channelsFrom(dir, prostatex.channels, (channel) =>
      own.find((folder) => PROSTATEX_CHANNELS[channel as 't2w'].test(folder.split('/').at(-1)!)),
    );
  };
  return { rows, imagesOf };
}
