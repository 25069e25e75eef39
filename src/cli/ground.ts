/** `precess ground`: where in an image is what a phrase names? */
import { rename, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Volume } from '../volume/volume.js';
import { detail, onlyImage, permittedVolume, withCorpus, withDetail, type Detail } from './search.js';
import { CliError, log, printJson, UsageError } from './shared.js';

interface Options extends Detail {
  readonly text: string;
  readonly out: string;
  readonly against?: readonly string[];
  readonly model?: string;
  readonly corpus?: string;
  readonly id?: string;
}

export function registerGround(program: Command): void {
  withDetail(
    program
      .command('ground')
      .description('Show where in an image a phrase is: a 3D heat map on its own grid, as NIfTI.')
      .argument('[src]', 'DICOM folder or file, or NIfTI file')
      .requiredOption('--text <phrase>', 'what to look for, in words')
      .requiredOption('--out <file>', 'heat map to write, .nii or .nii.gz')
      .option('--against <sentence...>', 'show what the phrase says beyond these')
      .option('--id <id>', 'a series of the corpus instead of a file')
      .option('--corpus <dir>', 'corpus of the series, whose index also gives the model unless --model does')
      .option('--model <model>', 'run folder or model file, made by "precess align"'),
  )
    .addHelpText(
      'after',
      '\nExample:\n  precess ground scans/T2 --model runs/align --text "prostate" --patch-mm 8 --out heat.nii.gz\n\n' +
        'For research only: a heat map is no finding.\n',
    )
    .action(ground);
}

async function ground(src: string | undefined, flags: Options): Promise<void> {
  const { id, corpus, model, text, out, against } = flags;
  if ((src === undefined) === (id === undefined))
    throw new UsageError('ground takes either an image or --id');
  if (id !== undefined && corpus === undefined) throw new UsageError('ground: --id goes with --corpus');
  if (model === undefined && corpus === undefined)
    throw new UsageError('ground: give --model, or --corpus with an index');
  if (text.trim() === '') throw new UsageError('ground: --text is empty; say what to look for');
  if (!/\.nii(\.gz)?$/i.test(out)) throw new UsageError(`--out is a .nii or .nii.gz file, got "${out}"`);
  const [{ Encoder }, { ground: look, hottest }, { indexModel }, { writeNiftiFile }] = await Promise.all([
    import('../models/encoder.js'),
    import('../tasks/grounding.js'),
    import('../tasks/index-store.js'),
    import('../formats/nifti/index.js'),
  ]);
  const volume: Volume =
    src !== undefined
      ? await onlyImage(src)
      : await withCorpus(corpus!, (c) => permittedVolume(c, id!, 'ground'));
  const { patchMm: side, maxTokens, ...opening } = detail(flags);
  const encoder = await Encoder.open(model ?? (await indexModel(corpus!, 'ground')), opening);
  try {
    const { heat, score, tokens, positions, patchMm } = await look(encoder, volume, text, {
      ...(side !== undefined && { patchMm: side }),
      ...(maxTokens !== undefined && { maxTokens }),
      ...(against !== undefined && { against }),
    });
    const partial = out.replace(/(\.nii(\.gz)?)$/i, '.partial$1');
    try {
      await writeNiftiFile(partial, heat, { description: 'Precess heat map' });
      await rename(partial, out);
    } catch (error) {
      await rm(partial, { force: true });
      const why = error instanceof Error ? error.message : String(error);
      throw new CliError(`ground: the heat map cannot be written (${why}); give another --out`, {
        cause: error,
      });
    }
    const { peakMm, peak } = hottest(tokens, positions);
    const document = { text, score, peak, peakMm, patchMm, tokens: tokens.length, out };
    if (flags.json) printJson(document);
    else
      log(
        `ground: score ${score.toFixed(3)}; hottest at ${peakMm.map((mm) => mm.toFixed(0)).join(', ')} mm ` +
          `(right, anterior, superior), ${tokens.length} tokens of ${patchMm} mm; map in ${out}`,
      );
  } finally {
    await encoder.close();
  }
}
