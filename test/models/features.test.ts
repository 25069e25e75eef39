import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Encoder } from '../../src/models/encoder.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { Random } from '../../src/volume/random.js';
import type { TokenSet } from '../../src/volume/tokens.js';

const { samples, embedDim } = modelConfig('nano');

function someTokens(seed: number, count: number): TokenSet {
  const random = new Random(seed);
  return {
    count,
    patchMm: 16,
    samples,
    patches: Float32Array.from({ length: count * samples ** 3 }, () => random.normal()),
    measured: new Uint8Array(count * samples ** 3).fill(1),
    valid: new Float32Array(count).fill(1),
    positions: Float32Array.from({ length: count * 3 }, () => random.uniform(-100, 100)),
  };
}

const norm = (v: Float32Array): number => Math.hypot(...v);

describe('features of the frozen encoder', () => {
  let encoder: Encoder;
  beforeAll(async () => {
    encoder = await Encoder.open(newModel(modelConfig('nano'), 3), { threads: 1 });
  });
  afterAll(() => encoder.close());

  it('are the parts that the plain vector is made of, one row a token', async () => {
    const sets = [someTokens(1, 9), someTokens(2, 40)];
    const features = await encoder.features(sets);
    const vectors = await encoder.embedTokens(sets);
    features.forEach(({ summary, tokens }, n) => {
      expect(tokens.length).toBe(sets[n]!.count * embedDim);
      const [cls, mean] = [summary.slice(0, embedDim), summary.slice(embedDim)];
      const joined = [...cls].map((x) => x / norm(cls)).concat([...mean].map((x) => x / norm(mean)));
      joined.forEach((x, d) => expect(vectors[n]![d]).toBeCloseTo(x / Math.SQRT2, 5));
      for (let d = 0; d < embedDim; d++) {
        let sum = 0;
        for (let t = 0; t < sets[n]!.count; t++) sum += tokens[t * embedDim + d]!;
        expect(sum / sets[n]!.count).toBeCloseTo(mean[d]!, 4);
      }
    });
  });

  it('do not depend on what shares the run', async () => {
    const [alone] = await encoder.features([someTokens(1, 9)]);
    const [together] = await encoder.features([someTokens(1, 9), someTokens(5, 100)]);
    alone!.tokens.forEach((x, n) => expect(together!.tokens[n]).toBeCloseTo(x, 4));
  });
});
