import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageBatch } from '../../src/models/batch.js';
import { Encoder } from '../../src/models/encoder.js';
import { imageOnnx, textOnnx } from '../../src/models/export-onnx.js';
import type { ModelFile } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { TextTokenizer, trainWordPiece } from '../../src/text/tokenizer.js';
import { alignParams } from '../../src/train/align.js';
import { Random } from '../../src/volume/random.js';
import type { TokenSet } from '../../src/volume/tokens.js';
import { skipped } from '../data.js';

const python = process.env.PRECESS_PYTHON ?? 'python3';
const noPython = spawnSync(python, ['-c', 'import onnxruntime'], { stdio: 'ignore' }).status !== 0;

const config = { ...modelConfig('nano'), layers: 3 };
const TOKENS = 48;
const TEXTS = ['axial T2-weighted image of the prostate', 'sagittal T1-weighted image of the brain'];

/** Both encoders with random weights, as after alignment. */
function alignedModel(): ModelFile {
  const tokenizer = trainWordPiece(TEXTS, { vocabSize: 200, minFrequency: 1 });
  const params = alignParams(config, new TextTokenizer(tokenizer).vocabSize, 4);
  const flat = params.initialize(9);
  const tensors = params.slices.map(
    ({ name, shape, offset, size }) =>
      [name, { name, shape, data: flat.subarray(offset, offset + size) }] as const,
  );
  return { ...newModel(config, 1), tokenizer, tensors: new Map(tensors) };
}

function someTokens(seed: number, count: number): TokenSet {
  const random = new Random(seed);
  return {
    count,
    patchMm: 16,
    samples: config.samples,
    patches: Float32Array.from({ length: count * config.samples ** 3 }, () => random.normal()),
    measured: new Uint8Array(count * config.samples ** 3).fill(1),
    valid: Float32Array.from({ length: count }, () => random.uniform(0.25, 1)),
    positions: Float32Array.from({ length: count * 3 }, () => random.uniform(-100, 100)),
  };
}

interface Feed {
  readonly type: 'float32' | 'int32';
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

function imageFeeds(sets: readonly TokenSet[]): Record<string, Feed> {
  const batch = imageBatch(sets, TOKENS, config.samples);
  const shapes = {
    patches: [sets.length, TOKENS, config.samples ** 3],
    valid: [sets.length, TOKENS],
    keep: [sets.length, TOKENS],
    positions: [sets.length, TOKENS, 3],
    scale: [sets.length],
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      `image.${name}`,
      { type: 'float32', shape, data: batch[name as keyof typeof batch] },
    ]),
  );
}

function textFeeds(tokenizer: TextTokenizer): Record<string, Feed> {
  const { ids, mask } = tokenizer.encodeBatch([...TEXTS], config.textLength);
  const shape = [TEXTS.length, config.textLength];
  return {
    'text.ids': { type: 'int32', shape, data: ids },
    'text.mask': { type: 'float32', shape, data: mask },
  };
}

type Outputs = Record<string, ArrayLike<number>>;

describe('a model as ONNX files', () => {
  let dir: string;
  let expected: { image: Float32Array[]; text: Float32Array[] };
  const model = alignedModel();
  const sets = [someTokens(1, 20), someTokens(2, TOKENS)];
  const files = {
    image: { bytes: imageOnnx(model, { batch: 2, tokens: TOKENS }), feeds: imageFeeds(sets) },
    text: {
      bytes: textOnnx(model, { batch: 2 }),
      feeds: textFeeds(new TextTokenizer(model.tokenizer!)),
    },
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'precess-export-'));
    const encoder = await Encoder.open(model, { threads: 1 });
    expected = { image: await encoder.embedTokens(sets), text: await encoder.embedTexts(TEXTS) };
    await encoder.close();
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  function check(kind: 'image' | 'text', { vector }: Outputs): void {
    const flat = expected[kind].flatMap((one) => [...one]);
    expect(vector!.length).toBe(flat.length);
    flat.forEach((value, n) => expect(Math.abs(vector![n]! - value)).toBeLessThan(1e-4));
  }

  it.skipIf(skipped(noPython, `ONNX files in Python, because ${python} has no package "onnxruntime"`))(
    "gives the same vectors in Python's ONNX Runtime",
    async () => {
      for (const kind of ['image', 'text'] as const) {
        const { bytes, feeds } = files[kind];
        await writeFile(join(dir, `${kind}.onnx`), bytes);
        const plain = Object.entries(feeds).map(([name, feed]) => [
          name,
          { ...feed, data: Array.from(feed.data) },
        ]);
        await writeFile(join(dir, 'feeds.json'), JSON.stringify(Object.fromEntries(plain)));
        const script = fileURLToPath(new URL('run_onnx.py', import.meta.url));
        const run = spawnSync(python, [script, join(dir, `${kind}.onnx`), join(dir, 'feeds.json')], {
          encoding: 'utf8',
          maxBuffer: 1 << 26,
        });
        expect(run.status, run.stderr).toBe(0);
        check(kind, JSON.parse(run.stdout) as Outputs);
      }
    },
  );

  it("gives the same vectors in the browser's ONNX Runtime", async () => {
    const ort = await import('onnxruntime-web');
    ort.env.wasm.numThreads = 1;
    for (const kind of ['image', 'text'] as const) {
      const { bytes, feeds } = files[kind];
      const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
      const tensors = Object.entries(feeds).map(([name, { type, shape, data }]) => [
        name,
        new ort.Tensor(type, data as never, shape),
      ]);
      const outputs = await session.run(Object.fromEntries(tensors) as Parameters<typeof session.run>[0]);
      check(kind, { vector: outputs.vector!.data as Float32Array });
      await session.release();
    }
  });

  it('refuses a text encoder that is not there', () => {
    expect(() => textOnnx(newModel(config, 1), { batch: 1 })).toThrow(/met no text/);
  });
});
