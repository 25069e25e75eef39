// Steps of pretraining on a device, the loader left out: tokens/s, TFLOP/s and the share of the device's peak.
//   node bench/gpu/run.mjs --device webgpu --peak 67 [--peak-half 134] [--sizes nano,small,base] [--batch 16,64] [--steps 20]
import { parseArgs } from 'node:util';
import { SingleProcess } from '../../dist/mpi/index.js';
import { modelConfig } from '../../dist/models/sizes.js';
import { openDevice } from '../../dist/runtime/index.js';
import { LOSS_SCALE } from '../../dist/train/loss-scale.js';
import { PRETRAIN, pretrainParams, pretrainStep } from '../../dist/train/pretrain.js';
import { openState } from '../../dist/train/state.js';
import { flopsOf } from '../compute/flops.mjs';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'webgpu' },
    threads: { type: 'string' },
    sizes: { type: 'string', default: 'nano,small,base' },
    batch: { type: 'string', default: '16,64' },
    precisions: { type: 'string', default: 'float32,float16' },
    steps: { type: 'string', default: '20' },
    // TFLOP/s by the maker's data sheet; shaders multiply on the general units, not on the matrix units.
    peak: { type: 'string' },
    'peak-half': { type: 'string' },
  },
});
const steps = Number(values.steps);

/** Feeds of the right shapes: every token measured, mask places spread out, values as normalised intensities have. */
function feedsOf(program) {
  const feeds = {};
  for (const { name, dtype, shape } of program.inputs) {
    if (name === 'params' || name === 'teacher') continue;
    const size = shape.reduce((n, d) => n * d, 1);
    if (dtype === 'int32') feeds[name] = new Int32Array(size).map((_, n) => n);
    else if (name === 'teacherTemperature') feeds[name] = Float32Array.of(0.05);
    else if (name === LOSS_SCALE) feeds[name] = Float32Array.of(1024);
    else if (/patches/.test(name))
      feeds[name] = new Float32Array(size).map((_, n) => Math.sin(n * 0.7 + (n >> 9)));
    else if (/positions/.test(name)) feeds[name] = new Float32Array(size).map((_, n) => 16 * ((n * 7) % 9));
    else feeds[name] = new Float32Array(size).fill(1);
  }
  return feeds;
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
process.stdout.write('| size | batch | products in | ms a step | tokens/s | TFLOP/s | of the peak |\n');
for (const size of values.sizes.split(','))
  for (const batch of values.batch.split(',').map(Number))
    for (const precision of values.precisions.split(',')) {
      const device = await openDevice({
        kind: values.device,
        ...(values.threads && { threads: Number(values.threads) }),
      });
      try {
        const config = modelConfig(size);
        const params = pretrainParams(config, PRETRAIN);
        const graph = pretrainStep(params, config, PRETRAIN, batch, undefined, { precision });
        const flops = flopsOf(graph);
        const program = await device.load(graph);
        const start = params.initialize(1);
        const zeros = () => new Float32Array(params.size);
        const state = await openState(
          device,
          new SingleProcess(),
          {
            size: params.size,
            clipNorm: 3,
            beta2: 0.99,
            decay: zeros(),
            parts: 1,
            guarded: precision !== 'float32',
          },
          { params: start, teacher: start, m: zeros(), v: zeros() },
        );
        const feeds = feedsOf(program);
        const times = [];
        for (let step = 1; step <= steps; step++) {
          const began = performance.now();
          await state.learn(program, feeds, ['loss']);
          await state.update({ step, learningRate: 1e-5, momentum: 0.99 });
          times.push((performance.now() - began) / 1000);
        }
        const seconds = median(times.slice(Math.min(3, steps - 1)));
        const { global, local, locals } = PRETRAIN;
        const tokens = batch * (2 * global.tokens + locals * local.tokens);
        const rate = flops / seconds / 1e12;
        const peak = Number(precision === 'float16' ? values['peak-half'] : values.peak);
        process.stdout.write(
          `| ${size} | ${batch} | ${precision} | ${(seconds * 1000).toFixed(1)} | ${Math.round(tokens / seconds)} | ` +
            `${rate.toFixed(2)} | ${peak > 0 ? `${((100 * rate) / peak).toFixed(1)} %` : ''} |\n`,
        );
      } catch (error) {
        process.stdout.write(`| ${size} | ${batch} | ${precision} | ${error.message.slice(0, 300)} |\n`);
      } finally {
        await device.close();
      }
    }
