// The pointing game: how often the hottest place for a phrase lies in what it names. On simulated studies, on heads
// simulated from label maps of people, and on real images that have labels.
//   node bench/search/grounding.mjs --model RUN [--studies N] [--seed N] [--size small|full] [--patch-mm MM] [--data DIR]
// DIR is the folder of the development data; without it only simulated studies are asked.
import { parseArgs } from 'node:util';
import { ground } from '../../dist/tasks/grounding.js';
import { pointingGame } from '../../dist/tasks/grounding-pointing.js';
import { Encoder } from '../../dist/models/encoder.js';
import { PHRASES, realCases, simulatedCases, labelMapCases } from './grounding-cases.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    studies: { type: 'string', default: '5' },
    seed: { type: 'string', default: '4242' },
    size: { type: 'string', default: 'small' },
    'patch-mm': { type: 'string', default: '16' },
    data: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
});
if (values.model === undefined) throw new Error('bench: give --model RUN, made by "precess align"');

const encoder = await Encoder.open(values.model, { threads: Number(values.threads) });
const table = Object.entries(PHRASES).flatMap(([region, phrases]) =>
  Object.keys(phrases).map((phrase) => ({
    region,
    phrase,
    images: 0,
    hit: 0,
    'hit, against': 0,
    'within 16 mm': 0,
    chance: 0,
    'chance, 16 mm': 0,
  })),
);
const drawn = { seed: Number(values.seed), studies: Number(values.studies), size: values.size };
await play(simulatedCases(drawn));
if (values.data !== undefined) {
  await play(labelMapCases(values.data, drawn));
  await play(realCases(values.data));
}
await encoder.close();

/** Asks for every phrase of the region of every case, where what it names is in view. */
async function play(cases) {
  const options = { patchMm: Number(values['patch-mm']) };
  for await (const { region, volume, labels, valuesOf } of cases)
    for (const row of table.filter((one) => one.region === region)) {
      const ids = valuesOf(row.phrase);
      if (!ids.some((id) => labels.data.includes(id))) continue;
      const others = Object.keys(PHRASES[region]).filter((one) => one !== row.phrase);
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

const share = (row, name) => Number((row[name] / row.images).toFixed(3));
const columns = ['hit', 'hit, against', 'chance', 'within 16 mm', 'chance, 16 mm'];
/** What rows come to together, image by image. */
function together(region, rows) {
  const all = { region, phrase: '' };
  for (const name of ['images', ...columns]) all[name] = rows.reduce((sum, row) => sum + row[name], 0);
  return all;
}
const asked = table.filter(({ images }) => images > 0);
const kinds = ['simulated', 'label maps', 'real'].map((kind) => [kind, (one) => kindOf(one.region) === kind]);
const kindOf = (region) => region.split(', ')[1] ?? 'simulated';
const sums = kinds.map(([kind, is]) => together(`all, ${kind}`, asked.filter(is)));
console.table(
  [...asked, ...sums.filter(({ images }) => images > 0)].map((row) => ({
    region: row.region,
    phrase: row.phrase,
    images: row.images,
    ...Object.fromEntries(columns.map((name) => [name, share(row, name)])),
  })),
);
