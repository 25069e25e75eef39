// What the benches of few labels share: cases of a corpus with their labels and features, draws of few labels, scores.
const dist = (path) => new URL(`../../dist/${path}`, import.meta.url).href;
const { Corpus } = await import(dist('corpus/index.js'));
const { Encoder, tokensFor } = await import(dist('models/encoder.js'));
const { newModel } = await import(dist('models/new-model.js'));
const { modelConfig } = await import(dist('models/sizes.js'));
const { Prepared } = await import(dist('volume/tokens.js'));
const { sampleBlock } = await import(dist('volume/sampling.js'));
const { Random } = await import(dist('volume/random.js'));
const { drawView } = await import(dist('train/views.js'));
const { LABEL_KEEPING } = await import(dist('tasks/classify/viewed.js'));
const { balancedAccuracy, confusion } = await import(dist('evaluate/decisions.js'));

const MAX_TOKENS = 96;
const VIEW = { tokens: 64, patchMm: [[16, 1]], extent: [0.6, 1] };
/** The peer's grid: 32 samples 7 mm apart on each axis. */
export const GRID = 32;
const GRID_MM = 7;

/** A frozen encoder: a run or model file, or "untrained" for nano with random weights. */
export const openEncoder = (model) =>
  Encoder.open(model === 'untrained' ? newModel(modelConfig('nano'), 1) : model, { threads: 1 });

/**
 * Up to `limit` series of a corpus, drawn at random, each with whatever `wanted` asks for: features of the whole image and
 * of altered views, hand-made features, a grid for the peer.
 */
export async function readCases(corpusDir, encoder, { limit, views = 0, hand = false, grid = false }) {
  const corpus = await Corpus.open(corpusDir);
  const all = await corpus.list();
  const chosen = [...new Random(7).sample(all.length, Math.min(limit, all.length))].sort((a, b) => a - b);
  const cases = [];
  const { samples } = encoder.config;
  for (const [done, n] of chosen.entries()) {
    const series = all[n];
    try {
      const prepared = new Prepared(await corpus.volume(series.id));
      const tokens = tokensFor(prepared, samples, { maxTokens: MAX_TOKENS });
      const [features] = await encoder.features([tokens]);
      const random = new Random(1, n);
      const drawn = Array.from({ length: views }, () =>
        drawView(prepared, samples, VIEW, LABEL_KEEPING, random),
      ).filter(({ count }) => count > 0);
      const seen = drawn.length > 0 ? await encoder.features(drawn) : [];
      cases.push({
        series,
        whole: features.summary,
        tokens: features.tokens,
        views: seen.map(({ summary }) => summary),
        ...(hand && { hand: handMade(tokens) }),
        ...(grid && { grid: gridOf(prepared) }),
      });
    } catch (error) {
      process.stderr.write(`${series.id} is left out: ${error.message}\n`);
    }
    if ((done + 1) % 50 === 0) process.stderr.write(`${done + 1}/${chosen.length} series\n`);
  }
  corpus.close();
  return cases;
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

/** Histogram, moments and roughness on each axis of the samples that the encoder sees, and how far the anatomy extends. */
function handMade({ count, samples, patches, measured, positions }) {
  const size = samples ** 3;
  const strides = [1, samples, samples ** 2];
  const histogram = new Array(16).fill(0);
  let [n, sum] = [0, 0];
  const rough = [0, 0, 0, 0, 0, 0];
  const pairs = [1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9];
  for (let p = 0; p < count * size; p++) {
    if (!measured[p]) continue;
    const x = patches[p];
    histogram[Math.max(0, Math.min(15, Math.floor((x + 2) * 4)))]++;
    n++;
    sum += x;
    const inside = p % size;
    strides.forEach((stride, axis) => {
      for (const [k, gap] of [1, 2].entries()) {
        const place = Math.floor(inside / stride) % samples;
        if (place + gap >= samples || !measured[p + gap * stride]) continue;
        rough[axis * 2 + k] += Math.abs(patches[p + gap * stride] - x);
        pairs[axis * 2 + k]++;
      }
    });
  }
  const mean = sum / n;
  const moments = [0, 0, 0];
  for (let p = 0; p < count * size; p++)
    if (measured[p]) [2, 3, 4].forEach((power, m) => (moments[m] += (patches[p] - mean) ** power / n));
  const sd = Math.sqrt(moments[0]) || 1;
  const extents = [0, 1, 2].map((d) => {
    const along = Array.from({ length: count }, (_, t) => positions[t * 3 + d]);
    return Math.max(...along) - Math.min(...along);
  });
  return Float32Array.from([
    ...histogram.map((h) => h / n),
    mean,
    sd,
    moments[1] / sd ** 3,
    moments[2] / sd ** 4,
    ...rough.map((r, k) => r / pairs[k]),
    ...extents.map((mm) => mm / 100),
    count / 100,
  ]);
}

/** A sentence of a simulated report that says that something is as it should be. */
const NORMAL =
  /^(no|normal) |normal|intact|unremarkable|not (dilated|displaced)|are open|symmetrical|smoothly outlined|lies at L1/i;

/** What is asked of a series; null where it is not known. */
export const LABELS = {
  contrast: ({ contrast }) => (contrast === 'unknown' ? null : contrast),
  plane: ({ plane }) => plane,
  /** Simulated: whether the series' own text names a finding after its sentence on the technique. */
  disease: ({ text, source }, simulated) => {
    if (source !== simulated) return null;
    const said = text.split(/(?<=\.)\s+(?=[A-Z])/).slice(1);
    return said.some((sentence) => !NORMAL.test(sentence)) ? 'finding' : 'none';
  },
};

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const one of list) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}

/** The cases with a label of which there are enough, and the classes. */
export function labelled(field, cases, atLeast) {
  const bySource = groupBy(cases, ({ series }) => series.source);
  const [simulated] = [...bySource].sort((a, b) => b[1].length - a[1].length)[0];
  const known = cases
    .map((one) => ({ ...one, label: LABELS[field](one.series, simulated) }))
    .filter(({ label }) => label !== null);
  const groups = groupBy(known, ({ label }) => label);
  const names = [...groups].filter(([, of]) => of.length >= atLeast).map(([name]) => name);
  names.sort();
  return { names, usable: known.filter(({ label }) => names.includes(label)) };
}

/** A third of the patients to test on, `labels` cases a class of the others to learn from, and the rest of them. */
export function drawFew({ names, usable }, labels, draw) {
  const random = new Random(draw, 11);
  const patients = [...new Set(usable.map(({ series }) => series.patientId))];
  const order = random.sample(patients.length, patients.length);
  const apart = new Set([...order].slice(0, Math.floor(patients.length / 3)).map((n) => patients[n]));
  const pool = usable.filter(({ series }) => !apart.has(series.patientId));
  const mixed = [...random.sample(pool.length, pool.length)].map((n) => pool[n]);
  const few = names.flatMap((name) => mixed.filter(({ label }) => label === name).slice(0, labels));
  return {
    few,
    truth: few.map(({ label }) => names.indexOf(label)),
    rest: mixed.filter((one) => !few.includes(one)),
    test: usable.filter(({ series }) => apart.has(series.patientId)),
  };
}

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
