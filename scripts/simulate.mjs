// Simulated studies as DICOM, for corpora to try things on.
//   node scripts/simulate.mjs OUT --patients 400 [--studies 1] [--seed 7] [--size small] [--series N] [--threads 2]
//   node scripts/simulate.mjs OUT --label-maps FOLDER      heads labelled as FreeSurfer does, a patient each
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeCorpus } from '../dist/simulate/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    patients: { type: 'string' },
    studies: { type: 'string', default: '1' },
    seed: { type: 'string', default: '7' },
    size: { type: 'string', default: 'small' },
    series: { type: 'string' },
    threads: { type: 'string', default: '2' },
    'label-maps': { type: 'string' },
  },
});
const [out] = positionals;
const folder = values['label-maps'];
if (out === undefined || (values.patients === undefined && folder === undefined)) {
  console.error('usage: node scripts/simulate.mjs OUT --patients N | --label-maps FOLDER');
  process.exit(2);
}
const maps =
  folder &&
  (await readdir(folder))
    .filter((name) => /\.nii(\.gz)?$/.test(name))
    .sort()
    .map((name) => join(folder, name));
const made = await writeCorpus(out, {
  patients: Number(values.patients ?? maps.length),
  studies: Number(values.studies),
  seed: Number(values.seed),
  size: values.size,
  threads: Number(values.threads),
  ...(values.series && { series: Number(values.series) }),
  ...(maps && { labelMaps: maps }),
  onProgress: (done, total) => console.error(`simulate: ${done}/${total}`),
});
console.log(JSON.stringify(made));
