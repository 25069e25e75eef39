/** `precess deidentify`: DICOM files to DICOM files without what identifies the person. */
import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { DeidentifyOptions } from '../corpus/index.js';
import { CliError, Interrupted, interruption, log, printJson, progress } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly out: string;
  readonly descriptors: boolean;
  readonly modifiedDates: boolean;
  readonly deviceIdentity: boolean;
  readonly safePrivate: boolean;
  readonly patientCharacteristics?: boolean;
  readonly operator?: string;
  readonly json?: boolean;
}

export function registerDeidentify(program: Command): void {
  program
    .command('deidentify')
    .description('Write MR images in DICOM without what identifies the person, by PS3.15 annex E.')
    .argument('<source...>', 'files, folders and archives')
    .requiredOption(
      '--corpus <dir>',
      'the corpus whose key makes ids and moves dates; made where it is missing',
    )
    .requiredOption('--out <dir>', 'a folder for <patient>/<study>/<series>/<instance>.dcm')
    .option('--no-descriptors', 'remove descriptions and comments, rather than clean them (E.3.5)')
    .option('--no-modified-dates', 'remove dates and times, rather than move them (E.3.6)')
    .option('--no-device-identity', 'remove what names the scanner (E.3.8)')
    .option('--no-safe-private', 'remove all private elements (E.3.10)')
    .option('--patient-characteristics', 'keep sex, age, size and weight (E.3.7)')
    .option('--operator <name>', 'who does it, for the audit log')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess deidentify /data/mri --corpus corpus --out clean --no-device-identity\n\n' +
        "Ids and dates are those of the corpus's series. Files that are no MR image or hold text in their pixels are left\n" +
        'out; faces are not removed. Files that were written before are written again.\n',
    )
    .action(run);
}

interface Refused {
  readonly path: string;
  readonly reason: string;
}

async function run(sources: string[], options: Options): Promise<void> {
  const [{ Corpus, deidentifyDicom, recordUse }, { readKey }, { walk }, { readBytes }, dicom, { burnedIn }] =
    await Promise.all([
      import('../corpus/index.js'),
      import('../corpus/pseudonym.js'),
      import('../corpus/walk.js'),
      import('../formats/bytes.js'),
      import('../formats/dicom/index.js'),
      import('../corpus/deidentify/burned-in.js'),
    ]);
  const corpus = await Corpus.create(options.corpus);
  const stop = interruption('stopping after this file; press Ctrl-C again to stop at once');
  const skipped: Refused[] = [];
  let written = 0;
  try {
    const key = await readKey(corpus.dir);
    const profile: DeidentifyOptions = {
      cleanDescriptions: options.descriptors,
      modifiedDates: options.modifiedDates,
      deviceIdentity: options.deviceIdentity,
      safePrivate: options.safePrivate,
      patientCharacteristics: options.patientCharacteristics === true,
    };
    const files = [];
    for await (const file of walk(sources, corpus.dir, (one) => skipped.push(one))) files.push(file);
    const bar = progress('de-identifying', files.length);
    for (const [n, file] of files.entries()) {
      if (stop.signal.aborted) break;
      try {
        const bytes = await readBytes(file.path);
        if (!dicom.isDicom(bytes.subarray(0, 352))) throw new Error('not a DICOM file');
        const header = await dicom.readDicomHeader(file.path);
        const { series, skipped: unusable } = dicom.groupSeries([header]);
        if (unusable[0] !== undefined) throw new Error(unusable[0].reason);
        for (const one of series) {
          const text = burnedIn(await dicom.loadSeries(one), header);
          if (text !== null) throw new Error(text);
        }
        await put(options.out, deidentifyDicom(bytes, key, profile, 'it'));
        written++;
      } catch (error) {
        const reason = error instanceof Error ? error.message.replaceAll(file.path, 'it') : String(error);
        skipped.push({ path: file.shown, reason });
      }
      bar.update(n + 1);
    }
    bar.stop();
    await recordUse(
      corpus.dir,
      'export',
      { format: 'deidentified dicom', files: written },
      options.operator ?? null,
    );
  } finally {
    stop.done();
    corpus.close();
  }
  if (options.json) printJson({ written, skipped, out: options.out });
  else {
    for (const { path, reason } of skipped.slice(0, 20)) log(`skipped: ${path}: ${reason}`);
    if (skipped.length > 20) log(`skipped: ${skipped.length - 20} more files; --json lists all`);
    process.stdout.write(`${written} files in ${options.out}\n`);
  }
  if (stop.signal.aborted)
    throw new Interrupted('deidentify: stopped; run the same command again for the rest');
  if (written === 0)
    throw new CliError('deidentify: the sources must hold MR images in DICOM, but no file is usable');

  /** Its place follows from its new ids, so that one file has one place. */
  async function put(out: string, bytes: Uint8Array): Promise<void> {
    const partial = join(out, '.partial.dcm');
    await mkdir(out, { recursive: true });
    await writeFile(partial, bytes);
    const clean = await dicom.readDicomHeader(partial);
    const short = (uid: string): string => createHash('sha256').update(uid).digest('hex').slice(0, 16);
    const folder = join(out, clean.patientId, `st-${short(clean.studyUid)}`, `se-${short(clean.seriesUid)}`);
    await mkdir(folder, { recursive: true });
    await rename(partial, join(folder, `${short(clean.sopInstanceUid)}.dcm`));
  }
}
