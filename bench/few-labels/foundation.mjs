// A frozen encoder with light heads beside a 3D CNN trained from scratch (PyTorch, peer.py) and hand-made intensity
// features with the same probe, on the same labels and test patients: balanced accuracy for 5, 10 and 20 labels a
// class, and how many labels each needs to come as far as the encoder does with 10.
//   node bench/few-labels/foundation.mjs --corpus DIR --model RUN|untrained --python PYTHON [--limit 1000] [--heads 300] [--out FILE.json]
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawFew, encodeHeads, GRID, mean, openEncoder, questionsOf, readCases, scoreOf } from './cases.mjs';
import { simulatedHeads } from './heads.mjs';

const { values } = parseArgs({
  options: {
    corpus: { type: 'string' },
    model: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    limit: { type: 'string', default: '1000' },
    heads: { type: 'string', default: '300' },
    draws: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
});
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { fitLogistic, balancedWeights } = await import(dist('tasks/classify/logistic.js'));
const { decides } = await import(dist('tasks/classify/semi.js'));
const { attentiveLearner } = await import(dist('tasks/classify/attentive.js'));
const { applyLinear } = await import(dist('tasks/classify/questions.js'));
const { viewWidths } = await import(dist('tasks/classify/views.js'));

const COUNTS = [5, 10, 20];
const SYSTEMS = ['encoder', 'all views', 'attentive', 'hand', 'cnn'];
const L2 = 0.1;
const encoder = await openEncoder(values.model);
const besides = { hand: true, grid: true, tokenVectors: true };
const series = await readCases(values.corpus, encoder, { limit: Number(values.limit), ...besides });
const heads = await encodeHeads(simulatedHeads(Number(values.heads)), encoder, besides);
const { config } = encoder;
const blocks = viewWidths(config.embedDim);
await encoder.close();
const cases = [...series, ...heads];
cases.forEach((one, n) => (one.n = n));

/** One fit each: names, training cases with their classes, test cases. */
const jobs = [];
for (const { field, ...data } of questionsOf(series, heads))
  for (const labels of COUNTS)
    for (let draw = 0; draw < Number(values.draws); draw++) {
      const { few, truth, test } = drawFew(data, labels, draw);
      jobs.push({ field, labels, draw, names: data.names, few, truth, test });
    }

function byProbe({ names, few, truth, test }, feature, options) {
  const model = fitLogistic(few.map(feature), truth, names.length, {
    l2: L2,
    caseWeights: balancedWeights(truth, names.length),
    tolerance: 1e-4,
    ...options,
  });
  return scoreOf(names, test, (one) => decides(model, feature(one)));
}

const learner = attentiveLearner(
  cases.map(({ features }) => features),
  config,
  { threads: 1 },
);

/** `precess fit classify --method attentive`: one query over the tokens, and a linear layer. */
async function byAttention({ names, few, truth, test, draw }) {
  const target = { kind: 'classes', names, values: truth };
  const own = few.map(({ n }) => n);
  const { learnt, linear } = await learner.learn(own, target, draw);
  const vectors = await learner.vectors(
    learnt,
    test.map(({ n }) => n),
  );
  const decided = vectors.map((vector) => {
    const z = applyLinear(linear, vector);
    return z.length === 1 ? Number(z[0] > 0) : z.indexOf(Math.max(...z));
  });
  return scoreOf(names, test, (_, n) => decided[n]);
}

const dir = await mkdtemp(join(tmpdir(), 'precess-few-'));
const grids = new Float32Array(cases.length * GRID ** 3);
cases.forEach(({ grid }, n) => grids.set(grid, n * GRID ** 3));
await writeFile(join(dir, 'grids.f32'), new Uint8Array(grids.buffer));
const told = jobs.map(({ names, few, truth, test, draw }) => ({
  classes: names.length,
  train: few.map(({ n }) => n),
  truth,
  test: test.map(({ n }) => n),
  seed: draw,
}));
await writeFile(join(dir, 'jobs.json'), JSON.stringify({ grid: GRID, jobs: told }));
const peer = fileURLToPath(new URL('peer.py', import.meta.url));
const answers = JSON.parse(
  execFileSync(values.python, [peer, dir], { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 }),
);
await rm(dir, { recursive: true, force: true });

const rows = [];
for (const [j, job] of jobs.entries())
  rows.push({
    field: job.field,
    labels: job.labels,
    encoder: byProbe(job, ({ whole }) => whole),
    'all views': byProbe(job, ({ all }) => all, { blocks }),
    attentive: await byAttention(job),
    hand: byProbe(job, ({ hand }) => hand),
    cnn: scoreOf(job.names, job.test, (_, n) => answers[j][n]),
  });

const at = (field, labels, system) =>
  mean(rows.filter((row) => row.field === field && row.labels === labels).map((row) => row[system]));
/** Labels a class at which the curve of means reaches a score, between the counts along the logarithm of them. */
function needed(field, system, score) {
  for (const [k, labels] of COUNTS.entries()) {
    const here = at(field, labels, system);
    if (here < score) continue;
    if (k === 0) return `≤ ${labels}`;
    const before = at(field, COUNTS[k - 1], system);
    const share = (score - before) / (here - before);
    return String(Math.ceil(COUNTS[k - 1] * (labels / COUNTS[k - 1]) ** share));
  }
  return `> ${COUNTS.at(-1)}`;
}
for (const field of new Set(rows.map((row) => row.field)))
  for (const system of SYSTEMS)
    process.stdout.write(
      `| ${field} | ${system} | ${COUNTS.map((labels) => at(field, labels, system).toFixed(3)).join(' | ')} | ` +
        `${needed(field, system, at(field, 10, 'encoder'))} |\n`,
    );
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(rows, null, 2)}\n`);
