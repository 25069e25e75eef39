// Draws a contact sheet of simulated series, to be looked at: one row a study, one square a series.
//   node scripts/preview-simulated.mjs [sheet.png] [--seed 1] [--patients 12] [--region knee] [--size small] [--slices 1]
// Build first (npm run build). With --slices n each series is shown at n positions instead of its middle only.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { encode } from 'fast-png';
import { REGIONS, simulateStudy } from '../dist/simulate/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    patients: { type: 'string', default: String(REGIONS.length) },
    region: { type: 'string' },
    size: { type: 'string', default: 'small' },
    series: { type: 'string', default: '4' },
    slices: { type: 'string', default: '1' },
  },
});
const SIDE = 192;
const patients = Number(values.patients);
const perSeries = Number(values.slices);
const columns = Number(values.series) * perSeries;
const sheet = new Uint8Array(SIDE * columns * SIDE * patients);

/** Slice k in a square, pixels to physical proportion, windowed to its 99.5th percentile. */
function draw(volume, k, row, column) {
  const [ni, nj] = volume.shape;
  const slice = volume.data.subarray(k * ni * nj, (k + 1) * ni * nj);
  const top = Math.max(1, [...volume.data].sort((a, b) => a - b)[Math.floor(volume.data.length * 0.995)]);
  const scale = Math.max(ni, nj) / SIDE;
  for (let y = 0; y < SIDE; y++) {
    const j = Math.floor((y - SIDE / 2) * scale + nj / 2);
    for (let x = 0; x < SIDE; x++) {
      const i = Math.floor((x - SIDE / 2) * scale + ni / 2);
      if (i < 0 || j < 0 || i >= ni || j >= nj) continue;
      sheet[(row * SIDE + y) * SIDE * columns + column * SIDE + x] = Math.min(
        255,
        (slice[i + ni * j] / top) * 255,
      );
    }
  }
}

for (let patient = 0; patient < patients; patient++) {
  const study = simulateStudy({
    seed: Number(values.seed),
    patient,
    region: values.region ?? REGIONS[patient % REGIONS.length],
    size: values.size,
    series: Number(values.series),
  });
  console.log(`${study.region}: ${study.patient.sex}, ${study.patient.age} y; ${study.findings.join(', ')}`);
  study.series.forEach(({ volume, header, text, missingSlices }, n) => {
    console.log(`  ${header.seriesDescription} ${volume.shape.join('x')}: ${text}`);
    for (let m = 0; m < perSeries; m++) {
      let k = Math.floor(((m + 1) / (perSeries + 1)) * volume.shape[2]);
      while (missingSlices.includes(k)) k++;
      draw(volume, k, patient, n * perSeries + m);
    }
  });
}
const path = positionals[0] ?? 'simulated.png';
await writeFile(
  path,
  encode({ width: SIDE * columns, height: SIDE * patients, data: sheet, channels: 1, depth: 8 }),
);
console.log(`wrote ${path}`);
