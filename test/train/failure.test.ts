/** A step that stops being finite says which, of which tensors, and what was shown. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { add, Graph, gradients, log, mul, reduceSum, type Value } from '../../src/graph/index.js';
import { Params, type Scope } from '../../src/nn/index.js';
import { train, type Objective } from '../../src/train/loop.js';
import { localRanks } from './ranks.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-failure-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Σ 3 a + Σ ln(x b) of two tensors a and b of four elements: at x = -1 the logarithm is not a number, in b alone. */
function objective(ranks: { rank: number; size: number }, bad: (step: number) => boolean): Objective {
  const declare = (scope: Scope) => ({
    a: scope.param('a', [4], { constant: 1 }),
    b: scope.param('b', [4], { constant: 1 }),
  });
  const params = Params.collect((_, scope) => void declare(scope));
  const graph = new Graph('toy', ranks);
  const flat = graph.input('params', 'float32', [params.size]);
  const x = graph.input('x', 'float32', [4]);
  const { a, b } = declare(params.bind(flat));
  const loss: Value = add(mul(reduceSum(a), 3), reduceSum(log(mul(x, b))));
  graph.output('grads', gradients(loss, [flat])[0]!);
  graph.output('loss', loss);
  return {
    params,
    program: graph,
    losses: ['loss'],
    initial: params.initialize(0),
    teacher: false,
    batch: (step) =>
      Promise.resolve({
        feeds: { x: new Float32Array(4).fill(bad(step) ? NaN : 1) },
        tokens: 4,
        ids: [`se-${step}-${ranks.rank}`],
      }),
    model: () => {
      throw new Error('internal: nothing is saved');
    },
  };
}

const options = (run: string) => ({
  run: join(dir, run),
  steps: 5,
  schedule: {
    learningRate: 1e-3,
    warmupSteps: 1,
    weightDecay: 0,
    clipNorm: 10,
    teacherMomentum: [1, 1] as const,
  },
  settings: {},
  resume: false,
  checkpointEvery: 100,
  probeEvery: 100,
  device: 'cpu' as const,
  threads: 1,
});

async function failureOf(run: string, work: Promise<unknown>) {
  const message = await work.then(
    () => 'no error',
    (error: unknown) => String(error),
  );
  const file = JSON.parse(readFileSync(join(dir, run, 'failure.json'), 'utf8')) as Record<string, unknown>;
  return { message, file };
}

describe('a step that is not finite', () => {
  it('stops the run, naming the step, the norms of the tensors and the series', async () => {
    const { message, file } = await failureOf(
      'alone',
      train(
        objective({ rank: 0, size: 1 }, (step) => step === 2),
        options('alone'),
      ),
    );
    expect(message).toContain('TrainError: train: losses and gradients must be finite');
    expect(message).toContain('at step 3;');
    expect(message).toContain('the gradient is not finite in b (of 2 tensors)');
    // The gradient of 3 Σ a is (3, 3, 3, 3).
    expect(message).toContain('the largest finite ones are a 6.00');
    expect(message).toContain('the batch held the series se-2-0 (');
    expect(file).toEqual({
      step: 3,
      loss: 'NaN',
      gradNorm: 'NaN',
      series: ['se-2-0'],
      gradientNorms: { a: 6, b: 'NaN' },
      notFinite: ['b'],
    });
    const lines = readFileSync(join(dir, 'alone', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2]);
  });

  it('is told of all ranks, whichever of them it happens on', async () => {
    const all = localRanks(2).map((ranks) =>
      train(
        objective(ranks, (step) => step === 1 && ranks.rank === 1),
        { ...options('ranks'), ranks },
      ),
    );
    const other = all[1]!.catch((error: unknown) => String(error));
    const { message, file } = await failureOf('ranks', all[0]!);
    expect(file.series).toEqual(['se-1-0', 'se-1-1']);
    expect(file.notFinite).toEqual(['b']);
    expect(file.gradientNorms).toEqual({ a: 12, b: 'NaN' });
    expect(await other).toBe(message);
  });
});
