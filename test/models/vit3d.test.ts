import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/index.js';
import { imageBatch } from '../../src/models/batch.js';
import { imageInputs } from '../../src/models/inputs.js';
import { MODEL_SIZES, modelConfig, ModelError } from '../../src/models/sizes.js';
import { plainImageVector, vit3d } from '../../src/models/vit3d.js';
import { Params } from '../../src/nn/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { Random } from '../../src/volume/random.js';
import type { TokenSet } from '../../src/volume/tokens.js';

const config = { ...modelConfig('nano'), layers: 2 };
const size = config.samples ** 3;
let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

function paramsOf(c: typeof config): Params {
  return Params.collect((graph, scope) => {
    vit3d(scope.child('image'), c, imageInputs(graph, 'image', 1, 4, c.samples));
  });
}

/** Ten random tokens of one view. */
function someTokens(seed: number, patchMm = 16): TokenSet {
  const random = new Random(seed);
  const count = 10;
  return {
    count,
    patchMm,
    samples: config.samples,
    patches: Float32Array.from({ length: count * size }, () => random.normal()),
    measured: new Uint8Array(count * size).fill(1),
    valid: Float32Array.from({ length: count }, () => random.uniform(0.25, 1)),
    positions: Float32Array.from({ length: count * 3 }, () => random.uniform(-100, 100)),
  };
}

/** The vector that random weights give to one set, padded to `length` tokens. */
async function vectorOf(set: TokenSet, length: number): Promise<Float32Array> {
  const params = paramsOf(config);
  const graph = new Graph('test');
  const scope = params.bindConstants(graph, params.initialize(5));
  const features = vit3d(
    scope.child('image'),
    config,
    imageInputs(graph, 'image', 1, length, config.samples),
  );
  graph.output('vector', plainImageVector(features));
  const program = await device.load(graph);
  const feeds = Object.fromEntries(
    Object.entries(imageBatch([set], length, config.samples)).map(([k, v]) => [
      `image.${k}`,
      v as Float32Array,
    ]),
  );
  return (await program.run(feeds)).vector as Float32Array;
}

const cosine = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, n) => sum + v * b[n]!, 0);

describe('vit3d', () => {
  it('has the sizes that its table names: base within 2 % of 86 million parameters', () => {
    const count = (name: string): number => paramsOf(modelConfig(name)).size;
    expect(Math.abs(count('base') / 86e6 - 1)).toBeLessThan(0.02);
    const counts = MODEL_SIZES.map(count);
    expect([...counts].sort((a, b) => a - b)).toEqual(counts);
    expect(() => modelConfig('huge')).toThrow(ModelError);
  });

  it('does not see padding', async () => {
    const set = someTokens(1);
    expect(cosine(await vectorOf(set, 10), await vectorOf(set, 32))).toBeGreaterThan(1 - 1e-5);
  });

  it('knows places by distance only: a moved patient is the same, a stretched one is not', async () => {
    const set = someTokens(2);
    const plain = await vectorOf(set, 16);
    const moved = { ...set, positions: set.positions.map((v, n) => v + [250, -40, 1000][n % 3]!) };
    const stretched = { ...set, positions: set.positions.map((v) => v * 1.5) };
    expect(cosine(plain, await vectorOf(moved, 16))).toBeGreaterThan(1 - 1e-5);
    expect(cosine(plain, await vectorOf(stretched, 16))).toBeLessThan(1 - 1e-5);
  });

  it('does not depend on the order of tokens, but on their content, measured share and size', async () => {
    const set = someTokens(3);
    const plain = await vectorOf(set, 16);
    const order = [...new Random(9).sample(10, 10)];
    const shuffled: TokenSet = {
      ...set,
      patches: Float32Array.from(order.flatMap((n) => [...set.patches.subarray(n * size, (n + 1) * size)])),
      valid: Float32Array.from(order.map((n) => set.valid[n]!)),
      positions: Float32Array.from(order.flatMap((n) => [...set.positions.subarray(n * 3, n * 3 + 3)])),
    };
    expect(cosine(plain, await vectorOf(shuffled, 16))).toBeGreaterThan(1 - 1e-5);
    for (const other of [
      { ...set, patches: set.patches.map((v) => -v) },
      { ...set, valid: set.valid.map((v) => v / 2) },
      { ...set, patchMm: 8 },
    ])
      expect(cosine(plain, await vectorOf(other, 16))).toBeLessThan(1 - 1e-6);
  });
});
