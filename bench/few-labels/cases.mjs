// What the benches of few labels share: cases of a corpus with their labels and features, draws of few labels, scores.
import { DISEASES } from './heads.mjs';

const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { Corpus } = await import(dist('corpus/index.js'));
const { Encoder, tokensFor } = await import(dist('models/encoder.js'));
const { newModel } = await import(dist('models/new-model.js'));
const { modelConfig } = await import(dist('models/sizes.js'));
const { Prepared } = await import(dist('volume/tokens.js'));
const { sampleBlock } = await import(dist('volume/sampling.js'));
const { Random } = await import(dist('volume/random.js'));
const { allViews, intensityView } = await import(dist('tasks/classify/views.js'));
const { balancedAccuracy, confusion } = await import(dist('evaluate/decisions.js'));

const MAX_TOKENS = 96;
/** The peer's grid: 32 samples 7 mm apart on each axis. */
export const GRID = 32;
const GRID_MM = 7;

/** A frozen encoder: a run or model file, or "untrained" for nano with random weights. */
export const openEncoder = (model) =>
  Encoder.open(model === 'untrained' ? newModel(modelConfig('nano'), 1) : model, { threads: 1 });

/**
 * Up to `limit` series of a corpus, drawn at random, each with the encoder's summary, all views of it, and whatever is
 * asked for: hand-made features, a grid for the peer, the vectors of tokens.
 */
export async function readCases(corpusDir, encoder, { limit, ...besides }) {
  const corpus = await Corpus.open(corpusDir);
  const all = await corpus.list();
  const chosen = [...new Random(7).sample(all.length, Math.min(limit, all.length))].sort((a, b) => a - b);
  const cases = [];
  for (const [done, n] of chosen.entries()) {
    const series = all[n];
    try {
      cases.push({ series, ...(await encoded(encoder, await corpus.volume(series.id), besides)) });
    } catch (error) {
      process.stderr.write(`${series.id} is left out: ${error.message}\n`);
    }
    if ((done + 1) % 50 === 0) process.stderr.write(`${done + 1}/${chosen.length} series\n`);
  }
  corpus.close();
  return cases;
}

/** The same of simulated heads, see heads.mjs; a series' label is among its findings. */
export async function encodeHeads(heads, encoder, besides) {
  const cases = [];
  for (const { volume, findings, ...series } of heads) {
    cases.push({ series, findings, ...(await encoded(encoder, volume, besides)) });
    if (cases.length % 50 === 0) process.stderr.write(`${cases.length} heads\n`);
  }
  return cases;
}

async function encoded(encoder, volume, { hand = false, grid = false, tokenVectors = false } = {}) {
  const prepared = new Prepared(volume);
  const tokens = tokensFor(prepared, encoder.config.samples, { maxTokens: MAX_TOKENS });
  const [features] = await encoder.features([tokens]);
  return {
    whole: features.summary,
    all: allViews(features, tokens),
    ...(hand && { hand: intensityView(tokens) }),
    ...(grid && { grid: gridOf(prepared) }),
    ...(tokenVectors && { features }),
  };
}

/** 32³ intensities about the foreground's middle, 0 where nothing was measured. */
function gridOf(prepared) {
  const { stats } = prepared;
  const [low, high] = stats.foregroundMm;
  const first = [0, 1, 2].map((d) => (low[d] + high[d]) / 2 - (GRID_MM * (GRID - 1)) / 2);
  const out = new Float32Array(GRID ** 3);
  const measured = new Uint8Array(GRID ** 3);
  sampleBlock(prepared.pyramid(GRID_MM), ...first, GRID_MM, GRID, out, measured, 0);
  for (let n = 0; n < out.length; n++)
    out[n] = measured[n] ? Math.min(3, (out[n] - stats.low) / (stats.high - stats.low)) : 0;
  return out;
}

/** What is asked of a series of a corpus; null where it is not known. */
const LABELS = {
  contrast: ({ contrast }) => (contrast === 'unknown' ? null : contrast),
  plane: ({ plane }) => plane,
};

/** Classes of contrast and plane with fewer series than this are left out. */
const FEWEST = 36;

/** Everything that is asked: its name, the names of its classes, the cases with a label. */
export function questionsOf(cases, heads) {
  const asked = Object.keys(LABELS).map((field) => ({ field, ...labelled(field, cases) }));
  const diseases = Object.entries(DISEASES).map(([field, shows]) => ({
    field,
    names: ['absent', 'present'],
    usable: heads.map((one) => ({ ...one, label: one.findings.some(shows) ? 'present' : 'absent' })),
  }));
  return [...asked, ...(heads.length > 0 ? diseases : [])].filter(({ field, names }) => {
    if (names.length > 1) return true;
    process.stderr.write(`${field}: fewer than two classes with ${FEWEST} series; raise --limit\n`);
    return false;
  });
}

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const one of list) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}

function labelled(field, cases) {
  const known = cases
    .map((one) => ({ ...one, label: LABELS[field](one.series) }))
    .filter(({ label }) => label !== null);
  const groups = groupBy(known, ({ label }) => label);
  const names = [...groups].filter(([, of]) => of.length >= FEWEST).map(([name]) => name);
  names.sort();
  return { names, usable: known.filter(({ label }) => names.includes(label)) };
}

/**
 * A third of the patients to test on, which `split` says; `labels` cases a class of the others to learn from, which `draw`
 * says; and the rest of those. With `source`, only series of that source are asked about, and none of them has a label.
 */
export function drawFew({ names, usable }, labels, split, draw = 0, source = null) {
  const random = new Random(split, 11);
  const patients = [...new Set(usable.map(({ series }) => series.patientId))];
  const order = random.sample(patients.length, patients.length);
  const apart = new Set([...order].slice(0, Math.floor(patients.length / 3)).map((n) => patients[n]));
  const pool = usable.filter(({ series }) => !apart.has(series.patientId));
  const drawing = draw === 0 ? random : new Random(split, 12, draw);
  const mixed = [...drawing.sample(pool.length, pool.length)].map((n) => pool[n]);
  const told = mixed.filter(({ series }) => source === null || series.source !== source);
  const few = names.flatMap((name) => told.filter(({ label }) => label === name).slice(0, labels));
  return {
    few,
    truth: few.map(({ label }) => names.indexOf(label)),
    rest: mixed.filter((one) => !few.includes(one)),
    test: usable.filter(
      ({ series }) => apart.has(series.patientId) && (source === null || series.source === source),
    ),
  };
}

/** `decide` is given a case and its place in `test`. */
export const scoreOf = (names, test, decide) =>
  balancedAccuracy(
    confusion(
      test.map(({ label }) => names.indexOf(label)),
      test.map(decide),
      names.length,
    ),
  );

export const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;

/** Student's t of paired differences, and its two-sided p by the t distribution with n - 1 degrees of freedom. */
export function pairedT(differences) {
  const n = differences.length;
  const gain = mean(differences);
  const variance = differences.reduce((sum, d) => sum + (d - gain) ** 2, 0) / (n - 1);
  if (variance === 0) return { gain, t: 0, p: 1 };
  const t = gain / Math.sqrt(variance / n);
  return { gain, t, p: 2 * (1 - studentCdf(Math.abs(t), n - 1)) };
}

/** Simpson's rule over the density. */
function studentCdf(t, nu) {
  const density = (x) => (1 + (x * x) / nu) ** (-(nu + 1) / 2);
  const integral = (to) => {
    const steps = 2000;
    const h = to / steps;
    let sum = density(0) + density(to);
    for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * density(i * h);
    return (sum * h) / 3;
  };
  // The whole half axis, by x = tan(a): nothing is lost of the tails.
  const steps = 4000;
  const h = Math.PI / 2 / steps;
  let half = density(0);
  for (let i = 1; i < steps; i++) {
    const a = i * h;
    half += ((i % 2 ? 4 : 2) * density(Math.tan(a))) / Math.cos(a) ** 2;
  }
  return 0.5 + integral(t) / ((2 * half * h) / 3);
}
