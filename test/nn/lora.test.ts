import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph, gradients, mul, reduceSum, type Value } from '../../src/graph/index.js';
import { attention, loraScope, mergeLora, Params, type Scope } from '../../src/nn/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { Random } from '../../src/volume/random.js';
import { expectClose } from '../graph/harness.js';

const LORA = { rank: 2, alpha: 6, targets: /^(qkv|out)\.weight$/ };
const [B, N, D] = [2, 5, 12] as const;

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

const layer = (scope: Scope, graph: Graph): Value =>
  attention(scope, graph.input('x', 'float32', [B, N, D]), { heads: 3 });
const base = Params.collect((graph, scope) => void layer(scope, graph));
const random = new Random(3);
const draw = (size: number, deviation = 1): Float32Array =>
  Float32Array.from({ length: size }, () => deviation * random.normal());
const weights = draw(base.size, 0.2);
const adapted = (graph: Graph, scope: Scope): Value =>
  layer(loraScope(base.bindConstants(graph, weights), scope, LORA), graph);
const adapters = Params.collect((graph, scope) => void adapted(graph, scope));
const x = draw(B * N * D);
const cotangent = draw(B * N * D);

async function run(graph: Graph, y: Value, feeds: Record<string, Float32Array>): Promise<Float32Array> {
  graph.output('y', y);
  const program = await device.load(graph);
  const out = await program.run(feeds);
  await program.free();
  return out.y as Float32Array;
}

async function plain(flat: Float32Array): Promise<Float32Array> {
  const graph = new Graph('plain');
  return run(graph, layer(base.bindConstants(graph, flat), graph), { x });
}

async function withAdapters(flat: Float32Array): Promise<Float32Array> {
  const graph = new Graph('lora');
  const scope = adapters.bind(graph.input('params', 'float32', [adapters.size]));
  return run(graph, adapted(graph, scope), { x, params: flat });
}

describe('loraScope', () => {
  it('adapts the projections of attention only, by thin matrices', () => {
    expect(adapters.slices.map(({ name, shape }) => [name, shape])).toEqual([
      ['qkv.weight.a', [D, 2]],
      ['qkv.weight.b', [2, 3 * D]],
      ['out.weight.a', [D, 2]],
      ['out.weight.b', [2, D]],
    ]);
  });

  it('starts as the frozen model', async () => {
    expectClose(await withAdapters(adapters.initialize(1)), await plain(weights), 1e-6, 'start');
  });

  it('gives what the merged weights give', async () => {
    const flat = draw(adapters.size, 0.5);
    const merged = weights.slice();
    const part = (name: string): Float32Array => {
      const { offset, size } = adapters.slices.find((one) => one.name === name)!;
      return flat.subarray(offset, offset + size);
    };
    for (const name of ['qkv.weight', 'out.weight']) {
      const { offset, size } = base.slices.find((one) => one.name === name)!;
      const moved = mergeLora(
        weights.subarray(offset, offset + size),
        part(`${name}.a`),
        part(`${name}.b`),
        LORA,
      );
      merged.set(moved, offset);
    }
    const found = await withAdapters(flat);
    expectClose(found, await plain(merged), 1e-5, 'merged');
    // They do move it.
    const still = await plain(weights);
    expect(Math.max(...found.map((y, n) => Math.abs(y - still[n]!)))).toBeGreaterThan(0.1);
  });

  it('has the gradients of finite differences', async () => {
    const flat = draw(adapters.size, 0.3);
    const graph = new Graph('gradients');
    const params = graph.input('params', 'float32', [adapters.size]);
    const y = adapted(graph, adapters.bind(params));
    const loss = reduceSum(mul(y, graph.constant(cotangent, [B, N, D])));
    graph.output('grads', gradients(loss, [params])[0]!);
    graph.output('y', y);
    const program = await device.load(graph);
    const { grads } = await program.run({ x, params: flat });
    const lossAt = async (n: number, step: number): Promise<number> => {
      const moved = flat.slice();
      moved[n]! += step;
      const out = await program.run({ x, params: moved }, { fetch: ['y'] });
      return cotangent.reduce((sum, weight, i) => sum + weight * Number(out.y![i]), 0);
    };
    const expected = new Float64Array(adapters.size);
    const slope = async (n: number, step: number): Promise<number> =>
      ((await lossAt(n, step)) - (await lossAt(n, -step))) / (2 * step);
    // Extrapolated from two steps (Richardson): the error is of fourth order.
    for (let n = 0; n < adapters.size; n++)
      expected[n] = (4 * (await slope(n, 0.005)) - (await slope(n, 0.01))) / 3;
    expectClose(grads as Float32Array, expected, 2e-3, 'gradients');
  });
});
