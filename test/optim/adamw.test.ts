import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adamw, stepInputs, warmupCosine } from '../../src/optim/index.js';
import { openDevice, type Device, type DeviceBuffer } from '../../src/runtime/index.js';
import { expectClose } from '../graph/harness.js';

interface Step {
  grads: number[];
  learningRate: number;
  momentum: number;
  gradNorm: number;
  params: number[];
  m: number[];
  v: number[];
  teacher: number[];
}
const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/optim/adamw.json', import.meta.url), 'utf8'),
) as {
  size: number;
  decayed: number;
  clipNorm: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  start: number[];
  steps: Step[];
};

let device: Device;
beforeAll(async () => {
  device = await openDevice({ kind: 'cpu', threads: 1 });
});
afterAll(() => device.close());

describe('rates', () => {
  it('multiply the step of each element and its decay', async () => {
    const config = { size: 3, rates: true };
    const program = await device.load(adamw(config));
    const [params, grads] = [Float32Array.of(1, -2, 0.5), Float32Array.of(3, -0.2, 4)];
    const [rate, decay] = [Float32Array.of(1, 0.25, 0), Float32Array.of(1, 1, 1)];
    const scalars = { step: 1, learningRate: 0.1, weightDecay: 0.5 };
    const { newParams } = await program.run({
      ...{ params, grads, rate, decay, m: new Float32Array(3), v: new Float32Array(3) },
      ...stepInputs(config, scalars),
    });
    // The first step of Adam is as long as the learning rate, against the sign of the gradient.
    const wanted = params.map(
      (p, n) => p * (1 - 0.1 * 0.5 * rate[n]!) - 0.1 * rate[n]! * Math.sign(grads[n]!),
    );
    expectClose(newParams!, [...wanted], 1e-6, 'params');
  });
});

describe('AdamW against PyTorch', () => {
  it('takes the same ten steps, clipped, decayed in part, with a teacher', async () => {
    const { size, clipNorm, beta1, beta2, weightDecay } = fixture;
    const config = { size, clipNorm, beta1, beta2, teacher: true };
    const program = await device.load(adamw(config));
    const start = Float32Array.from(fixture.start);
    const vector = (data?: Float32Array): Promise<DeviceBuffer> => device.buffer('float32', [size], data);
    const state = {
      params: await vector(start),
      m: await vector(),
      v: await vector(),
      teacher: await vector(start),
    };
    const decay = await vector(Float32Array.from(start, (_, i) => (i < fixture.decayed ? 1 : 0)));
    const grads = await vector();
    for (const [i, step] of fixture.steps.entries()) {
      await grads.write(Float32Array.from(step.grads));
      const scalars = stepInputs(config, { step: i + 1, weightDecay, ...step });
      const { gradNorm } = await program.run(
        { ...state, grads, decay, ...scalars },
        { into: { newParams: state.params, newM: state.m, newV: state.v, newTeacher: state.teacher } },
      );
      expectClose(gradNorm!, [step.gradNorm], 1e-5, `norm of step ${i + 1}`);
      for (const [name, buffer] of Object.entries(state)) {
        expectClose(
          await buffer.read(),
          step[name as keyof typeof state],
          1e-5,
          `${name} after step ${i + 1}`,
        );
      }
    }
  });

  it('leaves short gradients as they are and says when one is not finite', async () => {
    const config = { size: 2, clipNorm: 10 };
    const program = await device.load(adamw(config));
    const vector = (...values: number[]): Float32Array => Float32Array.from(values);
    const run = async (grads: Float32Array): Promise<Record<string, ArrayLike<number | bigint>>> =>
      program.run({
        params: vector(1, 1),
        m: vector(0, 0),
        v: vector(0, 0),
        decay: vector(0, 0),
        grads,
        ...stepInputs(config, { step: 1, learningRate: 0.1 }),
      });
    const { newM, gradNorm, newParams } = await run(vector(3, -4));
    expectClose(gradNorm!, [5], 1e-6, 'norm');
    expectClose(newM!, [0.3, -0.4], 1e-6, 'mean gradient');
    expectClose(newParams!, [0.9, 1.1], 1e-6, 'the first step is as long as the learning rate');
    expect((await run(vector(3, NaN)))['gradNorm']![0]).toBeNaN();
  });

  it('takes them in two shards with the norm of the whole', async () => {
    const { size, clipNorm, beta1, beta2, weightDecay } = fixture;
    const half = size / 2;
    const config = { size: half, clipNorm, beta1, beta2, shard: true, teacher: true };
    const program = await device.load(adamw(config));
    const state = {
      params: fixture.start,
      m: new Array<number>(size).fill(0),
      v: new Array<number>(size).fill(0),
      teacher: fixture.start,
    };
    for (const [i, step] of fixture.steps.entries()) {
      const shards: Record<string, unknown>[] = [];
      for (const from of [0, half]) {
        const own = (all: number[]): Float32Array => Float32Array.from(all.slice(from, from + half));
        const { params, m, v, teacher } = state;
        const decay = Float32Array.from({ length: half }, (_, n) => (from + n < fixture.decayed ? 1 : 0));
        shards.push(
          await program.run({
            ...{ params: own(params), m: own(m), v: own(v), teacher: own(teacher), decay },
            grads: own(step.grads),
            ...stepInputs(config, { step: i + 1, weightDecay, ...step }),
            gradNorm: Float32Array.of(step.gradNorm),
          }),
        );
      }
      const joined = (name: string): number[] => shards.flatMap((one) => [...(one[name] as Float32Array)]);
      Object.assign(state, { params: joined('newParams'), m: joined('newM'), v: joined('newV') });
      state.teacher = joined('newTeacher');
      expectClose(Float32Array.from(state.params), step.params, 1e-5, `params of step ${i + 1}`);
      expectClose(Float32Array.from(state.teacher), step.teacher, 1e-5, `teacher of step ${i + 1}`);
    }
  });

  it('measures a long gradient: a sum in single precision would be off', async () => {
    const size = 3_000_001;
    const config = { size };
    const program = await device.load(adamw(config));
    const zeros = new Float32Array(size);
    const grads = Float32Array.from({ length: size }, (_, n) => 1 + 0.1 * Math.sin(n));
    const exact = Math.sqrt(grads.reduce((sum, g) => sum + g * g, 0));
    const { gradNorm } = await program.run(
      {
        ...{ params: zeros, m: zeros, v: zeros, decay: zeros, grads },
        ...stepInputs(config, { step: 1, learningRate: 0 }),
      },
      { fetch: ['gradNorm'] },
    );
    expect(Math.abs((gradNorm![0] as number) / exact - 1)).toBeLessThan(1e-5);
  });
});

describe('warm-up and cosine', () => {
  const schedule = { peak: 8, floor: 2, warmupSteps: 4, totalSteps: 12 };
  it('rises in a line, falls along half a cosine and stays', () => {
    expect([1, 2, 4].map((step) => warmupCosine(step, schedule))).toEqual([2, 4, 8]);
    expect(warmupCosine(8, schedule)).toBeCloseTo(5, 12);
    expect(warmupCosine(6, schedule)).toBeCloseTo(2 + 3 * (1 + Math.SQRT1_2), 12);
    expect([12, 100].map((step) => warmupCosine(step, schedule))).toEqual([2, 2]);
  });
  it('needs neither warm-up nor floor', () => {
    expect(warmupCosine(0, { peak: 1, warmupSteps: 0, totalSteps: 10 })).toBe(1);
    expect(warmupCosine(10, { peak: 1, warmupSteps: 0, totalSteps: 10 })).toBe(0);
  });
});
