// What a score costs: Precess against the plain recipe (dense crops of stretched volumes, nothing dropped), same model,
// same objective, same series, same number of series shown. Scores come with every checkpoint; a run that is stopped
// goes on where it was. Run it as: npm run bench:compute -- [--steps 400] [--seeds 0,1,2] [--config FILE] [--out DIR] …
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Corpus, splitOf } from '../../dist/index.js';
import { tokensFor } from '../../dist/models/encoder.js';
import { modelConfig } from '../../dist/models/sizes.js';
import { openDevice } from '../../dist/runtime/index.js';
import { writeCorpus } from '../../dist/simulate/index.js';
import { pretrainBatch, studiesOf } from '../../dist/train/crops.js';
import { VolumeCache } from '../../dist/train/loader.js';
import { train } from '../../dist/train/loop.js';
import { ALIGN, sayOf, textBatch } from '../../dist/train/align.js';
import { readPretrainConfig, recipeOf } from '../../dist/train/config.js';
import {
  lateFrom,
  layerRates,
  recipeAt,
  scheduledWeight,
  pretrainParams,
  pretrainStep,
  teacherTemperature,
} from '../../dist/train/pretrain.js';
import { TextTokenizer, trainWordPiece } from '../../dist/text/tokenizer.js';
import { Random } from '../../dist/volume/random.js';
import { flopsOf } from './flops.mjs';
import { denseWhole, plainBatch, plainRecipe, SIDES } from './plain.mjs';
import { plot } from './plot.mjs';
import { labelledHeads, makeProbe, probeSeries } from './probes.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '400' },
    batch: { type: 'string', default: '16' },
    seeds: { type: 'string', default: '0,1,2' },
    arms: { type: 'string', default: 'precess,plain' },
    size: { type: 'string', default: 'nano' },
    objective: { type: 'string' },
    config: { type: 'string' },
    width: { type: 'string' },
    layers: { type: 'string' },
    'learning-rate': { type: 'string', default: '5e-4' },
    probes: { type: 'string', default: '8' },
    patients: { type: 'string', default: '400' },
    threads: { type: 'string', default: String(cpus().length) },
    corpus: { type: 'string' },
    data: { type: 'string', default: join(root, '..', 'shared', 'data') },
    out: { type: 'string', default: join(root, '.precess', 'bench-compute') },
  },
});
const [steps, batch, probes, threads] = ['steps', 'batch', 'probes', 'threads'].map((name) =>
  Number(flags[name]),
);
const seeds = flags.seeds.split(',').map(Number);
const probeEvery = Math.max(1, Math.round(steps / probes));
const learningRate = Number(flags['learning-rate']);
const file = flags.config ? await readPretrainConfig(flags.config) : {};
const objective = flags.objective ?? file.objective ?? 'dino';
// Masked autoencoding has other batches, another program and no teacher: neither side has them here.
const BENCHED = ['dino', 'joint', 'slip'];
if (!BENCHED.includes(objective)) {
  process.stderr.write(
    `bench:compute: the objective must be one of ${BENCHED.join(', ')}, got "${objective}"; choose another --objective\n`,
  );
  process.exit(2);
}
const recipe = recipeOf(objective, file.recipe);
const usual = modelConfig(flags.size);
// The same architecture, narrower or shallower where the machine allows no more.
const config = {
  ...usual,
  embedDim: Number(flags.width ?? usual.embedDim),
  layers: Number(flags.layers ?? usual.layers),
  textDim: Number(flags.width ?? usual.textDim),
};
const say = (text) => process.stderr.write(`${text}\n`);

/** The corpus given, or one of simulated studies that is made once. */
async function openCorpus() {
  if (flags.corpus) return Corpus.open(flags.corpus);
  const dir = join(flags.out, `corpus-${flags.patients}`);
  if (!existsSync(join(dir, 'done'))) {
    const files = join(flags.out, `studies-${flags.patients}`);
    say(`simulating ${flags.patients} studies …`);
    await writeCorpus(files, { patients: Number(flags.patients), seed: 7, size: 'small', threads });
    const { status } = spawnSync(
      process.execPath,
      [join(root, 'bin/precess'), 'ingest', files, '--corpus', dir, '--rights', 'simulated:train,evaluate'],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    if (status !== 0) throw new Error('bench: the ingest of the simulated studies failed');
    await writeFile(join(dir, 'done'), '');
  }
  return Corpus.open(dir);
}

const PROBE_TOKENS = 128;

/** How each side makes batches of the same series, and tokens of a whole volume for the probes. */
const ARMS = {
  precess: {
    recipe,
    length: PROBE_TOKENS,
    batch: pretrainBatch,
    cut(prepared, samples) {
      const set = tokensFor(prepared, samples, { patchMm: 16, maxTokens: PROBE_TOKENS });
      return { set, places: set.positions };
    },
  },
  plain: { recipe: plainRecipe(recipe), length: SIDES.global ** 3, batch: plainBatch, cut: denseWhole },
};

await mkdir(flags.out, { recursive: true });
const corpus = await openCorpus();
const all = (await corpus.list()).sort((a, b) => (a.id < b.id ? -1 : 1));
const isHeldOut = ({ patientId }) => splitOf(patientId, 0, 0.2) === 'held-out';
const training = all.filter((one) => !isHeldOut(one));
const series = probeSeries(training, all.filter(isHeldOut));
const heads = await labelledHeads(join(flags.data, 'label-maps', 'brain-synthseg'));
say(
  `${training.length} series to learn from, ${series.references.length} references and ${series.queries.length} ` +
    `queries for probes, ${heads.length} heads with labels`,
);
const cache = new VolumeCache(corpus, 6e9, say);
const words = recipe.text ? new TextTokenizer(trainWordPiece(training.map(({ text }) => text))) : null;
const side = words && words.vocabSize;
const setting = {
  size: flags.size,
  objective,
  embedDim: config.embedDim,
  layers: config.layers,
  ...(flags.config && { recipe }),
  steps,
  batch,
  learningRate,
  series: training.length,
};

const runs = [];
const arms = flags.arms.split(',');
for (const seed of seeds) for (const arm of arms) runs.push(await runOf(arm, seed));

async function runOf(name, seed) {
  const arm = ARMS[name];
  const params = pretrainParams(config, arm.recipe, side === null ? null : { side, batch });
  const programOf = (recipe) => pretrainStep(params, config, recipe, batch, undefined, { side });
  const program = programOf(arm.recipe);
  const flops = flopsOf(program);
  const from = lateFrom(arm.recipe, steps);
  const late = from === null ? null : { from, program: programOf(recipeAt(arm.recipe, from, steps)) };
  const lateFlops = late && flopsOf(late.program);
  const flopsAt = (step) => step * flops + (late ? Math.max(0, step - from) * (lateFlops - flops) : 0);
  const initial = params.initialize(seed);
  const probe = makeProbe({ params, config, length: arm.length, cut: arm.cut, cache, series, heads });
  const run = join(
    flags.out,
    `${name}-${objective}-${flags.size}-${config.embedDim}x${config.layers}-${steps}x${batch}-${learningRate}-${seed}`,
  );
  const start = await untrained(join(run, 'untrained.json'), async () => {
    const device = await openDevice({ kind: 'cpu', threads });
    try {
      return await probe(device, await device.buffer('float32', [params.size], initial));
    } finally {
      await device.close();
    }
  });
  say(`${name}, seed ${seed}: ${(flops / 1e9).toFixed(1)} GFLOP a step, untrained ${start.score}`);
  const studies = studiesOf(training);
  const momentum = Math.min(0.996, Math.max(0.9, 1 - 8 / steps));
  await train(
    {
      params,
      program,
      ...(late && { late }),
      ...(arm.recipe.layerDecay && { rates: layerRates(params, config.layers, arm.recipe.layerDecay) }),
      losses: [
        'loss',
        'dino',
        'ibot',
        'koleo',
        ...(arm.recipe.pixels ? ['pixels'] : []),
        ...(words ? ['text'] : []),
      ],
      initial,
      teacher: true,
      async batch(step) {
        const at = { seed, step, batch };
        const { shown, ...made } = await arm.batch(
          cache,
          training,
          config,
          recipeAt(arm.recipe, step, steps),
          at,
          studies,
        );
        made.feeds.teacherTemperature = Float32Array.of(teacherTemperature(arm.recipe, step, steps));
        if (arm.recipe.pixels)
          made.feeds.pixelWeight = Float32Array.of(scheduledWeight(arm.recipe.pixels, step, steps));
        if (!words) return made;
        made.feeds.textWeight = Float32Array.of(scheduledWeight(arm.recipe.text, step, steps));
        const said = shown.map((one, row) => sayOf(one, ALIGN.paraphrase, new Random(seed, step, row, 1)));
        const texts = await textBatch(words, config, shown, said);
        return { ...made, ...texts, feeds: { ...made.feeds, ...texts.feeds } };
      },
      model: (weights, step) => ({
        config,
        tokenizer: null,
        step,
        provenance: { runs: [], sources: [], series: 0, seen: '' },
        tensors: new Map(
          params.slices
            .filter(({ name: tensor }) => tensor.startsWith('image.'))
            .map(({ name: tensor, shape, offset, size }) => [
              tensor,
              { name: tensor, shape, data: weights.slice(offset, offset + size) },
            ]),
        ),
      }),
      probe,
    },
    {
      run,
      steps,
      settings: { ...setting, arm: name, seed },
      resume: existsSync(join(run, 'config.json')),
      schedule: {
        learningRate,
        warmupSteps: Math.max(1, Math.round(steps * 0.1)),
        weightDecay: 0.05,
        clipNorm: 3,
        teacherMomentum: [momentum, 1],
      },
      checkpointEvery: probeEvery,
      probeEvery,
      device: 'cpu',
      threads,
      onStep(metrics) {
        if (metrics.score !== undefined)
          say(
            `${name}, seed ${seed}, step ${metrics.step}: loss ${metrics.loss.toFixed(3)}, score ${metrics.score}`,
          );
      },
    },
  );
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  let seconds = 0;
  const points = [{ step: 0, flops: 0, seconds: 0, ...start }];
  for (const line of lines) {
    seconds += line.seconds;
    if (line.score === undefined) continue;
    const scores = Object.fromEntries(
      Object.entries(line).filter(([key]) => /^(knn|linear)\.|^score$/.test(key)),
    );
    points.push({ step: line.step, flops: flopsAt(line.step), seconds, ...scores });
  }
  const waitShare = lines.reduce((sum, line) => sum + line.waitShare * line.seconds, 0) / seconds;
  const done = { arm: name, seed, flopsAStep: flops, waitShare, points };
  await report([...runs, done]);
  return done;
}

/** A score that is worked out once. */
async function untrained(file, make) {
  const before = await readFile(file, 'utf8').catch(() => null);
  if (before !== null) return JSON.parse(before);
  const scores = await make();
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, JSON.stringify(scores));
  return scores;
}

/** The least compute at which a run reaches a score, between its points by a straight line; null where it never does. */
function reached(points, key, by, target) {
  for (const [n, point] of points.entries()) {
    if (point[key] < target) continue;
    if (n === 0) return 0;
    const before = points[n - 1];
    return before[by] + ((target - before[key]) / (point[key] - before[key])) * (point[by] - before[by]);
  }
  return null;
}

/** Ratio of the plain recipe's whole compute to what Precess needs for its final score, seed by seed. */
function ratios(done, by) {
  return seeds.flatMap((seed) => {
    const of = (arm) => done.find((one) => one.arm === arm && one.seed === seed);
    const [ours, plain] = [of('precess'), of('plain')];
    if (!ours || !plain) return [];
    const last = plain.points.at(-1);
    const need = reached(ours.points, 'score', by, last.score);
    return [
      { seed, target: last.score, plain: last[by], precess: need, ratio: need ? last[by] / need : null },
    ];
  });
}

async function report(done) {
  const result = {
    setting,
    machine: { cpu: cpus()[0]?.model, threads },
    flops: ratios(done, 'flops'),
    seconds: ratios(done, 'seconds'),
    runs: done,
  };
  await writeFile(join(flags.out, 'compute.json'), `${JSON.stringify(result, null, 2)}\n`);
  await writeFile(
    join(flags.out, 'compute.svg'),
    plot(
      done,
      `Mean of the probes against compute (${config.layers} layers of ${config.embedDim}, ${objective}, batch ${batch})`,
    ),
  );
}

const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
process.stdout.write(
  '| | GFLOP a step | untrained | final | seconds a step | waiting |\n| --- | --- | --- | --- | --- | --- |\n',
);
for (const arm of arms) {
  const own = runs.filter((run) => run.arm === arm);
  const row = [
    (own[0].flopsAStep / 1e9).toFixed(0),
    mean(own.map(({ points }) => points[0].score)).toFixed(3),
    mean(own.map(({ points }) => points.at(-1).score)).toFixed(3),
    mean(own.map(({ points }) => points.at(-1).seconds / points.at(-1).step)).toFixed(2),
    `${(100 * mean(own.map(({ waitShare }) => waitShare))).toFixed(1)} %`,
  ];
  process.stdout.write(`| ${arm} | ${row.join(' | ')} |\n`);
}
for (const by of ['flops', 'seconds'])
  for (const { seed, target, precess, ratio } of ratios(runs, by))
    process.stdout.write(
      `seed ${seed}, ${by}: Precess reaches the plain recipe's final ${target} ` +
        `${precess === null ? 'never' : precess === 0 ? 'untrained' : `at ${precess.toPrecision(3)}, ratio ${ratio.toFixed(2)}`}\n`,
    );
corpus.close();
