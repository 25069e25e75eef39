import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelConfig } from '../../src/models/sizes.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { MAE, maeFeeds, maeParams, maeStep, type MaeRecipe } from '../../src/train/mae.js';
import { Random } from '../../src/volume/random.js';
import type { TokenSet } from '../../src/volume/tokens.js';

const config = { ...modelConfig('nano'), embedDim: 24, layers: 1, heads: 1, samples: 2 };
const recipe: MaeRecipe = {
  ...MAE,
  view: { ...MAE.view, tokens: 10 },
  visible: 4,
  decoder: { width: 24, layers: 1, heads: 1 },
};
const size = config.samples ** 3;

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

function view(seed: number, count: number): TokenSet {
  const random = new Random(seed);
  return {
    count,
    patchMm: 16,
    samples: config.samples,
    patches: Float32Array.from({ length: count * size }, () => random.normal()),
    measured: Uint8Array.from({ length: count * size }, () => (random.chance(0.8) ? 1 : 0)),
    valid: new Float32Array(count).fill(1),
    positions: Float32Array.from({ length: count * 3 }, () => random.uniform(-50, 50)),
  };
}

async function run(params: Float32Array, feeds: ReturnType<typeof maeFeeds>, batch: number) {
  const program = await device.load(maeStep(maeParams(config, recipe), config, recipe, batch));
  const { loss, grads } = await program.run({ ...feeds, params });
  return { loss: loss![0] as number, grads: grads as Float32Array };
}

describe('masked autoencoding', () => {
  const views = [view(1, 10), view(2, 5)];
  const feeds = maeFeeds(views, config.samples, recipe);
  const layout = maeParams(config, recipe);

  it('parts every view into what is seen and what is asked, with places about one middle', () => {
    const seenCount = feeds['view.keep'] as Float32Array;
    const askedCount = feeds['hidden.keep'] as Float32Array;
    const sum = (data: Float32Array, from: number, to: number): number =>
      data.slice(from, to).reduce((a, b) => a + b, 0);
    // 10 tokens: 4 seen, 6 asked. 5 tokens: the same shares, 2 and 3.
    expect([sum(seenCount, 0, 4), sum(askedCount, 0, 6)]).toEqual([4, 6]);
    expect([sum(seenCount, 4, 8), sum(askedCount, 6, 12)]).toEqual([2, 3]);
    const patches = feeds['hidden.patches'] as Float32Array;
    expect(patches.slice(0, 6 * size)).toEqual(views[0]!.patches.slice(4 * size));
    const positions = views[0]!.positions;
    const seen = feeds['view.positions'] as Float32Array;
    const asked = feeds['hidden.positions'] as Float32Array;
    for (let d = 0; d < 3; d++) {
      const between = positions[4 * 3 + d]! - positions[d]!;
      expect(asked[d]! - seen[d]!).toBeCloseTo(between, 4);
    }
  });

  it('is the mean square of what is hidden when the decoder says 0', async () => {
    const params = layout.initialize(3);
    for (const { name, offset, size: length } of layout.slices)
      if (name.startsWith('decoder.out.')) params.fill(0, offset, offset + length);
    let [total, count] = [0, 0];
    for (const [set, from] of [
      [views[0]!, 4],
      [views[1]!, 2],
    ] as const)
      for (let s = from * size; s < set.count * size; s++)
        if (set.measured[s] === 1) [total, count] = [total + set.patches[s]! ** 2, count + 1];
    const { loss } = await run(params, feeds, 2);
    expect(loss).toBeCloseTo(total / count, 5);
  });

  it('has the gradient of finite differences', async () => {
    const params = layout.initialize(5);
    const { grads } = await run(params, feeds, 2);
    const random = new Random(6);
    for (const name of ['image.patch.fc1.weight', 'image.cls', 'decoder.in.weight', 'decoder.out.bias']) {
      const found = layout.slices.find((slice) => slice.name === name);
      expect(found, name).toBeDefined();
      const direction = new Float32Array(params.length);
      for (let n = 0; n < found!.size; n++) direction[found!.offset + n] = random.normal();
      const h = 1e-2 / Math.sqrt(found!.size);
      const at = async (side: number): Promise<number> =>
        (
          await run(
            Float32Array.from(params, (p, n) => p + side * h * direction[n]!),
            feeds,
            2,
          )
        ).loss;
      const numeric = ((await at(1)) - (await at(-1))) / (2 * h);
      const exact = grads.reduce((sum, g, n) => sum + g * direction[n]!, 0);
      expect(Math.abs(numeric - exact), name).toBeLessThan(2e-3 + 0.02 * Math.abs(exact));
    }
  });

  it('never lets the encoder see what is hidden', async () => {
    const params = layout.initialize(7);
    const other = maeFeeds(
      views.map((set, n) => {
        const patches = Float32Array.from(set.patches);
        const from = (n === 0 ? 4 : 2) * size;
        for (let s = from; s < patches.length; s++) patches[s] = patches[s]! + 1;
        return { ...set, patches };
      }),
      config.samples,
      recipe,
    );
    for (const name of Object.keys(feeds).filter((key) => key !== 'hidden.patches'))
      expect(other[name], name).toEqual(feeds[name]);
    // Padding says nothing: its places may hold anything.
    const padded = { ...feeds, 'hidden.patches': Float32Array.from(feeds['hidden.patches'] as Float32Array) };
    padded['hidden.patches'].fill(9, (6 + 3) * size);
    expect((await run(params, padded, 2)).loss).toBeCloseTo((await run(params, feeds, 2)).loss, 6);
  });
});
