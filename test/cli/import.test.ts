/** `precess import`: weights with the names of other 3D transformers, and what does not fit them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openModel, type ModelFile } from '../../src/models/model-file.js';
import { writeSafetensors } from '../../src/models/safetensors.js';
import { modelConfig } from '../../src/models/sizes.js';
import { expectFailure, json, precess, workFolder } from './command.js';

const { embedDim: D, layers: LAYERS, samples: SIDE } = modelConfig('pico');
const PATCH = [D, 1, SIDE, SIDE, SIDE] as const;

type Shapes = Record<string, readonly number[]>;

/** Names and shapes as timm's VisionTransformer keeps them, of width `d`. */
function vit(d: number, patch: readonly number[] = PATCH): Shapes {
  const block = (i: number): [string, number[]][] => [
    [`blocks.${i}.norm1.weight`, [d]],
    [`blocks.${i}.norm1.bias`, [d]],
    [`blocks.${i}.attn.qkv.weight`, [3 * d, d]],
    [`blocks.${i}.attn.qkv.bias`, [3 * d]],
    [`blocks.${i}.attn.proj.weight`, [d, d]],
    [`blocks.${i}.attn.proj.bias`, [d]],
    [`blocks.${i}.norm2.weight`, [d]],
    [`blocks.${i}.norm2.bias`, [d]],
    [`blocks.${i}.mlp.fc1.weight`, [4 * d, d]],
    [`blocks.${i}.mlp.fc1.bias`, [4 * d]],
    [`blocks.${i}.mlp.fc2.weight`, [d, 4 * d]],
    [`blocks.${i}.mlp.fc2.bias`, [d]],
  ];
  return {
    cls_token: [1, 1, d],
    pos_embed: [1, 28, d],
    'patch_embed.proj.weight': patch,
    'patch_embed.proj.bias': [d],
    ...Object.fromEntries(Array.from({ length: LAYERS }, (_, i) => block(i)).flat()),
    'norm.weight': [d],
    'norm.bias': [d],
  };
}

const LAYER_SCALES: Shapes = Object.fromEntries(
  Array.from({ length: LAYERS }, (_, i) =>
    [1, 2].map((n) => [`blocks.${i}.ls${n}.gamma`, [D]] as const),
  ).flat(),
);

/** What each published model has that its file of weights shows. */
const MODELS: Record<string, { map: string; prefix?: string; shapes: Shapes; left: string[] }> = {
  '3DINO': {
    map: 'dinov2',
    prefix: 'teacher.backbone.',
    shapes: { ...vit(D), ...LAYER_SCALES, mask_token: [1, D] },
    left: ['pos_embed'],
  },
  // Of slices: its patches are flat, and registers have no place here.
  DINOv2: {
    map: 'dinov2',
    shapes: {
      ...vit(D, [D, 3, 14, 14]),
      ...LAYER_SCALES,
      mask_token: [1, D],
      register_tokens: [1, 4, D],
    },
    left: ['patch_embed.proj.weight', 'pos_embed', 'register_tokens'],
  },
  MAE: {
    map: 'timm',
    shapes: {
      ...vit(D),
      mask_token: [1, 1, 24],
      'decoder_embed.weight': [24, D],
      'decoder_blocks.0.attn.qkv.weight': [72, 24],
    },
    left: ['decoder_blocks.0.attn.qkv.weight', 'decoder_embed.weight', 'mask_token', 'pos_embed'],
  },
};

/** A number of its own for every place of every tensor. */
const valueAt = (name: string, n: number): number => ((name.length * 31 + n * 7) % 1009) / 1009 - 0.5;

async function weights(path: string, shapes: Shapes, prefix = ''): Promise<string> {
  const tensors = Object.entries(shapes).map(([name, shape]) => ({
    name: `${prefix}${name}`,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, n) => valueAt(name, n)),
  }));
  await writeSafetensors(path, tensors);
  return path;
}

interface Told {
  taken: { to: string; from: string[] }[];
  notTaken: { from: string; reason: string }[];
  random: string[];
}

let dir = '';
const at = (name: string): string => join(dir, name);
beforeAll(async () => {
  dir = await workFolder();
});

const data = (model: ModelFile, name: string): Float32Array => model.tensors.get(name)!.data;

describe('precess import', () => {
  it.each(Object.entries(MODELS))('takes the weights of %s', async (name, { map, prefix, shapes, left }) => {
    const file = await weights(at(`${name}.safetensors`), shapes, prefix);
    const out = at(`${name}.model.safetensors`);
    const told = await json<Told>(
      ...['import', file, '--map', map, '--size', 'pico', '--out', out, '--licence', 'Apache-2.0'],
      ...['--use', 'train', 'share-weights', ...(prefix === undefined ? [] : ['--prefix', prefix])],
    );
    expect(told.notTaken.map(({ from }) => from).sort()).toEqual(left.map((one) => `${prefix ?? ''}${one}`));
    expect(told.taken.flatMap(({ from }) => from)).toHaveLength(Object.keys(shapes).length - left.length);

    const model = await openModel(out);
    expect(model.provenance.sources).toMatchObject([
      { licence: 'Apache-2.0', use: ['train', 'share-weights'] },
    ]);
    for (let i = 0; i < LAYERS; i++) {
      // [out, in] becomes [in, out].
      const qkv = data(model, `image.blocks.${i}.attention.qkv.weight`);
      for (const [row, column] of [
        [0, 5],
        [3 * D - 1, 2],
        [D + 1, D - 1],
      ] as const)
        expect(qkv[column * 3 * D + row]).toBeCloseTo(
          valueAt(`blocks.${i}.attn.qkv.weight`, row * D + column),
          6,
        );
      const scale = data(model, `image.blocks.${i}.scale1`);
      expect(scale[3]).toBeCloseTo(name === 'MAE' ? 1 : valueAt(`blocks.${i}.ls1.gamma`, 3), 6);
    }
    const patch = data(model, 'image.patch.fc1.weight');
    const kernel = valueAt('patch_embed.proj.weight', 2 * SIDE ** 3 + 9);
    if (left.includes('patch_embed.proj.weight')) expect(patch[9 * D + 2]).not.toBeCloseTo(kernel, 6);
    else expect(patch[9 * D + 2]).toBeCloseTo(kernel, 6);
  });

  it('takes names of any kind by a mapping file, and says in lines what became of each', async () => {
    const file = await weights(at('own.safetensors'), { 'net.0.ln': [D], 'net.1.ln': [D], rest: [2] });
    const map = at('map.json');
    const rule = { from: '{i}.ln', to: 'image.blocks.{i}.norm1.bias' };
    await writeFile(map, JSON.stringify({ prefix: 'net.', tensors: [rule] }));
    const out = at('own.model.safetensors');
    const result = await precess('import', file, '--map', map, '--size', 'pico', '--out', out);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(result.stdout).toMatch(/^taken\timage\.blocks\.1\.norm1\.bias\tnet\.1\.ln, as it is$/m);
    expect(result.stdout).toMatch(/^not taken\trest\tthe map has no rule for it$/m);
    expect(result.stderr).toMatch(/2 tensors taken, 1 not taken/);
    expect(data(await openModel(out), 'image.blocks.1.norm1.bias')[7]).toBeCloseTo(valueAt('net.1.ln', 7), 6);
  });

  it('fails in one line where nothing fits, and writes nothing', async () => {
    const file = await weights(at('wide.safetensors'), vit(D + 24));
    const command = ['import', file, '--size', 'pico', '--out', at('none.safetensors')];
    expectFailure(
      await precess(...command, '--map', 'timm'),
      1,
      /at least one tensor of a block must fit size pico, got none .* choose another --size, --map or --prefix/,
    );
    await expect(openModel(at('none.safetensors'))).rejects.toThrow();
    expectFailure(await precess(...command, '--map', 'dino9'), 1, /--map is one of timm, dinov2, .*"dino9"/);
    await writeFile(at('bad.json'), '{"tensors": [{"to": "a", "from": "b", "turn": 1}]}');
    expectFailure(await precess(...command, '--map', at('bad.json')), 1, /bad\.json: tensors\.0.*turn/);
    expectFailure(await precess(...command), 2, /--map/);
    await writeFile(at('cut.safetensors'), Buffer.alloc(5));
    expectFailure(
      await precess('import', at('cut.safetensors'), '--map', 'timm', '--out', at('none.safetensors')),
      1,
      /cut\.safetensors/,
    );
  });
});
