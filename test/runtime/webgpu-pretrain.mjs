// Pretrains a tiny model for 20 steps on the CPU and on WebGPU through the one training loop, and prints the losses.
//   node webgpu-pretrain.mjs FOLDER    which gets a run folder of each
import { join } from 'node:path';
import { NO_PROVENANCE } from '../../dist/models/provenance.js';
import { modelConfig } from '../../dist/models/sizes.js';
import { pretrainBatch } from '../../dist/train/crops.js';
import { VolumeCache } from '../../dist/train/loader.js';
import { train } from '../../dist/train/loop.js';
import { JOINT, pretrainParams, pretrainStep } from '../../dist/train/pretrain.js';

const STEPS = 20;
const config = { ...modelConfig('nano'), embedDim: 24, layers: 1, heads: 1, samples: 4 };
const recipe = {
  ...JOINT,
  global: { ...JOINT.global, tokens: 24, patchMm: [[16, 1]] },
  local: { ...JOINT.local, tokens: 8, patchMm: [[16, 1]] },
  locals: 1,
  head: { ...JOINT.head, hidden: 32, bottleneck: 16, prototypes: 32 },
};

/** A bright body with a structure of its own in air. */
function volume(seed) {
  const side = 40;
  const data = new Float32Array(side ** 3);
  for (let k = 0, n = 0; k < side; k++)
    for (let j = 0; j < side; j++)
      for (let i = 0; i < side; i++, n++) {
        const away = Math.hypot(i - 20, j - 20, k - 20);
        data[n] =
          away < 17 ? 100 + 40 * Math.sin(seed + (i * (seed + 1)) / 5) + 30 * Math.cos(j / (seed + 2)) : 0;
      }
  const affine = [
    [3, 0, 0, -60],
    [0, 3, 0, -60],
    [0, 0, 3, -60],
    [0, 0, 0, 1],
  ];
  return { data, shape: [side, side, side], affine, slope: 1, intercept: 0, valid: null };
}

const ids = ['0', '1', '2', '3'];
const series = ids.map((id) => ({ id, studyId: id, text: '' }));
const params = pretrainParams(config, recipe);
const ranks = { rank: 0, size: 1 };

async function run(device) {
  const cache = new VolumeCache({ volume: async (id) => volume(Number(id)) }, 2 ** 28, console.error);
  const losses = [];
  await train(
    {
      params,
      program: pretrainStep(params, config, recipe, 2),
      losses: ['loss', 'dino', 'ibot', 'koleo', 'pixels'],
      initial: params.initialize(1),
      teacher: true,
      async batch(step) {
        const { feeds, ...rest } = await pretrainBatch(cache, series, config, recipe, {
          seed: 1,
          step,
          batch: 2,
          ranks,
        });
        feeds.teacherTemperature = Float32Array.of(0.05);
        feeds.pixelWeight = Float32Array.of(1);
        return { feeds, ...rest };
      },
      model: (_, step) => ({ config, tokenizer: null, step, provenance: NO_PROVENANCE, tensors: new Map() }),
    },
    {
      run: join(process.argv[2], device),
      steps: STEPS,
      settings: {},
      resume: false,
      schedule: {
        learningRate: 1e-3,
        warmupSteps: 4,
        weightDecay: 0.05,
        clipNorm: 3,
        teacherMomentum: [0.9, 1],
      },
      checkpointEvery: STEPS,
      probeEvery: STEPS,
      device,
      threads: 1,
      onStep: ({ loss, dino, ibot, koleo, pixels }) => losses.push({ loss, dino, ibot, koleo, pixels }),
    },
  );
  return losses;
}

try {
  const webgpu = await run('webgpu');
  console.log(JSON.stringify({ webgpu, cpu: await run('cpu') }));
} catch (error) {
  if (!/WebGPU is not available/.test(error.message)) throw error;
  console.log(`no adapter (${error.cause.message.split('. ').at(-1)})`);
}
