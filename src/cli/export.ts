/** `precess export`: a model for use elsewhere, with its card. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { CardResults } from '../models/model-card.js';
import { CliError, log, printJson, UsageError, wholeNumber } from './shared.js';

interface Options {
  readonly onnx?: string;
  readonly safetensors?: string;
  readonly tokens: number;
  readonly batch: number;
  readonly results: string[];
  readonly force?: boolean;
  readonly json?: boolean;
}

export function registerExport(program: Command): void {
  program
    .command('export')
    .description('Write a model for use elsewhere: ONNX or safetensors, with a model card.')
    .argument('<model>', 'run folder or model file')
    .option('--onnx <dir>', 'a folder for image.onnx, and text.onnx with its tokenizer.json')
    .option('--safetensors <dir>', 'a folder for model.safetensors')
    .option('--tokens <n>', 'tokens of an image in the ONNX file', wholeNumber('--tokens', 1, 4096), 512)
    .option('--batch <n>', 'images or texts of a run of the ONNX file', wholeNumber('--batch', 1, 1024), 1)
    .option(
      '--results <file>',
      'JSON of "precess evaluate" for the card; may be given several times',
      (file: string, all: string[]) => [...all, file],
      [] as string[],
    )
    .option('--force', 'write over files that are there')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  precess export runs/align --onnx release --tokens 512\n\n' +
        'The rights of every series that the model saw must permit "share-weights".\n',
    )
    .action(run);
}

async function run(path: string, options: Options): Promise<void> {
  if ((options.onnx === undefined) === (options.safetensors === undefined))
    throw new UsageError('export takes either --onnx or --safetensors');
  const [{ openModel, writeModel, MODEL_FILE }, { requireSharing }, { modelCard }, { imageOnnx, textOnnx }] =
    await Promise.all([
      import('../models/model-file.js'),
      import('../models/provenance.js'),
      import('../models/model-card.js'),
      import('../models/export-onnx.js'),
    ]);
  const model = await openModel(path);
  requireSharing(model.provenance, 'export');
  const results = await Promise.all(options.results.map(readResults));
  const folder = options.onnx ?? options.safetensors!;
  await makeEmpty(folder, options.force === true);

  const { tokens, batch } = options;
  const { samples, embedDim, textLength } = model.config;
  const files: Record<string, string> = {};
  if (options.safetensors !== undefined) {
    await writeModel(join(folder, MODEL_FILE), model);
    files[MODEL_FILE] = 'the weights, and in the header all that "precess" needs to use them';
  } else {
    await writeFile(join(folder, 'image.onnx'), imageOnnx(model, { batch, tokens }));
    files['image.onnx'] =
      `float32 inputs \`image.patches\` [${batch}, ${tokens}, ${samples ** 3}], \`image.valid\` and \`image.keep\` ` +
      `[${batch}, ${tokens}], \`image.positions\` [${batch}, ${tokens}, 3] in RAS+ mm, \`image.scale\` [${batch}]; outputs ` +
      `\`vector\`, \`summary\` [${batch}, ${2 * embedDim}] and \`tokens\` [${batch}, ${tokens}, ${embedDim}]. ` +
      'Images of fewer tokens are padded, and `image.keep` is 1 for tokens and 0 for padding';
    if (model.tokenizer) {
      await writeFile(join(folder, 'text.onnx'), textOnnx(model, { batch }));
      await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(model.tokenizer));
      files['text.onnx'] =
        `inputs \`text.ids\` int32 and \`text.mask\` float32, [${batch}, ${textLength}]; output \`vector\``;
      files['tokenizer.json'] = 'the tokenizer of the texts, for the tokenizers of Hugging Face';
    }
    const config = { ...model.config, tokens, batch };
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
    files['config.json'] = 'the sizes';
  }
  await writeFile(join(folder, 'README.md'), modelCard(model, files, results));
  const written = [...Object.keys(files), 'README.md'];
  if (options.json) printJson({ folder, files: written });
  else for (const name of written) process.stdout.write(`${join(folder, name)}\n`);
  log(`export: ${written.length} files in ${folder}; read README.md before you pass them on`);
}

async function readResults(file: string): Promise<CardResults> {
  const { cardResults } = await import('../models/model-card.js');
  try {
    return cardResults.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new CliError(
      `export: ${file} must hold what "precess evaluate --json" prints, got ` +
        `"${error instanceof Error ? error.message.split('\n')[0]! : String(error)}"; evaluate again`,
    );
  }
}

async function makeEmpty(folder: string, force: boolean): Promise<void> {
  await mkdir(folder, { recursive: true });
  const there = await readdir(folder);
  if (there.length > 0 && !force)
    throw new CliError(
      `export: ${folder} must be new or empty, but it holds ${there.length} files; name another folder, or write ` +
        'over them with --force',
    );
}
