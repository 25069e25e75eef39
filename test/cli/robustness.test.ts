/** The curves of --robustness, on an encoder that says how bright, how rough and how large an image is. */
import { describe, expect, it } from 'vitest';
import {
  checkCopies,
  curves,
  encode,
  judgeOf,
  withThumbprints,
  type Question,
} from '../../src/cli/evaluate-measure.js';
import type { Encoder } from '../../src/models/encoder.js';
import { scalingAffine } from '../../src/volume/affine.js';
import { Random } from '../../src/volume/random.js';
import type { TokenSet } from '../../src/volume/tokens.js';
import type { Volume } from '../../src/volume/volume.js';

/** Stripes in half of the images, of which noise and coarse voxels leave little. */
function image(n: number): Volume {
  const random = new Random(n, 77);
  const shape = [32, 32, 32] as const;
  const data = new Float32Array(32 ** 3);
  const bright = 200 + 20 * random.normal();
  const lump = [0, 1, 2].map(() => random.uniform(8, 24));
  for (let at = 0; at < data.length; at++) {
    const [i, j, k] = [at % 32, (at >> 5) % 32, at >> 10];
    if (Math.hypot(i - 16, j - 16, k - 16) > 14 + (n % 3)) continue;
    const inside = Math.hypot(i - lump[0]!, j - lump[1]!, k - lump[2]!) < 11;
    data[at] = (inside ? 0.25 : 1) * bright + random.normal() + (n % 2 === 0 && i % 4 < 2 ? 25 : 0);
  }
  return { data, shape, affine: scalingAffine([2, 2, 2]), slope: 1, intercept: 0, valid: null };
}

/** Mean change between neighbours, which tells stripes; mean, and some noise. */
function describeTokens({ patches }: TokenSet): {
  summary: Float32Array;
  tokens: Float32Array;
} {
  let [rough, sum] = [0, 0];
  for (let n = 1; n < patches.length; n++) {
    rough += Math.abs(patches[n]! - patches[n - 1]!) / patches.length;
    sum += patches[n]! / patches.length;
  }
  // Numbers of no meaning, by which images differ.
  const own = [1, 2, 3, 4].map((f) => Math.sin(1e4 * f * sum));
  return { summary: Float32Array.of(10 * rough, sum, ...own), tokens: new Float32Array() };
}
const encoder = {
  config: { samples: 8 },
  features: (sets: TokenSet[]) => Promise.resolve(sets.map(describeTokens)),
} as unknown as Encoder;

const count = 18;
const series = Array.from({ length: count }, (_, n) => ({
  id: `se-${n}`,
  patientId: `pt-${n}`,
  contentHash: '',
}));
const question = {
  kind: 'head',
  suite: 'labels',
  series,
  target: { kind: 'classes', names: ['striped', 'plain'], values: series.map((_, n) => n % 2) },
  notes: [],
} as unknown as Question;
const volumeOf = (id: string): Promise<Volume> => Promise.resolve(image(Number(id.slice(3))));
const settings = { maxTokens: 512, signal: new AbortController().signal, seed: 1 };

describe('curves', () => {
  it('ask heads fitted on the images as they are of images made worse', async () => {
    const encoded = await encode(question, encoder, volumeOf, settings);
    const judge = await judgeOf(question, encoder, encoded, { method: 'logistic', folds: 3, rounds: 100 });
    const clean = judge(encoded);
    expect(clean.metrics.accuracy!.value).toBeGreaterThan(0.9);
    const only = ['resolution', 'Rician noise', 'axis order'];
    const found = await curves(question, encoder, volumeOf, judge, clean, { ...settings, only });
    expect(found.map(({ points }) => points.length)).toEqual([5, 5, 5]);
    for (const { points } of found) expect(points[0]).toMatchObject({ strength: 0, metrics: clean.metrics });
    const last = (name: string): number =>
      found.find((one) => one.name === name)!.points.at(-1)!.metrics.accuracy!.value;
    // The order of an array's axes is nothing to a token; stripes do not survive voxels of their width.
    expect(last('axis order')).toBeGreaterThan(0.9);
    expect(last('resolution')).toBeLessThan(0.75);
    expect(last('Rician noise')).toBeLessThan(0.75);
  });

  it('stop where an image stands under two patients', async () => {
    const watched = withThumbprints((id) => volumeOf(id === 'se-5' ? 'se-2' : id));
    await encode(question, encoder, watched.volumeOf, settings);
    expect(() => checkCopies(question, watched.thumbprints)).toThrow(/se-2 and se-5 \(correlation 1\.0000\)/);
  });
});
