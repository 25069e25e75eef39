import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accuracy, confusion } from '../../src/evaluate/decisions.js';
import { Graph } from '../../src/graph/index.js';
import type { Features } from '../../src/models/encoder.js';
import { modelConfig } from '../../src/models/sizes.js';
import { Params } from '../../src/nn/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { ATTENTIVE, attentiveLearner, attentiveTrunk } from '../../src/tasks/classify/attentive.js';
import { attentivePool, poolTokens, type Pool } from '../../src/tasks/classify/attentive-pool.js';
import { crossPredict, type Target } from '../../src/tasks/classify/head.js';
import { crossTune, stepOf } from '../../src/tasks/classify/tune.js';
import { Random } from '../../src/volume/random.js';
import { expectClose } from '../graph/harness.js';

const fixture = JSON.parse(readFileSync(new URL('../fixtures/tasks/pool.json', import.meta.url), 'utf8')) as {
  heads: number;
  count: number;
  dim: number;
  keep: number[];
  tokens: number[];
  vector: number[][];
  tensors: Record<string, number[]>;
};
const { heads, count, dim } = fixture;
const config = { ...modelConfig('nano'), embedDim: dim, heads };

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

describe('attentive pooling', () => {
  it("gives what PyTorch's MultiheadAttention with a learned query does, in a graph and without one", async () => {
    const inputs = (graph: Graph) =>
      [
        graph.input('tokens', 'float32', [2, count, dim]),
        graph.input('keep', 'float32', [2, count]),
      ] as const;
    const params = Params.collect((graph, scope) => void attentivePool(scope, ...inputs(graph), heads));
    const flat = new Float32Array(params.size);
    for (const { name, offset } of params.slices) flat.set(fixture.tensors[name]!, offset);
    const graph = new Graph('pool');
    graph.output('y', attentivePool(params.bindConstants(graph, flat), ...inputs(graph), heads));
    const program = await device.load(graph);
    const tokens = Float32Array.from(fixture.tokens);
    const { y } = await program.run({ tokens, keep: Float32Array.from(fixture.keep) });
    expectClose(y!, fixture.vector.flat(), 1e-5, 'graph');

    const tensors = Object.fromEntries(
      Object.entries(fixture.tensors).map(([name, data]) => [name, Float32Array.from(data)]),
    );
    const pool: Pool = { heads, tensors };
    const first = poolTokens(pool, tokens.slice(0, count * dim));
    const second = poolTokens(pool, tokens.slice(count * dim, (count + 5) * dim));
    expectClose([...first, ...second], fixture.vector.flat(), 1e-5, 'without a graph');
    expect(() => poolTokens(pool, new Float32Array(dim + 1))).toThrow(/12 wide.*encoder it was fitted with/);
  });

  it.each(['classes', 'labels', 'ordinal', 'number'] as const)(
    'has the gradients of finite differences, %s',
    async (kind) => {
      const random = new Random(8);
      const values = [0, 1, 2, 1];
      const target = {
        kind,
        names: kind === 'number' ? ['n'] : ['a', 'b', 'c'],
        values: kind === 'labels' ? values.map((v) => [0, 1, 2].map((c) => Number(c <= v))) : values,
      } as Target;
      const features = values.map((_, n) => featuresOf(random, 3 + n, () => 0));
      const trunk = attentiveTrunk(features, config, 4);
      const { params, program: graph } = stepOf(trunk, target, 4);
      const flat = Float32Array.from({ length: params.size }, () => 0.3 * random.normal());
      const { feeds } = await trunk.feeds([0, 1, 2, 3], random);
      const outputs = kind === 'number' ? 1 : kind === 'ordinal' ? 2 : 3;
      const truth = Float32Array.from({ length: 4 * outputs }, (_, n) => Number(n % 3 === 0));
      const weight = Float32Array.from({ length: 4 * outputs }, () => random.uniform(0.5, 1.5));
      const program = await device.load(graph);
      const { grads } = await program.run({ ...feeds, truth, weight, params: flat });
      // Along random directions, or single precision would hide small components.
      for (let d = 0; d < 5; d++) {
        const way = flat.map(() => random.normal() / Math.sqrt(params.size));
        const lossAt = async (step: number): Promise<number> => {
          const moved = flat.map((value, n) => value + step * way[n]!);
          const { loss } = await program.run({ ...feeds, truth, weight, params: moved }, { fetch: ['loss'] });
          return loss![0] as number;
        };
        const slope = async (step: number): Promise<number> =>
          ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
        const expected = (4 * (await slope(0.05)) - (await slope(0.1))) / 3;
        const found = way.reduce((sum, w, n) => sum + w * Number(grads![n]), 0);
        expect(Math.abs(found - expected)).toBeLessThan(2e-3 * Math.max(0.05, Math.abs(expected)));
      }
      await program.free();
    },
  );
});

/** Tokens of unit noise; `mark` adds to the first channels of one of them. */
function featuresOf(random: Random, tokenCount: number, mark: (channel: number) => number): Features {
  const tokens = Float32Array.from({ length: tokenCount * dim }, () => random.normal());
  const place = random.int(tokenCount);
  for (let i = 0; i < dim; i++) tokens[place * dim + i]! += mark(i);
  const summary = new Float32Array(dim);
  for (let n = 0; n < tokens.length; n++) summary[n % dim]! += tokens[n]! / tokenCount;
  return { summary, tokens };
}

/** Twelve channels need longer strides than an encoder's hundreds. */
const NARROW = { ...ATTENTIVE, learningRate: 0.02 };

describe('the attentive probe', () => {
  it('finds what one token of many tells, which their mean does not', async () => {
    // Each image has one bright token (channel 0) whose channel 1 tells the class; the others are noise.
    const random = new Random(4);
    const values = Array.from({ length: 90 }, (_, n) => n % 2);
    const features = values.map((value) =>
      featuresOf(random, 30, (i) => (i === 0 ? 6 : i === 1 ? (value === 1 ? 3 : -3) : 0)),
    );
    const patients = values.map((_, n) => `p${n}`);
    const target: Target = { kind: 'classes', names: ['no', 'yes'], values };
    const right = (decided: readonly number[]): number => accuracy(confusion(values, decided, 2));
    const mean = crossPredict({ features: features.map(({ summary }) => summary), patients }, target, {
      folds: 3,
    });
    const learner = attentiveLearner(features, config, { threads: 1 }, NARROW);
    const { predictions, head } = await crossTune(patients, target, learner, { folds: 3 });
    const decided = predictions.map(({ value }) => value);
    expect(right(decided)).toBeGreaterThan(0.9);
    expect(right(decided)).toBeGreaterThan(right(mean.predictions.map(({ value }) => value)) + 0.1);
    for (const { probabilities } of predictions)
      expect(probabilities[0]! + probabilities[1]!).toBeCloseTo(1, 9);
    expect(head.kind).toBe('classes');
  });

  it('finds nothing where there is nothing', async () => {
    const random = new Random(12);
    const values = Array.from({ length: 60 }, () => random.int(2));
    const features = values.map(() => featuresOf(random, 5, () => 0));
    const target: Target = { kind: 'classes', names: ['no', 'yes'], values };
    const learner = attentiveLearner(features, config, { threads: 1 }, NARROW);
    const patients = values.map((_, n) => `p${n}`);
    const { predictions } = await crossTune(patients, target, learner, { folds: 3 });
    const right = predictions.filter(({ value }, n) => value === values[n]).length / values.length;
    expect(right).toBeGreaterThan(0.3);
    expect(right).toBeLessThan(0.7);
  });

  it('tells numbers in their own units', async () => {
    const random = new Random(6);
    const values = Array.from({ length: 80 }, () => random.uniform(20, 80));
    const features = values.map((age) =>
      featuresOf(random, 6, (i) => (i === 0 ? 6 : i === 1 ? (age - 50) / 8 : 0)),
    );
    const target: Target = { kind: 'number', names: ['age'], values };
    const learner = attentiveLearner(features, config, { threads: 1 }, NARROW);
    const { predictions } = await crossTune(
      values.map((_, n) => `p${n}`),
      target,
      learner,
      { folds: 2 },
    );
    const error = predictions.reduce((sum, { value }, n) => sum + (value - values[n]!) ** 2, 0);
    const spread = values.reduce((sum, value) => sum + (value - 50) ** 2, 0);
    expect(error / spread).toBeLessThan(0.6);
  });
});
