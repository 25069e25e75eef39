/** A public data set, read as published, as a question to a model. */
import type { ClassifyCase, LabelSetName } from '../evaluate/datasets/index.js';
import type { Around } from '../models/encoder.js';
import type { Volume } from '../volume/volume.js';
import type { Question } from './evaluate-measure.js';
import { CliError, log } from './shared.js';

/** A label with more different numbers than this is a quantity. */
const MOST_CLASSES = 10;

/**
 * The question that a set with labels asks, in its published split where it has one, and how its images are read. Images
 * are opened where they lie; nothing is copied or kept.
 * @throws CliError for a set of one class; TaskError for a patient in two folds.
 */
export async function datasetQuestion(
  name: LabelSetName,
  dir: string,
  target?: string,
): Promise<{ question: Question; volumeOf: (id: string) => Promise<Volume> }> {
  const { datasetNamed } = await import('../evaluate/datasets/index.js');
  const set = datasetNamed(name, target);
  const cases = await set.read(dir);
  log(`evaluate: ${set.title}: ${cases.length} cases`);
  const { channels, look } = set;
  const paths = new Map(
    cases.flatMap(({ id, images }) => channels.map((channel) => [`${id}:${channel}`, images[channel]!])),
  );
  const folds = cases.map(({ fold }) => fold);
  const split = folds.every((fold) => fold !== null) ? { split: folds } : {};
  if (split.split) {
    // Encoding takes long: a wrong split is told before it.
    const { givenFolds } = await import('../tasks/classify/folds.js');
    const patients = cases.map(({ patientId }) => patientId);
    givenFolds(patients, split.split);
  }
  return {
    question: {
      kind: 'head',
      suite: name,
      series: cases.map(({ id, patientId, about }) => ({
        id,
        patientId,
        contentHash: '',
        text: '',
        manufacturer: '',
        fieldStrengthT: null,
        sex: null,
        ageYears: null,
        source: '',
        ...about,
      })),
      channels,
      target: targetOf(name, cases),
      notes: [],
      ...split,
      ...(look && { look: { patchMm: look.patchMm, around: placesOf(cases, look.sideMm) } }),
    },
    volumeOf: (id) => largestImage(paths.get(id)!),
  };
}

function placesOf(cases: readonly ClassifyCase[], sideMm: number): ReadonlyMap<string, Around> {
  return new Map(
    cases.flatMap(({ id, finding }) =>
      finding ? [[id, { centreMm: finding.positionMm, sideMm }] as const] : [],
    ),
  );
}

function targetOf(
  name: string,
  cases: readonly ClassifyCase[],
): Extract<Question, { kind: 'head' }>['target'] {
  const texts = cases.map(({ label }) => label);
  const names = [...new Set(texts)].sort();
  if (names.length < 2)
    throw new CliError(
      `evaluate ${name}: there must be at least two classes, but every case is "${names[0] ?? ''}"; take more of the set`,
    );
  const numbers = texts.map(Number);
  if (names.length > MOST_CLASSES && numbers.every(Number.isFinite))
    return { kind: 'number', names: ['value'], values: numbers };
  return { kind: 'classes', names, values: texts.map((text) => names.indexOf(text)) };
}

/** Of a folder with several images, the one of most voxels. */
async function largestImage(path: string): Promise<Volume> {
  if (path.endsWith('.h5')) {
    const { readFastmriVolume } = await import('../formats/fastmri.js');
    return readFastmriVolume(path);
  }
  const { openImages } = await import('../tasks/images.js');
  let largest: Volume | null = null;
  for await (const { volume } of openImages(path))
    if (largest === null || volume.data.length > largest.data.length) largest = volume;
  return largest!;
}
