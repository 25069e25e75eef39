/** `precess corpus withdraw`: series out of a corpus for good. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { Withdrawal, Withdrawn } from '../corpus/index.js';
import { CliError, log, printJson, UsageError } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly patient?: string;
  readonly source?: string;
  readonly id?: string;
  readonly models?: string[];
  readonly operator?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const MODELS =
  'models trained before this still saw these series: train them again without, or retire them; copies made with ' +
  '"precess corpus export" are not touched';

/** The runs as a person knows them. */
const affected = ({ runs }: Withdrawn) =>
  runs.map(({ run, saw }) => ({
    run: run.id,
    kind: run.kind,
    labels: run.labels,
    started: run.started,
    saw,
  }));

export function registerWithdraw(corpus: Command): void {
  corpus
    .command('withdraw')
    .description('Remove series with their voxels, text and vectors from a corpus for good.')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--patient <id>', 'every series of a patient: its id (pt-…) or the Patient ID of its DICOM files')
    .option('--source <id>', 'every series of a source (so-…)')
    .option('--id <id>', 'one series (se-…)')
    .option('--models <path...>', 'run folders and model files to look into too, registered or not')
    .option('--operator <name>', 'who does it, for the audit log')
    .option('--yes', 'do not ask; needed where no terminal can answer')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus withdraw --patient pt-0a1b2c3d4e5f6071 --corpus corpus --yes\n\n' +
        'A withdrawn series comes back when its files are ingested again: remove them from the source too.\n' +
        'Models trained before still saw the series: the training runs that did are listed, with how many of them.\n',
    )
    .action(run);
}

async function run(options: Options): Promise<void> {
  const what = withdrawalOf(options);
  if (options.yes !== true && !process.stdin.isTTY)
    throw new UsageError('withdraw removes for good and no terminal can confirm it; give --yes to go ahead');
  const { Corpus, withdraw, withdrawn } = await import('../corpus/index.js');
  const corpus = await Corpus.open(options.corpus, { readOnly: false });
  try {
    if (options.yes !== true) {
      const found = await withdrawn(corpus, what);
      const asked = `remove ${found.length} series of ${patients(found)} from ${options.corpus} for good? [y/N] `;
      if (found.length > 0 && !(await confirmed(asked))) throw new CliError('withdraw: nothing was removed');
    }
    const { seenBy, withdrawFromIndex } = await import('../tasks/index-withdraw.js');
    // Whether they can be read shows before anything is removed.
    const models = options.models ?? [];
    for (const path of models) await seenBy(path, []);
    let index = { images: 0, texts: 0, modelSaw: 0 };
    const result = await withdraw(
      corpus,
      what,
      async (...series) => {
        index = await withdrawFromIndex(corpus.dir, ...series);
      },
      options.operator ?? null,
    );
    const gone = result.series;
    if (gone.length === 0)
      throw new CliError(
        `withdraw: a series of the corpus must match, got none; "precess corpus ls --corpus ${options.corpus} --json" ` +
          'shows the ids of series, patients and sources',
      );
    const ids = gone.map(({ id }) => id);
    const runs = affected(result);
    const looked = await Promise.all(models.map(async (path) => ({ path, saw: await seenBy(path, ids) })));
    const indexModelSaw = index.modelSaw;
    if (options.json)
      printJson({
        removed: ids,
        vectors: index.images,
        indexedTexts: index.texts,
        runs,
        models: looked,
        indexModelSaw,
        note: MODELS,
      });
    else {
      for (const id of ids) process.stdout.write(`${id}\n`);
      log(
        `removed ${gone.length} series of ${patients(gone)}, with voxels and text; from the search index ` +
          `${index.images} vectors and ${index.texts} texts`,
      );
      for (const { run, kind, labels, saw } of runs)
        log(
          `seen by ${kind} ${run} (run folder ${labels.map((label) => `"${label}"`).join(', ')}): ${saw} of them`,
        );
      for (const { path, saw } of looked) log(`${path}: ${saw === 0 ? 'saw none' : `saw ${saw}`} of them`);
      if (indexModelSaw > 0)
        log(`the model of the search index saw ${indexModelSaw} of them; index again with another`);
      if (runs.length === 0) log('no registered training run saw any of them');
      log(MODELS);
    }
  } finally {
    corpus.close();
  }
}

function withdrawalOf({ patient, source, id }: Options): Withdrawal {
  const given = [patient, source, id].filter((one) => one !== undefined);
  if (given.length !== 1 || given[0]!.trim() === '')
    throw new UsageError(`withdraw takes exactly one of --patient, --source and --id, got ${given.length}`);
  if (patient !== undefined) return { patient };
  return source !== undefined ? { source } : { id: id! };
}

function patients(series: readonly { readonly patientId: string }[]): string {
  const count = new Set(series.map(({ patientId }) => patientId)).size;
  return `${count} ${count === 1 ? 'patient' : 'patients'}`;
}

async function confirmed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
}
