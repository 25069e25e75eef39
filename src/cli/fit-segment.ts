/** `precess fit segment`: a segmentation head from images with masks, or from label maps alone. */
import type { Command } from 'commander';
import type { Measurement } from '../evaluate/segmentation.js';
import type { LabelTable, SceneSource, SegmentHead } from '../tasks/segment/index.js';
import {
  CliError,
  decimal,
  Interrupted,
  interruption,
  log,
  oneOf,
  printJson,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

const CONTRASTS = ['T1w', 'T2w', 'PDw', 'FLAIR', 'any'] as const;
const TISSUE_TABLES = ['freesurfer', 'totalsegmentator'] as const;

interface Options {
  readonly images?: string;
  readonly masks?: string;
  readonly labelMaps?: string;
  readonly tissues: (typeof TISSUE_TABLES)[number];
  readonly contrasts: readonly (typeof CONTRASTS)[number][];
  readonly labels?: string;
  readonly model?: string;
  readonly size?: string;
  readonly from?: string;
  readonly out: string;
  readonly rights?: string;
  readonly steps: number;
  readonly seed: number;
  readonly heldOut: number;
  readonly batch: number;
  readonly reuse?: number;
  readonly window?: readonly [number, number, number];
  readonly spacing: readonly [number, number];
  readonly grid?: number;
  readonly patchMm?: number;
  readonly maxTokens?: number;
  readonly learningRate?: number;
  readonly tuneEncoder?: boolean;
  readonly resume?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

const contrastList = (text: string): (typeof CONTRASTS)[number][] =>
  text.split(',').map((one) => oneOf('--contrasts', CONTRASTS)(one.trim()));

const numbers =
  (option: string, count: number, example: string) =>
  (text: string): number[] => {
    const values = text.split(',').map(Number);
    if (values.length !== count || !values.every((n) => Number.isFinite(n) && n > 0))
      throw new UsageError(`${option} is ${count} numbers above 0 such as ${example}, got "${text}"`);
    return values;
  };

/** What is learnt from, and how what was learnt is measured on held-out patients. */
interface Learnable {
  readonly table: LabelTable;
  readonly source: SceneSource;
  readonly measure: (head: SegmentHead) => Promise<Measurement>;
}

export function registerFitSegment(fit: Command): void {
  fit
    .command('segment')
    .description(
      'Learn to segment: from images with masks, or from label maps, images of which are simulated.',
    )
    .option(
      '--images <path>',
      'folder of images, or CSV file with the columns image, mask and perhaps patient',
    )
    .option('--masks <dir>', 'folder of masks with the names of the images')
    .option('--label-maps <dir>', 'folder of label maps: images of random contrast are simulated from them')
    .option(
      '--tissues <scheme>',
      `what the values of label maps are made of: ${TISSUE_TABLES.join(' or ')}`,
      oneOf('--tissues', TISSUE_TABLES),
      'freesurfer',
    )
    .option(
      '--contrasts <list>',
      `contrasts to simulate: several of ${CONTRASTS.join(', ')}; fewer are learnt sooner`,
      contrastList,
      [...CONTRASTS],
    )
    .option('--labels <file>', 'JSON file of labels: {"name": value} or {"name": [values]}')
    .option('--model <model>', 'run folder or model file: the encoder')
    .option('--size <size>', 'instead of --model an encoder of this size as it is before any training')
    .option('--from <head>', 'head to go on from, with its encoder unless --model is given')
    .requiredOption('--out <dir>', 'folder for the head, its encoder and the log of its training')
    .option('--rights <rights>', 'rights of what is learnt from, e.g. "CC BY 4.0:train,evaluate"')
    .option('--steps <n>', 'training steps', wholeNumber('--steps', 1), 1000)
    .option('--seed <n>', 'seed of weights, windows and held-out patients', wholeNumber('--seed', 0), 0)
    .option('--held-out <share>', 'share of patients to measure on', decimal('--held-out', 0, 0.9), 0.2)
    .option('--batch <n>', 'windows a step', wholeNumber('--batch', 1, 64), 2)
    .option(
      '--reuse <n>',
      'windows that are cut from an image before it leaves for another',
      wholeNumber('--reuse', 1),
    )
    .option('--window <i,j,k>', 'voxels of a window, multiples of 8', numbers('--window', 3, '40,40,40'))
    .option(
      '--spacing <mm,mm>',
      'voxel sizes to simulate; images with finer voxels than the first are averaged to it unless there is a --grid',
      numbers('--spacing', 2, '1.5,3'),
      [1.5, 3],
    )
    .option(
      '--grid <mm>',
      'bring every image to cubes of this size instead, for windows that show as much of each',
      decimal('--grid', 0.1, 20),
    )
    .option('--patch-mm <mm>', 'side of a token', decimal('--patch-mm', 1, 256))
    .option('--max-tokens <n>', 'tokens of an image at most', wholeNumber('--max-tokens', 16, 4096))
    .option('--learning-rate <x>', 'highest learning rate', decimal('--learning-rate', 1e-6, 1))
    .option('--tune-encoder', 'the encoder learns as well')
    .option('--resume', 'go on with the run in --out')
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  precess fit segment --label-maps maps --labels brain.json --model runs/pre --rights "CC BY 4.0:train" \\\n' +
        '    --steps 2000 --out heads/brain\n' +
        '  precess fit segment --images lesions.csv --from heads/brain --rights "own:train" --steps 200 --out heads/lesions\n\n' +
        'The scores are of patients that nothing was learnt from. For research only.\n',
    )
    .action(fitSegment);
}

async function fitSegment(options: Options): Promise<void> {
  checkUsage(options);
  const [segment, { parseRights, requireUse }, { measureMaps, measurePairs }] = await Promise.all([
    import('../tasks/segment/index.js'),
    import('../corpus/rights.js'),
    import('../evaluate/segmentation.js'),
  ]);
  const { seed, out, spacing, steps, threads } = options;
  const working = { finestMm: options.grid ?? spacing[0], isotropic: options.grid !== undefined };
  if (options.rights === undefined)
    throw new CliError(
      'fit segment: what is learnt from must have rights that permit "train", but none were given; if a licence or ' +
        'consent permits it, say so with --rights "LICENCE:train,evaluate"',
    );
  const rights = parseRights(options.rights);
  const from =
    options.from === undefined ? undefined : await segment.readSegmentHead(options.from, options.model);
  const model = from?.model ?? (await encoderOf(options));
  const files =
    options.labelMaps === undefined
      ? await segment.pairsOf(options.images!, options.masks)
      : await segment.mapsOf(options.labelMaps);
  requireUse(
    files.map((_, n) => ({ id: `case ${n + 1}`, rights, quarantined: null })),
    'train',
    { doing: 'fit segment', warn: log },
  );
  const held = segment.heldOutPatients(
    files.map(({ patient }) => patient),
    seed,
    options.heldOut,
  );
  const taught = files.filter(({ patient }) => !held.has(patient));
  const kept = rights.use.includes('evaluate') ? files.filter(({ patient }) => held.has(patient)) : [];
  if (held.size > 0 && kept.length === 0)
    log('fit segment: the rights lack "evaluate", so that nothing is measured on held-out patients');
  const given = options.labels === undefined ? from?.labels : await segment.readLabelTable(options.labels);
  const patients = new Set(taught.map(({ patient }) => patient)).size;
  log(`fit segment: ${taught.length} to learn from (${patients} patients), ${kept.length} held out`);

  const whose = kept.map(({ patient }) => patient);
  const { table, source, measure } = await (options.labelMaps === undefined ? withPairs() : withMaps());
  const stop = interruption('stopping after this step; --resume goes on; press Ctrl-C again to stop at once');
  const bar = progress('steps', steps);
  const { result, head } = await segment
    .fitSegment(source, {
      model,
      table,
      rights,
      run: out,
      steps,
      seed,
      windows: options.batch,
      working,
      signal: stop.signal,
      ...(from && { from }),
      ...(options.window && { side: options.window }),
      ...(options.reuse !== undefined && { reuse: options.reuse }),
      ...(options.patchMm !== undefined && { patchMm: options.patchMm }),
      ...(options.maxTokens !== undefined && { maxTokens: options.maxTokens }),
      ...(options.learningRate !== undefined && { learningRate: options.learningRate }),
      ...(options.tuneEncoder && { tuneEncoder: true }),
      ...(options.resume && { resume: true }),
      ...(threads !== undefined && { threads }),
      onStep: ({ step, loss, dice }) =>
        bar.update(step, `loss ${loss.toFixed(3)}, dice loss ${dice!.toFixed(3)}`),
    })
    .finally(() => {
      bar.stop();
      stop.done();
    });
  if (result.interrupted)
    throw new Interrupted(
      `fit segment: stopped after step ${result.step}; the same command with --resume goes on`,
    );

  const measured = kept.length === 0 ? null : await measure(head);
  const heldOut = measured && {
    images: measured.images,
    patients: new Set(whose).size,
    dice: Object.fromEntries(
      Object.entries(measured.dice).map(([name, { mean }]) => [name, Number.isNaN(mean) ? null : mean]),
    ),
  };
  await segment.writeSegmentHead(out, { ...head, heldOut });
  const document = {
    head: out,
    steps: result.step,
    labels: table.names.slice(1),
    encoder: model.config.size,
    encoderSteps: model.step,
    cases: taught.length,
    patients,
    heldOut: measured && { ...measured, patients: heldOut!.patients },
  };
  if (options.json) printJson(document);
  else if (measured) print(measured);
  log(`fit segment: head in ${out}; use it with "precess segment SRC --head ${out} --out labels.nii.gz"`);

  async function withMaps(): Promise<Learnable> {
    const { FREESURFER_TISSUES, TOTALSEGMENTATOR_TISSUES } = await import('../simulate/index.js');
    const tissues = options.tissues === 'freesurfer' ? FREESURFER_TISSUES : TOTALSEGMENTATOR_TISSUES;
    if (given === undefined)
      throw new UsageError('fit segment: --label-maps goes with --labels, which says what to tell apart');
    const synthesis = { tissues, table: given, spacingMm: spacing, working, contrasts: options.contrasts };
    return {
      table: given,
      source: await segment.synthesisSource(taught, synthesis, seed),
      measure: async (fitted: SegmentHead) =>
        measureMaps(
          fitted,
          (await segment.synthesisSource(kept, synthesis, seed)).anatomies,
          whose,
          synthesis,
          threads,
        ),
    };
  }

  async function withPairs(): Promise<Learnable> {
    const labels =
      given ?? segment.tableOfValues(await Promise.all(files.map(({ map }) => segment.onlyVolume(map))));
    const { pairs, ids } = await segment.readPairs(taught, labels);
    return {
      table: labels,
      source: segment.pairSource(pairs, ids, labels, working, seed),
      measure: async (fitted: SegmentHead) =>
        measurePairs(fitted, (await segment.readPairs(kept, labels)).pairs, whose, threads),
    };
  }
}

function checkUsage(options: Options): void {
  if ((options.images === undefined) === (options.labelMaps === undefined))
    throw new UsageError('fit segment takes either --images or --label-maps');
  if (options.masks !== undefined && options.images === undefined)
    throw new UsageError('--masks goes with --images');
  if (options.model === undefined && options.size === undefined && options.from === undefined)
    throw new UsageError('fit segment: give an encoder with --model, or --size, or a head with --from');
  if (options.size !== undefined && (options.model !== undefined || options.from !== undefined))
    throw new UsageError('--size is for a head without --model and --from');
  if (options.spacing[1] < options.spacing[0])
    throw new UsageError(`--spacing is from fine to coarse, got ${options.spacing.join(',')}`);
}

async function encoderOf({ model, size }: Options) {
  if (model !== undefined) return (await import('../models/model-file.js')).openModel(model);
  const [{ newModel }, { modelConfig }] = await Promise.all([
    import('../models/new-model.js'),
    import('../models/sizes.js'),
  ]);
  // One and the same untrained encoder, so that heads on it can be compared.
  return newModel(modelConfig(size!), 0);
}

function print({ images, dice }: Measurement): void {
  process.stdout.write(
    `Dice over ${images} images of held-out patients: mean, its 95 % interval over patients; lowest and highest image\n`,
  );
  const span = (low: number, high: number): string => `${low.toFixed(3)}, ${high.toFixed(3)}`;
  for (const [name, { mean, ci95, low, high, n, patients }] of Object.entries(dice))
    process.stdout.write(
      ci95 === null
        ? `${name.padEnd(28)} in no image\n`
        : `${name.padEnd(28)} ${mean.toFixed(3)}  [${span(...ci95)}]  ${span(low, high)}  n = ${n} of ${patients} patients\n`,
    );
}
