/** Files with the settings of a run. A key that nobody reads is an error, however deep it lies. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { MODEL_SIZES } from '../models/sizes.js';
import { TrainError } from './loader.js';
import { MAE, type MaeRecipe } from './mae.js';
import { OBJECTIVES, type Pretraining } from './objectives.js';
import { usualRecipe, type PretrainRecipe } from './pretrain.js';

const share = z.number().min(0).max(1);
const amount = z.number().min(0);
const whole = z.number().int().min(1);

const view = z
  .strictObject({
    tokens: whole,
    patchMm: z.array(z.tuple([z.number().positive(), share])).min(1),
    extent: z.tuple([share, share]),
  })
  .partial();

const augmentation = z
  .strictObject({
    gamma: amount,
    inversion: share,
    bias: amount,
    noise: amount,
    missingSlices: share,
    thickSlices: share,
    ghost: share,
    flip: share,
  })
  .partial();

const recipe = z
  .strictObject({
    global: view,
    local: view,
    locals: z.number().int().min(0),
    augmentation,
    head: z.strictObject({ hidden: whole, bottleneck: whole, prototypes: whole }).partial(),
    maskRatio: share,
    studentTemperature: z.number().positive(),
    teacherTemperature: z.tuple([z.number().positive(), z.number().positive(), share]),
    weights: z.strictObject({ dino: amount, ibot: amount, koleo: amount }).partial(),
    crossContrast: share,
    pixels: z.tuple([amount, amount]).nullable(),
    text: z.tuple([amount, amount]),
    layerDecay: z.number().positive().max(1),
    late: z.strictObject({ share, global: view.optional(), local: view.optional() }),
  })
  .partial();

const maeRecipe = z
  .strictObject({
    view,
    visible: whole,
    augmentation,
    decoder: z.strictObject({ width: whole, layers: whole, heads: whole }).partial(),
  })
  .partial();

const schema = z
  .strictObject({
    /** What the run is for, its command, and what it was measured to do; for people. */
    about: z.union([z.string(), z.record(z.string(), z.unknown())]),
    objective: z.enum(OBJECTIVES),
    size: z.enum(MODEL_SIZES as [string, ...string[]]),
    steps: whole,
    batch: whole,
    accumulate: whole,
    seed: z.number().int().min(0),
    learningRate: z.number().positive(),
    heldOut: share,
    recipe,
    maeRecipe,
  })
  .partial();

export type PretrainConfig = z.infer<typeof schema>;

/** Reads a configuration of `pretrain`. @throws TrainError naming what nobody reads, or what has no possible value. */
export async function readPretrainConfig(path: string): Promise<PretrainConfig> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new TrainError(
      `config: ${path} must be a JSON file, got ${error instanceof Error ? error.message : String(error)}; ` +
        'correct it, or name another --config',
      { cause: error },
    );
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  throw new TrainError(
    `config: ${path}: ${result.error.issues.map(explain).join('; ')}; correct or remove it (docs/training.md has the keys)`,
    { cause: result.error },
  );
}

function explain(issue: z.core.$ZodIssue): string {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys')
    return `nobody reads ${issue.keys.map((key) => `"${path === '' ? key : `${path}.${key}`}"`).join(', ')}`;
  return `"${path}" is not right: ${issue.message}`;
}

/** An object with what another says differently, at any depth; arrays and null are taken whole. */
function changed<T extends object>(base: T, changes: object | undefined): T {
  if (!changes) return base;
  const out = { ...base } as Record<string, unknown>;
  for (const [key, value] of Object.entries(changes)) {
    const before = out[key];
    out[key] =
      isPlain(before) && isPlain(value) ? changed(before, value) : value === undefined ? before : value;
  }
  return out as T;
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @throws TrainError for a recipe that the objective does not read. */
export function checkRecipes(
  path: string,
  objective: Pretraining,
  { recipe: some, maeRecipe: other }: PretrainConfig,
): void {
  const unread = objective === 'mae' ? some && 'recipe' : other && 'maeRecipe';
  if (unread !== undefined)
    throw new TrainError(
      `config: ${path}: nobody reads "${unread}" with the objective ${objective}, which has ` +
        `"${unread === 'recipe' ? 'maeRecipe' : 'recipe'}"; correct or remove it`,
    );
}

/** The recipe of an objective with the changes of a configuration. */
export const recipeOf = (
  objective: Pretraining | undefined,
  changes: PretrainConfig['recipe'],
): PretrainRecipe => changed(usualRecipe(objective), changes);

export const maeRecipeOf = (changes: PretrainConfig['maeRecipe']): MaeRecipe => changed(MAE, changes);
