/**
 * How well descriptions are understood: accuracy and calibration on the labelled series of test/fixtures/text. Needs the build.
 *
 *   npm run build && node scripts/text-accuracy.mjs [develop|held-out|found|fresh] [--errors]
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const dist = process.env.PRECESS_DIST
  ? pathToFileURL(`${process.env.PRECESS_DIST}/`)
  : new URL('../dist/', import.meta.url);
const { describeHeader, NO_FIELDS } = await import(new URL('text/header.js', dist).href);
const { imagingTerms, planeOf } = await import(new URL('text/terms.js', dist).href);

const half =
  process.argv.find((word) => ['develop', 'held-out', 'found', 'fresh'].includes(word)) ?? 'held-out';
const showErrors = process.argv.includes('--errors');
const listed = half === 'found' || half === 'fresh';
const LIST = new URL(`../test/fixtures/text/${listed ? half : 'series'}-descriptions.txt`, import.meta.url);

/** hint → header field */
const FIELDS = {
  bpe: ['bodyPartExamined', String],
  protocol: ['protocolName', String],
  study: ['studyDescription', String],
  agent: ['contrastAgent', String],
  type: ['imageType', (value) => value.split(',')],
  seq: ['scanningSequence', (value) => value.split(',')],
  te: ['echoTime', Number],
  tr: ['repetitionTime', Number],
  ti: ['inversionTime', Number],
  fa: ['flipAngle', Number],
  b: ['bValue', Number],
};

const rows = readFileSync(LIST, 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter((_, at) => listed || (at % 2 === 0) === (half === 'develop'));

const results = rows.map(([maker, description, hints, contrast, bodyPart, plane]) => {
  const fields = { ...NO_FIELDS, seriesDescription: description, manufacturer: maker };
  for (const hint of hints.split(';').filter(Boolean)) {
    const at = hint.indexOf('=');
    const [field, parse] = FIELDS[hint.slice(0, at)];
    fields[field] = parse(hint.slice(at + 1));
  }
  const found = describeHeader(fields, { plane: 'axial', spacingMm: [1, 1, 3], id: 'se-0' });
  // In a corpus the plane comes from geometry; here the words have to say it, the series' own or the protocol's.
  const named = planeOf(imagingTerms(description)) ?? planeOf(imagingTerms(fields.protocolName)) ?? 'unknown';
  return {
    row: `${maker}: ${description}${hints && ` (${hints})`}`,
    maker,
    contrast: { truth: contrast, said: found.contrast, sure: found.confidence.contrast },
    bodyPart: { truth: bodyPart, said: found.bodyPart, sure: found.confidence.bodyPart },
    plane: { truth: plane, said: named, sure: null },
  };
});

const isUnknown = (word) => word.toLowerCase() === 'unknown';
const percent = (n, of) => (of === 0 ? '–' : `${((100 * n) / of).toFixed(1)} %`);
const say = (...cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);

process.stdout.write(`${half}: ${results.length} series\n\n`);
say('field', 'right', 'wrong', 'missed', 'accuracy', 'right where it answers');
say('---', '---', '---', '---', '---', '---');
for (const field of ['contrast', 'bodyPart', 'plane']) {
  const right = results.filter((one) => one[field].said === one[field].truth).length;
  const missed = results.filter((one) => isUnknown(one[field].said) && !isUnknown(one[field].truth)).length;
  const wrong = results.length - right - missed;
  const answered = results.filter((one) => !isUnknown(one[field].said));
  const rightAnswers = answered.filter((one) => one[field].said === one[field].truth).length;
  say(field, right, wrong, missed, percent(right, results.length), percent(rightAnswers, answered.length));
}

process.stdout.write('\n');
say('maker', 'series', 'contrast', 'body part');
say('---', '---', '---', '---');
for (const maker of new Set(results.map((one) => one.maker))) {
  const own = results.filter((one) => one.maker === maker);
  const right = (field) => own.filter((one) => one[field].said === one[field].truth).length;
  say(maker, own.length, percent(right('contrast'), own.length), percent(right('bodyPart'), own.length));
}

process.stdout.write('\n');
say('field', 'confidence', 'answers', 'mean confidence', 'right');
say('---', '---', '---', '---', '---');
for (const field of ['contrast', 'bodyPart'])
  for (const [low, high] of [
    [0.01, 0.75],
    [0.75, 0.92],
    [0.92, 1.01],
  ]) {
    const bin = results.map((one) => one[field]).filter(({ sure }) => sure >= low && sure < high);
    if (bin.length === 0) continue;
    const mean = bin.reduce((sum, { sure }) => sum + sure, 0) / bin.length;
    const right = bin.filter(({ said, truth }) => said === truth).length;
    say(
      field,
      `${low < 0.1 ? 0 : low}–${Math.min(1, high)}`,
      bin.length,
      mean.toFixed(2),
      percent(right, bin.length),
    );
  }

if (showErrors) {
  process.stdout.write('\n');
  for (const one of results)
    for (const field of ['contrast', 'bodyPart', 'plane'])
      if (one[field].said !== one[field].truth)
        process.stdout.write(
          `${field}: ${one.row}: is ${one[field].truth}, got ${one[field].said} (${one[field].sure})\n`,
        );
}
