import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Graph, gradients, mul, reduceSum, sizeOf, type Value } from '../../src/graph/index.js';
import { Params, rope3d, transformerBlock, type Scope } from '../../src/nn/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { expectClose } from '../graph/harness.js';

const here = new URL('../fixtures/nn/', import.meta.url);
const fixture = JSON.parse(readFileSync(new URL('block.json', here), 'utf8')) as {
  heads: number;
  minWavelengthMm: number;
  maxWavelengthMm: number;
  tensors: Record<string, { offset: number; shape: number[] }>;
};
const bytes = readFileSync(new URL('block.bin', here));
const floats = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const tensor = (name: string): Float32Array => {
  const { offset, shape } = fixture.tensors[name]!;
  return floats.slice(offset, offset + sizeOf(shape));
};
const shapeOf = (name: string): number[] => fixture.tensors[name]!.shape;

function block(graph: Graph, scope: Scope): { x: Value; y: Value } {
  const x = graph.input('x', 'float32', shapeOf('x'));
  const positions = graph.input('positions', 'float32', shapeOf('positions'));
  const mask = graph.input('mask', 'float32', shapeOf('mask'));
  const rope = rope3d(positions, shapeOf('x')[2]! / fixture.heads, fixture);
  return { x, y: transformerBlock(scope, x, { heads: fixture.heads, mask, rope, layerScale: 0.5 }) };
}

const params = Params.collect((graph, scope) => void block(graph, scope));
const flat = new Float32Array(params.size);
for (const { name, offset } of params.slices) flat.set(tensor(`param.${name}`), offset);
const inputs = { x: tensor('x'), positions: tensor('positions'), mask: tensor('mask') };

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

/** Largest difference over the largest magnitude of the expected tensor. */
const TOLERANCE = 1e-4;

describe('a transformer block against PyTorch', () => {
  it('has the same parameters', () => {
    const names = Object.keys(fixture.tensors).filter((name) => name.startsWith('param.'));
    expect(params.slices.map(({ name }) => `param.${name}`).sort()).toEqual(names.sort());
  });

  it('gives the same output and gradients from one flat vector', async () => {
    const graph = new Graph('block');
    const vector = graph.input('params', 'float32', [params.size]);
    const { x, y } = block(graph, params.bind(vector));
    graph.output('y', y);
    const loss = reduceSum(mul(y, graph.input('cotangent', 'float32', y.shape)));
    const [dVector, dx] = gradients(loss, [vector, x]) as [Value, Value];
    graph.output('grads', dVector);
    graph.output('dx', dx);
    const program = await device.load(graph);
    const out = await program.run({ ...inputs, params: flat, cotangent: tensor('cotangent') });
    expectClose(out['y']!, tensor('y'), TOLERANCE, 'y');
    expectClose(out['dx']!, tensor('dx'), TOLERANCE, 'dx');
    for (const { name, offset, size } of params.slices) {
      expectClose(out['grads']!.subarray(offset, offset + size), tensor(`grad.${name}`), TOLERANCE, name);
    }
  });

  it('gives the same output with its parameters stored in the program', async () => {
    const graph = new Graph('inference');
    graph.output('y', block(graph, params.bindConstants(graph, flat)).y);
    const program = await device.load(graph);
    expectClose((await program.run(inputs))['y']!, tensor('y'), TOLERANCE, 'y');
  });

  it('does not let a hidden token change the others', async () => {
    const graph = new Graph('masked');
    graph.output('y', block(graph, params.bindConstants(graph, flat)).y);
    const program = await device.load(graph);
    const [, n, d] = shapeOf('x') as [number, number, number];
    const changed = inputs.x.slice();
    changed.fill(37, 5 * d, 7 * d); // the two hidden tokens of the first sample
    const before = (await program.run(inputs))['y'] as Float32Array;
    const after = (await program.run({ ...inputs, x: changed }))['y'] as Float32Array;
    expect(after.subarray(0, 5 * d)).toEqual(before.subarray(0, 5 * d));
    expect(after.subarray(5 * d, n * d)).not.toEqual(before.subarray(5 * d, n * d));
  });
});
