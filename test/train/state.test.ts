/** What a run changes at every step, shared out over ranks. */
import { afterAll, describe, expect, it } from 'vitest';
import { Graph, mul, reduceMean, square, stages, sub } from '../../src/graph/index.js';
import { modelConfig } from '../../src/models/sizes.js';
import { SingleProcess } from '../../src/mpi/index.js';
import { openDevice, type Device } from '../../src/runtime/index.js';
import { PRETRAIN, pretrainParams, pretrainStep } from '../../src/train/pretrain.js';
import { openState, type StateOptions, type TrainingState } from '../../src/train/state.js';
import { Random } from '../../src/volume/random.js';
import { localRanks } from './ranks.js';

const SIZE = 1001;
const random = new Random(11);
const draw = (): Float32Array => Float32Array.from({ length: SIZE }, () => random.normal());
const from = { params: draw(), teacher: draw(), m: new Float32Array(SIZE), v: new Float32Array(SIZE) };
const pulls = Array.from({ length: 4 }, draw);

/** A gradient that depends on weights, teacher and batch: weights are drawn to the teacher and to what is fed. */
function program(ranks: number): Graph {
  const graph = new Graph('pulled');
  const vector = (name: string) => graph.input(name, 'float32', [SIZE]);
  const [params, teacher, pull] = [vector('params'), vector('teacher'), vector('pull')];
  const apart = sub(sub(params, mul(teacher, 0.5)), pull);
  graph.output('grads', mul(apart, 1 / ranks));
  graph.output('loss', mul(reduceMean(square(apart)), 1 / ranks));
  return graph;
}

describe('training state', async () => {
  const device = await openDevice({ kind: 'cpu', threads: 1 });
  afterAll(() => device.close());

  async function steps(state: TrainingState, on: Device, ranks: number, parts: number): Promise<number[]> {
    const loaded = await on.load(program(ranks));
    const norms: number[] = [];
    for (let step = 0; step < 4; step += parts) {
      for (let part = 0; part < parts; part++) {
        const { loss } = await state.learn(loaded, { pull: pulls[step + part]! }, ['loss']);
        expect(loss![0]).toBeGreaterThan(0);
      }
      norms.push(await state.update({ step: step + 1, learningRate: 0.05, weightDecay: 0.1, momentum: 0.8 }));
    }
    return norms;
  }

  const options: StateOptions = {
    size: SIZE,
    clipNorm: 20,
    beta2: 0.99,
    decay: Float32Array.from({ length: SIZE }, (_, n) => n % 2),
    parts: 1,
  };

  it.each([
    [2, 1],
    [3, 1],
    [3, 2],
  ])('is on %i ranks, with %i parts a step, what it is on one', async (size, parts) => {
    const alone = await openState(device, new SingleProcess(), { ...options, parts }, from);
    const norms = await steps(alone, device, 1, parts);
    const expected = await alone.whole();
    const found = await Promise.all(
      localRanks(size).map(async (ranks) => {
        const state = await openState(device, ranks, { ...options, parts }, from);
        const own = await steps(state, device, size, parts);
        const measured = (await (await state.measured()).read()) as Float32Array;
        return { own, measured, whole: await state.whole() };
      }),
    );
    for (const { own, measured, whole } of found) {
      own.forEach((norm, n) => expect(norm).toBeCloseTo(norms[n]!, 3));
      for (const name of ['params', 'teacher', 'm', 'v'])
        whole[name]!.forEach((value, n) => expect(value, name).toBeCloseTo(expected[name]![n]!, 5));
      expect(measured).toEqual(whole.teacher);
    }
    // The teacher moved, and not to the weights.
    expect(expected.teacher![0]).not.toBe(from.teacher[0]);
    expect(Math.abs(expected.teacher![0]! - expected.params![0]!)).toBeGreaterThan(1e-3);
  });

  it('holds on each of four ranks a quarter of moments, teacher and decay, and one buffer besides the weights', async () => {
    const held: number[] = [];
    const counting: Device = {
      ...{ kind: device.kind, threads: device.threads },
      load: (model, given) => device.load(model, given),
      close: () => device.close(),
      buffer(dtype, shape, data) {
        held.push(shape.reduce((a, b) => a * b, 1));
        return device.buffer(dtype, shape, data);
      },
    };
    const opened = localRanks(4).map((ranks, n) =>
      openState(n === 0 ? counting : device, ranks, options, from),
    );
    await Promise.all(opened);
    expect(held.sort((a, b) => a - b)).toEqual([251, 251, 251, 251, SIZE, SIZE]);
  });

  it('needs no whole teacher when the gradient comes', () => {
    const config = modelConfig('pico');
    const params = pretrainParams(config, PRETRAIN);
    const cut = stages(pretrainStep(params, config, PRETRAIN, 4, { rank: 0, size: 2 }));
    const readers = cut.map(({ program }) => program.inputs.some(({ name }) => name === 'teacher'));
    const givers = cut.map(({ program }) => program.outputs.some(({ name }) => name === 'grads'));
    expect(readers[0]).toBe(true);
    expect(givers.indexOf(true)).toBe(cut.length - 1);
    expect(readers.lastIndexOf(true)).toBeLessThan(cut.length - 1);
  });
});
