import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Encoder, tokensFor } from '../../src/models/encoder.js';
import type { ModelFile } from '../../src/models/model-file.js';
import { writeModel } from '../../src/models/model-file.js';
import { newModel } from '../../src/models/new-model.js';
import { modelConfig } from '../../src/models/sizes.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import {
  finetuneLearner,
  finetuneTrunk,
  withAdapter,
  type TunedBy,
} from '../../src/tasks/classify/finetune.js';
import { readHead, vectorOf, writeHead } from '../../src/tasks/classify/head-file.js';
import { predictHead, type Target } from '../../src/tasks/classify/head.js';
import { headOf, applyLinear } from '../../src/tasks/classify/questions.js';
import { stepOf } from '../../src/tasks/classify/tune.js';
import { Random } from '../../src/volume/random.js';
import { Prepared } from '../../src/volume/tokens.js';
import type { Volume } from '../../src/volume/volume.js';

const config = { ...modelConfig('nano'), embedDim: 24, layers: 1, heads: 2, samples: 4 };
const model: ModelFile = newModel(config, 3);

/** A block of anatomy whose upper half is brighter than the lower (class 1) or not, in noise. */
function volumeOf(label: number, seed: number): Volume {
  const random = new Random(seed);
  const shape = [24, 24, 24] as const;
  const data = new Float32Array(24 ** 3);
  for (let n = 0; n < data.length; n++) {
    const [i, j, k] = [n % 24, Math.floor(n / 24) % 24, Math.floor(n / 576)];
    const inside = [i, j, k].every((x) => x > 2 && x < 21);
    data[n] = inside ? 100 + (label === 1 ? 12 * Math.sign(k - 12) : 0) + 20 * random.normal() : 0;
  }
  return {
    data,
    shape,
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
}

const values = [0, 1, 0, 1, 0, 1, 0, 1];
const target: Target = { kind: 'classes', names: ['even', 'graded'], values };
const images = values.map((label, n) => new Prepared(volumeOf(label, n)));
const prepared = (n: number): Promise<Prepared> => Promise.resolve(images[n]!);
const options = { threads: 1, patchMm: 16, maxTokens: 64 };

let device: Device;
let dir = '';
let summaries: Float32Array[] = [];
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
  dir = await mkdtemp(join(tmpdir(), 'precess-tune-'));
  const encoder = await Encoder.open(model, { threads: 1 });
  summaries = (await encoder.features(images.map((one) => tokensFor(one, 4, options)))).map(
    ({ summary }) => summary,
  );
  await encoder.close();
});
afterAll(async () => {
  await device.close();
  await rm(dir, { recursive: true, force: true });
});

describe('fine-tuning', () => {
  it.each(['lora', 'full'] as const)('has the gradients of finite differences, %s', async (by) => {
    const trunk = finetuneTrunk(by, model, prepared, 2, options);
    const { params, program: graph } = stepOf(trunk, target, 2);
    const random = new Random(2);
    const flat = params.initialize(1).map((value) => value + 0.05 * random.normal());
    const { feeds } = await trunk.feeds([0, 1], random);
    const rest = { ...feeds, truth: Float32Array.of(1, 0, 0, 1), weight: Float32Array.of(1, 1, 1, 1) };
    const program = await device.load(graph);
    const { grads } = await program.run({ ...rest, params: flat });
    for (let d = 0; d < 4; d++) {
      const way = flat.map(() => random.normal() / Math.sqrt(params.size));
      const lossAt = async (step: number): Promise<number> => {
        const moved = flat.map((value, n) => value + step * way[n]!);
        return (await program.run({ ...rest, params: moved }, { fetch: ['loss'] })).loss![0] as number;
      };
      const slope = async (step: number): Promise<number> =>
        ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
      const expected = (4 * (await slope(0.05)) - (await slope(0.1))) / 3;
      const found = way.reduce((sum, w, n) => sum + w * Number(grads![n]), 0);
      expect(Math.abs(found - expected)).toBeLessThan(1e-2 * Math.max(0.02, Math.abs(expected)));
    }
  });

  it.each(['lora', 'full'] as const)(
    'learns, and the head that is read back says the same, %s',
    async (by: TunedBy) => {
      const settings = { steps: 12, batch: 4, learningRate: by === 'lora' ? 5e-3 : 5e-4, weightDecay: 0 };
      const losses: number[] = [];
      const learner = finetuneLearner(by, model, prepared, summaries, {
        ...options,
        settings,
        onStep: (_, loss) => losses.push(loss),
      });
      const cases = values.map((_, n) => n);
      const { learnt, linear } = await learner.learn(cases, target, 1);
      const late = losses.slice(-4).reduce((a, b) => a + b) / 4;
      expect(late).toBeLessThan(losses.slice(0, 4).reduce((a, b) => a + b) / 4);
      const vectors = await learner.vectors(learnt, cases);
      // It moved.
      expect(Math.max(...vectors[0]!.map((x, d) => Math.abs(x - summaries[0]![d]!)))).toBeGreaterThan(1e-3);

      const outputs = vectors.map((vector) => applyLinear(linear, vector));
      const head = headOf(linear, target, { outputs, target });
      const folder = join(dir, by);
      const { adapter } = learnt;
      const written = { head, level: 'series' as const, patchMm: 16, maxTokens: 64 };
      await writeHead(folder, { ...written, ...(adapter ? { model, adapter } : { model: learnt.model }) });
      const read = await readHead(folder);
      const encoder = await Encoder.open(read.model, { threads: 1 });
      const [features] = await encoder.features([tokensFor(images[1]!, 4, options)]);
      await encoder.close();
      const again = predictHead(read.head, vectorOf(read, features!)).probabilities;
      expect(again[1]).toBeCloseTo(predictHead(head, vectors[1]!).probabilities[1]!, 4);

      // An encoder of another size beside the head.
      await writeModel(join(folder, 'model.safetensors'), newModel({ ...config, embedDim: 12 }, 1));
      await expect(readHead(folder)).rejects.toThrow(/reads features 48 wide.*makes 24.*fit it again/);
      if (adapter)
        expect(() => withAdapter(newModel({ ...config, embedDim: 12 }, 1), adapter)).toThrow(
          /moves "image.blocks.0.attention.qkv.weight" of \[24, 72\], the model's is \[12, 36\]/,
        );
    },
  );
});
