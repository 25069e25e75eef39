// A linear probe on few labels, alone and with the series without labels (semi-supervised): balanced accuracy on patients
// apart, for 5, 10 and 20 labels a class, five draws each, and a paired t-test over the draws.
//   node bench/few-labels/run.mjs --corpus DIR --model RUN [--fields bodyPart,plane,contrast] [--views 3] [--out FILE.json]
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    model: { type: 'string' },
    fields: { type: 'string', default: 'bodyPart,plane,contrast' },
    where: { type: 'string' },
    views: { type: 'string', default: '3' },
    draws: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
});
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { Corpus } = await import(dist('corpus/index.js'));
const { Encoder, tokensFor } = await import(dist('models/encoder.js'));
const { Prepared } = await import(dist('volume/tokens.js'));
const { Random } = await import(dist('volume/random.js'));
const { drawView, NO_AUGMENTATION } = await import(dist('train/views.js'));
const { fitLogistic, balancedWeights } = await import(dist('tasks/classify/logistic.js'));
const { decides, fitSemi } = await import(dist('tasks/classify/semi.js'));
const { balancedAccuracy, confusion } = await import(dist('evaluate/decisions.js'));

const L2 = 0.1;
const VIEW = { tokens: 128, patchMm: [[16, 1]], extent: [0.6, 1] };
const CHANGES = { ...NO_AUGMENTATION, bias: 0.2, noise: 0.1, missingSlices: 0.3 };

const corpus = await Corpus.open(values.corpus);
const encoder = await Encoder.open(values.model);
const series = await corpus.list(values.where === undefined ? {} : { where: values.where });
const cases = new Map();
let done = 0;
for (const { id } of series) {
  try {
    const prepared = new Prepared(await corpus.volume(id));
    const random = new Random(1, done);
    const { samples } = encoder.config;
    const views = Array.from({ length: Number(values.views) }, () =>
      drawView(prepared, samples, VIEW, CHANGES, random),
    );
    const whole = tokensFor(prepared, samples, { maxTokens: 256 });
    const [first] = await encoder.features([whole]);
    const others = await encoder.features(views);
    cases.set(id, { whole: first.summary, views: others.map(({ summary }) => summary) });
  } catch (error) {
    process.stderr.write(`${id} is left out: ${error.message}\n`);
  }
  if (++done % 200 === 0) process.stderr.write(`${done}/${series.length} series encoded\n`);
}
await encoder.close();
corpus.close();

const results = [];
for (const field of values.fields.split(',')) {
  const known = series.filter((one) => cases.has(one.id) && one[field].toLowerCase() !== 'unknown');
  const counts = new Map();
  for (const one of known) counts.set(one[field], (counts.get(one[field]) ?? 0) + 1);
  // 20 labels for fitting and at least as many to be asked about.
  const names = [...counts].filter(([, count]) => count >= 50).map(([name]) => name);
  const usable = known.filter((one) => names.includes(one[field]));
  for (const labels of [5, 10, 20]) {
    const pairs = [];
    for (let draw = 0; draw < Number(values.draws); draw++) {
      const random = new Random(draw, labels);
      const patients = [...new Set(usable.map(({ patientId }) => patientId))];
      const order = random.sample(patients.length, patients.length);
      const apart = new Set([...order].slice(0, Math.floor(patients.length / 3)).map((n) => patients[n]));
      const pool = usable.filter(({ patientId }) => !apart.has(patientId));
      const test = usable.filter(({ patientId }) => apart.has(patientId));
      const mixed = [...random.sample(pool.length, pool.length)].map((n) => pool[n]);
      const few = names.flatMap((name) => mixed.filter((one) => one[field] === name).slice(0, labels));
      const rest = mixed.filter((one) => !few.includes(one));
      const classOf = (one) => names.indexOf(one[field]);
      const truth = few.map(classOf);
      const probe = fitLogistic(
        few.map(({ id }) => cases.get(id).whole),
        truth,
        names.length,
        { l2: L2, caseWeights: balancedWeights(truth, names.length), tolerance: 1e-4 },
      );
      const semi = fitSemi(
        few.map(({ id }) => cases.get(id)),
        truth,
        rest.map(({ id }) => cases.get(id)),
        names.length,
        { l2: L2 },
      );
      const score = (model) =>
        balancedAccuracy(
          confusion(
            test.map(classOf),
            test.map(({ id }) => decides(model, cases.get(id).whole)),
            names.length,
          ),
        );
      pairs.push([score(probe), score(semi)]);
    }
    const gains = pairs.map(([a, b]) => b - a);
    const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const gain = mean(gains);
    const deviation = Math.sqrt(
      gains.reduce((sum, value) => sum + (value - gain) ** 2, 0) / (gains.length - 1),
    );
    const row = {
      field,
      classes: names.length,
      labels,
      probe: mean(pairs.map(([a]) => a)),
      semi: mean(pairs.map(([, b]) => b)),
      gains,
      t: gain / (deviation / Math.sqrt(gains.length)),
    };
    results.push(row);
    process.stdout.write(
      `${field.padEnd(9)} ${String(names.length).padStart(2)} classes, ${String(labels).padStart(2)} labels each: ` +
        `probe ${row.probe.toFixed(3)}, with unlabelled ${row.semi.toFixed(3)}, t = ${row.t.toFixed(2)}\n`,
    );
  }
}
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(results, null, 2)}\n`);
