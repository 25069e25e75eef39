/** `precess corpus quarantine`: series that may not be used until a person has looked at them. */
import type { Command } from 'commander';
import { withCorpus } from './corpus-show.js';
import { log, printJson } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly operator?: string;
  readonly json?: boolean;
}

export function registerQuarantine(corpus: Command): void {
  const quarantine = corpus
    .command('quarantine')
    .description(
      'List, add and release series that nothing uses until a person has looked at them, such as those with text in ' +
        'their pixels.',
    );
  quarantine
    .command('ls')
    .description('List the series in quarantine with the reason of each.')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  precess corpus quarantine ls --corpus corpus\n')
    .action(ls);
  withIds(quarantine.command('release <id...>'))
    .description('Let series be used again as their rights say, after somebody has looked at them.')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus quarantine release se-0a1b2c3d4e5f6071 --corpus corpus --operator "A. Reader"\n',
    )
    .action((ids: string[], options: Options) => change('release', ids, options));
  withIds(quarantine.command('add <id...>'))
    .description('Put series into quarantine.')
    .addHelpText('after', '\nExample:\n  precess corpus quarantine add se-0a1b2c3d4e5f6071 --corpus corpus\n')
    .action((ids: string[], options: Options) => change('quarantine', ids, options));
}

const withIds = (command: Command): Command =>
  command
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--operator <name>', 'who does it, for the audit log')
    .option('--json', 'print one JSON document on stdout');

async function ls(options: Options): Promise<void> {
  const all = await withCorpus(options.corpus, (corpus) => corpus.list({ where: 'quarantined IS NOT NULL' }));
  const series = all.map(({ id, quarantined }) => ({ id, quarantined }));
  if (options.json) {
    printJson({ series });
    return;
  }
  for (const { id, quarantined } of series) process.stdout.write(`${id}  ${quarantined ?? ''}\n`);
  log(`${series.length} series in quarantine`);
}

async function change(action: 'release' | 'quarantine', ids: string[], options: Options): Promise<void> {
  const { Corpus, quarantine, release } = await import('../corpus/index.js');
  const corpus = await Corpus.open(options.corpus, { readOnly: false });
  try {
    const what = action === 'release' ? release : quarantine;
    const series = await what(corpus, ids, options.operator ?? null);
    if (options.json) printJson({ series: series.map(({ id, quarantined }) => ({ id, quarantined })) });
    else
      log(
        `${action}: ${series.length} series ${action === 'release' ? 'released' : 'put into quarantine'}` +
          (series.length < ids.length ? `; ${ids.length - series.length} were so already` : ''),
      );
  } finally {
    corpus.close();
  }
}
