/** `precess embed`, `index`, `search` and `describe`. */
import type { Command } from 'commander';
import type { Corpus } from '../corpus/corpus.js';
import type { EmbedOptions } from '../models/encoder.js';
import type { Communicator } from '../mpi/index.js';
import type { Index } from '../tasks/index-store.js';
import type { Volume } from '../volume/volume.js';
import { withRanks } from './ranks.js';
import {
  byteSize,
  CliError,
  decimal,
  Interrupted,
  interruption,
  log,
  oneOf,
  peakMemoryMB,
  printJson,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

export interface Detail {
  patchMm?: number;
  maxTokens?: number;
  threads?: number;
  textEncoder?: string;
  memory?: number;
  windows?: boolean;
  json?: boolean;
}

/** The options of every command that embeds images, and, unless told otherwise, texts. */
export function withDetail(command: Command, texts = true): Command {
  if (texts)
    command.option(
      '--text-encoder <dir>',
      'folder of the text encoder that the model was aligned with (default: the copy beside the model)',
    );
  return command
    .option(
      '--patch-mm <mm>',
      'side of a token: less sees more detail and costs more (default: as the index was made, else 16)',
      decimal('--patch-mm', 1, 256),
    )
    .option(
      '--max-tokens <n>',
      'use larger tokens where a volume needs more (default: as the index was made, else 2048)',
      wholeNumber('--max-tokens', 1, 4096),
    )
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print one JSON document');
}

/** The options of commands that show the encoder images of any size. */
export function withMemory(command: Command): Command {
  return command
    .option(
      '--memory <size>',
      'what volumes may take, e.g. 4GB; larger ones are read part by part (default: 2GB)',
      byteSize('--memory'),
    )
    .option(
      '--windows',
      'where a volume needs more tokens, overlapping windows instead of larger tokens (always where those would exceed 32 mm)',
    );
}

export const detail = ({
  patchMm,
  maxTokens,
  threads,
  textEncoder,
  memory,
  windows,
}: Detail): EmbedOptions & { threads?: number; textEncoder?: string; memory?: number } => ({
  ...(patchMm !== undefined && { patchMm }),
  ...(maxTokens !== undefined && { maxTokens }),
  ...(memory !== undefined && { memory }),
  ...(windows !== undefined && { windows }),
  ...(threads !== undefined && { threads }),
  ...(textEncoder !== undefined && { textEncoder }),
});

/** Opens a corpus for the time of `use`. */
export async function withCorpus<T>(dir: string, use: (corpus: Corpus) => Promise<T>): Promise<T> {
  const { Corpus: opener } = await import('../corpus/corpus.js');
  const corpus = await opener.open(dir);
  try {
    return await use(corpus);
  } finally {
    corpus.close();
  }
}

export function registerSearch(program: Command): void {
  withMemory(
    withDetail(
      program
        .command('embed')
        .description('Turn an image (DICOM folder or file, NIfTI) into a vector.')
        .argument('<src>', 'DICOM folder or file, or NIfTI file')
        .requiredOption('--model <model>', 'run folder or model file'),
      false,
    ),
  )
    .addHelpText('after', '\nExample:\n  precess embed scans/T1 --model runs/align --json')
    .action((src: string, flags: Detail & { model: string }) =>
      withRanks(async (ranks) => {
        const [{ openScannedImages }, { Encoder }, { threadsPerRank }, { DEFAULT_MEMORY }] =
          await Promise.all([
            import('../tasks/images.js'),
            import('../models/encoder.js'),
            import('../train/job.js'),
            import('../train/loader.js'),
          ]);
        const threads = flags.threads ?? (await threadsPerRank(ranks));
        const encoder = await Encoder.open(flags.model, threads === undefined ? {} : { threads });
        try {
          const own: { n: number; id: string; vector: number[] }[] = [];
          let n = 0;
          for await (const { id, image } of openScannedImages(src, flags.memory ?? DEFAULT_MEMORY)) {
            if (n % ranks.size === ranks.rank)
              own.push({ n, id, vector: Array.from(await encoder.embed(image, detail(flags))) });
            n++;
          }
          const all = await ranks.allgatherBytes(Buffer.from(JSON.stringify(own)));
          if (ranks.rank > 0) return;
          const images = all
            .flatMap((bytes) => JSON.parse(Buffer.from(bytes).toString()) as typeof own)
            .sort((a, b) => a.n - b.n)
            .map(({ id, vector }) => ({ id, vector }));
          if (flags.json)
            printJson({
              ...images[0],
              ...(images.length > 1 && { images }),
              peakMemoryMB: peakMemoryMB(),
            });
          else
            for (const { id, vector } of images)
              process.stdout.write(`${id}\t${vector.map((v) => v.toFixed(6)).join(' ')}\n`);
        } finally {
          await encoder.close();
        }
      }),
    );

  withMemory(
    withDetail(
      program
        .command('index')
        .description('Embed every series of a corpus, so that it can be searched.')
        .requiredOption('--corpus <dir>', 'corpus made by "precess ingest"')
        .requiredOption('--model <model>', 'run folder or model file'),
    ),
  )
    .addHelpText('after', '\nExample:\n  precess index --corpus corpus --model runs/align')
    .action((flags: Detail & { corpus: string; model: string }) => withRanks((ranks) => index(ranks, flags)));

  withDetail(
    program
      .command('search')
      .description('Find series or studies by a sentence, by an image, or by both.')
      .requiredOption('--corpus <dir>', 'indexed corpus')
      .option('--text <sentence>', 'what to look for, in words')
      .option(
        '--image <src>',
        'an image to look for: DICOM folder or file, NIfTI, or the id of a series or study of the corpus',
      )
      .option(
        '--level <level>',
        'what to rank: series or study',
        oneOf('--level', ['series', 'study']),
        'series',
      )
      .option('--hybrid', 'join the ranking by vectors with one by the words of texts and reports (BM25)')
      .option('--exact', 'compare all vectors, also where a large index would search its nearest parts only')
      .option('--where <sql>', `only series that match, e.g. "bodyPart = 'PROSTATE'"`)
      .option('--k <n>', 'how many', wholeNumber('--k', 1), 10),
  )
    .addHelpText(
      'after',
      '\nExample:\n  precess search --corpus corpus --text "axial T2-weighted prostate" --k 5\n' +
        '  precess search --corpus corpus --image st-0123456789abcdef --level study\n',
    )
    .action(search);

  withDetail(
    program
      .command('describe')
      .description('Find the sentences that fit an image best: those of the corpus and of a prompt set.')
      .argument('<src>', 'DICOM folder or file, NIfTI file, or the id of a series or study of the corpus')
      .requiredOption('--corpus <dir>', 'indexed corpus')
      .option('--k <n>', 'how many sentences', wholeNumber('--k', 1), 5),
  )
    .addHelpText(
      'after',
      '\nExample:\n  precess describe scans/T1 --corpus corpus --json\n  precess describe st-0123456789abcdef --corpus corpus',
    )
    .action(async (src: string, flags: Detail & { corpus: string; k: number }) => {
      const { Index } = await import('../tasks/index-store.js');
      await withCorpus(flags.corpus, async (corpus) => {
        const index = await Index.open(corpus, detail(flags));
        try {
          const vector = await vectorFor(index, corpus, src, flags, 'describe');
          const candidates = await index.describeVector(vector, flags.k);
          if (flags.json) printJson({ text: candidates[0]!.text, candidates });
          else
            for (const { text, score } of candidates) process.stdout.write(`${score.toFixed(3)}\t${text}\n`);
        } finally {
          await index.close();
        }
      });
    });
}

interface SearchFlags extends Detail {
  corpus: string;
  text?: string;
  image?: string;
  where?: string;
  k: number;
  level: 'series' | 'study';
  hybrid?: boolean;
  exact?: boolean;
}

async function search(flags: SearchFlags): Promise<void> {
  const { text, image, where, k, level, hybrid = false, exact = false } = flags;
  if (hybrid && text === undefined) throw new UsageError('search: --hybrid needs words; give --text');
  if (hybrid ? false : (text === undefined) === (image === undefined))
    throw new UsageError('search: give either --text or --image (both only with --hybrid)');
  if (text?.trim() === '') throw new UsageError('search: --text is empty; say what to look for');
  const { Index } = await import('../tasks/index-store.js');
  await withCorpus(flags.corpus, async (corpus) => {
    const index = await Index.open(corpus, detail(flags));
    try {
      const options = { ...detail(flags), k, level, hybrid, exact, ...(where !== undefined && { where }) };
      const hits =
        image === undefined
          ? await index.searchText(text!, options)
          : await index.searchVector(await vectorFor(index, corpus, image, flags, 'search'), {
              ...options,
              ...(text !== undefined && { text }),
            });
      if (flags.json) printJson({ hits });
      else if (hits.length === 0) log('search: no series match');
      else
        for (const { rank, score, id, series } of hits) {
          const names = level === 'study' ? `${series.studyId}\t${id}` : id;
          const value = score.toFixed(hybrid ? 4 : 3);
          process.stdout.write(`${rank}\t${value}\t${names}\t${series.text.slice(0, 100)}\n`);
        }
    } finally {
      await index.close();
    }
  });
}

/** The unit vector of a study of the index that is named by its id, or of what {@link imageOrSeries} reads. */
const vectorFor = async (
  index: Index,
  corpus: Corpus,
  src: string,
  flags: Detail,
  doing: string,
): Promise<Float32Array> =>
  /^st-[0-9a-z]+$/.test(src)
    ? index.studyVector(src, doing)
    : index.embed(await imageOrSeries(corpus, src, doing), detail(flags));

/** The voxels of a file or folder, or of a series of the corpus that is named by its id. */
const imageOrSeries = (corpus: Corpus, src: string, doing: string): Promise<Volume> =>
  /^se-[0-9a-z]+$/.test(src) ? permittedVolume(corpus, src, doing) : onlyImage(src);

async function index(ranks: Communicator, flags: Detail & { corpus: string; model: string }): Promise<void> {
  const { buildIndex } = await import('../tasks/index-store.js');
  await withCorpus(flags.corpus, async (corpus) => {
    const { signal, done } = interruption('stopping; the index stays as it was');
    const bar = progress('index', 0);
    try {
      const { indexed, interrupted } = await buildIndex(corpus, flags.model, {
        ...detail(flags),
        ranks,
        signal,
        warn: log,
        onProgress(n, total) {
          bar.total(total);
          bar.update(n);
        },
      });
      bar.stop();
      if (interrupted) throw new Interrupted('index stopped; run the same command again to make it');
      if (ranks.rank > 0) return;
      if (flags.json) printJson({ indexed, peakMemoryMB: peakMemoryMB() });
      else log(`index: ${indexed} series can be searched; at most ${peakMemoryMB()} MB of memory`);
    } finally {
      done();
    }
  });
}

/** The voxels of a series of the corpus. @throws CorpusError when its rights do not permit to look at it. */
export async function permittedVolume(corpus: Corpus, id: string, doing: string): Promise<Volume> {
  const { requireUse } = await import('../corpus/rights.js');
  requireUse([await corpus.get(id)], 'evaluate', { doing });
  return corpus.volume(id);
}

/** The one image of a source. @throws CliError when it holds several: a query is one image. */
export async function onlyImage(src: string): Promise<Volume> {
  const { openImages } = await import('../tasks/images.js');
  const images = [];
  for await (const image of openImages(src)) {
    images.push(image.volume);
    if (images.length > 1)
      throw new CliError(`${src} holds more than one series; give the folder or file of one of them`);
  }
  return images[0]!;
}
