// One rank of a training job on images made here: node job.mjs pretrain|joint|slip|mae|align|align-studies RUN STEPS [options as JSON].
import { openCommunicator } from '../../dist/mpi/index.js';
import { ALIGN } from '../../dist/train/align.js';
import { MAE } from '../../dist/train/mae.js';
import { JOINT, PRETRAIN, SLIP } from '../../dist/train/pretrain.js';
import { align, pretrain } from '../../dist/train/run.js';

const [kind, run, steps, json = '{}'] = process.argv.slice(2);
const { slowMs = 0, ...options } = JSON.parse(json);

const SHAPE = [44, 40, 12];
const SPACING = [2.5, 2.5, 6];
const REGIONS = ['brain', 'knee', 'pelvis'];

/** Two ellipsoids of different brightness in air, placed and textured by the number. */
function volume(n) {
  const data = new Float32Array(SHAPE[0] * SHAPE[1] * SHAPE[2]);
  let at = 0;
  for (let k = 0; k < SHAPE[2]; k++)
    for (let j = 0; j < SHAPE[1]; j++)
      for (let i = 0; i < SHAPE[0]; i++, at++) {
        const [x, y, z] = [i / SHAPE[0] - 0.5, j / SHAPE[1] - 0.5, k / SHAPE[2] - 0.5];
        const inside = x * x + y * y + z * z < 0.2;
        const lesion = (x - 0.05 * (n % 5)) ** 2 + y * y + (z - 0.1) ** 2 < 0.01 + 0.003 * (n % 3);
        data[at] = inside ? 300 + 40 * Math.sin((n + 1) * 9 * x + 5 * y) + (lesion ? 250 : 0) : 2;
      }
  return {
    data,
    shape: SHAPE,
    affine: [
      [SPACING[0], 0, 0, 0],
      [0, SPACING[1], 0, 0],
      [0, 0, SPACING[2], 0],
      [0, 0, 0, 1],
    ],
    slope: 1,
    intercept: 0,
    valid: null,
  };
}

const series = Array.from({ length: 11 }, (_, n) => ({
  id: `se-${String(n).padStart(16, '0')}`,
  // Studies of two series in one place.
  studyId: `st-${n >> 1}`,
  patientId: `pt-${n >> 1}`,
  description: '',
  bodyPart: REGIONS[n % 3].toUpperCase(),
  contrast: n % 2 ? 'T2w' : 'T1w',
  plane: 'axial',
  manufacturer: 'SIEMENS',
  fieldStrengthT: 3,
  shape: SHAPE,
  spacingMm: SPACING,
  affine: volume(n).affine,
  validFraction: 1,
  missingSlices: [],
  text: `Axial T${n % 2 ? 2 : 1}-weighted image of the ${REGIONS[n % 3]}, 3 T. No lesion number ${n}.`,
  rights: {
    licence: 'made',
    use: ['train', 'evaluate'],
    reference: null,
    expires: null,
    attribution: null,
  },
  source: 'so-1',
  axes: [],
  confidence: { bodyPart: 1, contrast: 1, plane: 1 },
  sex: null,
  ageYears: null,
  date: null,
  report: null,
  contentHash: '',
  quality: null,
  quarantined: null,
  defaced: false,
}));

const corpus = {
  list: async () => series.map((one) => ({ ...one })),
  volume: async (id) => {
    await new Promise((resolve) => setTimeout(resolve, slowMs));
    return volume(series.findIndex((one) => one.id === id));
  },
};

const ranks = await openCommunicator();
const controller = new AbortController();
for (const signal of ['SIGTERM', 'SIGUSR2']) process.on(signal, () => controller.abort());
const view = (tokens) => ({ tokens, patchMm: [[16, 1]], extent: [0.5, 1] });
const common = {
  corpus,
  run,
  size: 'pico',
  steps: Number(steps),
  batch: 4,
  seed: 5,
  heldOut: 0,
  checkpointEvery: 1000,
  // One step must not keep anything of the step before by way of the cache.
  cacheBytes: 1,
  signal: controller.signal,
  onStep: ({ step }) => process.stdout.write(`step ${step}\n`),
  ranks,
  ...options,
};
try {
  const recipe = { pretrain: PRETRAIN, joint: JOINT, slip: SLIP }[kind];
  if (recipe)
    await pretrain({
      ...common,
      objective: kind === 'pretrain' ? 'dino' : kind,
      recipe: {
        ...recipe,
        ...(kind !== 'pretrain' && { crossContrast: 0.7 }),
        ...(kind === 'slip' && { layerDecay: 0.7, late: { share: 0.4, global: view(40) } }),
        global: view(24),
        local: view(8),
        locals: 2,
        head: { hidden: 64, bottleneck: 32, prototypes: 48 },
      },
    });
  else if (kind === 'mae')
    await pretrain({ ...common, objective: 'mae', maeRecipe: { ...MAE, view: view(24), visible: 10 } });
  else
    await align({
      ...common,
      recipe: { ...ALIGN, view: view(24), studySeries: kind === 'align-studies' ? 2 : 1 },
    });
  await ranks.finalize();
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  ranks.abort(1);
}
process.exit();
