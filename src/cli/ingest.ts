/** `precess ingest`: files and folders into a corpus. */
import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import type { IngestOptions, IngestProgress, Ingested } from '../corpus/index.js';
import type { Communicator } from '../mpi/index.js';
import { rightsFrom, type RightsOptions, withRights } from './corpus-rights.js';
import { ingestFromPacs, type PacsFlags, withPacs } from './ingest-pacs.js';
import { logReports, type ReportFlags, reportsFrom, withReports } from './ingest-reports.js';
import { withRanks } from './ranks.js';
import {
  CliError,
  Interrupted,
  interruption,
  log,
  printJson,
  type Progress,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

interface Options extends RightsOptions, ReportFlags, PacsFlags {
  readonly corpus: string;
  readonly operator?: string;
  readonly text: string;
  readonly metadata?: string;
  readonly retainCharacteristics?: boolean;
  readonly dates: boolean;
  readonly deface?: boolean;
  readonly everyVolume?: boolean;
  readonly workers?: number;
  readonly json?: boolean;
}

const UNSPECIFIED = ' (default: licence unspecified, evaluation on this machine and nothing else)';

export function registerIngest(program: Command): void {
  withPacs(withReports(withRights(program.command('ingest'), UNSPECIFIED)))
    .description(
      'Bring MR series (DICOM by content, NIfTI, NRRD, MetaImage, MGH, BIDS data sets; also inside zip and tar ' +
        'archives) into a corpus without anything that identifies a person.',
    )
    .argument(
      '[source...]',
      'files, folders and archives, or one DICOMweb service: dicomweb+https://HOST/PATH (credentials come from ' +
        'PRECESS_DICOMWEB_TOKEN, or PRECESS_DICOMWEB_USER and PRECESS_DICOMWEB_PASSWORD)',
    )
    .requiredOption('--corpus <dir>', 'the corpus: a folder, made where it is missing, or s3://BUCKET/PREFIX')
    .option(
      '--text <what>',
      '"report" keeps cleaned image comments, "header" only a sentence from the header',
      'report',
    )
    .option(
      '--metadata <file>',
      'a CSV or TSV table of what is known of image files: the column "path", and any of patient, study, description, ' +
        'contrast, bodyPart, sex, age, report',
    )
    .option('--retain-characteristics', "keep the patients' sex and age (ages of 90 and above become 90)")
    .option(
      '--every-volume',
      'keep every volume of a time series or of diffusion directions, not only the first of more than four',
    )
    .option('--deface', 'take the face out of images of the head; heads where that fails are quarantined')
    .option('--no-dates', 'keep no day of the study (else it is moved by days that only the key tells)')
    .option(
      '--workers <n>',
      'threads that read and store voxels (default: one a core), on each rank under mpirun',
      wholeNumber('--workers', 1, 256),
    )
    .option('--operator <name>', 'who does it, for the audit log')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess ingest ~/scans archive/knee.nii.gz --corpus corpus --rights "CC BY 4.0:train,evaluate"\n' +
        '  precess ingest dicomweb+https://pacs.example.org/dicom-web --corpus corpus --query "StudyDate=20200101-20201231"\n' +
        '  precess ingest --listen 11112 --aet PRECESS --corpus corpus\n\n' +
        'Running it again adds nothing twice. The key in the corpus makes the ids: keep it private and keep it.\n',
    )
    .action((sources: string[], options: Options) =>
      withRanks((ranks) => (ranks.rank === 0 ? run(sources, options, ranks) : help(options, ranks))),
    );
}

/** Stores series for rank 0, which alone speaks and knows when to stop. */
async function help({ workers }: Options, ranks: Communicator): Promise<void> {
  const { storeForRank0 } = await import('../corpus/index.js');
  const stop = interruption('');
  try {
    await storeForRank0(ranks, workers ?? workersHere());
  } finally {
    stop.done();
  }
}

async function run(sources: string[], options: Options, ranks: Communicator): Promise<void> {
  const { text, workers } = options;
  if (text !== 'report' && text !== 'header')
    throw new UsageError(`--text is "report" or "header", got "${text}"`);
  const { ingest } = await import('../corpus/index.js');
  const rights = await rightsFrom(options);
  const reports = await reportsFrom(options);
  const stop = interruption('stopping after this series; press Ctrl-C again to stop at once');
  const bars = new Bars();
  let result: Ingested;
  try {
    const how: IngestOptions = {
      corpus: options.corpus,
      text,
      ...(rights && { rights }),
      ...(reports && { reports }),
      ...(options.operator !== undefined && { operator: options.operator }),
      ...(options.metadata !== undefined && { metadata: options.metadata }),
      ...(options.everyVolume === true && { everyVolume: true }),
      ...(options.deface === true && { deface: true }),
      ...(!options.dates && { dates: false }),
      ...(options.retainCharacteristics === true && { retainCharacteristics: true }),
      ...(workers !== undefined && { workers }),
      ...(ranks.size > 1 && { ranks, workers: workers ?? workersHere() }),
      signal: stop.signal,
      onProgress: (step) => bars.show(step),
    };
    result = (await ingestFromPacs(sources, options, how)) ?? (await ingest(sources, how));
  } finally {
    bars.stop();
    stop.done();
  }

  if (options.json) printJson(result);
  else printSummary(result, options.corpus);
  if (result.interrupted)
    throw new Interrupted(
      `ingest: stopped; ${result.series.length} series are complete in ${options.corpus}, run the same command again for the rest`,
    );
  if (result.series.length === 0 && options.listen === undefined)
    throw new CliError(
      `ingest: the sources must hold MR series, but none of ${result.skipped.length} files is usable ` +
        `(${reasons(result).slice(0, 3).join('; ')}); name a folder with MR images in DICOM, NIfTI or another volume format`,
    );
}

/** A rank's share of the cores of its machine. */
function workersHere(): number {
  const here = Number(process.env.OMPI_COMM_WORLD_LOCAL_SIZE ?? process.env.MPI_LOCALNRANKS ?? 1);
  return Math.max(1, Math.floor(availableParallelism() / (here > 0 ? here : 1)));
}

/** One bar for each phase, in turn. */
class Bars {
  private phase: IngestProgress['phase'] | null = null;
  private bar: Progress | null = null;

  show({ phase, done, total }: IngestProgress): void {
    if (phase !== this.phase) {
      this.stop();
      this.phase = phase;
      this.bar = progress(phase === 'scan' ? 'reading headers' : 'storing series', total);
    }
    this.bar?.total(total);
    this.bar?.update(done);
  }

  stop(): void {
    this.bar?.stop();
    this.bar = null;
  }
}

/** Reasons for skipping with how often and one example, the most frequent first. */
function reasons({ skipped }: Ingested): string[] {
  const byReason = new Map<string, string[]>();
  for (const { path, reason } of skipped) byReason.set(reason, [...(byReason.get(reason) ?? []), path]);
  return [...byReason]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([reason, paths]) =>
      paths.length === 1
        ? `${paths[0]!}: ${reason}`
        : `${paths.length} files, such as ${paths[0]!}: ${reason}`,
    );
}

const MOST_LINES = 20;

function printSummary(result: Ingested, corpus: string): void {
  const { added, replaced, present, series } = result;
  const counts = [`${added} added`, replaced > 0 && `${replaced} completed`, `${present} already there`];
  log(`${series.length} series in ${corpus}: ${counts.filter(Boolean).join(', ')}`);
  const kinds = new Map<string, number>();
  for (const { bodyPart, plane, contrast } of series) {
    const kind = `${bodyPart} ${plane} ${contrast}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const sorted = [...kinds].sort(([, a], [, b]) => b - a);
  for (const [kind, count] of sorted.slice(0, MOST_LINES)) log(`  ${String(count).padStart(5)}  ${kind}`);
  if (sorted.length > MOST_LINES) log(`         and ${sorted.length - MOST_LINES} other kinds`);
  logReports(result.reports);
  for (const { path, reason } of result.notes.slice(0, MOST_LINES)) log(`note: ${path}: ${reason}`);
  const lines = reasons(result);
  for (const line of lines.slice(0, MOST_LINES)) log(`skipped: ${line}`);
  if (lines.length > MOST_LINES) log(`skipped: ${lines.length - MOST_LINES} more reasons; --json lists all`);
}
