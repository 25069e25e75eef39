/** What is told each time the corpus has been gone through. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Graph, gradients, mul, reduceSum } from '../../src/graph/index.js';
import { NO_PROVENANCE } from '../../src/models/provenance.js';
import { modelConfig } from '../../src/models/sizes.js';
import { Params } from '../../src/nn/index.js';
import { train, type EpochSummary, type Objective, type StepMetrics } from '../../src/train/loop.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-epochs-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('tells of every epoch, also one cut short, its steps, mean loss and share of waiting', async () => {
  const params = Params.collect((_, scope) => void scope.param('a', [2], { constant: 1 }));
  const graph = new Graph('toy');
  const flat = graph.input('params', 'float32', [2]);
  const loss = reduceSum(mul(flat, graph.input('x', 'float32', [2])));
  graph.output('grads', gradients(loss, [flat])[0]!);
  graph.output('loss', loss);
  const objective: Objective = {
    params,
    program: graph,
    losses: ['loss'],
    initial: params.initialize(0),
    teacher: false,
    batch: (step) => Promise.resolve({ feeds: { x: Float32Array.of(step, 1) }, tokens: 2 }),
    model: (_, step) => ({
      config: modelConfig('nano'),
      tokenizer: null,
      step,
      provenance: NO_PROVENANCE,
      tensors: new Map(),
    }),
  };
  const told: EpochSummary[] = [];
  const steps: StepMetrics[] = [];
  await train(objective, {
    run: join(dir, 'run'),
    steps: 7,
    schedule: { learningRate: 1e-3, warmupSteps: 1, weightDecay: 0, clipNorm: 10, teacherMomentum: [1, 1] },
    settings: {},
    resume: false,
    checkpointEvery: 100,
    probeEvery: 100,
    device: 'cpu',
    threads: 1,
    stepsPerEpoch: 2.5,
    onStep: (metrics) => steps.push(metrics),
    onEpoch: (summary) => told.push(summary),
  });
  // Epochs end within steps 3 and 5; the third is cut short by the end.
  expect(told.map((one) => [one.epoch, one.steps])).toEqual([
    [1, 3],
    [2, 2],
    [3, 2],
  ]);
  const mean = (from: number, to: number): number =>
    steps.slice(from, to).reduce((sum, one) => sum + one.loss, 0) / (to - from);
  told.forEach((one, n) => {
    expect(one.loss).toBeCloseTo(mean([0, 3, 5][n]!, [3, 5, 7][n]!), 6);
    expect(one.waitShare).toBeGreaterThanOrEqual(0);
    expect(one.waitShare).toBeLessThanOrEqual(1);
  });
});
