/** Public data sets on small trees with their real names; no voxels are needed to find them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { scoresFor } from '../../src/evaluate/task-scores.js';
import {
  DATASET_NAMES,
  datasetNamed,
  published,
  type ClassifyCase,
  type DatasetName,
  type SegmentationCase,
} from '../../src/evaluate/datasets/index.js';
import { dataDir, skipped } from '../data.js';

const made: string[] = [];
afterAll(async () => {
  for (const dir of made) await rm(dir, { recursive: true, force: true });
});

async function tree(files: Readonly<Record<string, string>> | readonly string[]): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'precess-sets-'));
  made.push(dir);
  const entries = Array.isArray(files)
    ? (files as string[]).map((path) => [path, ''] as const)
    : Object.entries(files as Record<string, string>);
  for (const [path, text] of entries) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  return dir;
}

const blank = (...paths: readonly string[]): Record<string, string> =>
  Object.fromEntries(paths.map((path) => [path, '']));
const read = async <T>(name: DatasetName, dir: string): Promise<T[]> =>
  (await datasetNamed(name, 'diagnosis').read(dir)) as T[];
const short = (dir: string, { images, label, fold, about }: ClassifyCase): unknown => ({
  images: Object.fromEntries(Object.entries(images).map(([c, path]) => [c, path.slice(dir.length + 1)])),
  label,
  fold,
  about,
});

describe('sets with labels', () => {
  it('PI-CAI: marksheet, three channels, the fold of the archive', async () => {
    const image = (fold: number, id: string): string[] =>
      ['t2w', 'adc', 'hbv', 'sag'].map(
        (c) => `picai_public_images_fold${fold}/${id.split('_')[0]!}/${id}_${c}.mha`,
      );
    const header =
      'patient_id,study_id,mri_date,patient_age,psa,psad,prostate_volume,histopath_type,lesion_GS,lesion_ISUP,case_ISUP,case_csPCa,center';
    const dir = await tree({
      ...blank(
        ...image(0, '10000_1000000'),
        ...image(3, '10005_1000005'),
        ...image(3, '10005_1000006').slice(0, 2),
      ),
      'picai_labels/clinical_information/marksheet.csv': `${header}
10000,1000000,2019-07-02,73,7.7,,55.0,MRBx,0+0,0,0,NO,PCNN
10005,1000005,2013-02-01,64,12.1,0.24,51.0,MRBx,"4+3,0+0","3,0",3,YES,RUMC
10005,1000006,2014-02-01,65,12.1,0.24,51.0,MRBx,4+3,3,3,YES,RUMC
`,
    });
    const cases = await read<ClassifyCase>('picai', dir);
    // The last study lacks its high-b-value image.
    expect(cases.map((one) => short(dir, one))).toEqual([
      {
        images: {
          t2w: 'picai_public_images_fold0/10000/10000_1000000_t2w.mha',
          adc: 'picai_public_images_fold0/10000/10000_1000000_adc.mha',
          hbv: 'picai_public_images_fold0/10000/10000_1000000_hbv.mha',
        },
        label: 'no',
        fold: 0,
        about: { sex: 'M', ageYears: 73, source: 'PCNN' },
      },
      expect.objectContaining({ label: 'yes', fold: 3 }),
    ]);
    expect(JSON.stringify(cases.map(({ id, patientId }) => [id, patientId]))).not.toMatch(/1000[05]/);
  });

  describe('PI-CAI with splits.json', () => {
    const studies = ['10000_1000000', '10001_1000001', '10001_1000002', '10002_1000003'];
    /** Four studies in the archives' folders fold0, fold0, fold0, fold1. */
    const layout = (
      splits: Readonly<Record<string, unknown>>,
      archive = 'picai_public_images_fold',
    ): Promise<string> =>
      tree({
        ...blank(
          ...studies.flatMap((id, n) =>
            ['t2w', 'adc', 'hbv'].map(
              (c) =>
                `${archive}${archive === '' ? 'images' : Number(n === 3)}/${id.split('_')[0]!}/${id}_${c}.mha`,
            ),
          ),
        ),
        'picai_labels/clinical_information/marksheet.csv': `patient_id,study_id,case_csPCa\n${studies
          .map((id, n) => `${id.replace('_', ',')},${n % 2 ? 'YES' : 'NO'}`)
          .join('\n')}\n`,
        ...Object.fromEntries(
          Object.entries(splits).map(([path, content]) => [
            path,
            typeof content === 'string' ? content : JSON.stringify(content),
          ]),
        ),
      });
    /** Five folds, as published: "val" of one fold is left out of its "train". */
    const folds = (...val: (readonly string[])[]): unknown =>
      val.map((names) => ({ train: studies.filter((id) => !names.includes(id)), val: names }));
    const organisers = folds([studies[3]!], [], [studies[0]!], [], [studies[1]!, studies[2]!]);
    const foldsIn = async (dir: string): Promise<unknown> =>
      (await read<ClassifyCase>('picai', dir)).map(({ fold }) => fold);

    it('takes the organisers’ folds, not those of the folders', async () => {
      expect(await foldsIn(await layout({ 'splits.json': organisers }))).toEqual([2, 4, 4, 0]);
      expect(await foldsIn(await layout({ 'splits.json': organisers }, ''))).toEqual([2, 4, 4, 0]);
    });

    it('takes the one of the public cases in a copy of picai_baseline', async () => {
      const at = (name: string): string => `picai_baseline/src/picai_baseline/splits/${name}/splits.json`;
      const other = folds(['10001_1000001'], ['10005_1000006']);
      const dir = await layout({
        [at('picai')]: organisers,
        [at('picai_debug')]: other,
        [at('picai_nnunet')]: other,
        [at('picai_pubpriv')]: other,
      });
      expect(await foldsIn(dir)).toEqual([2, 4, 4, 0]);
    });

    it('takes the folders without it, or none', async () => {
      expect(await foldsIn(await layout({}))).toEqual([0, 0, 0, 1]);
      expect(await foldsIn(await layout({}, ''))).toEqual([null, null, null, null]);
    });

    it('refuses a list that is wrong or of other cases, without a name of a study', async () => {
      const refusal = async (content: unknown): Promise<string> =>
        read('picai', await layout({ 'splits.json': content })).then(
          () => '',
          (error: unknown) => (error as Error).message,
        );
      expect(await refusal('{')).toMatch(/splits\.json must be JSON/);
      expect(await refusal({ train: [], val: [] })).toMatch(/must be a list of/);
      expect(await refusal(folds([studies[0]!], studies))).toMatch(/every study in one "val" only/);
      const short = await refusal(folds([studies[0]!], [studies[1]!]));
      expect(short).toMatch(/name every study in one "val", but lacks 2 of 4; .*picai_nnunet/);
      expect(short).not.toMatch(/1000\d/);
    });
  });

  it('PROSTATEx: a patient is positive by any finding', async () => {
    const series = (patient: string, name: string): string =>
      `PROSTATEx/${patient}/07-07-2011-MR prostaat-05711/${name}/1-01.dcm`;
    const dir = await tree({
      ...blank(
        ...['ProstateX-0000', 'ProstateX-0001'].flatMap((patient) => [
          series(patient, '4.000000-t2tsetra-00702'),
          series(patient, '5.000000-t2tsesag-00703'),
          series(patient, '7.000000-ep2ddifftraDYNDISTADC-03704'),
        ]),
      ),
      'ProstateX-Findings-Train.csv':
        'ProxID,fid,pos,zone,ClinSig\nProstateX-0000,1,25 7 -38,PZ,FALSE\nProstateX-0000,2,2 7 -38,PZ,TRUE\nProstateX-0001,1,2 4 3,AS,FALSE\n',
    });
    const cases = await read<ClassifyCase>('prostatex', dir);
    expect(cases.map(({ label }) => label)).toEqual(['yes', 'no']);
    expect(cases[0]!.images.t2w).toMatch(/4\.000000-t2tsetra-00702$/);
    expect(cases[0]!.images.adc).toMatch(/DYNDISTADC-03704$/);

    const findings = await read<ClassifyCase>('prostatex-findings', dir);
    // DICOM's x to the left and y to the back, told in RAS+.
    expect(findings.map(({ label, finding }) => [label, finding])).toEqual([
      ['no', { fid: 1, positionMm: [-25, -7, -38], zone: 'PZ' }],
      ['yes', { fid: 2, positionMm: [-2, -7, -38], zone: 'PZ' }],
      ['no', { fid: 1, positionMm: [-2, -4, 3], zone: 'AS' }],
    ]);
    expect(new Set(findings.map(({ id }) => id)).size).toBe(3);
    expect(findings[0]!.patientId).toBe(findings[1]!.patientId);
    expect(findings.map(({ images }) => images)).toEqual([0, 0, 1].map((n) => cases[n]!.images));
    expect(JSON.stringify(findings.map(({ id, patientId }) => [id, patientId]))).not.toMatch(/ProstateX/);
  });

  it('PROSTATEx: a finding listed twice counts once, one without a place is refused', async () => {
    const rows = (...findings: readonly string[]): Promise<string> =>
      tree({
        ...blank(
          ...['t2_tse_tra', 'ep2d_diff_tra_DYNDIST_ADC'].map(
            (name) => `PROSTATEx/ProstateX-0002/07-15-2011-MR/${name}-1/1-01.dcm`,
          ),
        ),
        'ProstateX-TrainingLesionInformationv2/ProstateX-Findings-Train.csv': `ProxID,fid,pos,zone,ClinSig\n${findings.join('\n')}\n`,
      });
    const one = 'ProstateX-0002,1,-27.0102 41.5467 -26.0469,PZ,TRUE';
    const twice = await rows(one, one, 'ProstateX-0002,1,-2.058 38.6752 -34.6104,TZ,FALSE');
    const found = await read<ClassifyCase>('prostatex-findings', twice);
    expect(found.map(({ label, finding }) => [label, finding!.positionMm])).toEqual([
      ['yes', [27.0102, -41.5467, -26.0469]],
      ['no', [2.058, -38.6752, -34.6104]],
    ]);
    for (const bad of ['ProstateX-0002,1,1 2,PZ,TRUE', 'ProstateX-0002,one,1 2 3,PZ,TRUE'])
      await expect(read('prostatex-findings', await rows(bad))).rejects.toThrow(
        /a number as fid and three as pos in every row/,
      );
  });

  it('ADNI, OASIS-1 and IXI: tables and names as published', async () => {
    const adni = await tree({
      'ADNI/002_S_0295/MPR__GradWarp__B1_Correction__N3__Scaled/2006-04-18_08_20_30.0/I45108/ADNI_002_S_0295_MR_MPR_Br_S13408_I45108.nii':
        '',
      'ADNI/002_S_0413/MPRAGE/2006-05-02_12_31_52.0/I13893/slice1.dcm': '',
      'ADNI/002_S_0559/MPRAGE/2006-05-02_12_31_52.0/I15922/slice1.dcm': '',
      'collection_11_25_2026.csv':
        'Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date,Format,Downloaded\n' +
        '"I45108","002_S_0295","CN","M","84","sc","MRI","MPR","Processed","4/18/2006","NiFTI",""\n' +
        '"13893","002_S_0413","AD","F","76","sc","MRI","MPRAGE","Original","5/02/2006","DCM",""\n' +
        '"I15922","002_S_0559","MCI","M","79","sc","MRI","MPRAGE","Original","5/02/2006","DCM",""\n',
    });
    const people = await read<ClassifyCase>('adni', adni);
    expect(people.map(({ label, about }) => [label, about.sex, about.ageYears])).toEqual([
      ['CN', 'M', 84],
      ['AD', 'F', 76],
    ]);
    expect(people[1]!.images.t1w).toMatch(/I13893$/);

    const t88 = (id: string): string => `disc1/${id}/PROCESSED/MPRAGE/T88_111/${id}_mpr_n4_anon_111_t88_gfc`;
    const oasis = await tree({
      ...blank(
        ...['OAS1_0001_MR1', 'OAS1_0003_MR1', 'OAS1_0004_MR1'].flatMap((id) => [
          `${t88(id)}.hdr`,
          `${t88(id)}.img`,
          `${t88(id)}.nii.gz`,
        ]),
      ),
      'oasis_cross-sectional.csv':
        'ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay\nOAS1_0001_MR1,F,R,74,2,3,29,0,1344,0.743,1.306,N/A\n' +
        'OAS1_0003_MR1,F,R,73,4,3,27,0.5,1454,0.708,1.207,N/A\nOAS1_0004_MR1,M,R,28,,,,,1588,0.803,1.105,N/A\n',
    });
    const old = await read<ClassifyCase>('oasis', oasis);
    expect(old.map(({ label }) => label)).toEqual(['none', 'dementia']);
    expect(old.every(({ images }) => images.t1w!.endsWith('.nii.gz'))).toBe(true);
    const asPublished = await tree({
      ...blank(`${t88('OAS1_0001_MR1')}.hdr`, `${t88('OAS1_0001_MR1')}.img`),
      'oasis_cross-sectional.csv': 'ID,M/F,Age,CDR\nOAS1_0001_MR1,F,74,0\n',
    });
    await expect(read<ClassifyCase>('oasis', asPublished)).rejects.toThrow(
      /converted from its ANALYZE files/,
    );

    const ixi = await tree({
      ...blank(
        'IXI-T1/IXI002-Guys-0828-T1.nii.gz',
        'IXI-T1/IXI012-HH-1211-T1.nii.gz',
        'IXI-T1/IXI035-IOP-0873-T1.nii.gz',
      ),
      'IXI.csv':
        'IXI_ID,"SEX_ID (1=m, 2=f)",HEIGHT,WEIGHT,AGE\n2,2,164,58,35.80\n12,1,175,70,38.78\n35,1,175,70,\n',
    });
    const ages = await read<ClassifyCase>('ixi', ixi);
    expect(ages.map(({ label, about }) => [label, about.sex, about.fieldStrengthT, about.source])).toEqual([
      ['35.8', 'F', 1.5, 'Guys'],
      ['38.78', 'M', 3, 'HH'],
    ]);
  });

  it('BIDS: any column of participants.tsv', async () => {
    const dir = await tree({
      ...blank(
        'sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz',
        'sub-02/anat/sub-02_acq-x_T1w.nii.gz',
        'sub-02/func/sub-02_bold.nii.gz',
      ),
      'participants.tsv':
        'participant_id\tage\tsex\tdiagnosis\nsub-01\t31\tM\tcontrol\nsub-02\t40\tF\tpatient\nsub-03\t50\tF\tpatient\n',
    });
    const cases = await read<ClassifyCase>('bids', dir);
    expect(cases.map(({ label, about }) => [label, about.sex, about.ageYears])).toEqual([
      ['control', 'M', 31],
      ['patient', 'F', 40],
    ]);
  });

  it('say what is missing', async () => {
    await expect(read('picai', '/nowhere')).rejects.toThrow(/\/nowhere must be a folder/);
    const none = await tree(['images/10000/10000_1000000_t2w.mha']);
    await expect(read('picai', none)).rejects.toThrow(/must hold marksheet\.csv/);
    const other = await tree({ 'marksheet.csv': 'patient_id,study_id\n1,2\n' });
    await expect(read('picai', other)).rejects.toThrow(/lacks case_cspca/);
    const empty = await tree({ 'marksheet.csv': 'patient_id,study_id,case_csPCa\n1,2,NO\n' });
    await expect(read('picai', empty)).rejects.toThrow(/holds no such case/);
  });
});

describe('published metrics', () => {
  it('are told of every set', () => {
    for (const name of DATASET_NAMES) {
      const set = datasetNamed(name);
      expect(set).toMatchObject(published(name));
      // What is said to be scored here is a score of heads.
      if (set.scored !== null)
        expect(Object.keys(scoresFor({ kind: 'classes', names: ['no', 'yes'] }))).toContain(set.scored);
      if (set.metric === null) expect(set.splits).toEqual([]);
    }
    expect(published('picai').splits).toHaveLength(5);
    expect(published('prostatex-findings')).toMatchObject({ metric: 'AUROC of findings', scored: 'auroc' });
  });
});

describe('sets with masks', () => {
  it('BraTS: the names of every year', async () => {
    const year = (id: string, names: readonly string[], between: string): string[] =>
      names.map((name) => `${id}/${id}${between}${name}.nii.gz`);
    const dir = await tree([
      ...year('BraTS-GLI-00000-000', ['t1n', 't1c', 't2w', 't2f', 'seg'], '-'),
      ...year('BraTS-GLI-00000-001', ['t1n', 't1c', 't2w', 't2f', 'seg'], '-'),
      ...year('BraTS2021_00002', ['t1', 't1ce', 't2', 'flair', 'seg'], '_'),
      ...year('BraTS2021_00003', ['t1', 't1ce', 't2', 'seg'], '_'),
    ]);
    const cases = await read<SegmentationCase>('brats', dir);
    expect(cases).toHaveLength(3);
    expect(cases[0]!.patientId).toBe(cases[1]!.patientId);
    expect(cases[2]!.images.t1ce).toMatch(/BraTS2021_00002_t1ce\.nii\.gz$/);
    expect(cases.map(({ labels }) => labels['enhancing tumour'])).toEqual([3, 3, 4]);
  });

  it('ACDC, TotalSegmentator MRI and Ljubljana', async () => {
    const frame = (split: string, id: string, n: string): string[] =>
      ['', '_gt'].map((end) => `${split}/${id}/${id}_frame${n}${end}.nii.gz`);
    const acdc = await read<SegmentationCase>(
      'acdc',
      await tree([
        ...frame('training', 'patient001', '01'),
        ...frame('training', 'patient001', '12'),
        'training/patient001/patient001_4d.nii.gz',
        ...frame('testing', 'patient101', '01'),
      ]),
    );
    expect(acdc.map(({ split }) => split)).toEqual(['test', 'train', 'train']);
    expect(acdc[1]!.images.cine).toMatch(/patient001_frame01\.nii\.gz$/);
    expect(acdc[1]!.patientId).toBe(acdc[2]!.patientId);

    const [body, ...others] = await read<SegmentationCase>(
      'totalsegmentator-mri',
      await tree({
        ...blank(
          's0001/mri.nii.gz',
          's0001/segmentations/liver.nii.gz',
          's0001/segmentations/spleen.nii.gz',
          's0002/mri.nii.gz',
        ),
        'meta.csv':
          'image_id;age;gender;institute;study_type;split\ns0001;60;m;A;mr;val\ns0002;61;f;A;mr;train\n',
      }),
    );
    expect(others).toHaveLength(0);
    expect(body).toMatchObject({ split: 'validation', labels: { liver: 1, spleen: 1 } });
    expect((body!.mask as Record<string, string>).liver).toMatch(/segmentations\/liver\.nii\.gz$/);

    const [patient] = await read<SegmentationCase>(
      'ljubljana-ms',
      await tree(
        ['FLAIR', 'T1W', 'T1WKS', 'T2W', 'consensus_gt'].map(
          (name) => `raw/patient01/patient01_${name}.nii.gz`,
        ),
      ),
    );
    expect(Object.keys(patient!.images)).toEqual(['flair', 't1', 't1ce', 't2']);
    expect(patient!.mask).toMatch(/patient01_consensus_gt\.nii\.gz$/);
  });

  it('Ljubljana: the names of open_ms_data, at one time and at two', async () => {
    const named = (folder: string, ...names: string[]): string[] =>
      names.map((name) => `${folder}/${name}.nii.gz`);
    const dir = await tree([
      ...named('cross_sectional/raw/patient01', 'FLAIR', 'T1W', 'T1WKS', 'T2W', 'consensus_gt'),
      ...named('cross_sectional/coregistered/patient01', 'FLAIR', 'T1W', 'T2W', 'consensus_gt'),
      'cross_sectional/coregistered/patient01/patient01_brainmask.nii.gz',
      // Some names have the patient in front there.
      ...named('cross_sectional/coregistered/patient06', 'FLAIR', 'patient06_T2W', 'patient06_consensus_gt'),
      // The images are missing.
      ...named('cross_sectional/coregistered/patient08', 'brainmask', 'consensus_gt'),
      ...named('longitudinal/raw/patient01', 'study1_FLAIR', 'study1_T1W', 'study2_FLAIR', 'gt'),
      ...named('longitudinal/coregistered/patient01', 'study1_FLAIR', 'study2_FLAIR', 'study2_T2W', 'gt'),
      ...named('longitudinal/coregistered/patient04', 'study1_FLAIR', 'brainmask', 'gt'),
    ]);
    const cases = await read<SegmentationCase>('ljubljana-ms', dir);
    const paths = ({ images, mask, labels }: SegmentationCase): unknown => ({
      images: Object.fromEntries(Object.entries(images).map(([c, path]) => [c, path.slice(dir.length + 1)])),
      mask: (mask as string).slice(dir.length + 1),
      labels,
    });
    expect(cases.map(paths)).toEqual([
      {
        images: {
          flair: 'cross_sectional/coregistered/patient01/FLAIR.nii.gz',
          t1: 'cross_sectional/coregistered/patient01/T1W.nii.gz',
          t2: 'cross_sectional/coregistered/patient01/T2W.nii.gz',
        },
        mask: 'cross_sectional/coregistered/patient01/consensus_gt.nii.gz',
        labels: { lesion: 1 },
      },
      {
        images: {
          flair: 'cross_sectional/coregistered/patient06/FLAIR.nii.gz',
          t2: 'cross_sectional/coregistered/patient06/patient06_T2W.nii.gz',
        },
        mask: 'cross_sectional/coregistered/patient06/patient06_consensus_gt.nii.gz',
        labels: { lesion: 1 },
      },
      {
        images: {
          'study2-flair': 'longitudinal/coregistered/patient01/study2_FLAIR.nii.gz',
          'study1-flair': 'longitudinal/coregistered/patient01/study1_FLAIR.nii.gz',
          'study2-t2': 'longitudinal/coregistered/patient01/study2_T2W.nii.gz',
        },
        mask: 'longitudinal/coregistered/patient01/gt.nii.gz',
        labels: { 'changed lesion': 1 },
      },
      {
        images: { 'study1-flair': 'longitudinal/coregistered/patient04/study1_FLAIR.nii.gz' },
        mask: 'longitudinal/coregistered/patient04/gt.nii.gz',
        labels: { 'changed lesion': 1 },
      },
    ]);
    // patient01 of one set is not patient01 of the other.
    expect(new Set(cases.map(({ patientId }) => patientId)).size).toBe(4);
    await expect(read('ljubljana-ms', await tree(['patient01/gt.nii.gz']))).rejects.toThrow(/study1,study2/);
  });

  const real = dataDir();
  it.skipIf(skipped(real === null, 'Ljubljana as downloaded: no data folder'))(
    'Ljubljana: the real names at two times',
    async () => {
      const cases = await read<SegmentationCase>('ljubljana-ms', join(real!, 'brain-ms'));
      expect(cases.map(({ images }) => Object.keys(images))).toEqual([
        ['study2-flair', 'study1-flair', 'study2-t1', 'study1-t1', 'study2-t2', 'study1-t2'],
        ['study2-flair', 'study1-flair', 'study2-t1', 'study2-t2', 'study1-t2'],
        ['study1-flair', 'study1-t1', 'study1-t2'],
      ]);
    },
  );
});
