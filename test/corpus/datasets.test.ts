/** Data sets of other shapes: archives, BIDS, volume files of several formats, tables of metadata. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ingest, type Ingested } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNiftiFile } from '../../src/formats/nifti/index.js';
import { dicom, folder, image, withCorpus } from './made.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/formats/', import.meta.url));

const skippedOf = ({ skipped }: Ingested, ending: string): string =>
  skipped.find(({ path }) => path.endsWith(ending))?.reason ?? 'not skipped';

async function nifti(path: string, seed: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeNiftiFile(path, image([40, 36, 8], seed));
}

async function text(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

describe('archives', () => {
  it.each([
    ['tar', ['-cf']],
    ['tar.gz', ['-czf']],
  ])('.%s: the series in them are those of the files, and nothing is unpacked', async (ending, flags) => {
    const dir = await folder();
    await dicom(join(dir, 'in/a'), { seriesUid: newUid('a') });
    await dicom(join(dir, 'in/b'), { seriesUid: newUid('b') }, image([32, 32, 6], 2));
    await text(join(dir, 'in/notes.txt'), 'no image');
    const path = join(dir, `packed.${ending}`);
    execFileSync('tar', [...flags, path, '-C', dir, 'in']);
    const corpus = join(dir, 'c');
    const plain = await ingest([join(dir, 'in')], { corpus });
    const packed = await ingest([path], { corpus });
    expect(packed).toMatchObject({ added: 0, present: 2 });
    expect(packed.series.map(({ id }) => id)).toEqual(plain.series.map(({ id }) => id));
    expect(skippedOf(packed, `packed.${ending}!/in/notes.txt`)).toMatch(/neither DICOM/);

    const alone = await ingest([path], { corpus: join(dir, 'd') });
    expect(alone.added).toBe(2);
    const hashes = (one: Ingested): number[] => one.series.map(({ shape }) => shape[0]).sort();
    expect(hashes(alone)).toEqual([32, 40]);
    await withCorpus(join(dir, 'd'), async (opened) => {
      const big = alone.series.find(({ shape }) => shape[0] === 40)!;
      expect(Array.from((await opened.volume(big.id)).data)).toEqual(Array.from(image().data));
    });
    expect((await readdir(dir)).sort()).toEqual(['c', 'd', 'in', `packed.${ending}`]);
  });

  it.each([['-cf'], ['-czf']])('packed with tar %s keep comments without what identifies', async (flag) => {
    const dir = await folder();
    const comments = 'Small meniscal tear of the left knee, seen with Mirabel Oxenstierna.';
    await dicom(join(dir, 'in'), { comments, patientName: 'Oxenstierna^Mirabel', bodyPart: 'KNEE' });
    const path = join(dir, flag === '-cf' ? 'packed.tar' : 'packed.tgz');
    execFileSync('tar', [flag, path, '-C', dir, 'in']);
    const { series } = await ingest([path], { corpus: join(dir, 'c') });
    expect(series[0]!.text).toMatch(/Small meniscal tear/);
    expect(series[0]!.text).not.toMatch(/Mirabel|Oxenstierna/i);
  });

  it('say of every member that is not taken in why', async () => {
    const dir = await folder();
    await cp(join(FIXTURES, 'archives'), join(dir, 'in'), { recursive: true });
    const result = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(skippedOf(result, 'awkward.zip!/secret.txt')).toMatch(/^encrypted in its archive/);
    expect(skippedOf(result, 'awkward.zip!/../outside.dcm')).toMatch(/leads out/);
    expect(skippedOf(result, 'awkward.tar!/link')).toMatch(/a link/);
    expect(skippedOf(result, 'overlap.zip')).toMatch(/must not share their bytes/);
    // All the archives hold one DICOM and one NIfTI image.
    expect(result.added).toBe(2);
  });
});

describe('volume files', () => {
  it('of NRRD, MetaImage and MGH become series where they are', async () => {
    const dir = await folder();
    const names = [
      'oblique-n.nhdr',
      'oblique-n.raw',
      'oblique-m.mhd',
      'oblique-m.raw',
      'time.mha',
      'float32.mgz',
    ];
    await mkdir(join(dir, 'in'));
    for (const name of names) await cp(join(FIXTURES, 'volumes', name), join(dir, 'in', name));
    const result = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    // The .raw files are parts of others, and the three frames of time.mha three series.
    expect(result.skipped).toEqual([]);
    expect(result.added).toBe(1 + 1 + 3 + 1);
    for (const { spacingMm } of result.series)
      expect([3.5, 2.5]).toContainEqual(expect.closeTo(spacingMm[2], 4));
    expect(await ingest([join(dir, 'in')], { corpus: join(dir, 'c') })).toMatchObject({
      added: 0,
      present: 6,
    });
  });
});

describe('BIDS', () => {
  async function dataset(): Promise<string> {
    const dir = await folder();
    const root = join(dir, 'ds');
    await text(join(root, 'dataset_description.json'), '{"Name": "x", "BIDSVersion": "1.10.0"}');
    await text(
      join(root, 'participants.tsv'),
      'participant_id\tage\tsex\tgroup\nsub-01\t34\tF\tcontrol\nsub-02\t91\tmale\tn/a\n',
    );
    await text(
      join(root, 'T1w.json'),
      '{"MagneticFieldStrength": 3, "Manufacturer": "Siemens", "EchoTime": 0.003}',
    );
    await text(
      join(root, 'sub-01/sub-01_T1w.json'),
      '{"EchoTime": 0.0042, "SeriesDescription": "t1_mprage_sag"}',
    );
    await nifti(join(root, 'sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz'), 1);
    await nifti(join(root, 'sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz'), 2);
    await nifti(join(root, 'sub-02/anat/sub-02_T2w.nii.gz'), 3);
    await text(join(root, 'sub-02/anat/sub-02_T2w.json'), '{"Modality": "CT"}');
    await nifti(join(root, 'sub-02/anat/sub-02_FLAIR.nii.gz'), 4);
    const derived = join(root, 'derivatives/tool');
    await text(join(derived, 'dataset_description.json'), '{"Name": "t", "DatasetType": "derivative"}');
    await nifti(join(derived, 'sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz'), 5);
    await nifti(join(derived, 'sub-02/anat/sub-02_space-MNI_dseg.nii.gz'), 6);
    await nifti(join(derived, 'sub-01/ses-1/anat/sub-01_ses-1_desc-preproc_T1w.nii.gz'), 7);
    return root;
  }

  it('gives patients, sessions, inherited sidecars, sex and age', async () => {
    const root = await dataset();
    const result = await ingest([root], { corpus: join(root, '../c'), retainCharacteristics: true });
    expect(result.added).toBe(3);
    const first = result.series.filter(({ sex }) => sex === 'F');
    expect(first).toHaveLength(2);
    expect(first[0]!.patientId).toBe(first[1]!.patientId);
    expect(first[0]!.studyId).not.toBe(first[1]!.studyId);
    for (const series of first)
      expect(series).toMatchObject({
        ageYears: 34,
        fieldStrengthT: 3,
        manufacturer: 'Siemens',
        contrast: 'T1w',
        description: 't1 mprage sag',
      });
    // Ages of 90 and above are 90.
    expect(result.series.find(({ sex }) => sex === 'M')).toMatchObject({ ageYears: 90, contrast: 'FLAIR' });
    expect(skippedOf(result, 'sub-02_T2w.nii.gz')).toMatch(/modality is CT/);
  });

  it('keeps neither sex nor age without being told to', async () => {
    const root = await dataset();
    const { series } = await ingest([root], { corpus: join(root, '../c') });
    expect(series.every(({ sex, ageYears }) => sex === null && ageYears === null)).toBe(true);
  });

  it('names the image that a mask, a label map or a processed copy belongs to', async () => {
    const root = await dataset();
    const corpus = join(root, '../c');
    const result = await ingest([root], { corpus });
    expect(skippedOf(result, '_desc-brain_mask.nii.gz')).toBe('a mask of sub-01_ses-1_T1w.nii.gz');
    expect(skippedOf(result, '_space-MNI_dseg.nii.gz')).toBe('a label map among derivatives');
    expect(skippedOf(result, '_desc-preproc_T1w.nii.gz')).toMatch(
      /a processed copy of sub-01_ses-1_T1w.nii.gz/,
    );
    // Named itself, the folder gives its images, of the same patient as the raw ones.
    const derived = await ingest([join(root, 'derivatives/tool')], { corpus });
    expect(derived.added).toBe(1);
    const raw = result.series.map(({ patientId }) => patientId);
    expect(raw).toContain(
      derived.series.find(({ id }) => !result.series.some((one) => one.id === id))!.patientId,
    );
  });

  it('is read from an archive', async () => {
    const root = await dataset();
    const path = join(root, '../ds.tgz');
    execFileSync('tar', ['-czf', path, '-C', join(root, '..'), 'ds']);
    const corpus = join(root, '../c');
    const plain = await ingest([root], { corpus, retainCharacteristics: true });
    const packed = await ingest([path], { corpus: join(root, '../d'), retainCharacteristics: true });
    const facts = (one: Ingested) =>
      one.series
        .map(
          ({ sex, ageYears, contrast, fieldStrengthT }) => `${sex} ${ageYears} ${contrast} ${fieldStrengthT}`,
        )
        .sort();
    expect(facts(packed)).toEqual(facts(plain));
    expect(skippedOf(packed, '_desc-brain_mask.nii.gz')).toBe('a mask of sub-01_ses-1_T1w.nii.gz');
  });
});

describe('a table of metadata', () => {
  it('says whose image a file is and what it shows; rows without a file are reported', async () => {
    const dir = await folder();
    for (const [n, name] of ['one/x.nii.gz', 'one/y.nii.gz', 'two/x.nii.gz'].entries())
      await nifti(join(dir, 'in', name), n + 1);
    await text(
      join(dir, 'in/table.csv'),
      'Path,Patient,Study,Description,BodyPart,Sex,Age,Report\n' +
        'one/x.nii.gz,A-17,first,t2_tse_tra,PROSTATE,M,61,"No lesion, PI-RADS 1"\n' +
        './one/y.nii.gz,A-17,second,t1_mprage,BRAIN,M,62,\n' +
        'two/x.nii.gz,B-3,first,t1_mprage,BRAIN,F,n/a,\n' +
        'gone.nii.gz,C-1,first,,,,,\n',
    );
    const result = await ingest([join(dir, 'in')], {
      corpus: join(dir, 'c'),
      metadata: join(dir, 'in/table.csv'),
      retainCharacteristics: true,
    });
    expect(result.added).toBe(3);
    const prostate = result.series.find(({ bodyPart }) => bodyPart === 'PROSTATE')!;
    expect(prostate).toMatchObject({ contrast: 'T2w', sex: 'M', ageYears: 61 });
    expect(prostate.text).toMatch(/PI-RADS 1/);
    const [a, b] = ['M', 'F'].map((sex) => result.series.filter((one) => one.sex === sex));
    expect(new Set(a!.map(({ patientId }) => patientId)).size).toBe(1);
    expect(new Set(a!.map(({ studyId }) => studyId)).size).toBe(2);
    expect(b![0]!.patientId).not.toBe(a![0]!.patientId);
    expect(skippedOf(result, 'gone.nii.gz')).toMatch(/named in the table/);
    expect(JSON.stringify(result.series)).not.toMatch(/A-17|B-3/);
  });

  it('must have a column for the path and one row a file', async () => {
    const dir = await folder();
    await nifti(join(dir, 'in/a.nii.gz'), 1);
    const metadata = join(dir, 'table.tsv');
    const options = { corpus: join(dir, 'c'), metadata };
    await text(metadata, 'name\tpatient\na.nii.gz\tx\n');
    await expect(ingest([join(dir, 'in')], options)).rejects.toThrow(/must have a column "path"/);
    await text(metadata, 'path\tpatient\na.nii.gz\tx\na.nii.gz\ty\n');
    await expect(ingest([join(dir, 'in')], options)).rejects.toThrow(/another file/);
  });
});
