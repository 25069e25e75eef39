/**
 * Ingests the real data and writes docs/shared-data.md: every series found beside what it is, and what was skipped and why.
 * Needs the build and the data ($PRECESS_DATA, else shared/data beside the repository).
 *
 *   npm run build && node scripts/shared-data-table.mjs [--check]
 *
 * --check writes nothing and fails where the table in docs differs.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const data = process.env.PRECESS_DATA || at('../../shared/data');
const out = at('../docs/shared-data.md');
const dist = process.env.PRECESS_DIST
  ? pathToFileURL(`${process.env.PRECESS_DIST}/`)
  : new URL('../dist/', import.meta.url);
const truth = JSON.parse(readFileSync(at('../test/fixtures/corpus/shared-data.json'), 'utf8'));
if (!existsSync(data)) {
  process.stderr.write(`shared-data-table: ${data} must be the folder of the real data; set PRECESS_DATA\n`);
  process.exit(1);
}

const { ingest } = await import(new URL('corpus/index.js', dist).href);
const { bodyPart: partOf } = await import(new URL('text/body-parts.js', dist).href);

const work = mkdtempSync(join(tmpdir(), 'precess-shared-data-'));
const corpus = join(work, 'corpus');
const started = performance.now();
let whole;
const rowsOf = new Map();
try {
  whole = await ingest([data], { corpus });
  // The corpus holds no paths. Ingesting one path again tells its series: they are there already.
  for (const { path, alone } of [...truth.series, ...truth.noImage]) {
    const into = alone ? join(work, `alone-${rowsOf.size}`) : corpus;
    const again = await ingest([join(data, path)], { corpus: into }).catch(() => ({
      series: [],
      skipped: [],
    }));
    rowsOf.set(path, again.series);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
const seconds = (performance.now() - started) / 1000;

/** "right", "wider" (a body part that holds the true one), "unknown" or "wrong". */
function verdict(field, found, expected) {
  if (found === expected) return 'right';
  if (found.toLowerCase() === 'unknown') return 'unknown';
  return field === 'bodyPart' && partOf(expected)?.within === found ? 'wider' : 'wrong';
}

const score = { plane: {}, contrast: {}, bodyPart: {} };
const confident = [];
const lines = [];
const cell = (text) => String(text).replaceAll('|', '\\|');
const shapeOf = (one) =>
  `${one.shape.join('×')}, ${one.spacingMm.map((mm) => mm.toFixed(2).replace(/\.?0+$/, '')).join('×')} mm`;
const gapsOf = (one) => {
  const missing = one.missingSlices.length > 0 ? `missing slices ${one.missingSlices.join(', ')}; ` : '';
  const valid = one.validFraction < 1 ? `${(100 * one.validFraction).toFixed(1)} % measured` : '';
  return (missing + valid).replace(/; $/, '') || 'none';
};

let found = 0;
const lost = [];
for (const one of truth.series) {
  // Ids differ from corpus to corpus, so that their order says nothing.
  const place = ({ plane, axes }) => [plane, ...axes.map(({ index }) => index)].join('/');
  const rows = [...(rowsOf.get(one.path) ?? [])].sort((a, b) => (place(a) < place(b) ? -1 : 1));
  if (rows.length === 0) lost.push(one.path);
  for (const row of rows) {
    if (!one.alone) found++;
    // A series of several stacks: each plane is right where it is one of them.
    const planes = one.plane === null ? [row.plane] : [one.plane].flat();
    const expected = { ...one, plane: planes.includes(row.plane) ? row.plane : planes[0] };
    const said = {};
    for (const field of ['plane', 'contrast', 'bodyPart']) {
      const is = verdict(field, row[field], expected[field]);
      const judged = field !== 'plane' || one.plane !== null ? is : 'of cubes, not judged';
      score[field][judged] = (score[field][judged] ?? 0) + 1;
      if (field !== 'plane')
        confident.push({ sure: row.confidence[field], right: is === 'right' || is === 'wider', is });
      said[field] = is === 'right' ? row[field] : `**${row[field]}** (${is}: ${expected[field]})`;
    }
    const axes = (row.axes ?? [])
      .map(({ name, value, index, count }) => `${name} ${value ?? index} of ${count}`)
      .join(', ');
    lines.push(
      [
        one.path,
        shapeOf(row),
        axes || '–',
        said.plane,
        said.contrast,
        said.bodyPart,
        gapsOf(row),
        one.note ?? '',
      ].map(cell),
    );
  }
}
const intruders = truth.noImage.filter(({ path }) => (rowsOf.get(path) ?? []).length > 0);
const unlisted =
  whole.series.length - found - intruders.reduce((sum, { path }) => sum + rowsOf.get(path).length, 0);

const count = (field) =>
  Object.entries(score[field])
    .map(([is, n]) => `${n} ${is}`)
    .join(', ');
const answered = confident.filter(({ is }) => is !== 'unknown');
const mean = answered.reduce((sum, { sure }) => sum + sure, 0) / answered.length;
const share = answered.filter(({ right }) => right).length / answered.length;
const relative = (path) => path.slice(data.length).replace(/^[\\/]/, '');
const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** One line for the files of a folder that have one reason. */
function grouped(list) {
  const groups = new Map();
  for (const { path, reason } of list) {
    const name = relative(path);
    const key = `${name.replace(/[^/]*$/, '')}\n${reason}`;
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  return [...groups].map(([key, names]) => {
    const [folder, reason] = key.split('\n');
    return [
      names.length === 1 ? names[0] : `${names.length} files in ${folder || 'the folder itself'}`,
      reason,
    ];
  });
}

const text = `# What ingest makes of the real data

Every series that \`precess ingest\` finds in the real data (its README says where that is from), beside what the series is:
by the data's documentation, by its headers and names, and by looking at the pictures. What is wrong is in bold with the
truth in brackets. "Wider" is a body part that holds the true one. The plane is that of the stored slices; volumes of cubes
of which nothing says how they were acquired have no true one.

\`npm run build && node scripts/shared-data-table.mjs\` makes this page; the truth is
\`test/fixtures/corpus/shared-data.json\`.

${whole.series.length} series from ${truth.series.length} sources; ${lost.length} sources gave none${lost.length > 0 ? ` (${lost.join(', ')})` : ''}; ${intruders.length} of
${truth.noImage.length} files that are no MR image became one${intruders.length > 0 ? ` (${intruders.map(({ path }) => path).join(', ')})` : ''}${unlisted !== 0 ? `; ${unlisted} series belong to no listed source` : ''}.

${table(
  ['field', 'result'],
  [
    ['plane', count('plane')],
    ['contrast', count('contrast')],
    ['body part', count('bodyPart')],
    [
      'confidence',
      `mean ${mean.toFixed(2)} over ${answered.length} answers on contrast and body part, ${(100 * share).toFixed(0)} % of them right`,
    ],
  ],
)}

## Series

${table(['source', 'shape', 'axes', 'plane', 'contrast', 'body part', 'gaps', 'remark'], lines)}

## Skipped

${table(
  ['files', 'reason'],
  grouped(whole.skipped).map((line) => line.map(cell)),
)}

## Notes of ingest

${
  whole.notes.length === 0
    ? 'None.'
    : table(
        ['first file', 'note'],
        grouped(whole.notes).map((line) => line.map(cell)),
      )
}
`;
process.stderr.write(
  `${whole.series.length} series, ${whole.skipped.length} skipped, ${seconds.toFixed(0)} s\n`,
);
const { format } = await import('prettier');
const page = await format(text, { parser: 'markdown', printWidth: 120 });
if (process.argv.includes('--check')) {
  if (!existsSync(out) || readFileSync(out, 'utf8') !== page) {
    process.stderr.write(
      'shared-data-table: docs/shared-data.md is not what ingest gives now; run this without --check\n',
    );
    process.exit(1);
  }
} else writeFileSync(out, page);
