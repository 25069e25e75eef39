/** Studies as one vector: attention over their series, and what of a batch belongs to them. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Series } from '../../src/corpus/series.js';
import { Graph, gradients } from '../../src/graph/index.js';
import { modelConfig } from '../../src/models/sizes.js';
import { studyPool, studyPoolOf, studyVector } from '../../src/models/study-pool.js';
import { Params } from '../../src/nn/index.js';
import { openDevice, type Device, type Program } from '../../src/runtime/index.js';
import { TextTokenizer, trainWordPiece } from '../../src/text/tokenizer.js';
import { ALIGN, alignBatch } from '../../src/train/align.js';
import { sigmoidContrastiveLoss } from '../../src/train/contrast.js';
import { VolumeCache } from '../../src/train/loader.js';
import type { Volume } from '../../src/volume/volume.js';

const { sizes, inputs, outputs } = JSON.parse(
  readFileSync(new URL('../fixtures/train/studies.json', import.meta.url), 'utf8'),
) as {
  sizes: Record<'rows' | 'dim' | 'studies' | 'texts', number>;
  inputs: Record<string, number[]>;
  outputs: Record<string, number[]>;
};
const { rows, dim, studies, texts } = sizes;
const given = (name: string): Float32Array => Float32Array.from(inputs[name]!);
const flat = Float32Array.from([...inputs.weight!, ...inputs.attentionBias!, ...inputs.query!]);

let device: Device;
let program: Program;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
  const params = Params.collect((graph, scope) => {
    studyPool(scope, graph.input('series', 'float32', [1, dim]), graph.input('member', 'float32', [1, 1]));
  });
  const graph = new Graph('studies');
  const weights = graph.input('flat', 'float32', [params.size]);
  const series = graph.input('series', 'float32', [rows, dim]);
  const words = graph.input('texts', 'float32', [texts, dim]);
  const input = (name: string, shape: number[]) => graph.input(name, 'float32', shape);
  const vectors = studyPool(params.bind(weights), series, input('member', [studies, rows]));
  const loss = sigmoidContrastiveLoss(
    vectors,
    words,
    input('scale', [1]),
    input('bias', [1]),
    input('pairs', [studies, texts]),
  );
  const [seriesGrad, textsGrad, flatGrad] = gradients(loss, [series, words, weights]);
  for (const [name, value] of Object.entries({ vectors, loss, seriesGrad, textsGrad, flatGrad }))
    graph.output(name, value!);
  program = await device.load(graph);
});
afterAll(() => device.close());

const run = (changed: Record<string, Float32Array> = {}) => {
  const names = ['series', 'texts', 'scale', 'bias', 'member', 'pairs'];
  return program.run({ flat, ...Object.fromEntries(names.map((name) => [name, given(name)])), ...changed });
};

function expectClose(found: ArrayLike<unknown>, expected: readonly number[], name: string): void {
  expect(found.length, name).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  expected.forEach((e, n) => expect(Math.abs((found[n] as number) - e) / largest, name).toBeLessThan(1e-4));
}

describe('attention over the series of a study', () => {
  it('has the vectors, the loss and the gradients of PyTorch, where a place is empty', async () => {
    const found = await run();
    for (const name of ['vectors', 'loss', 'seriesGrad', 'textsGrad'])
      expectClose(found[name]!, outputs[name]!, name);
    const { weightGrad, attentionBiasGrad, queryGrad } = outputs;
    expectClose(found.flatGrad!, [...weightGrad!, ...attentionBiasGrad!, ...queryGrad!], 'flat');
    // Nothing is learnt from the empty place, whatever lies there.
    const empty = (found.seriesGrad as Float32Array).slice(3 * dim, 4 * dim);
    expect([...empty].every((v) => v === 0)).toBe(true);
    const series = given('series');
    series.fill(0.9, 3 * dim, 4 * dim);
    expect((await run({ series })).loss).toEqual(found.loss);
  });

  it('has the gradient of finite differences', async () => {
    const { flatGrad, seriesGrad } = await run();
    const step = 2e-2;
    const lossAt = async (name: string, data: Float32Array, at: number, by: number): Promise<number> => {
      const moved = data.slice();
      moved[at]! += by;
      return (await run({ [name]: moved })).loss![0] as number;
    };
    for (const [name, data, gradient] of [
      ['flat', flat, flatGrad as Float32Array],
      ['series', given('series'), seriesGrad as Float32Array],
    ] as const) {
      const largest = Math.max(...gradient.map(Math.abs));
      for (let at = 0; at < data.length; at += name === 'flat' ? 37 : 5) {
        const slope =
          ((await lossAt(name, data, at, step)) - (await lossAt(name, data, at, -step))) / (2 * step);
        expect(Math.abs(slope - gradient[at]!) / largest, `${name} ${at}`).toBeLessThan(0.02);
      }
    }
  });

  it('is worked out for search as in the program, and is the mean at first', () => {
    const tensor = (name: string, data: Float32Array) =>
      [name, { name, shape: [data.length], data }] as const;
    const model = {
      tensors: new Map([
        tensor('align.study.attention.weight', given('weight')),
        tensor('align.study.attention.bias', given('attentionBias')),
        tensor('align.study.query', given('query')),
      ]),
    };
    const pool = studyPoolOf(model)!;
    const series = given('series');
    const row = (n: number): Float32Array => series.slice(n * dim, (n + 1) * dim);
    const vectors = [[0, 1, 2].map(row), [4, 5].map(row)];
    expectClose(
      vectors.flatMap((list) => [...studyVector(list, pool)]),
      outputs.vectors!,
      'vectors',
    );
    const fresh = { ...pool, query: new Float32Array(pool.query.length) };
    expect(studyVector(vectors[0]!, fresh)).toEqual(studyVector(vectors[0]!));
    expect(studyPoolOf({ tensors: new Map() })).toBeNull();
  });
});

const ramp: Volume = {
  data: Float32Array.from({ length: 30 ** 3 }, (_, n) => 100 + (n % 30) * 4 + ((n * 7) % 11)),
  shape: [30, 30, 30],
  affine: [
    [4, 0, 0, 0],
    [0, 4, 0, 0],
    [0, 0, 4, 0],
    [0, 0, 0, 1],
  ],
  slope: 1,
  intercept: 0,
  valid: null,
};

describe('a batch of studies', () => {
  it('shows up to so many series of each; a place without a series is of no study and in no pair', async () => {
    // Studies of three, two and one series; one of the second cannot be used.
    const series = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1'].map(
      (id, n) =>
        ({
          id,
          studyId: id[0],
          text: `Sentence ${id}.`,
          description: '',
          spacingMm: [4, 4, 4],
          fieldStrengthT: null,
          manufacturer: '',
          bodyPart: 'BRAIN',
          contrast: `T${n}w`,
          plane: 'axial',
        }) as unknown as Series,
    );
    const flatVolume = { ...ramp, data: new Float32Array(30 ** 3) };
    const source = { volume: (id: string) => Promise.resolve(id === 'b2' ? flatVolume : ramp) };
    const cache = new VolumeCache(source, 1e9, () => undefined);
    const words = new TextTokenizer(trainWordPiece(series.map(({ text }) => text)));
    const config = { ...modelConfig('nano'), samples: 2 };
    const recipe = { ...ALIGN, view: { ...ALIGN.view, tokens: 16 }, studySeries: 2, paraphrase: 0 };
    const at = { seed: 4, step: 0, batch: 6 };
    const { feeds, ids, tell, hear } = await alignBatch(cache, series, words, config, recipe, at);
    const { pairs, studyPairs } = hear!([tell!]) as Record<string, Float32Array>;
    const member = feeds.member as Float32Array;
    const keep = feeds['view.keep'] as Float32Array;
    expect(ids!.map((id) => id[0]).sort()).toEqual(['a', 'a', 'b', 'c']);
    const shown = Array.from({ length: 6 }, (_, row) => keep.slice(row * 16, (row + 1) * 16).includes(1));
    expect(shown.filter(Boolean)).toHaveLength(4);
    // Members are the places of the study that show something, and each place is of its own study only.
    for (let g = 0; g < 3; g++)
      expect([...member.slice(6 * g, 6 * g + 6)]).toEqual(
        shown.map((there, row) => (there && Math.floor(row / 2) === g ? 1 : 0)),
      );
    for (let row = 0; row < 6; row++)
      for (let text = 0; text < 6; text++) {
        const there = shown[row]! && shown[text]!;
        expect(pairs![6 * row + text]).toBe(there ? (row === text ? 1 : -1) : 0);
      }
    // The texts of either series are true of their study.
    for (let g = 0; g < 3; g++)
      for (let text = 0; text < 6; text++)
        expect(studyPairs![6 * g + text]).toBe(shown[text] ? (Math.floor(text / 2) === g ? 1 : -1) : 0);
  });
});
