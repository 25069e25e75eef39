/** `precess corpus check`: what is broken or suspicious in a corpus. */
import type { Command } from 'commander';
import type { Checked } from '../corpus/index.js';
import { CliError, Interrupted, interruption, log, printJson, progress } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly json?: boolean;
}

export function registerCheck(corpus: Command): void {
  corpus
    .command('check')
    .description('Read every series and list what is broken or suspicious.')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus check --corpus corpus --json\n\n' +
        'Listed are voxels that are missing, unreadable or changed, and an audit log that was changed or cut (broken: exit\n' +
        'status 1), and as warnings (exit status 0) missing slices, more than 10 % unmeasured voxels, non-finite voxels, more\n' +
        'than 0.1 % of the voxels at the largest value (clipped), images of one value, impossible voxel spacing, a signal below\n' +
        '5 times the noise, ghosts that stand out among series of a kind, and series that repeat the image of another.\n',
    )
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { checkCorpus, Corpus } = await import('../corpus/index.js');
  const corpus = await Corpus.open(options.corpus, { readOnly: true });
  let result: Checked;
  try {
    const stop = interruption('stopping after this series; press Ctrl-C again to stop at once');
    let bar: ReturnType<typeof progress> | null = null;
    try {
      result = await checkCorpus(corpus, {
        signal: stop.signal,
        onProgress: (done, total) => (bar ??= progress('checking', total)).update(done),
      });
    } finally {
      (bar as ReturnType<typeof progress> | null)?.stop();
      stop.done();
    }
  } finally {
    corpus.close();
  }
  const { series, broken, warned, audit } = result;
  if (options.json) printJson(result);
  else
    for (const { id, findings } of series)
      for (const { kind, broken: bad, message } of findings)
        process.stdout.write(`${id}  ${bad ? 'broken' : 'warning'}  ${kind}: ${message}\n`);
  for (const one of audit) log(`audit log, ${one.broken ? 'broken' : 'note'}: ${one.message}`);
  log(
    `${series.length} series: ${broken} broken, ${warned} with warnings, ${series.length - broken - warned} well`,
  );
  if (broken > 0)
    throw new CliError(
      `check: the voxels of every series must be readable, but ${broken} of ${series.length} series are broken; put the ` +
        'corpus back from a copy, or withdraw them with "precess corpus withdraw --id ID" and ingest their source again',
    );
  const tampered = audit.filter((one) => one.broken);
  if (tampered.length > 0)
    throw new CliError(
      `check: the audit log must be what was written, but it is not (${tampered[0]!.message}); "precess corpus audit ` +
        `--corpus ${options.corpus}" lists it, compare it with a copy`,
    );
  if (result.interrupted)
    throw new Interrupted(`check: stopped; what was found in the first ${series.length} series is listed`);
}
