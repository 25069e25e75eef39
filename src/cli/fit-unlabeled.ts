/** `--unlabeled` of `precess fit classify`: where the series without labels come from, and what may be done with them. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Corpus, Series } from '../corpus/index.js';
import type { Encoder } from '../models/encoder.js';
import type { FeatureOptions, SeriesFeatures } from '../tasks/classify/features.js';
import type { Labelled, Unlabelled } from '../tasks/classify/index.js';
import type { Image } from '../tasks/classify/viewed.js';
import { CliError, log, progress, UsageError } from './shared.js';

export interface UnlabeledOptions {
  readonly corpus: string;
  readonly unlabeled?: string;
  readonly unlabeledRights?: string;
  readonly where?: string;
}

/** What was learnt from, as far as a model's provenance asks. */
export type Taught = Pick<Series, 'id' | 'source' | 'rights'>;

export interface Unlabeled {
  readonly cases: readonly Unlabelled[];
  readonly taught: readonly Taught[];
  /** Whether the images' patients can be told from the labelled ones'. */
  readonly patientsKnown: boolean;
}

/** @throws UsageError for options that do not go together; CliError where there is nothing to learn from. */
export async function checkUnlabeled(options: UnlabeledOptions): Promise<'own' | 'corpus' | 'files' | null> {
  const { unlabeled, unlabeledRights } = options;
  if (unlabeled === undefined) {
    if (unlabeledRights !== undefined) throw new UsageError('--unlabeled-rights goes with --unlabeled');
    return null;
  }
  const there = await stat(unlabeled).catch(() => null);
  if (there === null)
    throw new CliError(`fit: ${unlabeled} does not exist; --unlabeled names a corpus or a folder of images`);
  const isCorpus = await stat(join(unlabeled, 'corpus.json')).catch(() => null);
  if (isCorpus) {
    if (unlabeledRights !== undefined)
      throw new UsageError('--unlabeled-rights is for files; the rights of a corpus are in its ledger');
    return resolve(unlabeled) === resolve(options.corpus) ? 'own' : 'corpus';
  }
  if (unlabeledRights === undefined)
    throw new UsageError(
      'images of a folder may be learnt from where a licence or consent says so; give --unlabeled-rights "LICENCE:train"',
    );
  const { parseRights } = await import('../corpus/index.js');
  if (!parseRights(unlabeledRights).use.includes('train'))
    throw new UsageError(`--unlabeled-rights must permit "train", got "${unlabeledRights}"`);
  return 'files';
}

/**
 * The features of all series without a label: of the corpus itself, of another corpus, or of the images in a folder.
 * @param known features of the labelled series, by id.
 */
export async function readUnlabeled(
  kind: 'own' | 'corpus' | 'files',
  options: UnlabeledOptions,
  { corpus, labelled, encoder }: { corpus: Corpus; labelled: Labelled; encoder: Encoder },
  known: ReadonlyMap<string, SeriesFeatures>,
  how: Omit<FeatureOptions, 'onProgress'>,
): Promise<Unlabeled> {
  const { viewsOf, patientsOfCopies } = await import('../tasks/classify/viewed.js');
  const { images, taught, patients, close } = await sourceOf(kind, options, corpus, labelled);
  try {
    const bar = progress('series without labels', taught.length);
    const found = await viewsOf(images, encoder, { ...how, onProgress: (n) => bar.update(n) }).finally(() =>
      bar.stop(),
    );
    const ids = [...found.keys()];
    if (ids.length === 0 && !how.signal?.aborted)
      throw new CliError(
        `fit: ${options.unlabeled!} must hold series without a label that may be learnt from, got none; leave --unlabeled out`,
      );
    const copies = patientsOfCopies(
      labelled.series.flatMap(({ id }) => (known.has(id) ? [known.get(id)!.summary] : [])),
      labelled.series.flatMap(({ id, patientId }) => (known.has(id) ? [patientId] : [])),
      ids.map((id) => found.get(id)!.subarray(0, 2 * encoder.config.embedDim)),
    );
    return {
      cases: ids.map((id, n) => ({ features: found.get(id)!, patient: patients?.get(id) ?? copies[n]! })),
      taught: ids.map((id) => taught.find((one) => one.id === id)!),
      patientsKnown: patients !== null,
    };
  } finally {
    close();
  }
}

interface Source {
  readonly images: AsyncIterable<Image>;
  /** Of files it is filled while they are read. */
  readonly taught: readonly Taught[];
  /** By series; null where their ids say nothing of the labelled ones'. */
  readonly patients: ReadonlyMap<string, string> | null;
  readonly close: () => void;
}

async function sourceOf(
  kind: 'own' | 'corpus' | 'files',
  { unlabeled, unlabeledRights, where }: UnlabeledOptions,
  corpus: Corpus,
  labelled: Labelled,
): Promise<Source> {
  const { Corpus, parseRights, requireUse } = await import('../corpus/index.js');
  if (kind === 'own') {
    const { unlabelled } = labelled;
    const patients = new Map(unlabelled.map(({ id, patientId }) => [id, patientId]));
    return { images: volumesOf(corpus, unlabelled), taught: unlabelled, patients, close: () => undefined };
  }
  if (kind === 'corpus') {
    const other = await Corpus.open(unlabeled!);
    const all = await other.list(where === undefined ? {} : { where });
    const taught = requireUse(all, 'train', { doing: 'fit --unlabeled', warn: log });
    return { images: volumesOf(other, taught), taught, patients: null, close: () => other.close() };
  }
  const { openImages } = await import('../tasks/images.js');
  const rights = parseRights(unlabeledRights!);
  const taught: Taught[] = [];
  async function* images(): AsyncGenerator<Image> {
    for await (const image of openImages(unlabeled!, log)) {
      taught.push({ id: image.id, source: 'unlabeled files', rights });
      yield image;
    }
  }
  return { images: images(), taught, patients: null, close: () => undefined };
}

async function* volumesOf(corpus: Corpus, series: readonly Series[]): AsyncGenerator<Image> {
  for (const { id } of series) yield { id, volume: await corpus.volume(id) };
}
