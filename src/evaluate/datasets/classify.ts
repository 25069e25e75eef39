/** Public sets with a label a case: dementia, age, and any BIDS folder with a table of participants. */
import { dirname, join } from 'node:path';
import {
  filesIn,
  found,
  numberFrom,
  one,
  sexFrom,
  tableIn,
  type ClassifyCase,
  type ClassifyDataset,
} from './dataset.js';
import { published } from './published.js';

/** Jack et al. 2008: a collection downloaded from IDA with its CSV; the first image of each row's id is taken. */
export const adni: ClassifyDataset = {
  kind: 'classify',
  ...published('adni'),
  title: 'ADNI: Alzheimer’s disease against cognitively normal (T1w)',
  channels: ['t1w'],
  async read(dir) {
    const files = await filesIn(dir);
    const columns = ['image data id', 'subject', 'group'];
    const rows = await tableIn(dir, files, /^[^/]+\.csv$/, 'the CSV of the IDA collection', columns);
    // .../I45108/x.dcm, or ADNI_002_S_0295_..._S13408_I45108.nii
    const byImage = new Map<string, string>();
    for (const file of files) {
      if (!/\.(dcm|nii|nii\.gz)$/i.test(file)) continue;
      const id = /_(I\d+)\.nii(\.gz)?$/.exec(file)?.[1] ?? /\/(I\d+)\/[^/]+$/.exec(file)?.[1];
      if (id !== undefined && !byImage.has(id)) byImage.set(id, /\.dcm$/i.test(file) ? dirname(file) : file);
    }
    const cases = rows.flatMap((row): ClassifyCase[] => {
      const label = { AD: 'AD', CN: 'CN' }[row.get('group') ?? ''];
      const bare = row.get('image data id')!;
      const image = byImage.get(bare.startsWith('I') ? bare : `I${bare}`);
      if (label === undefined || image === undefined) return [];
      const about = { sex: sexFrom(row.get('sex')), ageYears: numberFrom(row.get('age')) };
      const images = { t1w: join(dir, image) };
      return [{ ...one(bare, row.get('subject')!), images, label, fold: null, about }];
    });
    return found(cases, dir, 'ADNI/SUBJECT/DESCRIPTION/DATE/IMAGE/*');
  },
};

/**
 * Marcus et al. 2007: OASIS-1, cross-sectional, T88_111 images. They are published as ANALYZE 7.5, which does not say which
 * way is left; they are read once converted to NIfTI beside it.
 */
export const oasis: ClassifyDataset = {
  kind: 'classify',
  ...published('oasis'),
  title: 'OASIS-1: dementia (CDR above 0) against none',
  channels: ['t1w'],
  async read(dir) {
    const files = await filesIn(dir);
    const rows = await tableIn(dir, files, /oasis_cross-sectional[^/]*\.csv$/, 'oasis_cross-sectional.csv', [
      'id',
      'cdr',
    ]);
    const images = new Map<string, string>();
    for (const file of files) {
      const id = /(OAS1_\d{4}_MR\d)_mpr_n\d_anon_111_t88_gfc\.nii(?:\.gz)?$/.exec(file)?.[1];
      if (id !== undefined) images.set(id, file);
    }
    const cases = rows.flatMap((row): ClassifyCase[] => {
      const [id, cdr] = [row.get('id')!, numberFrom(row.get('cdr'))];
      const image = images.get(id);
      if (cdr === null || image === undefined) return [];
      const label = cdr > 0 ? 'dementia' : 'none';
      const about = {
        sex: sexFrom(row.get('m/f')),
        ageYears: numberFrom(row.get('age')),
        fieldStrengthT: 1.5,
      };
      return [{ ...one(id, id.slice(0, 9)), images: { t1w: join(dir, image) }, label, fold: null, about }];
    });
    return found(
      cases,
      dir,
      'OAS1_NNNN_MR1/PROCESSED/MPRAGE/T88_111/*_t88_gfc.nii.gz (converted from its ANALYZE files with a tool that asks ' +
        'which way is left)',
    );
  },
};

const IXI_SITES: Readonly<Record<string, Pick<ClassifyCase['about'], 'manufacturer' | 'fieldStrengthT'>>> = {
  Guys: { manufacturer: 'Philips', fieldStrengthT: 1.5 },
  HH: { manufacturer: 'Philips', fieldStrengthT: 3 },
  IOP: { manufacturer: 'GE', fieldStrengthT: 1.5 },
};

/** brain-development.org: IXI002-Guys-0828-T1.nii.gz and IXI.xls, saved as IXI.csv. */
export const ixi: ClassifyDataset = {
  kind: 'classify',
  ...published('ixi'),
  title: 'IXI: age of healthy people (T1w)',
  channels: ['t1w'],
  async read(dir) {
    const files = await filesIn(dir);
    const rows = await tableIn(dir, files, /(^|\/)IXI\.csv$/i, 'IXI.csv (IXI.xls, saved as CSV)', [
      'ixi_id',
      'age',
    ]);
    const images = new Map<number, { file: string; site: string }>();
    for (const file of files) {
      const match = /IXI(\d{3})-(\w+)-\d+-T1\.nii(\.gz)?$/.exec(file);
      if (match) images.set(Number(match[1]), { file, site: match[2]! });
    }
    const told = new Map<number, ClassifyCase>();
    for (const row of rows) {
      const [id, age] = [Number(row.get('ixi_id')), numberFrom(row.get('age'))];
      const image = images.get(id);
      if (image === undefined || age === null || age <= 0) continue;
      const sex =
        ({ '1': 'M', '2': 'F' } as Record<string, 'M' | 'F'>)[row.get('sex_id (1=m, 2=f)') ?? ''] ?? null;
      const about = { ...IXI_SITES[image.site], sex, ageYears: age, source: image.site };
      const scan = { t1w: join(dir, image.file) };
      told.set(id, { ...one(String(id), String(id)), images: scan, label: String(age), fold: null, about });
    }
    return found([...told.values()], dir, 'IXINNN-SITE-NNNN-T1.nii.gz');
  },
};

/** Gorgolewski et al. 2016: any BIDS folder, a column of participants.tsv; the first T1w image of each participant. */
export function bids(target: string): ClassifyDataset {
  return {
    kind: 'classify',
    ...published('bids'),
    title: `BIDS: ${target} of participants.tsv (T1w)`,
    channels: ['t1w'],
    async read(dir) {
      const files = await filesIn(dir);
      const column = target.toLowerCase();
      const rows = await tableIn(dir, files, /^participants\.tsv$/, 'participants.tsv', [
        'participant_id',
        column,
      ]);
      const cases = rows.flatMap((row): ClassifyCase[] => {
        const [id, label] = [row.get('participant_id')!, row.get(column)];
        const image = files.find(
          (file) => file.startsWith(`${id}/`) && /\/anat\/[^/]*_T1w\.nii(\.gz)?$/.test(file),
        );
        if (label === undefined || image === undefined) return [];
        const about = {
          sex: sexFrom(row.get('sex') ?? row.get('gender')),
          ageYears: numberFrom(row.get('age')),
        };
        return [{ ...one(id, id), images: { t1w: join(dir, image) }, label, fold: null, about }];
      });
      return found(cases, dir, 'sub-LABEL/[ses-LABEL/]anat/*_T1w.nii.gz');
    },
  };
}
