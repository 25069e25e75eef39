// Pretraining on studies that are simulated in memory: nothing but this machine's processors and its GPU takes part.
//   node bench/gpu/pretrain.mjs --run DIR --device webgpu --patients 400 --steps 1000 --batch 64 --threads 16
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { pretrain } from '../../dist/train/run.js';
import { usualRecipe } from '../../dist/train/pretrain.js';
import { openSource } from './shared-source.mjs';

const { values } = parseArgs({
  options: {
    run: { type: 'string' },
    device: { type: 'string', default: 'webgpu' },
    precision: { type: 'string', default: 'float32' },
    objective: { type: 'string', default: 'joint' },
    size: { type: 'string', default: 'nano' },
    'study-size': { type: 'string', default: 'small' },
    patients: { type: 'string', default: '400' },
    steps: { type: 'string', default: '1000' },
    batch: { type: 'string', default: '64' },
    'learning-rate': { type: 'string', default: '1e-3' },
    threads: { type: 'string', default: '16' },
    // Of a global and a local view.
    tokens: { type: 'string', default: '128,32' },
    seconds: { type: 'string' },
    'probe-every': { type: 'string', default: '250' },
    'cross-contrast': { type: 'string', default: '0.25' },
    seed: { type: 'string', default: '11' },
  },
});
const number = (name) => Number(values[name]);
const threads = number('threads');
const began = performance.now();
const since = () => `${((performance.now() - began) / 1000).toFixed(0)} s`;

/** Every patient's study, in as many threads as there are. */
async function simulated() {
  const studies = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(new URL('simulate-worker.mjs', import.meta.url));
      const failed = once(worker, 'error').then(([error]) => Promise.reject(error));
      failed.catch(() => undefined);
      while (next < number('patients')) {
        worker.postMessage({ patient: next++, seed: number('seed'), size: values['study-size'] });
        const [study] = await Promise.race([once(worker, 'message'), failed]);
        studies.push(study);
      }
      await worker.terminate();
    }),
  );
  return studies.sort((a, b) => a.patient - b.patient);
}

const volumes = {};
const rights = {
  licence: 'made',
  use: ['train', 'evaluate', 'share-weights'],
  reference: null,
  expires: null,
  attribution: null,
};
const series = (await simulated()).flatMap(({ patient, series: some }) =>
  some.map(({ volume, ...rest }, n) => {
    const id = `se-${String(patient).padStart(5, '0')}-${n}`;
    volumes[id] = volume;
    const { shape, affine } = volume;
    return {
      ...{ id, studyId: `st-${patient}`, patientId: `pt-${patient}`, ...rest, shape, affine, rights },
      ...{ source: 'simulated', validFraction: 1, missingSlices: [], quarantined: null, defaced: false },
    };
  }),
);
process.stderr.write(`${series.length} series simulated, ${since()}\n`);

const stop = new AbortController();
if (values.seconds)
  setTimeout(() => stop.abort(), 1000 * number('seconds') - (performance.now() - began)).unref();
const usual = usualRecipe(values.objective);
const [global, local] = values.tokens.split(',').map(Number);
const recipe = {
  ...usual,
  global: { ...usual.global, tokens: global },
  local: { ...usual.local, tokens: local },
  crossContrast: number('cross-contrast'),
};
const result = await pretrain({
  corpus: { list: async () => series.map((one) => ({ ...one })), ...openSource(volumes) },
  run: values.run,
  size: values.size,
  steps: number('steps'),
  batch: number('batch'),
  seed: number('seed'),
  device: values.device,
  precision: values.precision,
  objective: values.objective,
  recipe,
  learningRate: number('learning-rate'),
  heldOut: 0.2,
  probeEvery: number('probe-every'),
  checkpointEvery: number('probe-every'),
  cacheBytes: 2 ** 35,
  cutters: { threads, module: new URL('shared-source.mjs', import.meta.url).href, data: volumes },
  signal: stop.signal,
  warn: (message) => process.stderr.write(`${message}\n`),
  onStep(metrics) {
    if (metrics.step <= 3 || metrics.step % 50 === 0)
      process.stderr.write(`${since()} ${JSON.stringify(metrics)}\n`);
  },
});
process.stdout.write(`${JSON.stringify({ ...result, seconds: (performance.now() - began) / 1000 })}\n`);
process.exit();
