// Training on images that are read by crop: node memory.mjs FOLDER RUN BYTES. Prints the peak of its memory, MB.
import { readdir } from 'node:fs/promises';
import { peakMemoryMB } from '../../dist/cli/shared.js';
import { FolderStore } from '../../dist/corpus/store.js';
import { openImage } from '../../dist/corpus/voxels.js';
import { PRETRAIN } from '../../dist/train/pretrain.js';
import { pretrain } from '../../dist/train/run.js';

const [folder, run, bytes] = process.argv.slice(2);
const store = new FolderStore(folder);
const series = (await readdir(folder)).sort().map((id) => ({
  id,
  studyId: id,
  patientId: id,
  bodyPart: 'BRAIN',
  contrast: 'T1w',
  plane: 'axial',
  text: '',
  rights: { licence: 'made', use: ['train'], reference: null, expires: null, attribution: null },
  source: 'so-1',
  quarantined: null,
}));
const view = (tokens, extent) => ({ tokens, patchMm: [[16, 1]], extent });
await pretrain({
  corpus: {
    list: async () => series,
    volume: async () => {
      throw new Error('an image of this size must not be read whole');
    },
    image: (id) => openImage(store, id),
  },
  run,
  size: 'pico',
  steps: 1,
  batch: 2,
  seed: 1,
  heldOut: 0,
  threads: 1,
  cacheBytes: Number(bytes),
  recipe: {
    ...PRETRAIN,
    global: view(24, [0.5, 1]),
    local: view(8, [0.2, 0.5]),
    locals: 1,
    head: { hidden: 32, bottleneck: 16, prototypes: 32 },
  },
});
process.stdout.write(`${peakMemoryMB()}\n`);
process.exit();
