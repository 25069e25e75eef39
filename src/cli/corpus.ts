/** `precess corpus`: look into a corpus. */
import type { Command } from 'commander';
import type { Series } from '../corpus/index.js';
import { registerAudit } from './corpus-audit.js';
import { registerCheck } from './corpus-check.js';
import { registerExport } from './corpus-export.js';
import { registerQuarantine } from './corpus-quarantine.js';
import { registerRights } from './corpus-rights.js';
import { registerShow, withCorpus } from './corpus-show.js';
import { registerWithdraw } from './corpus-withdraw.js';
import { log, printJson, wholeNumber } from './shared.js';

interface LsOptions {
  readonly corpus: string;
  readonly where?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

export function registerCorpus(program: Command): void {
  const corpus = program
    .command('corpus')
    .description('List, show, export, check and withdraw the series of a corpus; its rights and audit log.');
  corpus
    .command('ls')
    .description('List series.')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--where <filter>', 'an SQL condition on the columns of the series table')
    .option('--limit <n>', 'list at most this many', wholeNumber('--limit', 1))
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      `\nExample:\n  precess corpus ls --corpus corpus --where "bodyPart = 'PROSTATE' AND plane = 'axial'"\n`,
    )
    .action(ls);
  registerShow(corpus);
  registerExport(corpus);
  registerCheck(corpus);
  registerWithdraw(corpus);
  registerQuarantine(corpus);
  registerRights(corpus);
  registerAudit(corpus);
}

async function ls(options: LsOptions): Promise<void> {
  const series = await withCorpus(options.corpus, (corpus) =>
    corpus.list({
      ...(options.where !== undefined && { where: options.where }),
      ...(options.limit !== undefined && { limit: options.limit }),
    }),
  );
  if (options.json) {
    printJson({ series });
    return;
  }
  for (const one of series) process.stdout.write(`${line(one)}\n`);
  log(`${series.length} series`);
}

function line(one: Series): string {
  const spacing = one.spacingMm.map((mm) => mm.toFixed(2)).join('×');
  const missing = one.missingSlices.length > 0 ? `  missing slices ${one.missingSlices.join(' ')}` : '';
  return [
    one.id,
    one.bodyPart.padEnd(9),
    one.plane.padEnd(8),
    one.contrast.padEnd(7),
    one.shape.join('×').padEnd(11),
    `${spacing} mm`,
    one.description + missing,
  ].join('  ');
}
