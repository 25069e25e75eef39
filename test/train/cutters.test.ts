/** Views cut in threads ahead of the step. */
import { describe, expect, it } from 'vitest';
import type { Series } from '../../src/corpus/series.js';
import { modelConfig } from '../../src/models/sizes.js';
import { pretrainBatch } from '../../src/train/crops.js';
import { Cutters } from '../../src/train/cutters.js';
import { VolumeCache, type VolumeSource } from '../../src/train/loader.js';
import { MAE, maeBatch, type MaeRecipe } from '../../src/train/mae.js';
import { JOINT, type PretrainRecipe } from '../../src/train/pretrain.js';

const module = new URL('cutter-source.mjs', import.meta.url).href;
const { openSource } = (await import(module)) as {
  openSource: (levels: Record<string, number>) => VolumeSource;
};
// The third holds nothing that could be seen.
const levels = { 'se-1': 100, 'se-2': 300, 'se-3': 0, 'se-4': 900 };
const series = Object.keys(levels).map((id) => ({ id, studyId: id, text: '' })) as Series[];
const config = { ...modelConfig('nano'), samples: 2 };
const view = { tokens: 24, patchMm: [[16, 1]] as const, extent: [0.6, 0.9] as const };
const recipe: PretrainRecipe = { ...JOINT, global: view, local: view, locals: 1 };
const at = (step: number) => ({ seed: 3, step, batch: 4, ranks: { rank: 0, size: 1 } });

describe('cutters', () => {
  it('cut what the thread that trains would, bit for bit, and say what they leave out', async () => {
    const warned: string[] = [];
    const cutters = new Cutters({ threads: 2, module, data: levels }, series, config, 1e9, (message) =>
      warned.push(message),
    );
    try {
      expect(cutters.width).toBe(2);
      const cut = await Promise.all([0, 1, 2, 3, 4].map((step) => cutters.cut(recipe, at(step))));
      const cache = new VolumeCache(openSource(levels), 1e9, () => undefined);
      for (const [step, batch] of cut.entries()) {
        const { feeds, tokens, ids, shown } = await pretrainBatch(cache, series, config, recipe, at(step));
        expect(batch.feeds).toEqual(feeds);
        expect([batch.tokens, batch.ids, batch.shown]).toEqual([tokens, ids, shown]);
      }
      // Once, though both threads met it.
      expect(warned.filter((message) => message.startsWith('series se-3 is left out'))).toHaveLength(1);
    } finally {
      await cutters.close();
    }
  });

  it('cut for masked autoencoding too, each rank its own share', async () => {
    const cutters = new Cutters({ threads: 2, module, data: levels }, series, config, 1e9);
    const mae: MaeRecipe = { ...MAE, view, visible: 8 };
    try {
      const cache = new VolumeCache(openSource(levels), 1e9, () => undefined);
      for (const rank of [0, 1])
        for (const step of [0, 1, 2]) {
          const share = { ...at(step), ranks: { rank, size: 2 } };
          const [cut, own] = [
            await cutters.cut(mae, share),
            await maeBatch(cache, series, config, mae, share),
          ];
          expect(cut.feeds).toEqual(own.feeds);
          expect(cut.feeds['hidden.patches']!.some((value) => value !== 0)).toBe(true);
          expect([cut.tokens, cut.ids, cut.shown]).toEqual([own.tokens, own.ids, own.shown]);
          expect(own.ids).toHaveLength(2);
        }
    } finally {
      await cutters.close();
    }
  });

  it('say why there is no batch where the source cannot be opened, or the threads are gone', async () => {
    const nowhere = new URL('no-such-source.mjs', import.meta.url).href;
    const cutters = new Cutters({ threads: 1, module: nowhere, data: null }, series, config);
    await expect(cutters.cut(recipe, at(0))).rejects.toThrow(/no-such-source/);
    const asked = cutters.cut(recipe, at(1));
    const closed = cutters.close();
    await expect(asked).rejects.toThrow(/no-such-source|thread that did ended/);
    await closed;
    // What is asked of threads that are gone does not wait for ever.
    await expect(cutters.cut(recipe, at(2))).rejects.toThrow(/thread that did ended/);
  });
});
