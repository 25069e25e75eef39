/** Cross-contrast views: two series of a study at one physical place. */
import { describe, expect, it } from 'vitest';
import type { Series } from '../../src/corpus/series.js';
import { modelConfig } from '../../src/models/sizes.js';
import { pretrainBatch, samePlace, studiesOf } from '../../src/train/crops.js';
import { VolumeCache } from '../../src/train/loader.js';
import { JOINT, PRETRAIN, type PretrainRecipe } from '../../src/train/pretrain.js';
import { NO_AUGMENTATION, type Box } from '../../src/train/views.js';
import type { Volume } from '../../src/volume/volume.js';

/** A ramp along x that begins at `start` mm, brighter by `base`: grey values say where they lie. */
function ramp(start: number, base: number): Volume {
  const shape = [40, 30, 20] as const;
  const data = new Float32Array(40 * 30 * 20);
  let n = 0;
  for (let k = 0; k < 20; k++)
    for (let j = 0; j < 30; j++)
      for (let i = 0; i < 40; i++, n++) data[n] = base + 4 * i + ((7 * j + 3 * k) % 11);
  return {
    data,
    shape,
    affine: [
      [4, 0, 0, start],
      [0, 4, 0, 0],
      [0, 0, 4, 0],
      [0, 0, 0, 1],
    ],
    slope: 1,
    intercept: 0,
    valid: null,
  };
}

const volumes: Record<string, Volume> = {
  'se-a1': ramp(0, 100),
  'se-a2': ramp(40, 500),
  'se-b1': ramp(0, 100),
  // The same study, but elsewhere in the body.
  'se-b2': ramp(900, 100),
};
const series = Object.keys(volumes).map((id) => ({ id, studyId: id.slice(0, 4) })) as Series[];
const config = { ...modelConfig('nano'), samples: 2 };
const view = { tokens: 40, patchMm: [[16, 1]] as const, extent: [0.6, 0.9] as const };
const plain: PretrainRecipe = {
  ...PRETRAIN,
  global: view,
  local: view,
  locals: 2,
  augmentation: NO_AUGMENTATION,
  crossContrast: 1,
};
const at = (step: number, rank = 0, size = 1) => ({ seed: 3, step, batch: 4, ranks: { rank, size } });

async function batchOf(recipe: PretrainRecipe, step: number, rank = 0, size = 1) {
  const asked: string[] = [];
  class Noted extends VolumeCache {
    override get(id: string) {
      asked.push(id);
      return super.get(id);
    }
  }
  const source = { volume: (id: string) => Promise.resolve(volumes[id]!) };
  const cache = new Noted(source, 1e9, () => undefined);
  const batch = await pretrainBatch(cache, series, config, recipe, at(step, rank, size), studiesOf(series));
  return { ...batch, asked };
}

describe('samePlace', () => {
  const box = (...x: readonly [number, number]): Box => [
    [x[0], 0, 0],
    [x[1], 100, 100],
  ];
  it('is the overlap of two boxes, where it is at least half of the smaller', () => {
    expect(samePlace(box(0, 100), box(40, 300))).toEqual([
      [40, 0, 0],
      [100, 100, 100],
    ]);
    expect(samePlace(box(0, 100), box(51, 300))).toBeNull();
    expect(samePlace(box(0, 100), box(200, 300))).toBeNull();
  });
});

describe('cross-contrast views', () => {
  it('show the other series of the study in half of the views, where both see the same place', async () => {
    for (let step = 0; step < 6; step++) {
      const { asked, ids } = await batchOf(plain, step);
      expect([...ids].sort()).toEqual(Object.keys(volumes));
      // Four series of the batch and their others, each in its turn.
      expect(asked.length).toBe(8);
      const other = { 'se-a1': 'se-a2', 'se-a2': 'se-a1', 'se-b1': 'se-b2', 'se-b2': 'se-b1' };
      ids.forEach((id, n) => {
        expect(asked[2 * n]).toBe(id);
        expect(asked[2 * n + 1]).toBe(other[id as keyof typeof other]);
      });
    }
  });

  it('look at one box: the two global views hold the same places, and differ in their contrast', async () => {
    const { feeds, ids } = await batchOf(plain, 1);
    const n = view.tokens;
    const size = config.samples ** 3;
    const patches = feeds['global.patches'] as Float32Array;
    const keep = feeds['global.keep'] as Float32Array;
    const meanOf = (row: number): number => {
      let [sum, count] = [0, 0];
      for (let t = 0; t < n; t++)
        if (keep[row * n + t] === 1)
          for (let s = 0; s < size; s++, count++) sum += patches[(row * n + t) * size + s]!;
      return sum / count;
    };
    // Series a1 and a2 hold the same ramp 40 mm apart: after normalisation the same place is darker by 40 mm of it in a2.
    const span = 0.9 * 156;
    const i = ids.indexOf('se-a1');
    expect(meanOf(i) - meanOf(4 + i)).toBeGreaterThan((2 * 40 * 0.5) / span);
    expect(meanOf(i) - meanOf(4 + i)).toBeLessThan((2 * 40 * 1.5) / span);
  });

  it('are the same whoever computes them, with what is hidden and measured', async () => {
    const recipe = { ...JOINT, ...plain, crossContrast: 0.5, pixels: [1, 1] as const };
    const whole = await batchOf(recipe, 2);
    const parts = [await batchOf(recipe, 2, 0, 2), await batchOf(recipe, 2, 1, 2)];
    expect(parts.flatMap(({ ids }) => ids)).toEqual(whole.ids);
    for (const name of ['global.patches', 'global.maskMeasured', 'local.positions']) {
      const crops = name.startsWith('local') ? recipe.locals : 2;
      const all = whole.feeds[name] as Float32Array;
      const width = all.length / (4 * crops);
      for (let crop = 0; crop < crops; crop++)
        for (let row = 0; row < 4; row++) {
          const part = parts[row >> 1]!.feeds[name] as Float32Array;
          const from = (crop * 2 + (row % 2)) * width;
          expect(part.slice(from, from + width), name).toEqual(
            all.slice((crop * 4 + row) * width, (crop * 4 + row + 1) * width),
          );
        }
    }
    const measured = whole.feeds['global.maskMeasured'] as Float32Array;
    const weight = whole.feeds['global.maskWeight'] as Float32Array;
    const size = config.samples ** 3;
    weight.forEach((w, m) => {
      expect(Math.max(...measured.subarray(m * size, (m + 1) * size))).toBe(w > 0 ? 1 : 0);
    });
  });
});
