// The plain recipe: a box of the array, air and all, stretched to a fixed grid of voxels and cut into a dense grid of
// patches. Millimetres are lost in the stretching, and every patch is a token.
import { imageBatch } from '../../dist/models/batch.js';
import { maskTokens } from '../../dist/train/crops.js';
import { shareOfStep, usable } from '../../dist/train/loader.js';
import { masksOf } from '../../dist/train/pretrain.js';
import { alterIntensity } from '../../dist/train/scanner.js';
import { Random } from '../../dist/volume/random.js';
import { boundsMm } from '../../dist/volume/sampling.js';

/** Patches along a side: 96 and 48 voxels in patches of 16, as in 3DINO (Xu et al. 2025), here of the model's grid. */
export const SIDES = { global: 6, local: 3 };

/** Linear interpolation of a prepared volume on a grid of `count` points a side over a box in mm; 0 outside. */
function stretched(prepared, [low, high], count) {
  const step = Math.min(...[0, 1, 2].map((d) => (high[d] - low[d]) / count));
  const { values, shape, toVoxel: m } = prepared.pyramid(Math.max(1, step));
  const [ni, nj, nk] = shape;
  const out = new Float32Array(count ** 3);
  let n = 0;
  const at = (d, i) => low[d] + ((i + 0.5) * (high[d] - low[d])) / count;
  for (let c = 0; c < count; c++)
    for (let b = 0; b < count; b++)
      for (let a = 0; a < count; a++, n++) {
        const [x, y, z] = [at(0, a), at(1, b), at(2, c)];
        const u = m[0] * x + m[1] * y + m[2] * z + m[3];
        const v = m[4] * x + m[5] * y + m[6] * z + m[7];
        const w = m[8] * x + m[9] * y + m[10] * z + m[11];
        const [i, j, k] = [Math.floor(u), Math.floor(v), Math.floor(w)];
        let sum = 0;
        for (let corner = 0; corner < 8; corner++) {
          const [ci, cj, ck] = [i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)];
          if (ci < 0 || cj < 0 || ck < 0 || ci >= ni || cj >= nj || ck >= nk) continue;
          const near = (bit, t) => (bit ? t : 1 - t);
          sum +=
            near(corner & 1, u - i) *
            near((corner >> 1) & 1, v - j) *
            near(corner >> 2, w - k) *
            values[ci + ni * (cj + nj * ck)];
        }
        out[n] = sum;
      }
  return out;
}

/** The box as a dense token set of `side` patches a side, in voxels of the stretched grid. */
function dense(prepared, box, side, samples) {
  const { low, high } = prepared.stats;
  const grid = stretched(prepared, box, side * samples);
  const width = side * samples;
  const count = side ** 3;
  const size = samples ** 3;
  const patches = new Float32Array(count * size);
  const positions = new Float32Array(count * 3);
  let token = 0;
  for (let c = 0; c < side; c++)
    for (let b = 0; b < side; b++)
      for (let a = 0; a < side; a++, token++) {
        positions.set([a * 16, b * 16, c * 16], token * 3);
        let s = token * size;
        for (let z = 0; z < samples; z++)
          for (let y = 0; y < samples; y++)
            for (let x = 0; x < samples; x++, s++) {
              const at = a * samples + x + width * (b * samples + y + width * (c * samples + z));
              const value = (2 * (grid[at] - low)) / (high - low) - 1;
              patches[s] = Math.max(-3, Math.min(3, value));
            }
      }
  return {
    count,
    patchMm: 16,
    samples,
    patches,
    measured: new Uint8Array(count * size).fill(1),
    valid: new Float32Array(count).fill(1),
    positions,
  };
}

/** The whole volume, for probes, with the places of its patches in mm. */
export function denseWhole(prepared, samples) {
  const [low, high] = boundsMm(prepared.volume);
  const side = SIDES.global;
  const set = dense(prepared, [low, high], side, samples);
  const places = new Float32Array(set.count * 3);
  for (let t = 0; t < set.count; t++)
    [t % side, Math.floor(t / side) % side, Math.floor(t / side ** 2)].forEach((i, d) => {
      places[t * 3 + d] = low[d] + ((i + 0.5) * (high[d] - low[d])) / side;
    });
  return { set, places };
}

function denseView(prepared, samples, side, extent, augmentation, random) {
  const [low, high] = boundsMm(prepared.volume);
  const from = [0, 0, 0];
  const to = [0, 0, 0];
  for (let d = 0; d < 3; d++) {
    const whole = high[d] - low[d];
    const length = whole * random.uniform(...extent);
    from[d] = low[d] + random.uniform() * (whole - length);
    to[d] = from[d] + length;
  }
  const view = dense(prepared, [from, to], side, samples);
  alterIntensity(view, prepared.stats, augmentation, random);
  // The tokens in random order, as everywhere else.
  const order = random.sample(view.count, view.count);
  const size = samples ** 3;
  const patches = new Float32Array(view.patches.length);
  const positions = new Float32Array(view.positions.length);
  order.forEach((t, n) => {
    patches.set(view.patches.subarray(t * size, (t + 1) * size), n * size);
    positions.set(view.positions.subarray(t * 3, t * 3 + 3), n * 3);
  });
  return { ...view, patches, positions };
}

/** The recipe with the budgets of dense views. */
export const plainRecipe = (recipe) => ({
  ...recipe,
  crossContrast: 0,
  late: undefined,
  global: { ...recipe.global, tokens: SIDES.global ** 3 },
  local: { ...recipe.local, tokens: SIDES.local ** 3 },
});

/** A step's feeds, as `pretrainBatch` makes them. */
export async function plainBatch(cache, series, config, recipe, at) {
  const share = shareOfStep(series, at);
  const { samples } = config;
  const globals = [];
  const locals = [];
  const shown = [];
  for (const [i, { index, wanted }] of share.entries()) {
    const { prepared, series: found } = await usable(cache, series, wanted);
    shown.push(found);
    const random = new Random(at.seed, at.step, index);
    const view = (side, { extent }) =>
      denseView(prepared, samples, side, extent, recipe.augmentation, random);
    for (let c = 0; c < 2; c++) globals[c * share.length + i] = view(SIDES.global, recipe.global);
    for (let c = 0; c < recipe.locals; c++) locals[c * share.length + i] = view(SIDES.local, recipe.local);
  }
  const feeds = {};
  const n = recipe.global.tokens;
  for (const [prefix, sets, tokens] of [
    ['global', globals, n],
    ['local', locals, recipe.local.tokens],
  ])
    for (const [name, data] of Object.entries(imageBatch(sets, tokens, samples)))
      feeds[`${prefix}.${name}`] = data;
  const masks = maskTokens(
    globals,
    n,
    masksOf(recipe),
    (row) => new Random(at.seed, at.step, share[row % share.length].index, Math.floor(row / share.length)),
  );
  feeds['global.masked'] = masks.masked;
  feeds['global.maskIndex'] = masks.index;
  feeds['global.maskWeight'] = masks.weight;
  if (recipe.pixels)
    feeds['global.maskMeasured'] = Float32Array.from({ length: masks.index.length * samples ** 3 }, (_, s) =>
      masks.weight[Math.floor(s / samples ** 3)] > 0 ? 1 : 0,
    );
  const tokens = [...globals, ...locals].reduce((sum, { count }) => sum + count, 0);
  return { feeds, ids: shown.map(({ id }) => id), tokens, shown };
}
