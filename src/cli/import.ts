/** `precess import`: weights of another 3D vision transformer as a model to start from. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { MODEL_SIZES } from '../models/sizes.js';
import { CliError, log, oneOf, printJson, wholeNumber } from './shared.js';

interface Options {
  readonly map: string;
  readonly prefix?: string;
  readonly size: string;
  readonly out: string;
  readonly seed: number;
  readonly licence: string;
  readonly use?: string[];
  readonly reference?: string;
  readonly attribution?: string;
  readonly json?: boolean;
}

export function registerImport(program: Command): void {
  program
    .command('import')
    .description('Make a model to start from out of the weights of another 3D vision transformer.')
    .argument('<weights>', 'safetensors file (F32, F16 or BF16)')
    .requiredOption(
      '--map <name>',
      'timm (MAE too), dinov2 (3DINO too), dinov2-transformers, or a mapping file',
    )
    .requiredOption('--out <file>', 'model file to write')
    .option('--prefix <text>', 'what all names start with, e.g. "teacher.backbone."')
    .option('--size <name>', `model size: ${MODEL_SIZES.join(', ')}`, oneOf('--size', MODEL_SIZES), 'base')
    .option('--seed <n>', 'seed of what the file does not give', wholeNumber('--seed', 0), 0)
    .option('--licence <name>', 'licence of the weights, for the model card', 'unknown')
    .option('--use <uses...>', 'what the licence permits, e.g. train share-weights; nothing unless said')
    .option('--reference <text>', 'where the weights are from')
    .option('--attribution <text>', 'whom the licence asks to name')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess import vit3d.safetensors --map dinov2 --size base --licence Apache-2.0 \\\n' +
        '    --use train share-weights --out start.safetensors\n' +
        '  precess align --corpus corpus --run runs/align --size base --from start.safetensors\n\n' +
        'Every tensor is taken only where its shape fits; the others are named with the reason.\n',
    )
    .action(run);
}

async function run(weights: string, options: Options): Promise<void> {
  const [{ readSafetensors }, { modelConfig }, maps, { importWeights }, { writeModel }] = await Promise.all([
    import('../models/safetensors.js'),
    import('../models/sizes.js'),
    import('../models/import-map.js'),
    import('../models/import-weights.js'),
    import('../models/model-file.js'),
  ]);
  const ready = maps.readyMadeMap(options.map);
  const map = ready ?? maps.parseImportMap(await readMap(options.map, maps.IMPORT_MAPS), options.map);
  const { tensors, others } = await readSafetensors(weights, { others: 'pass over' });
  const { licence, use = [], reference = null, attribution = null, prefix, seed } = options;
  const { model, report } = importWeights(
    tensors,
    prefix === undefined ? map : { ...map, prefix },
    modelConfig(options.size),
    { licence, use, reference, attribution },
    seed,
  );
  await writeModel(options.out, model);
  const passed = [...others].map(([from, dtype]) => ({ from, reason: `it is ${dtype}` }));
  const notTaken = [...report.notTaken, ...passed];
  if (options.json) printJson({ out: options.out, ...report, notTaken });
  else {
    for (const { to, from, how } of report.taken)
      process.stdout.write(`taken\t${to}\t${[...from, how].join(', ')}\n`);
    for (const { from, reason } of notTaken) process.stdout.write(`not taken\t${from}\t${reason}\n`);
    for (const to of report.random) process.stdout.write(`random\t${to}\tnothing in the file fits\n`);
  }
  log(
    `import: ${report.taken.length} tensors taken, ${notTaken.length} not taken, ${report.random.length} random; ` +
      `model in ${options.out}`,
  );
}

async function readMap(path: string, names: readonly string[]): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new CliError(
      `import: --map is one of ${names.join(', ')} or a file that can be read, got "${path}" ` +
        `(${error instanceof Error ? error.message : String(error)}); check the path`,
    );
  });
}
