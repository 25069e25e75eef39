/** `precess corpus rights`: the ledger of a corpus or a model, and its change. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { GivenRights, RightsChange } from '../corpus/index.js';
import { log, printJson, UsageError } from './shared.js';

interface ShowOptions {
  readonly corpus?: string;
  readonly model?: string;
  readonly json?: boolean;
}

/** The options of rights, as `ingest` and `corpus rights set` take them. */
export interface RightsOptions {
  readonly rights?: string;
  readonly rightsExpires?: string;
  readonly rightsReference?: string;
  readonly attribution?: string;
}

interface SetOptions extends RightsOptions {
  readonly corpus?: string;
  readonly source: string;
  readonly operator?: string;
  readonly json?: boolean;
}

const ALL_IN_FILE = '--rights with a file says everything; leave the other options of rights out';
const isFile = (rights: string): boolean => /\.json$/i.test(rights);

const USES = 'train, evaluate, share-weights, serve';

/** Adds the options of rights to a command; `otherwise` says what holds where they are not given. */
export function withRights(command: Command, otherwise = ''): Command {
  return command
    .option(
      '--rights <rights>',
      `what may be done with the series: "LICENCE:use,use" with uses of ${USES}, or a JSON file with a ledger entry ` +
        `or with entries by source${otherwise}`,
    )
    .option('--rights-expires <date>', 'the last day of these uses, YYYY-MM-DD, UTC')
    .option('--rights-reference <text>', 'the consent or contract that permits them')
    .option('--attribution <text>', 'whom to name in what is made of the series');
}

/** The rights that a command line gives, undefined where it gives none. @throws UsageError for wrong ones. */
export async function rightsFrom(options: RightsOptions): Promise<GivenRights | undefined> {
  const { CorpusError, parseRights, parseRightsFile } = await import('../corpus/index.js');
  const details = detailsOf(options);
  const { rights } = options;
  if (rights === undefined) {
    if (Object.keys(details).length > 0)
      throw new UsageError(
        '--rights-expires, --rights-reference and --attribution belong to rights; give --rights "LICENCE:use,use" too',
      );
    return undefined;
  }
  try {
    if (!isFile(rights)) return parseRights(rights, details);
    if (Object.keys(details).length > 0) throw new UsageError(ALL_IN_FILE);
    const text = await readFile(rights, 'utf8').catch((error: unknown) => {
      throw new UsageError(
        `--rights names a file that cannot be read (${error instanceof Error ? error.message : String(error)})`,
      );
    });
    return parseRightsFile(text);
  } catch (error) {
    if (error instanceof CorpusError) throw new UsageError(error.message);
    throw error;
  }
}

const detailsOf = ({ rightsExpires, rightsReference, attribution }: RightsOptions) => ({
  ...(rightsExpires !== undefined && { expires: rightsExpires }),
  ...(rightsReference !== undefined && { reference: rightsReference }),
  ...(attribution !== undefined && { attribution }),
});

export function registerRights(corpus: Command): void {
  const rights = corpus
    .command('rights')
    .description(
      'Show what may be done with the series of a corpus by source, or what a model has learnt from.',
    )
    .option('--corpus <dir>', 'the corpus')
    .option('--model <model>', 'instead of a corpus: a run folder or model file')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus rights --corpus corpus\n  precess corpus rights --model runs/align\n',
    )
    .action(show);
  withRights(rights.command('set'))
    .description(
      'Change the rights of every series of a source. What is not given stays; "none" takes it away.',
    )
    .option('--corpus <dir>', 'the corpus')
    .requiredOption('--source <id>', 'the source (so-…), as "precess corpus rights" lists it')
    .option('--operator <name>', 'who does it, for the audit log')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus rights set --corpus corpus --source so-0a1b2c3d4e5f6071 --rights "DUA 12:train,evaluate" \\\n' +
        '    --rights-expires 2031-01-31 --rights-reference "contract 7" --attribution "Site A"\n',
    )
    // Options that "rights" has too are taken by it, wherever they stand.
    .action((_: SetOptions, command: Command) => set(command.optsWithGlobals()));
}

async function show(options: ShowOptions): Promise<void> {
  if ((options.corpus === undefined) === (options.model === undefined))
    throw new UsageError('rights: give either --corpus or --model');
  await (options.model === undefined
    ? showCorpus(options.corpus!, options)
    : showModel(options.model, options));
}

async function showCorpus(dir: string, { json }: ShowOptions): Promise<void> {
  const { Corpus, readLedger, readRuns } = await import('../corpus/index.js');
  const corpus = await Corpus.open(dir, { readOnly: true });
  try {
    const ledger = await readLedger(corpus);
    const runs = (await readRuns(corpus.dir)).map(({ id, kind, labels, base, started, series }) => ({
      ...{ id, kind, labels, base, started, series },
    }));
    if (json) {
      printJson({ ledger, runs });
      return;
    }
    for (const { source, rights, series, patients, expired, quarantined } of ledger)
      process.stdout.write(
        `${[
          source,
          `${series} series`,
          `${patients} ${patients === 1 ? 'patient' : 'patients'}`,
          ...describe(rights),
          ...(expired ? ['EXPIRED'] : []),
          ...(quarantined > 0 ? [`${quarantined} quarantined`] : []),
        ].join('  ')}\n`,
      );
    for (const { id, kind, labels, series, started } of runs)
      process.stdout.write(
        `${id}  ${kind} "${labels.join('", "')}" of ${started} learns from ${series} series\n`,
      );
    log(`${ledger.length} entries, ${runs.length} training runs`);
  } finally {
    corpus.close();
  }
}

async function showModel(path: string, { json }: ShowOptions): Promise<void> {
  const { openModel } = await import('../models/model-file.js');
  const { sharingRefusals } = await import('../models/provenance.js');
  const { provenance } = await openModel(path);
  const { runs, sources, series } = provenance;
  const mayShare = sharingRefusals(provenance).length === 0;
  if (json) {
    printJson({ runs, sources, series, mayShare });
    return;
  }
  for (const { source, series: count, ...rights } of sources)
    process.stdout.write(`${[source, `${count} series`, ...describe(rights)].join('  ')}\n`);
  for (const { id, kind } of runs) process.stdout.write(`${id}  ${kind}\n`);
  log(
    `the model learnt from ${series} series of ${sources.length} sources; its weights may ` +
      `${mayShare ? '' : 'not '}be shared`,
  );
}

interface Described {
  readonly licence: string;
  readonly use: readonly string[];
  readonly reference: string | null;
  readonly expires: string | null;
  readonly attribution: string | null;
}

const describe = ({ licence, use, reference, expires, attribution }: Described): string[] => [
  `${licence}: ${use.join(', ') || 'no use'}`,
  ...(expires === null ? [] : [`until ${expires}`]),
  ...(reference === null ? [] : [`by ${reference}`]),
  ...(attribution === null ? [] : [`attribution: ${attribution}`]),
];

async function set(options: SetOptions): Promise<void> {
  if (options.corpus === undefined) throw new UsageError("required option '--corpus <dir>' not specified");
  const { Corpus, setRights } = await import('../corpus/index.js');
  const change = await changeOf(options);
  const corpus = await Corpus.open(options.corpus, { readOnly: false });
  try {
    const series = await setRights(corpus, options.source, change, options.operator ?? null);
    if (options.json) printJson({ source: options.source, series, change });
    else log(`rights: ${series} series of ${options.source} have the new rights`);
  } finally {
    corpus.close();
  }
}

async function changeOf(options: SetOptions): Promise<RightsChange> {
  const { checkRights, CorpusError } = await import('../corpus/index.js');
  const entries = Object.entries(detailsOf(options)).map(([name, text]) => [
    name,
    text === 'none' ? null : text,
  ]);
  const details = Object.fromEntries(entries) as RightsChange;
  try {
    checkRights({ licence: 'any', use: [], ...details });
  } catch (error) {
    if (error instanceof CorpusError) throw new UsageError(error.message);
    throw error;
  }
  if (options.rights === undefined) {
    if (entries.length > 0) return details;
    throw new UsageError('rights set: say what is to change, for instance with --rights "LICENCE:use,use"');
  }
  const given = await rightsFrom({ rights: options.rights });
  if (given === undefined || 'sources' in given)
    throw new UsageError('rights set: the file must hold one ledger entry, got entries by source');
  if (!isFile(options.rights)) return { licence: given.licence, use: given.use, ...details };
  if (entries.length > 0) throw new UsageError(ALL_IN_FILE);
  return given;
}
