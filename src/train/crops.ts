/** The batches of student-teacher pretraining: which places of which series are shown, and what is hidden of them. */
import type { Series } from '../corpus/series.js';
import type { TypedArray } from '../graph/index.js';
import { imageBatch } from '../models/batch.js';
import type { ModelConfig } from '../models/sizes.js';
import { Random } from '../volume/random.js';
import type { Scanned, TokenSet } from '../volume/tokens.js';
import { shareOfStep, usable, type StepShare, type VolumeCache } from './loader.js';
import { masksOf, type PretrainRecipe } from './pretrain.js';
import { drawFlip, drawPlace, drawScanned, mirrored, type Box, type ViewSpec } from './views.js';

/** The series of each study: what cross-contrast views are drawn from. */
export type Studies = ReadonlyMap<string, readonly Series[]>;

export function studiesOf(series: readonly Series[]): Studies {
  const studies = new Map<string, Series[]>();
  for (const one of series) {
    const others = studies.get(one.studyId);
    if (others) others.push(one);
    else studies.set(one.studyId, [one]);
  }
  return studies;
}

/** Two series show the same place where their bodies' boxes overlap by this share of the smaller on every axis. */
const OVERLAP = 0.5;

/** Where the foregrounds of two volumes overlap, RAS+ mm, or null where that is too little to be the same place. */
export function samePlace(a: Box, b: Box): Box | null {
  const low: number[] = [];
  const high: number[] = [];
  for (const d of [0, 1, 2] as const) {
    low.push(Math.max(a[0][d], b[0][d]));
    high.push(Math.min(a[1][d], b[1][d]));
    const smaller = Math.min(a[1][d] - a[0][d], b[1][d] - b[0][d]);
    if (high[d]! - low[d]! < OVERLAP * smaller) return null;
  }
  return [low as [number, number, number], high as [number, number, number]];
}

/** Another series of the study at the same physical place, in the share of cases that the recipe says; else null. */
async function crossContrast(
  cache: VolumeCache,
  studies: Studies,
  share: number,
  { series, prepared }: { series: Series; prepared: Scanned },
  random: Random,
): Promise<{ prepared: Scanned; place: Box } | null> {
  if (!random.chance(share)) return null;
  const others = (studies.get(series.studyId) ?? []).filter(({ id }) => id !== series.id);
  if (others.length === 0) return null;
  const other = await cache.get(random.choice(others).id);
  const place = other && samePlace(prepared.stats.foregroundMm, other.stats.foregroundMm);
  return place ? { prepared: other, place } : null;
}

/** Keeps the draws of the other series apart from those of the views. */
const CROSS = 0xc505;

/** The feeds of a rank's views of a step, decided by (seed, step) and which series they are of. */
export async function pretrainBatch(
  cache: VolumeCache,
  series: readonly Series[],
  config: ModelConfig,
  recipe: PretrainRecipe,
  at: StepShare,
  studies: Studies = studiesOf(series),
): Promise<{ feeds: Record<string, TypedArray>; tokens: number; ids: string[]; shown: Series[] }> {
  const share = shareOfStep(series, at);
  const batch = share.length;
  const globals: TokenSet[] = [];
  const locals: TokenSet[] = [];
  const shown: Series[] = [];
  for (const [i, { index, wanted }] of share.entries()) {
    const found = await usable(cache, series, wanted);
    shown.push(found.series);
    const random = new Random(at.seed, at.step, index);
    const apart = new Random(at.seed, at.step, index, CROSS);
    const cross = await crossContrast(cache, studies, recipe.crossContrast, found, apart);
    const foreground = cross?.place ?? found.prepared.stats.foregroundMm;
    // Both global views of a pair look at one box; without a pair each looks where it likes.
    const shared = cross && drawPlace(foreground, recipe.global, random);
    const image = (crop: number): Scanned => (cross && crop % 2 === 1 ? cross.prepared : found.prepared);
    const flip = drawFlip(found.series.text, recipe.augmentation, apart);
    const view = async (
      crop: number,
      spec: ViewSpec,
      place = drawPlace(foreground, spec, random),
    ): Promise<TokenSet> => {
      const drawn = await drawScanned(image(crop), config.samples, spec, recipe.augmentation, random, place);
      return flip ? mirrored(drawn) : drawn;
    };
    for (let c = 0; c < 2; c++) globals[c * batch + i] = await view(c, recipe.global, shared ?? undefined);
    for (let c = 0; c < recipe.locals; c++) locals[c * batch + i] = await view(c, recipe.local);
  }
  const n = recipe.global.tokens;
  const feeds: Record<string, TypedArray> = {};
  const put = (prefix: string, sets: TokenSet[], tokens: number): void => {
    for (const [name, data] of Object.entries(imageBatch(sets, tokens, config.samples)))
      feeds[`${prefix}.${name}`] = data as Float32Array;
  };
  put('global', globals, n);
  if (recipe.locals > 0) put('local', locals, recipe.local.tokens);
  const masks = maskTokens(globals, n, masksOf(recipe), (row) => {
    const { index } = share[row % batch]!;
    return new Random(at.seed, at.step, index, Math.floor(row / batch));
  });
  feeds['global.masked'] = masks.masked;
  feeds['global.maskIndex'] = masks.index;
  feeds['global.maskWeight'] = masks.weight;
  if (recipe.pixels) feeds['global.maskMeasured'] = measuredOf(globals, n, masks, config.samples ** 3);
  const tokens = [...globals, ...locals].reduce((sum, set) => sum + set.count, 0);
  return { feeds, tokens, ids: shown.map(({ id }) => id), shown };
}

/** [masks, samples³] 1 where a hidden token's sample was measured; 0 in the places that repeat a hidden token. */
function measuredOf(
  views: readonly TokenSet[],
  length: number,
  masks: { readonly index: Int32Array; readonly weight: Float32Array },
  size: number,
): Float32Array {
  const measured = new Float32Array(masks.index.length * size);
  masks.index.forEach((at, m) => {
    if (masks.weight[m] === 0) return;
    const token = at % length;
    const view = views[Math.floor(at / length)]!;
    measured.set(view.measured.subarray(token * size, (token + 1) * size), m * size);
  });
  return measured;
}

/**
 * Chooses tokens to hide in each view: 10 % of them up to `most`, half of the time those nearest to a random token (a
 * missing region of anatomy), half of the time scattered; `randomOf` gives the generator of a row. `index` points into
 * [views * length]; unused places point to hidden tokens again and have weight 0; the weights of a view add up to 1.
 */
export function maskTokens(
  views: readonly TokenSet[],
  length: number,
  most: number,
  randomOf: (row: number) => Random,
): { masked: Float32Array; index: Int32Array; weight: Float32Array } {
  const masked = new Float32Array(views.length * length);
  const index = new Int32Array(views.length * most);
  const weight = new Float32Array(views.length * most);
  views.forEach((view, row) => {
    const random = randomOf(row);
    const ratio = random.uniform(0.1, most / length);
    const count = Math.max(1, Math.min(most, Math.floor(view.count * ratio)));
    let chosen: ArrayLike<number> = random.sample(view.count, count);
    if (random.chance(0.5)) {
      const centre = random.int(view.count) * 3;
      const p = view.positions;
      const distance = (n: number): number =>
        Math.hypot(p[n * 3]! - p[centre]!, p[n * 3 + 1]! - p[centre + 1]!, p[n * 3 + 2]! - p[centre + 2]!);
      chosen = Array.from({ length: view.count }, (_, n) => n)
        .sort((a, b) => distance(a) - distance(b))
        .slice(0, count);
    }
    for (let m = 0; m < most; m++) {
      const at = row * length + chosen[m % chosen.length]!;
      masked[at] = 1;
      index[row * most + m] = at;
      weight[row * most + m] = m < chosen.length ? 1 / chosen.length : 0;
    }
  });
  return { masked, index, weight };
}
