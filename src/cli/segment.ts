/** `precess segment`: a label for every voxel of an image, by a head from "precess fit segment". */
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { DicomSeries } from '../formats/dicom/index.js';
import type { Click, SegmentHead } from '../tasks/segment/index.js';
import { determinant } from '../volume/affine.js';
import type { Volume } from '../volume/volume.js';
import { onlyImage } from './search.js';
import {
  CliError,
  decimal,
  Interrupted,
  interruption,
  log,
  printJson,
  progress,
  UsageError,
  wholeNumber,
} from './shared.js';

interface Options {
  readonly head: string;
  readonly out: string;
  readonly model?: string;
  readonly ensemble: number;
  readonly overlap: number;
  readonly adapt?: boolean;
  readonly text?: string;
  readonly click?: readonly string[];
  readonly threads?: number;
  readonly json?: boolean;
}

export function registerSegment(program: Command): void {
  program
    .command('segment')
    .description('Label every voxel of an image, on its own grid, as NIfTI or as a DICOM Segmentation.')
    .argument('<src>', 'DICOM folder or file, or NIfTI file')
    .requiredOption('--head <dir>', 'folder made by "precess fit segment"')
    .requiredOption('--out <file>', '.nii or .nii.gz; .dcm for a DICOM Segmentation of a DICOM series')
    .option('--model <model>', 'another encoder of the same size than the one in the head')
    .option(
      '--ensemble <n>',
      'look so many ways (mirrored, tokens cut elsewhere) and take the mean',
      wholeNumber('--ensemble', 1, 8),
      1,
    )
    .option(
      '--overlap <share>',
      'share of a window in common with the next',
      decimal('--overlap', 0, 0.9),
      0.25,
    )
    .option(
      '--adapt',
      'tell labels once more by how bright each is in this image (default: where the head was taught with label maps)',
    )
    .option('--no-adapt', 'do not')
    .option('--text <phrase>', 'only the labels whose names have these words, e.g. "ventricles"')
    .option(
      '--click <points...>',
      'x,y,z:label, a point in RAS+ mm and what is there (a label name or background); x,y,z for more of what is found there',
    )
    .option('--threads <n>', 'threads (default: the cores)', wholeNumber('--threads', 1))
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  precess segment scans/T1.nii.gz --head heads/brain --out labels.nii.gz --ensemble 2\n' +
        '  precess segment scans/T1 --head heads/brain --out seg.dcm\n' +
        '  precess segment scans/T1.nii.gz --head heads/brain --out v.nii.gz --text ventricles \\\n' +
        '    --click="-12,20,15:lateral ventricle"\n\n' +
        'Beside a NIfTI file a JSON file of the same name lists labels and volumes. A DICOM Segmentation carries the\n' +
        'patient and study of its images, as it goes back to their archive: treat it as you treat them.\n' +
        'For research only: a segmentation is no finding.\n',
    )
    .action(segment);
}

async function segment(src: string, options: Options): Promise<void> {
  const { out } = options;
  const isDicom = /\.dcm$/i.test(out);
  if (!isDicom && !/\.nii(\.gz)?$/i.test(out))
    throw new UsageError(`--out is a .nii, .nii.gz or .dcm file, got "${out}"`);
  const tasks = await import('../tasks/segment/index.js');
  const head = await tasks.readSegmentHead(options.head, options.model);
  const only = options.text === undefined ? undefined : tasks.labelsNamed(options.text, head.labels.names);
  const clicks = (options.click ?? []).map((text) => clickOf(text, head));
  const { volume, series } = isDicom ? await onlySeries(src) : { volume: await onlyImage(src), series: null };
  const stop = interruption('stopping; press Ctrl-C again to stop at once');
  const bar = progress('windows', 1);
  const segmenter = await tasks.Segmenter.open(
    head,
    options.threads === undefined ? {} : { threads: options.threads },
  );
  const labels = await segmenter
    .segment(volume, {
      ensemble: options.ensemble,
      overlap: options.overlap,
      clicks,
      ...(options.adapt !== undefined && { adapt: options.adapt }),
      ...(only && { only }),
      signal: stop.signal,
      onProgress(done, total) {
        bar.total(total);
        bar.update(done);
      },
    })
    .finally(() => {
      bar.stop();
      stop.done();
      return segmenter.close();
    });
  if (stop.signal.aborted) throw new Interrupted('segment: stopped; nothing was written');
  const document = describe(labels, head, options);
  if (series) await writeSeg(out, series, labels, head);
  else await writeNifti(out, labels, document);
  if (options.json) printJson({ ...document, out });
  else {
    for (const { name, ml } of document.labels)
      process.stdout.write(`${name.padEnd(28)} ${ml.toFixed(1).padStart(9)} ml\n`);
    log(`segment: labels in ${out}`);
  }
}

/** "x,y,z" or "x,y,z:label". @throws UsageError for anything else, or a label that the head does not know. */
function clickOf(text: string, { labels: { names } }: SegmentHead): Click {
  const [place, label] = [
    text.split(':', 1)[0]!,
    text.includes(':') ? text.slice(text.indexOf(':') + 1) : null,
  ];
  const point = place.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  if (point.length !== 3 || !point.every(Number.isFinite))
    throw new UsageError(`--click is x,y,z in mm and perhaps :label, e.g. "10,-20,5:liver", got "${text}"`);
  const number = label === null ? null : names.indexOf(label.trim());
  if (number === -1)
    throw new UsageError(`--click: the label is one of ${names.join(', ')}, got "${label!.trim()}"`);
  return { pointMm: point as unknown as Click['pointMm'], label: number };
}

/** The one DICOM series of a folder or file, with what a Segmentation refers to. */
async function onlySeries(src: string): Promise<{ volume: Volume; series: DicomSeries }> {
  const [{ walk }, { groupSeries, loadSeries, readDicomHeader }] = await Promise.all([
    import('../corpus/walk.js'),
    import('../formats/dicom/index.js'),
  ]);
  const instances = [];
  for await (const { path } of walk([src], '', () => undefined)) {
    // Files of other kinds lie beside images.
    const header = await readDicomHeader(path).catch(() => null);
    if (header !== null) instances.push(header);
  }
  const { series } = groupSeries(instances);
  if (series.length !== 1)
    throw new CliError(
      `segment: ${src} must hold one DICOM MR series for a .dcm file to refer to, got ${series.length}; ` +
        'name the folder of one series, or write .nii.gz',
    );
  return { volume: await loadSeries(series[0]!), series: series[0]! };
}

interface Described {
  readonly labels: readonly { value: number; name: string; voxels: number; ml: number }[];
  readonly head: { labels: number; steps: number };
  readonly encoder: { size: string; steps: number };
  readonly ensemble: number;
  readonly note: string;
}

function describe({ data, affine }: Volume, head: SegmentHead, { ensemble }: Options): Described {
  const counts = new Float64Array(65536);
  for (const value of data) counts[value]!++;
  const voxelMl = Math.abs(determinant(affine)) / 1000;
  const { names, values } = head.labels;
  return {
    labels: names.slice(1).map((name, n) => {
      const value = values[n + 1]!;
      return { value, name, voxels: counts[value]!, ml: counts[value]! * voxelMl };
    }),
    head: { labels: names.length - 1, steps: head.step },
    encoder: { size: head.model.config.size, steps: head.model.step },
    ensemble,
    note: 'For research only; not for clinical use.',
  };
}

async function writeNifti(out: string, labels: Volume, document: Described): Promise<void> {
  const { writeNiftiFile } = await import('../formats/nifti/index.js');
  const partial = out.replace(/(\.nii(\.gz)?)$/i, '.partial$1');
  const sidecar = out.replace(/\.nii(\.gz)?$/i, '.json');
  await whole(out, partial, async () => {
    await writeNiftiFile(partial, labels, { description: 'Precess labels' });
    await writeFile(`${sidecar}.partial`, `${JSON.stringify(document, null, 2)}\n`);
    await rename(`${sidecar}.partial`, sidecar);
  });
}

async function writeSeg(out: string, series: DicomSeries, labels: Volume, head: SegmentHead): Promise<void> {
  const { encodeSegmentation } = await import('../formats/dicom/segmentation.js');
  const { names, values } = head.labels;
  const bytes = await encodeSegmentation(series, labels, {
    segments: names.slice(1).map((name, n) => ({ name, value: values[n + 1]! })),
    algorithm: `Precess ${head.model.config.size}`,
    version: '0.1.0',
  });
  await whole(out, `${out}.partial`, () => writeFile(`${out}.partial`, bytes));
}

/** Writes beside the file first, so that there is never half of one. */
async function whole(out: string, partial: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
    await rename(partial, out);
  } catch (error) {
    await rm(partial, { force: true });
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(`segment: ${basename(out)} cannot be written (${why}); give another --out`, {
      cause: error,
    });
  }
}
