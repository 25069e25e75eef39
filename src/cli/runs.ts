/** `precess runs`: compare training runs, and watch them. */
import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Comparison } from '../train/history.js';
import { interruption, log, printJson, UsageError, wholeNumber } from './shared.js';

export function registerRuns(program: Command): void {
  const runs = program.command('runs').description('Compare and watch training runs.');
  runs
    .command('compare')
    .description('Show where runs differ, what they have reached and what a step of each takes.')
    .argument('<run...>', 'two run folders or more')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  precess runs compare runs/dino runs/joint')
    .action(async (folders: string[], options: { json?: boolean }) => {
      if (folders.length < 2)
        throw new UsageError(`runs compare: there must be at least two runs, got ${folders.length}`);
      const { compareRuns, readRun } = await import('../train/history.js');
      const comparison = compareRuns(await Promise.all(folders.map(readRun)));
      if (options.json) printJson(comparison);
      else process.stdout.write(`${table(comparison)}\n`);
    });
  runs
    .command('serve')
    .description(
      'Show live curves of runs on a page of this machine: losses, probes, throughput, memory, and what the encoder makes ' +
        'of a few images.',
    )
    .argument('<run...>', 'run folders')
    .option('--corpus <dir>', 'corpus whose images are drawn under the maps')
    .option('--port <n>', 'port on 127.0.0.1; 0 takes a free one', wholeNumber('--port', 0, 65535), 8765)
    .option('--json', 'print the address as one JSON document')
    .addHelpText('after', '\nExample:\n  precess runs serve runs/dino runs/joint --corpus corpus')
    .action(async (folders: string[], options: { port: number; corpus?: string; json?: boolean }) => {
      const { corpusPictures, serveRuns } = await import('../server/runs.js');
      const { Corpus } = await import('../corpus/corpus.js');
      const { signal, done } = interruption('stopping');
      const corpus = options.corpus === undefined ? null : await Corpus.open(options.corpus);
      try {
        const server = await serveRuns(folders, options.port, corpus && corpusPictures(corpus));
        if (options.json) printJson({ url: server.url });
        else log(`runs: ${server.url} (Ctrl-C ends it)`);
        await new Promise<void>((end) => signal.addEventListener('abort', () => end(), { once: true }));
        await server.close();
      } finally {
        corpus?.close();
        done();
      }
    });
}

const show = (value: unknown): string => {
  if (value === undefined || value === null) return '-';
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : value.toPrecision(4);
  return typeof value === 'string' ? value : JSON.stringify(value);
};

/** The comparison as lines in columns; an asterisk stands at the run that is ahead. */
function table({ runs, settings, measures }: Comparison): string {
  const rows: string[][] = [
    ['', ...runs.map(({ run }) => basename(resolve(run)))],
    ['steps', ...runs.map(({ steps }) => show(steps))],
    ['seconds', ...runs.map(({ seconds }) => seconds.toFixed(0))],
    ...settings.map(({ name, values }) => [name, ...values.map(show)]),
    ...measures.map(({ name, of, values, best, ahead }) => [
      of === 'median' ? `${name} (median)` : name,
      ...values.map((value, n) => {
        const other =
          of === 'last' && best[n] !== null && best[n] !== value ? ` (best ${show(best[n])})` : '';
        return `${show(value)}${other}${ahead === n ? ' *' : ''}`;
      }),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, n) => cell.padEnd(widths[n]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
