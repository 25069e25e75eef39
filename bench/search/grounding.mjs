// The pointing game on simulated studies: how often the hottest place for a phrase lies in what it names.
//   node bench/search/grounding.mjs --model RUN [--studies N] [--seed N] [--size small|full] [--patch-mm MM]
import { parseArgs } from 'node:util';
import { ground } from '../../dist/tasks/grounding.js';
import { pointingGame } from '../../dist/tasks/grounding-pointing.js';
import { Encoder } from '../../dist/models/encoder.js';
import { simulateStudy } from '../../dist/simulate/index.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    studies: { type: 'string', default: '5' },
    seed: { type: 'string', default: '4242' },
    size: { type: 'string', default: 'small' },
    'patch-mm': { type: 'string', default: '16' },
    threads: { type: 'string', default: '1' },
  },
});
if (values.model === undefined) throw new Error('bench: give --model RUN, made by "precess align"');

/** Phrase → names of the structures that it means, by region. */
const PHRASES = {
  head: {
    'lateral ventricles': ['ventricle', 'choroid plexus'],
    brainstem: ['brainstem'],
    thalamus: ['thalamus'],
  },
  spine: {
    'spinal cord': ['spinal cord'],
    'intervertebral disc': ['disc annulus', 'disc nucleus', 'degenerate disc'],
  },
  chest: { 'right lung': ['right lung'], heart: ['right heart blood', 'left heart blood', 'myocardium'] },
  abdomen: {
    liver: ['liver'],
    spleen: ['spleen'],
    'left kidney': ['left kidney cortex', 'left kidney medulla'],
  },
  pelvis: { 'urinary bladder': ['urinary bladder', 'bladder wall'] },
  knee: { meniscus: ['meniscus', 'meniscal tear'], 'infrapatellar fat pad': ['infrapatellar fat pad'] },
};
const encoder = await Encoder.open(values.model, { threads: Number(values.threads) });
const table = [];
for (const [region, phrases] of Object.entries(PHRASES)) {
  for (const phrase of Object.keys(phrases))
    table.push({
      region,
      phrase,
      images: 0,
      hit: 0,
      'hit, against': 0,
      'within 16 mm': 0,
      chance: 0,
      'chance, 16 mm': 0,
    });
  for (let patient = 0; patient < Number(values.studies); patient++) {
    const study = simulateStudy({ seed: Number(values.seed), patient, region, size: values.size, series: 1 });
    const { volume } = study.series[0];
    const labels = study.labels(study.series[0].acquisition);
    for (const row of table.filter((one) => one.region === region)) {
      const ids = study.structures
        .filter(({ name }) => phrases[row.phrase].includes(name))
        .map(({ id }) => id);
      if (!ids.some((id) => labels.data.includes(id))) continue;
      const options = { patchMm: Number(values['patch-mm']) };
      const others = Object.keys(phrases).filter((one) => one !== row.phrase);
      const against = others.length > 0 ? others : [`MRI of the ${region}`];
      const plain = await ground(encoder, volume, row.phrase, options);
      const beyond = await ground(encoder, volume, row.phrase, { ...options, against });
      const [exact, near] = [0, 16].map((toleranceMm) =>
        pointingGame(plain.heat, labels, ids, { toleranceMm }),
      );
      row.images++;
      row.hit += exact.hit;
      row['hit, against'] += pointingGame(beyond.heat, labels, ids).hit;
      row['within 16 mm'] += near.hit;
      row.chance += exact.chance;
      row['chance, 16 mm'] += near.chance;
    }
  }
}
await encoder.close();
const share = (row, name) => Number((row[name] / row.images).toFixed(3));
const columns = ['hit', 'hit, against', 'chance', 'within 16 mm', 'chance, 16 mm'];
const all = { region: 'all', phrase: '' };
for (const name of ['images', ...columns]) all[name] = table.reduce((sum, row) => sum + row[name], 0);
console.table(
  [...table.filter(({ images }) => images > 0), all].map((row) => ({
    region: row.region,
    phrase: row.phrase,
    images: row.images,
    ...Object.fromEntries(columns.map((name) => [name, share(row, name)])),
  })),
);
