/** `corpus export --bids`: names and files as BIDS has them, judged by its own validator, and the voxels of the corpus. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportBids, ingest, type Series } from '../../src/corpus/index.js';
import { readNiftiFile } from '../../src/formats/nifti/index.js';
import { skipped } from '../data.js';
import { run } from './command.js';
import { dicom, filesUnder, folder, image, withCorpus } from './made.js';

/** The validator (PyPI bids-validator-deno) beside the tests' Python, or on the path; null where it is not. */
function validator(): string | null {
  const beside = process.env.PRECESS_PYTHON;
  const candidates = [
    ...(beside === undefined ? [] : [join(dirname(beside), 'bids-validator-deno')]),
    'bids-validator-deno',
  ];
  return (
    candidates.find((one) => spawnSync(one, ['--version'], { stdio: 'ignore' }).error === undefined) ?? null
  );
}
const found = validator();

interface Issue {
  readonly code: string;
  readonly severity: string;
  readonly location?: string;
}

/** What the validator finds wrong with a data set. */
function errorsIn(dir: string): string[] {
  const { stdout } = spawnSync(found!, [dir, '--format', 'json'], { encoding: 'utf8' });
  const { issues } = JSON.parse(stdout) as { issues: { issues: Issue[] } };
  return issues.issues
    .filter(({ severity }) => severity === 'error')
    .map(({ code, location }) => `${code} ${location ?? ''}`);
}

/** Two patients: a study with five series, of which two have one name, and one with a series. */
async function made(): Promise<{ dir: string; corpus: string; series: readonly Series[] }> {
  const dir = await folder();
  const study = (n: number): string => `1.2.826.0.1.${n}`;
  const descriptions = [
    't1_mprage_sag',
    't2_tse_tra',
    't2_tse_tra',
    't2_flair_tra',
    't1_tse_tra post contrast',
    'of unknown kind',
  ];
  for (const [n, seriesDescription] of descriptions.entries())
    await dicom(
      join(dir, 'in', String(n)),
      {
        ...{ studyUid: study(1), seriesUid: `${study(1)}.${n}`, frameOfReferenceUid: study(9) },
        ...{ seriesDescription, protocolName: seriesDescription, bodyPart: 'BRAIN' },
        ...(seriesDescription.includes('post') && { contrastAgent: 'Gadobutrol' }),
        ...(seriesDescription.includes('unknown') && {
          scanningSequence: 'RM',
          sequenceName: '',
          echoTime: null,
          repetitionTime: null,
        }),
      },
      image([40, 36, 8], n + 1),
    );
  const second = { patientId: 'P-2', studyUid: study(2), seriesUid: `${study(2)}.1`, sex: 'M' as const };
  await dicom(join(dir, 'in', 'x'), { ...second, studyDate: '20150301' }, image([40, 36, 8], 9));
  const corpus = join(dir, 'c');
  const { series } = await ingest([join(dir, 'in')], { corpus, retainCharacteristics: true });
  return { dir, corpus, series };
}

const label = (id: string): string => id.replace('-', '');

describe('corpus export --bids', () => {
  it('names files as BIDS does, and describes subjects, sessions and series', async () => {
    const { dir, corpus, series } = await made();
    const out = join(dir, 'bids');
    await run('corpus', 'export', '--corpus', corpus, '--bids', out);
    const one = series.find(({ contrast }) => contrast === 'FLAIR')!;
    const [sub, ses] = [`sub-${label(one.patientId)}`, `ses-${label(one.studyId)}`];
    const files = (await filesUnder(out)).map((file) => file.slice(out.length + 1));
    const anat = files.filter((file) => file.startsWith(`${sub}/${ses}/anat/`) && file.endsWith('.nii.gz'));
    expect(anat.map((file) => file.slice(`${sub}/${ses}/anat/${sub}_${ses}_`.length)).sort()).toEqual([
      'acq-axial_FLAIR.nii.gz',
      'acq-axial_T1w.nii.gz',
      'acq-axial_ce-agent_T1w.nii.gz',
      'acq-axial_run-1_T2w.nii.gz',
      'acq-axial_run-2_T2w.nii.gz',
    ]);
    const unnamed = series.find(({ contrast }) => contrast === 'unknown')!;
    expect(files).toContain(
      `sourcedata/${sub}/${ses}/other/${sub}_${ses}_acq-${unnamed.plane}_unknown.nii.gz`,
    );

    const participants = await readFile(join(out, 'participants.tsv'), 'utf8');
    expect(participants).toContain('participant_id\tage\tsex\n');
    expect(participants).toContain(`${sub}\tn/a\tF\n`);
    const sessions = await readFile(join(out, sub, `${sub}_sessions.tsv`), 'utf8');
    const [, year] = /\t(\d{4})-/.exec(sessions)!;
    expect(Number(year)).toBe(Number(one.date!.slice(0, 4)) - 100);
    const stem = join(out, sub, ses, 'anat', `${sub}_${ses}_acq-axial_FLAIR`);
    expect(JSON.parse(await readFile(`${stem}.json`, 'utf8'))).toMatchObject({
      ...{ Manufacturer: 'Siemens', MagneticFieldStrength: 3, BodyPart: 'BRAIN', License: 'unspecified' },
      Precess: { id: one.id },
    });
    const exported = (await readNiftiFile(`${stem}.nii.gz`)).frame(0);
    const volume = await withCorpus(corpus, (c) => c.volume(one.id));
    expect(exported.data).toEqual(volume.data);

    await expect(run('corpus', 'export', '--corpus', corpus, '--bids', out)).rejects.toThrow(/in the way/);
    await run('corpus', 'export', '--corpus', corpus, '--bids', out, '--force');
  });

  it.skipIf(skipped(found === null, 'bids-validator-deno is not installed'))(
    'is valid, with diffusion too, and the validator tells what is not',
    async () => {
      const { dir, corpus, series } = await made();
      const out = join(dir, 'bids');
      const [first, second, third, fourth] = series as [Series, Series, Series, Series];
      const at = (value: number): Series['axes'] => [{ name: 'b-value', value, index: 0, count: 2 }];
      const direction = { name: 'direction', value: 1, index: 0, count: 30 };
      const changed: Series[] = [
        { ...first, contrast: 'DWI', axes: at(0) },
        { ...second, contrast: 'DWI', axes: at(800) },
        { ...third, contrast: 'ADC', ageYears: 90 },
        { ...fourth, contrast: 'DWI', axes: [...at(800), direction] },
        ...series.slice(4),
      ];
      const result = await withCorpus(corpus, (c) => exportBids(c, changed, { dir: out }));
      expect(result.sourcedata).toContain(fourth.id);
      expect(errorsIn(out)).toEqual([]);
      execFileSync('sh', ['-c', 'find "$0" -name "*_trace.nii.gz" | grep -q acq-axialb800', out]);
      const [image] = (await filesUnder(out)).filter((file) => file.endsWith('_ADC.nii.gz'));
      execFileSync('mv', [image!, image!.replace('_ADC', '_fantasy')]);
      expect(errorsIn(out)).not.toEqual([]);
    },
    120_000,
  );

  it('leaves out what may not be exported, and says so where nothing may', async () => {
    const { dir, corpus, series } = await made();
    const { id } = series.find(({ contrast }) => contrast === 'FLAIR')!;
    await run('corpus', 'quarantine', 'add', id, '--corpus', corpus);
    const out = join(dir, 'bids');
    await run('corpus', 'export', '--corpus', corpus, '--bids', out);
    const files = (await filesUnder(out)).join('\n');
    expect(files).not.toMatch(/FLAIR/);
    expect(existsSync(join(out, 'dataset_description.json'))).toBe(true);
    await expect(run('corpus', 'export', id, '--corpus', corpus, '--bids', join(dir, 'x'))).rejects.toThrow(
      /quarantine/,
    );
    expect(existsSync(join(dir, 'x'))).toBe(false);
  });
});
