/** Programs for runtimes without some kernels: the same results by other ops. */
import { afterAll, describe, expect, it } from 'vitest';
import {
  addAll,
  Graph,
  gradients,
  logSoftmax,
  matmul,
  mul,
  reduceSum,
  square,
} from '../../src/graph/index.js';
import { openDevice } from '../../src/runtime/index.js';
import { opCases } from './cases.js';
import { drawInputs, gradientGraph } from './harness.js';

const LACKING = ['FusedMatMul', 'LogSoftmax', 'Sum'];
const holds = (bytes: Uint8Array, op: string): boolean =>
  Buffer.from(bytes).includes(`\x22${String.fromCharCode(op.length)}${op}`);

describe('spelled out', async () => {
  const device = await openDevice({ kind: 'cpu', threads: 1 });
  afterAll(() => device.close());

  it('every op and its gradient is the same, without the ops that lack kernels', async () => {
    const without = new Set<string>();
    for (const op of opCases) {
      const { graph } = gradientGraph(op);
      const [plain, spelled] = [graph.toOnnx(), graph.toOnnx({ spelled: true })];
      for (const name of LACKING) {
        expect(holds(spelled, name), `${name} in ${op.name}`).toBe(false);
        if (holds(plain, name)) without.add(name);
      }
      const inputs = Object.fromEntries(drawInputs(op.inputs).map((data, i) => [`x${i}`, data]));
      const results = await Promise.all(
        [plain, spelled].map(async (bytes) => (await device.load(bytes)).run(inputs)),
      );
      for (const [name, expected] of Object.entries(results[0]!))
        Array.from(expected, Number).forEach((value, n) => {
          const found = Number(results[1]![name]![n]);
          expect(Math.abs(found - value), `${op.name}: ${name}`).toBeLessThanOrEqual(
            2e-5 * (1 + Math.abs(value)),
          );
        });
    }
    expect([...without].sort()).toEqual([...LACKING].sort());
  });

  it('products of stacks keep their transposes and scale in halves', () => {
    const graph = new Graph('halves');
    const [a, b] = [graph.input('a', 'float16', [2, 3, 4]), graph.input('b', 'float16', [2, 5, 4])];
    graph.output('y', matmul(a, b, { transB: true, scale: 0.125 }));
    // 0.125 is 0x3000 as a half.
    expect(Buffer.from(graph.toOnnx({ spelled: true })).includes(Buffer.from([0x4a, 2, 0x00, 0x30]))).toBe(
      true,
    );
  });

  it('a sum of many and a softmax over the first axis have their gradients', async () => {
    const graph = new Graph('sums');
    const x = graph.input('x', 'float32', [3, 4]);
    const loss = reduceSum(square(addAll([x, logSoftmax(x, 0), mul(x, 3)])));
    graph.output('grads', gradients(loss, [x])[0]!);
    const given = { x: Float32Array.from({ length: 12 }, (_, n) => Math.sin(n)) };
    const [plain, spelled] = await Promise.all(
      [false, true].map(async (on) => (await device.load(graph.toOnnx({ spelled: on }))).run(given)),
    );
    spelled!.grads!.forEach((value, n) => expect(value).toBeCloseTo(Number(plain!.grads![n]), 4));
  });
});
