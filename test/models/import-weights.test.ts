/** Weights of other vision transformers, against what PyTorch's own blocks compute with them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/index.js';
import { flatten } from '../../src/models/encoder.js';
import { parseImportMap, readyMadeMap } from '../../src/models/import-map.js';
import { importWeights } from '../../src/models/import-weights.js';
import { requireSharing } from '../../src/models/provenance.js';
import { readSafetensors, type NamedTensor } from '../../src/models/safetensors.js';
import { modelConfig } from '../../src/models/sizes.js';
import { linear, Params, transformerBlock, type Scope } from '../../src/nn/index.js';
import { openDevice } from '../../src/runtime/index.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/models/', import.meta.url));
const D = 24;
const CONFIG = { ...modelConfig('nano'), embedDim: D, heads: 2, layers: 2, samples: 4 };
const RIGHTS = { licence: 'Apache-2.0', use: ['train', 'share-weights'], reference: null, attribution: null };

const reference = async () =>
  JSON.parse(await readFile(join(FIXTURES, 'vit.json'), 'utf8')) as Record<
    'x' | 'blocks' | 'cube' | 'patch' | 'norm' | 'qkvBf16',
    number[]
  >;

const load = async (file: string) => readSafetensors(join(FIXTURES, file), { others: 'pass over' });

const dinov2 = async (prefix = 'backbone.') => {
  const { tensors, others } = await load('vit-dinov2.safetensors');
  const found = importWeights(tensors, { ...readyMadeMap('dinov2')!, prefix }, CONFIG, RIGHTS);
  return { ...found, others };
};

async function output(
  tensors: ReadonlyMap<string, NamedTensor>,
  shape: number[],
  data: number[],
  build: (scope: Scope, x: ReturnType<Graph['input']>) => ReturnType<Graph['input']>,
): Promise<Float32Array> {
  const params = Params.collect((graph, scope) => void build(scope, graph.input('x', 'float32', shape)));
  const graph = new Graph('part');
  const x = graph.input('x', 'float32', shape);
  graph.output('y', build(params.bindConstants(graph, flatten(params, tensors)), x));
  const device = await openDevice({ kind: 'cpu', threads: 1 });
  try {
    const { y } = await (await device.load(graph)).run({ x: Float32Array.from(data) });
    return y as Float32Array;
  } finally {
    await device.close();
  }
}

const worst = (a: ArrayLike<number>, b: readonly number[]): number =>
  Math.max(...b.map((x, n) => Math.abs(x - a[n]!)));

describe('weights with the names of DINOv2', () => {
  it("make blocks that compute what PyTorch's do", async () => {
    const { model, others } = await dinov2();
    const { x, blocks } = await reference();
    const y = await output(model.tensors, [2, 5, D], x, (scope, value) => {
      const at = scope.child('image');
      return [0, 1].reduce(
        (v, i) => transformerBlock(at.child(`blocks.${i}`), v, { heads: 2, layerScale: 0.1 }),
        value,
      );
    });
    expect(worst(y, blocks)).toBeLessThan(1e-4);
    expect([...others]).toEqual([['epoch', 'I64']]);
  });

  it('make a patch layer that answers a cube as the convolution does, and read half precision', async () => {
    const { model } = await dinov2();
    const { cube, patch, norm } = await reference();
    const values = [...cube, ...Array.from({ length: 13 }, (_, n) => 100 + n)];
    const y = await output(model.tensors, [1, 77], values, (scope, v) =>
      linear(scope.child('image').child('patch.fc1'), v, D),
    );
    expect(worst(y, patch)).toBeLessThan(1e-5);
    expect(Array.from(model.tensors.get('image.norm.scale')!.data)).toEqual(norm);
  });

  it('are accounted for one by one', async () => {
    const { report, model } = await dinov2();
    expect(report.notTaken).toEqual([{ from: 'backbone.pos_embed', reason: 'the map has no rule for it' }]);
    expect([...report.random].sort()).toEqual([
      'image.known.bias',
      'image.known.weight',
      'image.patch.fc2.bias',
      'image.patch.fc2.weight',
    ]);
    expect(report.taken.length + report.random.length).toBe(model.tensors.size);
    expect(model.provenance.runs).toEqual([
      { id: expect.stringMatching(/^import-[0-9a-f]{16}$/) as string, kind: 'import' },
    ]);
    expect(() => requireSharing(model.provenance, 'export')).not.toThrow();
  });

  it('may not be shared where nothing is known of their licence', async () => {
    const { tensors } = await load('vit-dinov2.safetensors');
    const map = { ...readyMadeMap('dinov2')!, prefix: 'backbone.' };
    const unknown = { licence: 'unknown', use: [], reference: null, attribution: null };
    const { model } = importWeights(tensors, map, CONFIG, unknown);
    expect(() => requireSharing(model.provenance, 'export')).toThrow(/share-weights/);
  });

  it('are left out with the shapes where they do not fit', async () => {
    const { tensors } = await load('vit-dinov2.safetensors');
    const map = { ...readyMadeMap('dinov2')!, prefix: 'backbone.' };
    const shallow = importWeights(tensors, map, { ...CONFIG, layers: 1, samples: 8 }, RIGHTS).report;
    const reason = (name: string) => shallow.notTaken.find(({ from }) => from === `backbone.${name}`)?.reason;
    expect(reason('patch_embed.proj.weight')).toBe(
      'is [64, 24] after its rule, "image.patch.fc1.weight" needs [512, 24], a cube of 8³ samples',
    );
    expect(reason('blocks.1.norm1.weight')).toBe('this size has no "image.blocks.1.norm1.scale"');
    expect(() => importWeights(tensors, map, modelConfig('nano'), RIGHTS)).toThrow(
      /got none of 35.*is \[64, 24\] after its rule.*needs \[512, 192\]/,
    );
    expect(() => importWeights(tensors, readyMadeMap('dinov2')!, CONFIG, RIGHTS)).toThrow(
      /no name matches the map/,
    );
  });
});

describe('weights with other names', () => {
  it('have queries, keys and values put together, from bfloat16', async () => {
    const { tensors } = await load('vit-transformers-bf16.safetensors');
    const { model, report } = importWeights(tensors, readyMadeMap('dinov2-transformers')!, CONFIG, RIGHTS);
    const { qkvBf16 } = await reference();
    const weight = model.tensors.get('image.blocks.0.attention.qkv.weight')!.data;
    const back = Array.from({ length: 3 * D * D }, (_, n) => weight[(n % D) * 3 * D + Math.floor(n / D)]!);
    expect(back).toEqual(qkvBf16);
    expect(report.taken).toHaveLength(1);
  });

  it('count each branch whole where the other model has no layer scale', async () => {
    const { tensors } = await load('vit-dinov2.safetensors');
    const { model } = importWeights(
      tensors,
      { ...readyMadeMap('timm')!, prefix: 'backbone.' },
      CONFIG,
      RIGHTS,
    );
    expect(new Set(model.tensors.get('image.blocks.1.scale2')!.data)).toEqual(new Set([1]));
  });

  it('are parted by a mapping file', () => {
    const data = Float32Array.from({ length: 4 * D }, (_, n) => n);
    const tensors = new Map([['both_0', { name: 'both_0', shape: [2, 2 * D], data }]]);
    const rule = (part: number, to: string) => ({
      from: 'both_{i}',
      to,
      split: { axis: 0, part, of: 2 },
    });
    const map = parseImportMap(
      JSON.stringify({ tensors: [rule(1, 'image.blocks.{i}.norm1.bias')] }),
      'map.json',
    );
    expect(() => importWeights(tensors, map, CONFIG, RIGHTS)).toThrow(/is \[1, 48\] after its rule/);
    const halves = new Map([['both_0', { name: 'both_0', shape: [4, D], data }]]);
    const quarter = parseImportMap(
      JSON.stringify({
        tensors: [
          { from: 'both_{i}', to: 'image.blocks.{i}.norm1.bias', split: { axis: 0, part: 2, of: 4 } },
        ],
      }),
      'map.json',
    );
    const { model } = importWeights(halves, quarter, CONFIG, RIGHTS);
    expect(Array.from(model.tensors.get('image.blocks.0.norm1.bias')!.data)).toEqual(
      Array.from(data.subarray(2 * D, 3 * D)),
    );
  });

  it('need a map that can be read', () => {
    expect(() => parseImportMap('{', 'map.json')).toThrow(/map\.json must be JSON/);
    expect(() => parseImportMap('{"tensors": [{"to": "a"}]}', 'map.json')).toThrow(/either "from" or/);
    expect(() => parseImportMap('{"tensors": [{"to": "a", "from": "b", "turn": 1}]}', 'map.json')).toThrow(
      /tensors\.0.*turn/,
    );
  });
});
