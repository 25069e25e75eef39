// The semi-supervised committee beside linear probes on the same labels: balanced accuracy on patients apart, for 5, 10 and
// 20 labels a class. Five splits of the patients, 16 draws of labels in each; their means are compared by a paired t-test.
//   node bench/few-labels/run.mjs --corpus DIR --model RUN|untrained [--limit 1000] [--heads 300] [--out FILE.json]
// Contrast and plane are of the corpus; diseases are of simulated heads (heads.mjs), which are made on the way.
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import {
  drawFew,
  encodeHeads,
  mean,
  openEncoder,
  pairedT,
  questionsOf,
  readCases,
  scoreOf,
} from './cases.mjs';
import { simulatedHeads } from './heads.mjs';

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    model: { type: 'string' },
    limit: { type: 'string', default: '1000' },
    heads: { type: 'string', default: '300' },
    seeds: { type: 'string', default: '5' },
    draws: { type: 'string', default: '16' },
    'first-seed': { type: 'string', default: '0' },
    // Features are kept in this file and read from it where it is there.
    cache: { type: 'string' },
    // Only series of this source are asked about, none of which has a label; diseases are left out.
    'ask-source': { type: 'string' },
    out: { type: 'string' },
  },
});
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { fitLogistic, balancedWeights } = await import(dist('tasks/classify/logistic.js'));
const { decides, fitSemi } = await import(dist('tasks/classify/semi.js'));
const { SemiSpace } = await import(dist('tasks/classify/semi-space.js'));
const { viewWidths } = await import(dist('tasks/classify/views.js'));

const L2 = 0.1;
const [seeds, draws, firstSeed] = [values.seeds, values.draws, values['first-seed']].map(Number);
const askSource = values['ask-source'] ?? null;
const began = performance.now();
const { cases, heads, embedDim } = await featuresOf();
const blocks = viewWidths(embedDim);

async function featuresOf() {
  const stored = values.cache && (await readFile(values.cache, 'utf8').catch(() => null));
  const back = (one) => ({ ...one, whole: Float32Array.from(one.whole), all: Float32Array.from(one.all) });
  if (stored) {
    const found = JSON.parse(stored);
    return { ...found, cases: found.cases.map(back), heads: found.heads.map(back) };
  }
  const encoder = await openEncoder(values.model);
  const { embedDim } = encoder.config;
  const cases = await readCases(values.corpus, encoder, { limit: Number(values.limit) });
  const heads = await encodeHeads(simulatedHeads(Number(values.heads)), encoder);
  await encoder.close();
  const plain = ({ whole, all, ...one }) => ({ ...one, whole: [...whole], all: [...all] });
  if (values.cache)
    await writeFile(
      values.cache,
      JSON.stringify({ embedDim, cases: cases.map(plain), heads: heads.map(plain) }),
    );
  return { cases, heads, embedDim };
}

if (askSource !== null && !cases.some(({ series }) => series.source === askSource)) {
  process.stderr.write(
    `no series comes from ${askSource}; sources: ${[...new Set(cases.map(({ series }) => series.source))].join(', ')}\n`,
  );
  process.exit(1);
}

/** Means over the draws of one split: probe on the summary, probe on all views, committee. */
function scoresOf(data, labels, seed) {
  const { names } = data;
  const sums = [0, 0, 0];
  let space = null;
  for (let draw = 0; draw < draws; draw++) {
    const { few, truth, rest, test } = drawFew(data, labels, seed, draw, askSource);
    const probe = (of, options) =>
      fitLogistic(few.map(of), truth, names.length, {
        ...{ l2: L2, caseWeights: balancedWeights(truth, names.length), tolerance: 1e-4 },
        ...options,
      });
    const all = ({ all }) => all;
    // Labelled and unlabelled cases together are the same in every draw of a split.
    space ??= SemiSpace.of([...few, ...rest].map(all), blocks);
    const semi = fitSemi(few.map(all), truth, rest.map(all), names.length, {
      patients: few.map(({ series }) => series.patientId),
      space,
    });
    const [summary, views] = [probe(({ whole }) => whole), probe(all, { blocks })];
    [
      scoreOf(names, test, ({ whole }) => decides(summary, whole)),
      scoreOf(names, test, (one) => decides(views, one.all)),
      scoreOf(names, test, (one) => decides(semi, one.all)),
    ].forEach((score, n) => (sums[n] += score / draws));
  }
  return sums;
}

const signed = (x) => `${x >= 0 ? '+' : '−'}${Math.abs(x).toFixed(3)}`;
const results = [];
for (const { field, ...data } of questionsOf(cases, askSource ? [] : heads)) {
  for (const labels of [5, 10, 20]) {
    const runs = Array.from({ length: seeds }, (_, seed) => scoresOf(data, labels, firstSeed + seed));
    const [summary, views, semi] = [0, 1, 2].map((n) => mean(runs.map((run) => run[n])));
    const [overSummary, overViews] = [0, 1].map((n) => pairedT(runs.map((run) => run[2] - run[n])));
    results.push({
      field,
      classes: data.names,
      cases: data.usable.length,
      labels,
      summary,
      views,
      semi,
      overSummary,
      overViews,
      runs,
    });
    process.stdout.write(
      `| ${field} | ${data.names.length} | ${labels} | ${summary.toFixed(3)} | ${views.toFixed(3)} | ${semi.toFixed(3)} | ` +
        [overSummary, overViews].map(({ gain, p }) => `${signed(gain)} (${p.toFixed(3)})`).join(' | ') +
        ' |\n',
    );
  }
}
const { user, system } = process.cpuUsage();
process.stdout.write(
  `${cases.length} series and ${heads.length} heads, ${((performance.now() - began) / 1000).toFixed(0)} s, of which ` +
    `${((user + system) / 1e6).toFixed(0)} s of one core\n`,
);
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(results, null, 2)}\n`);
