// What an encoder knows: kNN and linear probes on frozen features, of patients and heads that it has not learnt from.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readNiftiFile } from '../../dist/formats/nifti/index.js';
import { Graph } from '../../dist/graph/index.js';
import { imageBatch } from '../../dist/models/batch.js';
import { imageInputs } from '../../dist/models/inputs.js';
import { imageSummary, plainImageVector, vit3d } from '../../dist/models/vit3d.js';
import { FREESURFER_TISSUES, simulateFromLabels } from '../../dist/simulate/index.js';
import { fitLogistic, logitsOf } from '../../dist/tasks/classify/logistic.js';
import { knnAccuracy } from '../../dist/train/probe.js';
import { Random } from '../../dist/volume/random.js';
import { Prepared } from '../../dist/volume/tokens.js';

const FIELDS = ['bodyPart', 'contrast', 'plane'];
const REFERENCES = 400;
const QUERIES = 300;
const ROWS = 8;
/** Points of a head at which its anatomical label is asked. */
const POINTS = 150;
const TRAINING_HEADS = 12;
const L2 = 0.01;

const evenly = (all, most) =>
  all.length <= most
    ? [...all]
    : all.filter((_, n) => Math.floor((n * most) / all.length) !== Math.floor(((n - 1) * most) / all.length));

/** The series of the probes: references of training patients, queries of held-out ones. */
export const probeSeries = (training, heldOut) => ({
  references: evenly(training, REFERENCES),
  queries: evenly(heldOut, QUERIES),
});

/** MR images of heads simulated from label maps, each with points and the label at each; none without the data. */
export async function labelledHeads(folder) {
  const files = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.nii.gz')).sort();
  const heads = [];
  for (const [n, file] of files.entries()) {
    const labels = (await readNiftiFile(join(folder, file))).frame(0);
    const random = new Random(7, n);
    const [tr, te] = random.choice([
      [600, 10],
      [4500, 90],
      [3000, 15],
    ]);
    const middle = middleOf(labels);
    const { volume } = simulateFromLabels(
      labels,
      FREESURFER_TISSUES,
      {
        plane: random.choice(['axial', 'coronal', 'sagittal']),
        shape: [100, 100, 44],
        spacing: [2.4, 2.4, 5],
        thickness: 4.5,
        centre: middle,
        sequence: { kind: 'turbo spin echo', tr, te },
        tesla: 3,
        noise: 0.02,
        bias: 0.15,
      },
      n,
    );
    heads.push({ prepared: new Prepared(volume), points: pointsOf(labels, random) });
  }
  return heads;
}

function middleOf({ affine, shape }) {
  return affine
    .slice(0, 3)
    .map((row) => row[0] * (shape[0] / 2) + row[1] * (shape[1] / 2) + row[2] * (shape[2] / 2) + row[3]);
}

/** Random points of the head, each with the label there; left and right are labels of their own, as in FreeSurfer. */
function pointsOf({ data, shape, affine }, random) {
  const points = [];
  while (points.length < POINTS) {
    const at = shape.map((n) => random.int(n));
    const label = data[at[0] + shape[0] * (at[1] + shape[1] * at[2])];
    if (!FREESURFER_TISSUES.has(label) || label >= 500) continue;
    points.push({
      label: String(label),
      mm: affine.slice(0, 3).map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]),
    });
  }
  return points;
}

/** Embeds token sets and gives vectors, summaries and tokens. */
export function openProbe(params, config, length) {
  const graph = new Graph('bench probe');
  const scope = params.bind(graph.input('params', 'float32', [params.size]));
  const features = vit3d(
    scope.child('image'),
    config,
    imageInputs(graph, 'image', ROWS, length, config.samples),
  );
  graph.output('vector', plainImageVector(features));
  graph.output('summary', imageSummary(features));
  graph.output('tokens', features.tokens);
  let loaded = null;
  return async (device, weights, sets) => {
    if (loaded?.device !== device) loaded = { device, program: await device.load(graph) };
    const { program } = loaded;
    const out = [];
    for (let at = 0; at < sets.length; at += ROWS) {
      const some = sets.slice(at, at + ROWS);
      const padded = Array.from({ length: ROWS }, (_, n) => some[Math.min(n, some.length - 1)]);
      const feeds = { params: weights };
      for (const [name, data] of Object.entries(imageBatch(padded, length, config.samples)))
        feeds[`image.${name}`] = data;
      const { vector, summary, tokens } = await program.run(feeds);
      const row = (flat, n) => flat.slice((n * flat.length) / ROWS, ((n + 1) * flat.length) / ROWS);
      some.forEach((set, n) =>
        out.push({ vector: row(vector, n), summary: row(summary, n), tokens: row(tokens, n) }),
      );
    }
    return out;
  };
}

function linearAccuracy(known, asked) {
  const names = [...new Set(known.map(({ label }) => label))].sort();
  if (names.length < 2 || asked.length === 0) return NaN;
  const model = fitLogistic(
    known.map(({ feature }) => feature),
    known.map(({ label }) => names.indexOf(label)),
    names.length,
    { l2: L2, tolerance: 1e-3 },
  );
  const right = asked.filter(({ feature, label }) => {
    const logits = logitsOf(model, feature);
    return names[logits.indexOf(Math.max(...logits))] === label;
  });
  return right.length / asked.length;
}

/**
 * Scores of the present weights. `cut` makes of a prepared volume its token set and the places of the tokens in mm.
 */
export function makeProbe({ params, config, length, cut, cache, series, heads }) {
  const embed = openProbe(params, config, length);
  let ready = null;
  const prepare = async () => {
    const read = async (list) => {
      const out = [];
      for (const one of list) {
        const prepared = await cache.get(one.id);
        if (prepared) out.push({ series: one, ...cut(prepared, config.samples) });
      }
      return out;
    };
    return {
      references: await read(series.references),
      queries: await read(series.queries),
      heads: heads.map(({ prepared, points }) => ({ points, ...cut(prepared, config.samples) })),
    };
  };
  return async (device, weights) => {
    ready ??= prepare();
    const { references, queries, heads: cutHeads } = await ready;
    const setsOf = (items) => items.map(({ set }) => set);
    const known = await embed(device, weights, setsOf(references));
    const asked = await embed(device, weights, setsOf(queries));
    const scores = {};
    for (const field of FIELDS) {
      const rows = (items, found) =>
        items
          .map(({ series: one }, n) => ({
            label: one[field].toLowerCase() === 'unknown' ? null : one[field],
            vector: found[n].vector,
            feature: found[n].summary,
          }))
          .filter(({ label }) => label !== null);
      const [a, b] = [rows(references, known), rows(queries, asked)];
      scores[`knn.${field}`] = knnAccuracy(a, b, 5);
      scores[`linear.${field}`] = linearAccuracy(a, b);
    }
    if (cutHeads.length > TRAINING_HEADS) {
      const found = await embed(device, weights, setsOf(cutHeads));
      const rows = cutHeads.map(({ points, set, places }, n) =>
        points.map(({ label, mm }) => {
          const t = nearest(places, set.count, mm);
          const width = config.embedDim;
          const feature = found[n].tokens.slice(t * width, (t + 1) * width);
          return { label, feature, vector: unit(feature) };
        }),
      );
      const [a, b] = [rows.slice(0, TRAINING_HEADS).flat(), rows.slice(TRAINING_HEADS).flat()];
      scores['knn.anatomy'] = knnAccuracy(a, b, 5);
      scores['linear.anatomy'] = linearAccuracy(a, b);
    }
    const values = Object.values(scores).filter(Number.isFinite);
    scores.score = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Object.fromEntries(
      Object.entries(scores).map(([name, value]) => [name, Number(value.toFixed(4))]),
    );
  };
}

const unit = (vector) => {
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
};

function nearest(places, count, mm) {
  let [best, least] = [0, Infinity];
  for (let t = 0; t < count; t++) {
    const far = Math.hypot(places[t * 3] - mm[0], places[t * 3 + 1] - mm[1], places[t * 3 + 2] - mm[2]);
    if (far < least) [best, least] = [t, far];
  }
  return best;
}
