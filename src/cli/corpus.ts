/** `precess corpus`: look into a corpus. */
import type { Command } from 'commander';
import type { Series } from '../corpus/index.js';
import { registerAudit } from './corpus-audit.js';
import { registerCheck } from './corpus-check.js';
import { registerExport } from './corpus-export.js';
import { registerRights } from './corpus-rights.js';
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
  corpus
    .command('show')
    .description('Show one series, or a summary of the whole corpus.')
    .argument('[id]', 'id of a series')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--where <filter>', 'summarise only the series that an SQL condition selects')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  precess corpus show se-4f2a01c3b5d79e68 --corpus corpus --json\n')
    .action(show);
  registerExport(corpus);
  registerCheck(corpus);
  registerWithdraw(corpus);
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

async function show(id: string | undefined, options: LsOptions): Promise<void> {
  if (id !== undefined) {
    const series = await withCorpus(options.corpus, (corpus) => corpus.get(id));
    if (options.json) printJson(series);
    else
      for (const [name, value] of Object.entries(series)) process.stdout.write(`${name}: ${shown(value)}\n`);
    return;
  }
  const all = await withCorpus(options.corpus, (corpus) =>
    corpus.list(options.where === undefined ? {} : { where: options.where }),
  );
  const summary = {
    series: all.length,
    studies: new Set(all.map((one) => one.studyId)).size,
    patients: new Set(all.map((one) => one.patientId)).size,
    bodyParts: count(all, (one) => one.bodyPart),
    contrasts: count(all, (one) => one.contrast),
    planes: count(all, (one) => one.plane),
    manufacturers: count(all, (one) => one.manufacturer),
    fieldStrengths: count(all, (one) =>
      one.fieldStrengthT === null ? 'unknown' : `${one.fieldStrengthT} T`,
    ),
    licences: count(all, (one) => one.rights.licence),
  };
  if (options.json) {
    printJson(summary);
    return;
  }
  for (const [name, value] of Object.entries(summary)) {
    const text =
      typeof value === 'number'
        ? String(value)
        : Object.entries(value)
            .map(([key, n]) => `${key} ${n}`)
            .join(', ');
    process.stdout.write(`${name}: ${text}\n`);
  }
}

async function withCorpus<T>(
  dir: string,
  use: (corpus: import('../corpus/index.js').Corpus) => Promise<T>,
): Promise<T> {
  const { Corpus } = await import('../corpus/index.js');
  const corpus = await Corpus.open(dir, { readOnly: true });
  try {
    return await use(corpus);
  } finally {
    corpus.close();
  }
}

/** How often each value occurs, the most frequent first. */
function count(all: readonly Series[], of: (one: Series) => string): Record<string, number> {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(of(one), (counts.get(of(one)) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

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
