/** `precess corpus export`: series of a corpus as NIfTI or de-identified DICOM files, or as a BIDS data set. */
import type { Command } from 'commander';
import { CliError, Interrupted, interruption, log, printJson, progress, UsageError } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly nifti?: string;
  readonly dicom?: string;
  readonly bids?: string;
  readonly where?: string;
  readonly force?: boolean;
  readonly operator?: string;
  readonly json?: boolean;
}

const FORMATS = ['nifti', 'dicom', 'bids'] as const;

export function registerExport(corpus: Command): void {
  corpus
    .command('export')
    .description(
      'Write series as NIfTI or de-identified DICOM, or as a BIDS data set, with what the corpus knows of each in JSON.',
    )
    .argument('[id...]', 'ids of series (default: all)')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--nifti <dir>', 'a folder, made where it is missing, for one <id>.nii.gz a series')
    .option('--dicom <dir>', 'a folder for DICOM files: <patient>/<study>/<series>/00001.dcm …')
    .option(
      '--bids <dir>',
      'a folder for a BIDS data set: sub-<patient>/ses-<study>/anat/… and what describes it',
    )
    .option('--where <filter>', 'only the series that an SQL condition on the columns selects')
    .option('--operator <name>', 'who does it, for the audit log')
    .option('--force', 'replace files of an earlier export')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      `\nExample:\n  precess corpus export --corpus corpus --nifti out --where "bodyPart = 'KNEE'"\n\n` +
        'Voxels that were not measured are NaN in NIfTI, and missing files or padding in DICOM. Series are left out\n' +
        'whose rights do not permit "evaluate" or that are in quarantine; the files carry the rights of their series in\n' +
        '"rights" and are for use on this machine. Series that BIDS has no suffix for are under sourcedata.\n',
    )
    .action(run);
}

async function run(ids: string[], options: Options): Promise<void> {
  const given = FORMATS.filter((name) => options[name] !== undefined);
  const [format] = given;
  if (format === undefined || given.length > 1)
    throw new UsageError('export: name one of --nifti DIR, --dicom DIR and --bids DIR');
  const dir = options[format]!;
  const { Corpus, exportBids, exportDicom, exportNifti, recordUse } = await import('../corpus/index.js');
  const write = { nifti: exportNifti, dicom: exportDicom, bids: exportBids }[format];
  const corpus = await Corpus.open(options.corpus, { readOnly: true });
  try {
    const all = await corpus.list(options.where === undefined ? {} : { where: options.where });
    // An unknown id fails with how to list them.
    for (const id of ids) await corpus.get(id);
    const chosen = ids.length === 0 ? all : all.filter(({ id }) => ids.includes(id));
    if (chosen.length === 0)
      throw new CliError(
        'export: at least one series must be selected, got none; "precess corpus ls" lists what a filter selects',
      );
    const stop = interruption('stopping after this series; press Ctrl-C again to stop at once');
    const bar = progress('exporting', chosen.length);
    let result: Awaited<ReturnType<typeof write>>;
    try {
      result = await write(corpus, chosen, {
        dir,
        force: options.force === true,
        signal: stop.signal,
        warn: log,
        onProgress: (done) => bar.update(done),
      });
    } finally {
      bar.stop();
      stop.done();
    }
    const written = new Set(result.written);
    const sources = [...new Set(chosen.filter(({ id }) => written.has(id)).map(({ source }) => source))];
    const detail = {
      format,
      series: written.size,
      sources: sources.sort(),
    };
    if (!(await recordUse(corpus.dir, 'export', detail, options.operator ?? null)))
      log('export: the corpus may only be read, so that its audit log does not tell of this export');
    if (options.json) printJson(result);
    else log(`${result.written.length} series in ${dir}`);
    for (const { reason } of result.failed) log(`not written: ${reason}`);
    if (result.interrupted)
      throw new Interrupted(
        `export: stopped; the files of ${result.written.length} of ${chosen.length} series are complete in ` +
          `${dir}, --force writes them anew`,
      );
    if (result.failed.length > 0)
      throw new CliError(
        `export: ${result.failed.length} of ${chosen.length} series could not be written; "precess corpus check ` +
          `--corpus ${options.corpus}" says what is broken`,
      );
  } finally {
    corpus.close();
  }
}
