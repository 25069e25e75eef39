/** The decoder and its losses against PyTorch and MONAI, and its gradients against finite differences. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { add, addAll, Graph, gradients, mul, type TypedArray, type Value } from '../../../src/graph/index.js';
import { segmentDecoder, windowInputs, type DecoderConfig } from '../../../src/models/segment-decoder.js';
import { Params } from '../../../src/nn/index.js';
import { openDevice, type Device } from '../../../src/runtime/index.js';
import { overlapLosses, shareLoss } from '../../../src/tasks/segment/loss.js';

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/tasks/${name}.json`, import.meta.url), 'utf8'));

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

function expectClose(found: TypedArray, expected: readonly number[], tolerance = 1e-4): void {
  expect(found.length).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  const worst = expected.reduce((most, e, n) => Math.max(most, Math.abs(Number(found[n]) - e)), 0);
  expect(worst / largest).toBeLessThan(tolerance);
}

describe('losses agree with MONAI', () => {
  const reference = fixture('segment-losses') as {
    sizes: Record<'B' | 'L' | 'V', number>;
    logits: number[];
    target: number[];
    kept: number[];
  } & Record<'loss' | 'dice' | 'crossEntropy' | 'masked', number> &
    Record<'grad' | 'maskedGrad', number[]>;
  const { B, L, V } = reference.sizes;

  const run = async (weight: readonly number[]) => {
    const graph = new Graph('overlap');
    const logits = graph.input('logits', 'float32', [B, V, L]);
    const target = graph.input('target', 'int32', [B, V]);
    const { dice, crossEntropy } = overlapLosses(logits, target, graph.input('weight', 'float32', [B, V]));
    const loss = add(dice, crossEntropy);
    for (const [name, value] of Object.entries({ dice, crossEntropy, loss })) graph.output(name, value);
    graph.output('grad', gradients(loss, [logits])[0]!);
    const program = await device.load(graph);
    return program.run({
      logits: Float32Array.from(reference.logits),
      target: Int32Array.from(reference.target),
      weight: Float32Array.from(weight),
    });
  };

  it('DiceCELoss with softmax over the batch, a label being absent', async () => {
    const found = await run(reference.kept.map(() => 1));
    for (const name of ['dice', 'crossEntropy', 'loss'] as const)
      expectClose(found[name]!, [reference[name]]);
    expectClose(found.grad!, reference.grad);
  });

  it('voxels of weight 0 are as if they were not there', async () => {
    const found = await run(reference.kept);
    expectClose(found.loss!, [reference.masked]);
    expectClose(found.grad!, reference.maskedGrad);
  });

  it('the loss of shares is their entropy where they are told exactly', async () => {
    const graph = new Graph('shares');
    const shares = graph.input('shares', 'float32', [1, 3, 2]);
    const loss = shareLoss(
      graph.input('logits', 'float32', [1, 3, 2]),
      shares,
      graph.input('keep', 'float32', [1, 3]),
    );
    graph.output('loss', loss);
    const program = await device.load(graph);
    const p = [0.25, 0.75, 0.5, 0.5, 0.9, 0.1];
    const { loss: found } = await program.run({
      shares: Float32Array.from(p),
      logits: Float32Array.from(p, (x) => Math.log(x) + 3),
      keep: Float32Array.of(1, 1, 0),
    });
    const entropy = (q: number): number => -q * Math.log(q) - (1 - q) * Math.log(1 - q);
    expectClose(found!, [(entropy(0.25) + entropy(0.5)) / 2]);
  });
});

interface Reference {
  readonly sizes: Record<'B' | 'L' | 'D' | 'W' | 'VF' | 'VL' | 'N', number> & {
    channels: [number, number, number];
    blocks: [number, number, number];
  };
  readonly params: Record<string, { shape: number[]; data: number[] }>;
  readonly logits: number[];
  readonly tokenLogits: number[];
  readonly [input: string]: unknown;
}

describe('the decoder', () => {
  const reference = fixture('segment-decoder') as Reference;
  const { B, L, D, W, VF, VL, N, channels, blocks } = reference.sizes;
  const config: DecoderConfig = {
    labels: L,
    intensities: 2,
    channels,
    voxelFeatures: VF,
    voxelLayers: VL,
    embedDim: D,
    tokenWidth: W,
  };
  const build = (graph: Graph, scope: Parameters<typeof segmentDecoder>[0]) => {
    const tokens = graph.input('window.tokens', 'float32', [B, N, D]);
    return segmentDecoder(scope, config, { ...windowInputs(graph, config, B, blocks, N), tokens });
  };
  const params = Params.collect((graph, scope) => void build(graph, scope));
  const flat = new Float32Array(params.size);
  for (const { name, offset } of params.slices) flat.set(reference.params[name]!.data, offset);
  const feeds = Object.fromEntries(
    ['voxels', 'measured', 'spacing', 'positions', 'read', 'tokens'].map((name) => [
      `window.${name}`,
      Float32Array.from(reference[name] as number[]),
    ]),
  );

  it('has the weights of the reference and computes what PyTorch does', async () => {
    for (const { name, shape } of params.slices) expect(reference.params[name]?.shape, name).toEqual(shape);
    expect(params.slices).toHaveLength(Object.keys(reference.params).length);
    const graph = new Graph('decoder');
    const { logits, tokenLogits } = build(graph, params.bindConstants(graph, flat));
    graph.output('logits', logits);
    graph.output('tokenLogits', tokenLogits);
    const found = await (await device.load(graph)).run(feeds);
    const voxels = found.logits!.length / (B * L);
    const some = Array.from({ length: B }, (_, b) =>
      Array.from({ length: Math.ceil(voxels / 37) }, (_unused, n) =>
        Array.from({ length: L }, (_also, l) => Number(found.logits![(b * voxels + n * 37) * L + l])),
      ),
    ).flat(2);
    expectClose(Float32Array.from(some), reference.logits);
    expectClose(found.tokenLogits!, reference.tokenLogits);
  });

  it('has the gradients of finite differences, in every tensor', async () => {
    const graph = new Graph('decoder');
    const input = graph.input('params', 'float32', [params.size]);
    const { logits, tokenLogits } = build(graph, params.bind(input));
    const [, V] = logits.shape as [number, number];
    const target = Int32Array.from({ length: B * V }, (_, n) => (n * 7) % L);
    const ones = (...shape: number[]): Value =>
      graph.constant(new Float32Array(shape.reduce((n, d) => n * d)).fill(1), shape);
    const { dice, crossEntropy } = overlapLosses(logits, graph.constant(target, [B, V]), ones(B, V));
    const shares = graph.constant(new Float32Array(B * N * L).fill(1 / L), [B, N, L]);
    const loss = addAll([dice, crossEntropy, mul(shareLoss(tokenLogits, shares, ones(B, N)), 0.5)]);
    graph.output('loss', loss);
    graph.output('grads', gradients(loss, [input])[0]!);
    const program = await device.load(graph);
    const { grads } = await program.run({ ...feeds, params: flat }, { fetch: ['grads'] });
    // Along a random direction in each tensor, so that every element has its say.
    for (const { name, offset, size } of params.slices) {
      const direction = Float32Array.from(
        { length: size },
        (_, n) => Math.sin(3 * n + offset) / Math.sqrt(size),
      );
      const at = async (step: number): Promise<number> => {
        const moved = flat.slice();
        for (let n = 0; n < size; n++) moved[offset + n]! += step * direction[n]!;
        const { loss: found } = await program.run({ ...feeds, params: moved }, { fetch: ['loss'] });
        return Number(found![0]);
      };
      const step = 0.02;
      const slope = (a: number, b: number, h: number): number => (a - b) / (2 * h);
      const [coarse, fine] = [
        slope(await at(2 * step), await at(-2 * step), 2 * step),
        slope(await at(step), await at(-step), step),
      ];
      const expected = (4 * fine - coarse) / 3;
      const found = direction.reduce((sum, x, n) => sum + x * Number(grads![offset + n]), 0);
      expect(Math.abs(found - expected), name).toBeLessThan(2e-3 * Math.max(0.05, Math.abs(expected)));
    }
  });
});
