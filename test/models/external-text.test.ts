/** Text encoders in the layout of Hugging Face, against numpy and PyTorch. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/index.js';
import { Encoder } from '../../src/models/encoder.js';
import { ExternalText } from '../../src/models/external-text.js';
import { modelCard } from '../../src/models/model-card.js';
import { hasMetText, openModel, writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { alignParams } from '../../src/train/align.js';
import { skipped } from '../data.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/models/', import.meta.url));
const TINY = join(FIXTURES, 'tiny-text');

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'precess-text-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, n) => sum + x * b[n]!, 0);
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

/** `vector` has mean square 1 and the direction of `reference`. */
function expectDirection(vector: Float32Array, reference: readonly number[], tolerance = 1e-5): void {
  expect(dot(vector, vector) / vector.length).toBeCloseTo(1, 4);
  const scale = Math.sqrt(reference.length / dot(reference, reference));
  const worst = Math.max(...reference.map((x, n) => Math.abs(x * scale - vector[n]!)));
  expect(worst).toBeLessThan(tolerance);
}

interface Case {
  readonly text: string;
  readonly mean: number[];
  readonly first: number[];
}
const cases = async (): Promise<Case[]> =>
  JSON.parse(await readFile(join(FIXTURES, 'tiny-text.json'), 'utf8')) as Case[];

async function withEncoder(folder: string, use: (encoder: ExternalText) => Promise<void>): Promise<void> {
  const encoder = await ExternalText.open(folder, { threads: 1 });
  try {
    await use(encoder);
  } finally {
    await encoder.close();
  }
}

/** A copy of the tiny encoder that a test may change. */
async function copyOf(name: string): Promise<string> {
  const folder = join(dir, name);
  await cp(TINY, folder, { recursive: true });
  return folder;
}

describe('a text encoder from elsewhere', () => {
  it('gives the mean over the tokens, as numpy computes it, whatever else is asked', async () => {
    await withEncoder(TINY, async (encoder) => {
      expect(encoder.record).toMatchObject({ name: 'tiny-text', dim: 24 });
      const all = await cases();
      const vectors = await encoder.embed(all.map(({ text }) => text));
      all.forEach(({ mean }, n) => expectDirection(vectors[n]!, mean));
      const [alone] = await encoder.embed([all[2]!.text]);
      expect(alone).toEqual(vectors[2]);
    });
  });

  it('gives the first token where 1_Pooling says so', async () => {
    const folder = await copyOf('first');
    await cp(join(FIXTURES, 'tiny-text/config.json'), join(folder, '1_Pooling/config.json'), {
      recursive: true,
    });
    await writeFile(join(folder, '1_Pooling/config.json'), '{"pooling_mode_cls_token": true}');
    await withEncoder(folder, async (encoder) => {
      const [one] = await cases();
      const [vector] = await encoder.embed([one!.text]);
      expectDirection(vector!, one!.first);
    });
  });

  it('pads to the length of a model that was exported for one, and leaves the padding out', async () => {
    // Token i has the vector [i, 1]: the mean tells which tokens were counted.
    const graph = new Graph('fixed');
    const ids = graph.input('input_ids', 'int64', [1, 8]);
    const table = Float32Array.from({ length: 400 }, (_, n) => (n % 2 === 0 ? n / 2 : 1));
    const { gather } = await import('../../src/graph/index.js');
    graph.output('last_hidden_state', gather(graph.constant(table, [200, 2]), ids, 0));
    const folder = await copyOf('fixed');
    await writeFile(join(folder, 'model.onnx'), graph.toOnnx());
    const reference = JSON.parse(await readFile(join(FIXTURES, 'tiny-text.json'), 'utf8')) as {
      text: string;
      ids: number[];
    }[];
    await withEncoder(folder, async (encoder) => {
      const { text, ids: tokens } = reference[3]!;
      expect(tokens.length).toBeLessThan(8);
      const [vector] = await encoder.embed([text]);
      expectDirection(vector!, [tokens.reduce((a, b) => a + b, 0) / tokens.length, 1]);
    });
  });

  it('says what is missing or does not fit', async () => {
    await expect(ExternalText.open(join(dir, 'none'))).rejects.toThrow(
      /must hold model\.onnx or onnx\/model/,
    );
    const noTokenizer = await copyOf('no-tokenizer');
    await rm(join(noTokenizer, 'tokenizer.json'));
    await expect(ExternalText.open(noTokenizer)).rejects.toThrow(/must hold tokenizer\.json/);
    const broken = await copyOf('broken');
    await writeFile(join(broken, 'tokenizer.json'), '{');
    await expect(ExternalText.open(broken)).rejects.toThrow(/must be JSON/);
    const images = await copyOf('images');
    const graph = new Graph('images');
    graph.output('y', graph.input('pixel_values', 'float32', [1, 3]));
    await writeFile(join(images, 'model.onnx'), graph.toOnnx());
    await expect(ExternalText.open(images)).rejects.toThrow(/must take input_ids.*got "pixel_values"/);
  });
});

describe('a model that was aligned with one', () => {
  const config = { ...modelConfig('nano'), layers: 1 };

  /** Random weights, and the record of the encoder. */
  async function write(path: string): Promise<{ weight: Float32Array; bias: Float32Array }> {
    const params = alignParams(config, { dim: 24 }, 2);
    const flat = params.initialize(4);
    const tensors = params.slices.map(
      ({ name, shape, offset, size }) =>
        [name, { name, shape, data: flat.subarray(offset, offset + size) }] as const,
    );
    await withEncoder(TINY, ({ record }) =>
      writeModel(path, { ...newModel(config, 1), tensors: new Map(tensors), textEncoder: record }),
    );
    const get = (name: string) => tensors.find(([n]) => n === name)![1].data;
    return { weight: get('align.text.weight'), bias: get('align.text.bias') };
  }

  it('projects its vectors, finds it beside itself or where it is told, and refuses another', async () => {
    const folder = join(dir, 'model');
    await cp(TINY, join(folder, 'text-encoder'), { recursive: true });
    const path = join(folder, 'model.safetensors');
    const { weight, bias } = await write(path);
    const model = await openModel(path);
    expect(hasMetText(model)).toBe(true);
    expect(model.tensors.has('text.positions')).toBe(false);
    expect(modelCard(model, {})).toContain(model.textEncoder!.sha256);

    const all = await cases();
    const encoder = await Encoder.open(path, { threads: 1 });
    const texts = Array.from({ length: 20 }, (_, n) => all[n % all.length]!);
    const vectors = await encoder.embedTexts(texts.map(({ text }) => text));
    await encoder.close();
    texts.forEach(({ mean }, row) => {
      const scale = Math.sqrt(mean.length / dot(mean, mean));
      const joint = Array.from(
        { length: config.jointDim },
        (_, j) =>
          bias[j]! + mean.reduce((sum, x, d) => sum + x * scale * weight[d * config.jointDim + j]!, 0),
      );
      const norm = Math.sqrt(dot(joint, joint));
      const worst = Math.max(...joint.map((x, j) => Math.abs(x / norm - vectors[row]![j]!)));
      expect(worst).toBeLessThan(1e-5);
    });

    await rm(join(folder, 'text-encoder'), { recursive: true });
    const lost = await Encoder.open(path, { threads: 1 });
    await expect(lost.embedTexts(['knee'])).rejects.toThrow(/aligned with "tiny-text".*--text-encoder/);
    await lost.close();
    const told = await Encoder.open(path, { threads: 1, textEncoder: TINY });
    const [again] = await told.embedTexts([texts[0]!.text]);
    await told.close();
    expect(again).toEqual(vectors[0]);

    const other = await copyOf('other');
    await writeFile(
      join(other, 'tokenizer.json'),
      `${await readFile(join(other, 'tokenizer.json'), 'utf8')} `,
    );
    const wrong = await Encoder.open(path, { threads: 1, textEncoder: other });
    await expect(wrong.embedTexts(['knee'])).rejects.toThrow(/give the folder that it was aligned with/);
    await wrong.close();
  });
});

const real = process.env.PRECESS_TEXT_ENCODER ?? '';
describe.skipIf(skipped(real === '', 'PRECESS_TEXT_ENCODER names no folder with all-MiniLM-L6-v2 as ONNX'))(
  'all-MiniLM-L6-v2',
  () => {
    it('gives the vectors that PyTorch computes from its published weights', async () => {
      const reference = JSON.parse(await readFile(join(FIXTURES, 'minilm.json'), 'utf8')) as Case[];
      await withEncoder(real, async (encoder) => {
        expect(encoder.record.dim).toBe(384);
        const vectors = await encoder.embed(reference.map(({ text }) => text));
        // The file is quantised to 8 bits, so that directions agree and digits do not.
        reference.forEach(({ mean }, n) => expect(cosine(vectors[n]!, mean)).toBeGreaterThan(0.97));
        const worst = Math.max(
          ...reference.flatMap((a, i) =>
            reference.map((b, j) => Math.abs(cosine(vectors[i]!, vectors[j]!) - cosine(a.mean, b.mean))),
          ),
        );
        expect(worst).toBeLessThan(0.05);
      });
    });
  },
);
