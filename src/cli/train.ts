/** `precess pretrain` and `precess align`. */
import type { Command } from 'commander';
import { withRanks } from './ranks.js';
import type { RunOptions } from '../train/run.js';
import type { StepMetrics } from '../train/loop.js';
import { OBJECTIVES, type Pretraining } from '../train/objectives.js';
import { MODEL_SIZES } from '../models/sizes.js';
import { DEVICE_KINDS, type DeviceKind } from '../runtime/protocol.js';
import {
  byteSize,
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

interface Flags {
  corpus: string;
  run: string;
  size: string;
  steps: number;
  batch: number;
  accumulate: number;
  seed: number;
  where?: string;
  resume?: boolean;
  learningRate?: number;
  heldOut: number;
  checkpointEvery: number;
  probeEvery: number;
  threads?: number;
  device: DeviceKind;
  precision: 'float32' | 'float16';
  memory?: number;
  json?: boolean;
}

function withRunOptions(command: Command): Command {
  return command
    .requiredOption('--corpus <dir>', 'corpus made by "precess ingest"')
    .requiredOption('--run <dir>', 'run folder: config.json, metrics.jsonl, checkpoints/')
    .option('--size <name>', `model size: ${MODEL_SIZES.join(', ')}`, oneOf('--size', MODEL_SIZES), 'nano')
    .option('--steps <n>', 'training steps', wholeNumber('--steps', 1), 1000)
    .option('--batch <n>', 'series a step, over all ranks', wholeNumber('--batch', 1), 16)
    .option('--accumulate <n>', 'parts of a batch, one after another', wholeNumber('--accumulate', 1), 1)
    .option('--seed <n>', 'seed of weights, order and views', wholeNumber('--seed', 0), 0)
    .option('--where <sql>', `only series that match, e.g. "bodyPart = 'BRAIN'"`)
    .option('--resume', 'go on with the run from its newest checkpoint')
    .option('--learning-rate <x>', 'peak learning rate (default 5e-4)', decimal('--learning-rate', 0, 1))
    .option('--held-out <share>', 'share of patients kept for the probe', decimal('--held-out', 0, 0.9), 0.2)
    .option('--checkpoint-every <n>', 'steps between checkpoints', wholeNumber('--checkpoint-every', 1), 50)
    .option('--probe-every <n>', 'steps between kNN probes', wholeNumber('--probe-every', 1), 50)
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--device <name>', 'cpu, webgpu or cuda', oneOf('--device', DEVICE_KINDS), 'cpu')
    .option(
      '--precision <name>',
      'float32, or float16: products of halves and loss scaling, for GPUs',
      oneOf('--precision', ['float32', 'float16'] as const),
      'float32',
    )
    .option(
      '--memory <size>',
      'what volumes may take, e.g. 4GB; larger ones are read by crop (default: 2GB)',
      byteSize('--memory'),
    )
    .option('--json', 'print the last step as one JSON document');
}

interface PretrainFlags {
  objective: Pretraining;
  config?: string;
  cutters?: number;
}

/** On two cores the steps of masked autoencoding alone are too short for views to be cut between them (docs/performance.md). */
const CUTTERS: Readonly<Record<Pretraining, number>> = { dino: 0, joint: 0, slip: 0, mae: 1 };

/** Each thread opens the corpus for itself. */
const cutterSource = (dir: string) => ({
  module: new URL('../train/corpus-source.js', import.meta.url).href,
  data: dir,
});

export function registerTraining(program: Command): void {
  withRunOptions(program.command('pretrain'))
    .description('Pretrain the 3D image encoder without labels.')
    .option(
      '--objective <name>',
      'dino (student-teacher: DINO, iBOT, KoLeo), joint (the same, and what hidden cubes hold), slip (the same, and ' +
        'what the texts of the series say) or mae (masked autoencoding)',
      oneOf('--objective', OBJECTIVES),
      'dino',
    )
    .option(
      '--cutters <n>',
      'threads that cut views ahead of the step, where the main one does not keep up (default: 1 for mae, else 0)',
      wholeNumber('--cutters', 0, 256),
    )
    .option('--config <file>', 'JSON file with settings and recipe, see configs/; flags go before it')
    .addHelpText(
      'after',
      '\nExample:\n  precess pretrain --corpus corpus --run runs/pre --size nano --steps 500 --batch 16' +
        '\n  mpirun -n 4 precess pretrain --corpus corpus --run runs/pre --size base --batch 128' +
        '\n  precess pretrain --corpus corpus --run runs/pre --config configs/nano-joint.json',
    )
    .action(async (given: Flags & PretrainFlags, command: Command) => {
      const { pretrain } = await import('../train/run.js');
      const { checkRecipes, maeRecipeOf, readPretrainConfig, recipeOf } = await import('../train/config.js');
      const { config: file, ...rest } = given;
      const { recipe, maeRecipe, ...settings } = file === undefined ? {} : await readPretrainConfig(file);
      // What the command line says itself goes before the file, and the file before what goes without saying.
      const said = Object.entries(rest).filter(([name]) => command.getOptionValueSource(name) === 'cli');
      const flags = Object.assign({ ...rest }, settings, Object.fromEntries(said));
      if (file !== undefined)
        checkRecipes(file, flags.objective, { ...(recipe && { recipe }), ...(maeRecipe && { maeRecipe }) });
      await work('pretrain', flags, (options) =>
        pretrain({
          ...options,
          cutters: { threads: flags.cutters ?? CUTTERS[flags.objective], ...cutterSource(flags.corpus) },
          objective: flags.objective,
          recipe: recipeOf(flags.objective, recipe),
          maeRecipe: maeRecipeOf(maeRecipe),
        }),
      );
    });
  withRunOptions(program.command('align'))
    .description('Align the image encoder with text (sigmoid contrast of series and their texts).')
    .option('--from <model>', 'pretrained run or model file to start from')
    .option(
      '--text-encoder <dir>',
      'frozen text encoder: folder with tokenizer.json and model.onnx, as Hugging Face lays it out (default: an own one, trained)',
    )
    .option(
      '--study-series <n>',
      'series of a study that are shown together: texts are matched with series and with whole studies',
      wholeNumber('--study-series', 1, 64),
      1,
    )
    .option('--freeze-image', 'train the projections and the text encoder only')
    .addHelpText(
      'after',
      '\nExample:\n  precess align --corpus corpus --from runs/pre --run runs/align --size nano --steps 500 --batch 32' +
        '\n  precess align --corpus corpus --from runs/pre --run runs/minilm --text-encoder all-MiniLM-L6-v2 --steps 500',
    )
    .action(
      async (
        flags: Flags & { from?: string; freezeImage?: boolean; textEncoder?: string; studySeries: number },
      ) => {
        const { align } = await import('../train/run.js');
        const { ALIGN } = await import('../train/align.js');
        const recipe = {
          ...ALIGN,
          freezeImage: flags.freezeImage ?? false,
          studySeries: flags.studySeries,
        };
        await work('align', flags, (options) =>
          align({ ...options, recipe, ...(flags.from !== undefined && { from: flags.from }) }),
        );
      },
    );
}

function work(
  label: string,
  flags: Flags,
  run: (options: RunOptions) => Promise<{ step: number; interrupted: boolean }>,
): Promise<void> {
  return withRanks(async (ranks) => {
    const apart = flags.accumulate * ranks.size;
    if (flags.batch % apart !== 0)
      throw new UsageError(
        `--batch must divide over ${ranks.size} ranks and --accumulate ${flags.accumulate}, got ${flags.batch}; ` +
          `use a multiple of ${apart}`,
      );
    if (flags.precision === 'float16' && flags.device === 'cpu')
      throw new UsageError(
        '--precision float16 is for --device webgpu and cuda: the CPU has no products of halves; leave it out',
      );
    const { Corpus } = await import('../corpus/corpus.js');
    const corpus = await Corpus.open(flags.corpus);
    const { signal, done } = interruption('stopping after this step; a checkpoint will be written');
    const bar = progress(label, flags.steps);
    let last: StepMetrics | null = null;
    try {
      const result = await run({
        ...flags,
        corpus,
        ranks,
        ...(flags.memory !== undefined && { cacheBytes: flags.memory }),
        signal,
        warn: ranks.size === 1 ? log : (message) => log(`rank ${ranks.rank}: ${message}`),
        onEpoch({ epoch, steps, loss, seconds, waitShare }) {
          log(
            `epoch ${epoch}: ${steps} steps in ${seconds.toFixed(0)} s, mean loss ${loss.toFixed(3)}, ` +
              `${(100 * waitShare).toFixed(1)} % of the time waiting for data`,
          );
        },
        onStep(metrics) {
          last = metrics;
          bar.update(
            metrics.step,
            `loss ${metrics.loss.toFixed(3)} ${metrics.tokensPerSecond ?? 0} tokens/s, ` +
              `${(100 * (metrics.waitShare ?? 0)).toFixed(0)} % waiting for data`,
          );
        },
      });
      bar.stop();
      if (result.interrupted)
        throw new Interrupted(
          `${label} stopped at step ${result.step} of ${flags.steps}; the same command with --resume goes on from there`,
        );
      if (ranks.rank > 0) return;
      if (flags.json)
        printJson({ run: flags.run, step: result.step, metrics: last, peakMemoryMB: peakMemoryMB() });
      else
        log(
          `${label}: ${result.step} steps done, model in ${flags.run}, at most ${peakMemoryMB()} MB of memory`,
        );
    } finally {
      done();
      corpus.close();
    }
  });
}
