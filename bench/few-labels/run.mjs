// A linear probe on few labels, alone and with the series without labels (semi-supervised): balanced accuracy on patients
// apart, for 5, 10 and 20 labels a class, five draws each, and a paired t-test over the draws.
//   node bench/few-labels/run.mjs --corpus DIR --model RUN|untrained [--limit 300] [--out FILE.json]
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { drawFew, LABELS, labelled, mean, openEncoder, pairedT, readCases, scoreOf } from './cases.mjs';

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    model: { type: 'string' },
    limit: { type: 'string', default: '300' },
    draws: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
});
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { fitLogistic, balancedWeights } = await import(dist('tasks/classify/logistic.js'));
const { decides, fitSemi } = await import(dist('tasks/classify/semi.js'));

const L2 = 0.1;
const began = performance.now();
const encoder = await openEncoder(values.model);
const cases = await readCases(values.corpus, encoder, { limit: Number(values.limit), views: 2 });
await encoder.close();

const results = [];
for (const field of Object.keys(LABELS)) {
  // 20 labels for fitting, and others to be asked about.
  const data = labelled(field, cases, 36);
  if (data.names.length < 2) {
    process.stderr.write(`${field}: fewer than two classes with 36 series; raise --limit\n`);
    continue;
  }
  for (const labels of [5, 10, 20]) {
    const pairs = Array.from({ length: Number(values.draws) }, (_, draw) => {
      const { few, truth, rest, test } = drawFew(data, labels, draw);
      const { names } = data;
      const probe = fitLogistic(
        few.map(({ whole }) => whole),
        truth,
        names.length,
        { l2: L2, caseWeights: balancedWeights(truth, names.length), tolerance: 1e-4 },
      );
      const semi = fitSemi(few, truth, rest, names.length, { l2: L2 });
      return [probe, semi].map((model) => scoreOf(names, test, ({ whole }) => decides(model, whole)));
    });
    const { gain, t, p } = pairedT(pairs.map(([a, b]) => b - a));
    const row = {
      field,
      classes: data.names,
      cases: data.usable.length,
      labels,
      probe: mean(pairs.map(([a]) => a)),
      semi: mean(pairs.map(([, b]) => b)),
      gain,
      t,
      p,
      pairs,
    };
    results.push(row);
    process.stdout.write(
      `| ${field} | ${data.names.length} | ${labels} | ${row.probe.toFixed(3)} | ${row.semi.toFixed(3)} | ` +
        `${gain >= 0 ? '+' : '−'}${Math.abs(gain).toFixed(3)} | ${p.toFixed(3)} |\n`,
    );
  }
}
const { user, system } = process.cpuUsage();
process.stdout.write(
  `${cases.length} series, ${((performance.now() - began) / 1000).toFixed(0)} s, of which ` +
    `${((user + system) / 1e6).toFixed(0)} s of one core\n`,
);
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(results, null, 2)}\n`);
