/** Settings of runs in files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkRecipes, maeRecipeOf, readPretrainConfig, recipeOf } from '../../src/train/config.js';
import { MAE } from '../../src/train/mae.js';
import { JOINT, PRETRAIN } from '../../src/train/pretrain.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-config-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (text: string): string => {
  const path = join(dir, 'config.json');
  writeFileSync(path, text);
  return path;
};
const read = (value: unknown) => readPretrainConfig(file(JSON.stringify(value)));

describe('configurations of pretrain', () => {
  it('change what they name and nothing else', async () => {
    const config = await read({
      about: { purpose: 'a laptop' },
      objective: 'joint',
      steps: 10,
      recipe: { augmentation: { gamma: 0.1 }, pixels: [1, 0], global: { tokens: 64 } },
    });
    expect(config.steps).toBe(10);
    expect(recipeOf(config.objective, config.recipe)).toEqual({
      ...JOINT,
      augmentation: { ...JOINT.augmentation, gamma: 0.1 },
      pixels: [1, 0],
      global: { ...JOINT.global, tokens: 64 },
    });
    const late = { share: 0.1, global: { tokens: 256 } };
    expect(recipeOf('dino', { late, layerDecay: 0.9 })).toEqual({ ...PRETRAIN, late, layerDecay: 0.9 });
    expect(recipeOf('dino', undefined)).toEqual(PRETRAIN);
    expect(recipeOf('joint', { pixels: null }).pixels).toBeNull();
    expect(maeRecipeOf({ decoder: { layers: 1 } })).toEqual({
      ...MAE,
      decoder: { ...MAE.decoder, layers: 1 },
    });
  });

  it.each([
    [{ learning_rate: 1e-4 }, 'nobody reads "learning_rate"'],
    [{ recipe: { gamma: 0.1 } }, 'nobody reads "recipe.gamma"'],
    [
      { recipe: { augmentation: { ghosts: 0.1, noize: 1 } } },
      'nobody reads "recipe.augmentation.ghosts", "recipe.augmentation.noize"',
    ],
    [{ maeRecipe: { decoder: { depth: 2 } } }, 'nobody reads "maeRecipe.decoder.depth"'],
    [{ recipe: { late: { share: 0.1, gobal: {} } } }, 'nobody reads "recipe.late.gobal"'],
    [{ recipe: { layerDecay: 1.5 } }, '"recipe.layerDecay" is not right'],
    [{ recipe: { maskRatio: 2 } }, '"recipe.maskRatio" is not right'],
    [{ objective: 'dinov2' }, '"objective" is not right'],
  ])('are refused where nobody reads them or they cannot be: %j', async (value, message) => {
    await expect(read(value)).rejects.toThrow(message);
  });

  it('are refused where their recipe is that of another objective', () => {
    expect(() => checkRecipes('c.json', 'mae', { recipe: {} })).toThrow(
      'c.json: nobody reads "recipe" with the objective mae, which has "maeRecipe"',
    );
    expect(() => checkRecipes('c.json', 'slip', { maeRecipe: {} })).toThrow(/nobody reads "maeRecipe".*slip/);
    checkRecipes('c.json', 'mae', { maeRecipe: {} });
    checkRecipes('c.json', 'dino', { recipe: {} });
  });

  it('are refused where they are no JSON', async () => {
    await expect(readPretrainConfig(file('{'))).rejects.toThrow(/must be a JSON file/);
    await expect(readPretrainConfig(join(dir, 'none.json'))).rejects.toThrow(/must be a JSON file/);
  });

  it('know every key of the recipes', async () => {
    for (const [key, value] of [
      ['recipe', JOINT],
      ['recipe', PRETRAIN],
      ['maeRecipe', MAE],
    ] as const)
      expect((await read({ [key]: value }))[key]).toEqual(value);
  });
});
