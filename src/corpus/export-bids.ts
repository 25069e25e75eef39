/** Series of a corpus as a data set in the Brain Imaging Data Structure (BIDS 1.10). */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeNiftiFile } from '../formats/nifti/index.js';
import type { Corpus } from './corpus.js';
import { type Exported, exportEach, type ExportOptions } from './export.js';
import { allowed } from './rights.js';
import type { Series } from './series.js';

const BIDS_VERSION = '1.10.0';
/** BIDS wants shifted dates to be of 1925 or before: what the corpus has goes back by 100 years more, in days. */
const EXTRA_DAYS = 36_525;
const OLDEST = 89;

/** Suffix and folder by contrast ("Anatomy imaging data", "Diffusion imaging data"); what is not here has none in BIDS. */
const SUFFIXES: Readonly<Record<string, readonly ['anat' | 'dwi', string]>> = {
  T1w: ['anat', 'T1w'],
  'T1w+C': ['anat', 'T1w'],
  T2w: ['anat', 'T2w'],
  'T2*w': ['anat', 'T2starw'],
  PDw: ['anat', 'PDw'],
  FLAIR: ['anat', 'FLAIR'],
  MRA: ['anat', 'angio'],
  T1map: ['anat', 'T1map'],
  T2map: ['anat', 'T2map'],
  ADC: ['dwi', 'ADC'],
  FA: ['dwi', 'FA'],
};

export interface BidsExported extends Exported {
  /** Series that BIDS has no name for: under sourcedata/, where everything is permitted. */
  readonly sourcedata: string[];
}

/**
 * Writes series as `sub-…/ses-…/anat|dwi/sub-…_ses-…_acq-<plane>[_ce-agent][_run-N]_<suffix>.nii.gz` with a sidecar each,
 * and dataset_description.json, participants.tsv and .json, README.md, and a sessions file where days are known. Subjects
 * and sessions are named by the pseudonyms of patients and studies. Diffusion-weighted volumes are "trace" and, at b = 0,
 * "S0map"; those of single directions, whose vectors the corpus does not keep, and everything else that BIDS has no
 * suffix for go to sourcedata/ under the same kind of name.
 *
 * @throws CorpusError as `exportNifti` does.
 */
export async function exportBids(
  corpus: Pick<Corpus, 'volume'>,
  all: readonly Series[],
  options: ExportOptions,
): Promise<BidsExported> {
  const { dir } = options;
  const places = placesOf(allowed(all, 'evaluate').permitted);
  const pathOf = (series: Series, ending: string): string =>
    join(dir, `${places.get(series.id)!.stem}${ending}`);
  const exported = await exportEach(all, options, {
    paths: (series) => [
      join(dir, 'dataset_description.json'),
      pathOf(series, '.nii.gz'),
      pathOf(series, '.json'),
    ],
    write: async (series) => {
      const image = pathOf(series, '.nii.gz');
      const folder = dirname(image);
      await mkdir(folder, { recursive: true });
      const partial = join(folder, `.${series.id}.partial.nii.gz`);
      try {
        await writeNiftiFile(partial, await corpus.volume(series.id));
        await writeFile(pathOf(series, '.json'), json(sidecarOf(series)));
        // The image comes last: where it is, its sidecar is too.
        await rename(partial, image);
      } finally {
        await rm(partial, { force: true });
      }
    },
  });
  const ids = new Set(exported.written);
  const written = all.filter(({ id }) => ids.has(id));
  const named = written.filter(({ id }) => places.get(id)!.isNamed);
  await writeDataset(dir, named);
  return { ...exported, sourcedata: written.filter((one) => !named.includes(one)).map(({ id }) => id) };
}

interface Place {
  /** Path from the folder of the data set, without an ending. */
  readonly stem: string;
  /** Whether BIDS has a suffix for it. */
  readonly isNamed: boolean;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
/** Labels are letters and digits ("Entities"). */
const label = (text: string): string => text.replace(/[^A-Za-z0-9]/g, '');
const subjectOf = ({ patientId }: Series): string => `sub-${label(patientId)}`;
const sessionOf = ({ studyId }: Series): string => `ses-${label(studyId)}`;

/** Names of all series; those that would have one name get runs, in the order of their ids. */
function placesOf(all: readonly Series[]): Map<string, Place> {
  const groups = new Map<string, { series: Series; suffix: string; isNamed: boolean }[]>();
  for (const series of [...all].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const [folder, suffix] = suffixOf(series) ?? ['other', label(series.contrast)];
    const isNamed = suffixOf(series) !== null;
    const [sub, ses] = [subjectOf(series), sessionOf(series)];
    const start = `${isNamed ? '' : 'sourcedata/'}${sub}/${ses}/${folder}/${sub}_${ses}`;
    const agent = series.contrast === 'T1w+C' ? '_ce-agent' : '';
    const stem = `${start}_acq-${acquisitionOf(series)}${agent}`;
    const key = `${stem} ${suffix}`;
    groups.set(key, [...(groups.get(key) ?? []), { series, suffix, isNamed }]);
  }
  const places = new Map<string, Place>();
  for (const [key, group] of groups) {
    const [stem] = key.split(' ');
    group.forEach(({ series, suffix, isNamed }, n) => {
      const run = group.length > 1 ? `_run-${n + 1}` : '';
      places.set(series.id, { stem: `${stem}${run}_${suffix}`, isNamed });
    });
  }
  return places;
}

const axisOf = (series: Series, name: string): number | string | null =>
  series.axes.find((one) => one.name === name)?.value ?? null;

function suffixOf(series: Series): readonly [string, string] | null {
  if (series.contrast !== 'DWI') return SUFFIXES[series.contrast] ?? null;
  if (series.axes.some(({ name }) => name === 'direction')) return null;
  return ['dwi', axisOf(series, 'b-value') === 0 ? 'S0map' : 'trace'];
}

/** The plane, and the b-value where there is one: what tells most series of a study apart. */
function acquisitionOf(series: Series): string {
  const b = axisOf(series, 'b-value');
  return label(`${series.plane}${typeof b === 'number' ? `b${Math.round(b)}` : ''}`);
}

/** Keys of BIDS ("Common metadata fields applicable to MRI") where it has one, then the corpus's own. */
function sidecarOf(series: Series): Record<string, unknown> {
  const { bodyPart, fieldStrengthT, manufacturer, rights } = series;
  return {
    Modality: 'MR',
    ...(manufacturer !== 'unknown' && { Manufacturer: manufacturer }),
    ...(fieldStrengthT !== null && { MagneticFieldStrength: fieldStrengthT }),
    ...(bodyPart !== 'UNKNOWN' && { BodyPart: bodyPart }),
    SeriesDescription: series.description,
    License: rights.licence,
    Precess: series,
  };
}

async function writeDataset(dir: string, series: readonly Series[]): Promise<void> {
  const licences = [...new Set(series.map(({ rights }) => rights.licence))].sort();
  const attributions = [...new Set(series.flatMap(({ rights }) => rights.attribution ?? []))].sort();
  const description = {
    Name: 'Series of a Precess corpus',
    BIDSVersion: BIDS_VERSION,
    DatasetType: 'raw',
    License: licences.join('; '),
    ...(attributions.length > 0 && { Acknowledgements: attributions.join('; ') }),
    GeneratedBy: [{ Name: 'Precess' }],
  };
  await writeFile(join(dir, 'participants.tsv'), participantsOf(series));
  await writeFile(join(dir, 'participants.json'), json(COLUMNS));
  await writeFile(join(dir, 'README.md'), README);
  for (const [subject, rows] of sessionsOf(series))
    await writeFile(
      join(dir, subject, `${subject}_sessions.tsv`),
      `session_id\tacq_time\n${rows.map(([session, day]) => `${session}\t${day}\n`).join('')}`,
    );
  // Last: with it the folder is a data set.
  await writeFile(join(dir, 'dataset_description.json'), json(description));
}

const README =
  '# Series of a Precess corpus\n\n' +
  'De-identified magnetic resonance images. Subjects and sessions are named by pseudonyms of patients and studies; days\n' +
  'were moved by a number of days that is secret and the same for all sessions of a subject, and by a hundred years.\n' +
  'Voxels that were not measured are NaN. What may be done with a series is in "Precess.rights" of its sidecar; what\n' +
  'has no name in BIDS is under `sourcedata`.\n';

const COLUMNS = {
  age: { Description: 'age at the first session, where it was kept', Units: 'year' },
  sex: { Description: 'sex, where it was kept', Levels: { F: 'female', M: 'male', O: 'other' } },
};

function participantsOf(series: readonly Series[]): string {
  const subjects = new Map<string, { sex: Series['sex']; age: number | null }>();
  for (const one of series) {
    const { sex, age } = subjects.get(subjectOf(one)) ?? { sex: null, age: null };
    const ages = [age, one.ageYears].filter((years) => years !== null);
    subjects.set(subjectOf(one), {
      sex: sex ?? one.sex,
      age: ages.length === 0 ? null : Math.min(...ages),
    });
  }
  const rows = [...subjects].sort().map(([subject, { sex, age }]) => {
    const years = age === null ? 'n/a' : age > OLDEST ? `${OLDEST}+` : String(Math.floor(age));
    return `${subject}\t${years}\t${sex ?? 'n/a'}\n`;
  });
  return `participant_id\tage\tsex\n${rows.join('')}`;
}

/** subject → its sessions with their days, for subjects of which a day is known. */
function sessionsOf(series: readonly Series[]): Map<string, [string, string][]> {
  const subjects = new Map<string, Map<string, string>>();
  for (const one of series) {
    const days = subjects.get(subjectOf(one)) ?? new Map<string, string>();
    const known = days.get(sessionOf(one));
    if (known === undefined || known === 'n/a') days.set(sessionOf(one), oldDay(one.date));
    subjects.set(subjectOf(one), days);
  }
  return new Map(
    [...subjects]
      .filter(([, days]) => [...days.values()].some((day) => day !== 'n/a'))
      .map(([subject, days]) => [subject, [...days].sort()]),
  );
}

function oldDay(date: string | null): string {
  if (date === null) return 'n/a';
  const day = new Date(Date.parse(date) - EXTRA_DAYS * 86_400_000).toISOString().slice(0, 10);
  return `${day}T12:00:00`;
}
