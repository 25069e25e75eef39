/** What changes over a run and over the depth of the encoder: larger views at the end, slower layers at the bottom. */
import { expect, it } from 'vitest';
import { modelConfig } from '../../src/models/sizes.js';
import { lateFrom, layerRates, PRETRAIN, pretrainParams, recipeAt } from '../../src/train/pretrain.js';

it('larger views come for the last share of the steps, and change nothing else', () => {
  const late = { share: 0.1, global: { tokens: 256 }, local: { extent: [0.3, 0.6] as const } };
  const recipe = { ...PRETRAIN, late };
  expect(lateFrom(PRETRAIN, 200)).toBeNull();
  expect(lateFrom(recipe, 200)).toBe(180);
  expect(recipeAt(recipe, 179, 200)).toBe(recipe);
  expect(recipeAt(recipe, 180, 200)).toEqual({
    ...recipe,
    global: { ...PRETRAIN.global, tokens: 256 },
    local: { ...PRETRAIN.local, extent: [0.3, 0.6] },
  });
  expect(recipeAt(PRETRAIN, 199, 200)).toBe(PRETRAIN);
});

it('learning rates fall from layer to layer, from the heads down to what makes tokens', () => {
  const config = { ...modelConfig('pico'), layers: 3 };
  const params = pretrainParams(config, PRETRAIN);
  const rates = layerRates(params, config.layers, 0.5);
  const of = (name: string): Set<number> => {
    const found = params.slices.filter((slice) => slice.name.startsWith(name));
    expect(found.length, name).toBeGreaterThan(0);
    return new Set(found.flatMap(({ offset, size }) => [...rates.subarray(offset, offset + size)]));
  };
  for (const [name, rate] of [
    ['dino.', 1],
    ['ibot.', 1],
    ['image.norm.', 1],
    ['image.blocks.2.', 0.5],
    ['image.blocks.1.', 0.25],
    ['image.blocks.0.', 0.125],
    ['image.patch.', 0.0625],
    ['image.mask', 0.0625],
    ['image.cls', 0.0625],
  ] as const)
    expect([...of(name)], name).toEqual([rate]);
});
