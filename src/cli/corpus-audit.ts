/** `precess corpus audit`: what was done to a corpus and with it, and whether the log of it is whole. */
import type { Command } from 'commander';
import type { AuditEntry } from '../corpus/index.js';
import { CliError, log, printJson } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly patient?: string;
  readonly json?: boolean;
}

export function registerAudit(corpus: Command): void {
  corpus
    .command('audit')
    .description(
      'List the audit log and verify that no entry was changed, removed, moved or added by another.',
    )
    .requiredOption('--corpus <dir>', 'the corpus')
    .option(
      '--patient <id>',
      'only withdrawals of a patient: its id (pt-…) or the Patient ID of its DICOM files',
    )
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus audit --corpus corpus --json\n\n' +
        'A log that is not what was written is a failure (exit status 1). Half an entry at the end, as a crash leaves it, is\n' +
        'not. Note the head elsewhere to tell later that log and head were not put back to an earlier state together.\n',
    )
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { auditSubject, Corpus, patientIdOf, readAudit } = await import('../corpus/index.js');
  const corpus = await Corpus.open(options.corpus, { readOnly: true });
  corpus.close();
  const audit = await readAudit(corpus.dir);
  let { entries } = audit;
  if (options.patient !== undefined) {
    const subject = await auditSubject(corpus.dir, await patientIdOf(corpus.dir, options.patient));
    entries = entries.filter(({ detail }) => detail.subject === subject);
  }
  if (options.json) printJson({ ...audit, entries });
  else for (const entry of entries) process.stdout.write(`${lineOf(entry)}\n`);
  for (const { message, broken } of audit.findings) log(`${broken ? 'broken' : 'note'}: ${message}`);
  const broken = audit.findings.filter((one) => one.broken);
  if (broken.length > 0)
    throw new CliError(
      `audit: the log must be what was written, but it is not (${broken[0]!.message}` +
        `${broken.length > 1 ? ` and ${broken.length - 1} more` : ''}); compare it with a copy`,
    );
  log(`${entries.length} entries, verified; head ${audit.head ?? 'none'}`);
}

/** "12  2026-11-25T04:31:07.123Z  ingested  by Name  source so-…, added 3". */
function lineOf({ n, at, action, operator, detail }: AuditEntry): string {
  const what = Object.entries(detail).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return `${name} ${text}`;
  });
  const by = operator === null ? '' : `by ${operator}  `;
  // What a person gave may hold anything; a line is a line.
  // eslint-disable-next-line no-control-regex -- that is what is taken out
  return `${n}  ${at}  ${action}  ${by}${what.join(', ')}`.replace(/[\u0000-\u001f\u007f]/g, ' ');
}
