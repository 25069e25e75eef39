import { afterAll, describe, expect, it } from 'vitest';
import {
  allGather,
  allReduceSum,
  gelu,
  gradients,
  Graph,
  GraphError,
  log,
  logSoftmax,
  matmul,
  mul,
  neg,
  reduceSum,
  reduceScatterSum,
  reshape,
  square,
  stages,
  sub,
  type Value,
} from '../../src/graph/index.js';
import { openDevice } from '../../src/runtime/index.js';
import { loadStaged } from '../../src/train/staged.js';
import { Random } from '../../src/volume/random.js';
import { localRanks } from './ranks.js';

const ROWS = 6;
const WIDTH = 4;
const INNER = 5;

/**
 * A net whose loss couples all rows of the batch three ways: centring by the batch's mean, similarity with every
 * other row, and a normalised column, which waits for the other two.
 */
function program(ranks: { rank: number; size: number }): Graph {
  const graph = new Graph('coupled', ranks);
  const rows = ROWS / ranks.size;
  const weights = graph.input('weights', 'float32', [WIDTH * INNER]);
  const x = graph.input('x', 'float32', [rows, WIDTH]);
  const h = gelu(matmul(x, reshape(weights, [WIDTH, INNER])));
  const mean = mul(allReduceSum(reduceSum(h, { axes: [0], keepDims: true })), 1 / ROWS);
  const centred = sub(h, mean);
  const all = allGather(centred);
  const similarity = logSoftmax(matmul(centred, all, { transB: true }), 1);
  const column = allReduceSum(reduceSum(square(similarity), { axes: [0], keepDims: true }));
  const loss: Value = neg(reduceSum(mul(log(column), similarity)));
  graph.output('loss', loss);
  graph.output('grads', gradients(loss, [weights])[0]!);
  return graph;
}

const random = new Random(3);
const draw = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
const weights = draw(WIDTH * INNER);
const x = draw(ROWS * WIDTH);

describe('a program cut at its collectives', async () => {
  const device = await openDevice({ kind: 'cpu', threads: 1 });
  afterAll(() => device.close());

  it('gives on 2 and 3 ranks the loss and gradient of one', async () => {
    const whole = await (await device.load(program({ rank: 0, size: 1 }))).run({ weights, x });
    for (const size of [2, 3]) {
      const results = await Promise.all(
        localRanks(size).map(async (ranks) => {
          const part = await loadStaged(device, program(ranks), ranks);
          const share = x.length / size;
          return part.run({ weights, x: x.slice(ranks.rank * share, (ranks.rank + 1) * share) });
        }),
      );
      const sum = (name: string): number[] =>
        Array.from(whole[name] as Float32Array, (_, i) =>
          results.reduce((total, one) => total + ((one[name] as Float32Array)[i] ?? NaN), 0),
        );
      for (const name of ['loss', 'grads'])
        sum(name).forEach((value, i) => expect(value).toBeCloseTo((whole[name] as Float32Array)[i]!, 3));
    }
  });

  it('runs what waits for nothing first, in as few stages as there are waits', () => {
    expect(stages(program({ rank: 0, size: 1 }))).toHaveLength(1);
    // Forward: mean, gather, column. Backward: column's and the gather's transposes, then the mean's.
    expect(
      stages(program({ rank: 0, size: 2 })).map(({ exchanges }) => exchanges.map((e) => e.collective)),
    ).toEqual([
      ['allReduceSum'],
      ['allGather'],
      ['allReduceSum'],
      ['allReduceSum'],
      ['reduceScatterSum'],
      ['allReduceSum'],
      [],
    ]);
  });

  it('keeps no weights and no reshaped copies between stages', () => {
    const kept = stages(program({ rank: 0, size: 2 })).flatMap(({ keeps }) => keeps.map(({ name }) => name));
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.filter((name) => name.startsWith('Reshape'))).toEqual([]);
  });

  it('cannot be written as ONNX whole, nor scattered unevenly', () => {
    expect(() => program({ rank: 0, size: 2 }).toOnnx()).toThrow(GraphError);
    const graph = new Graph('uneven', { rank: 0, size: 4 });
    expect(() => reduceScatterSum(graph.input('x', 'float32', [6, 2]))).toThrow(/must divide over 4 ranks/);
  });
});
