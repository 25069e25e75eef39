/** `precess corpus show`: one series in words, or the whole corpus in numbers. */
import type { Command } from 'commander';
import type { Series } from '../corpus/index.js';
import { printJson } from './shared.js';

interface Options {
  readonly corpus: string;
  readonly where?: string;
  readonly json?: boolean;
}

export function registerShow(corpus: Command): void {
  corpus
    .command('show')
    .description('Show one series, or a summary of the whole corpus.')
    .argument('[id]', 'id of a series')
    .requiredOption('--corpus <dir>', 'the corpus')
    .option('--where <filter>', 'summarise only the series that an SQL condition selects')
    .option('--json', 'print one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  precess corpus show se-4f2a01c3b5d79e68 --corpus corpus\n\n' +
        'A percentage after contrast, body part and plane says how sure they are. --json prints the row as it is stored.\n',
    )
    .action(show);
}

async function show(id: string | undefined, options: Options): Promise<void> {
  if (id !== undefined) {
    const series = await withCorpus(options.corpus, (corpus) => corpus.get(id));
    if (options.json) printJson(series);
    else for (const [name, value] of lines(series)) process.stdout.write(`${name.padEnd(13)}${value}\n`);
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

/** Opens a corpus for reading, for the time of `use`. */
export async function withCorpus<T>(
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

/** A series for the person at the terminal: what is not there is left out. */
function lines(one: Series): [string, string][] {
  const sure = (value: number): string => (value > 0 ? ` (${Math.round(100 * value)} %)` : '');
  const { confidence, rights, report, quality } = one;
  const numbers = (values: readonly number[], digits: number): string =>
    values.map((value) => String(Number(value.toFixed(digits)))).join(' × ');
  const known: [string, string | null][] = [
    ['id', one.id],
    ['study', one.studyId],
    ['patient', one.patientId],
    ['source', one.source],
    ['body part', one.bodyPart + sure(confidence.bodyPart)],
    ['contrast', one.contrast + sure(confidence.contrast)],
    ['plane', one.plane + sure(confidence.plane)],
    ['described as', one.description || null],
    [
      'scanner',
      [one.manufacturer, one.fieldStrengthT === null ? '' : `${one.fieldStrengthT} T`]
        .filter(Boolean)
        .join(', '),
    ],
    [
      'person',
      [one.sex, one.ageYears === null ? null : `${one.ageYears} years`].filter(Boolean).join(', ') || null,
    ],
    ['date', one.date === null ? null : `${one.date} (shifted)`],
    ['voxels', `${numbers(one.shape, 0)}, ${numbers(one.spacingMm, 3)} mm`],
    [
      'axes',
      one.axes
        .map((axis) => `${axis.name} ${axis.value ?? ''} (${axis.index + 1} of ${axis.count})`)
        .join(', ') || null,
    ],
    [
      'gaps',
      one.missingSlices.length === 0 && one.validFraction === 1
        ? null
        : (one.missingSlices.length > 0 ? `missing slices ${one.missingSlices.join(', ')}; ` : '') +
          `${(100 * one.validFraction).toFixed(1)} % measured`,
    ],
    [
      'quality',
      quality === null
        ? null
        : [
            quality.snr === null ? '' : `signal to noise ${quality.snr.toFixed(1)}`,
            quality.motion === null ? '' : `motion ${quality.motion.toFixed(2)}`,
          ]
            .filter(Boolean)
            .join(', ') || null,
    ],
    ['defaced', one.defaced ? 'yes' : null],
    ['quarantined', one.quarantined],
    ['text', one.text || null],
    ['impression', report?.impression || null],
    ['findings', report?.findings || null],
    ['other', report?.other || null],
    [
      'rights',
      `${rights.licence}: ${rights.use.join(', ')}` +
        (rights.expires === null ? '' : ` until ${rights.expires}`) +
        (rights.reference === null ? '' : `, by ${rights.reference}`),
    ],
    ['attribution', rights.attribution],
    [
      'affine',
      one.affine
        .slice(0, 3)
        .map((row) => row.map((v) => Number(v.toFixed(4))).join(' '))
        .join('; '),
    ],
  ];
  return known.filter((line): line is [string, string] => line[1] !== null);
}
