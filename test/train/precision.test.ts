/** Products of halves: what they round, what the loss scale keeps of small gradients, and how a run lives with overflow. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import {
  abs,
  affine,
  dotProductAttention,
  gradients,
  Graph,
  greater,
  mul,
  reduceSum,
  square,
  sub,
  where,
  type Precision,
} from '../../src/graph/index.js';
import { modelConfig } from '../../src/models/sizes.js';
import { NO_PROVENANCE } from '../../src/models/provenance.js';
import { Params } from '../../src/nn/index.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { train, type StepMetrics } from '../../src/train/loop.js';
import { LOSS_SCALE, LossScale, stepGradient } from '../../src/train/loss-scale.js';
import { Random } from '../../src/volume/random.js';
import { skipped } from '../data.js';

const dir = mkdtempSync(join(tmpdir(), 'precess-precision-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const python = process.env.PRECESS_PYTHON ?? 'python3';
const hasOnnx = spawnSync(python, ['-c', 'import onnx.reference'], { stdio: 'ignore' }).status === 0;
const script = fileURLToPath(new URL('../graph/evaluate.py', import.meta.url));
let files = 0;
/** By onnx's own evaluator: ONNX Runtime's CPU has no products of halves, and leaves out the rounding to them. */
function evaluate(graph: Graph, inputs: Readonly<Record<string, Float32Array>>): Record<string, number[]> {
  const [model, given] = [join(dir, `${++files}.onnx`), join(dir, `${files}.json`)];
  writeFileSync(model, graph.toOnnx());
  const numbers = Object.entries(inputs).map(([name, data]) => [name, [...data]]);
  writeFileSync(given, JSON.stringify(Object.fromEntries(numbers)));
  const { stdout, stderr, status } = spawnSync(python, [script, model, given], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, number[]>;
}

/** The nearest IEEE 754 half (round to even), worked out from its definition: 11 significant bits, exponents from -14. */
function half(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(x))));
  const unit = 2 ** (exponent - 10);
  const n = x / unit;
  const low = Math.floor(n);
  const up = n - low > 0.5 || (n - low === 0.5 && low % 2 !== 0);
  const rounded = (low + (up ? 1 : 0)) * unit;
  return Math.abs(rounded) > 65504 ? Math.sign(x) * Infinity : rounded;
}

const random = new Random(4);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, () => random.normal());

describe.skipIf(skipped(!hasOnnx, 'the onnx package is not installed (PRECESS_PYTHON)'))(
  'a graph of half precision',
  () => {
    it('multiplies halves in layers, and adds their bias and the rest in single', () => {
      const [rows, from, to] = [3, 5, 4];
      const [x, w, b] = [normal(rows * from), normal(from * to), normal(to)];
      const graph = new Graph('half', undefined, 'float16');
      const y = affine(
        graph.input('x', 'float32', [rows, from]),
        graph.input('w', 'float32', [from, to]),
        graph.input('b', 'float32', [to]),
      );
      expect(y.dtype).toBe('float32');
      graph.output('y', y);
      const { y: found } = evaluate(graph, { x, w, b });
      let exact = 0;
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < to; c++) {
          let sum = 0;
          for (let k = 0; k < from; k++) sum += half(x[r * from + k]!) * half(w[k * to + c]!);
          const expected = half(sum) + b[c]!;
          const got = Number(found![r * to + c]);
          // The sum may be rounded once more on the way: half a unit in the last place of a half.
          expect(Math.abs(got - expected)).toBeLessThan(Math.abs(sum) * 2 ** -10 + 1e-6);
          if (Math.abs(got - expected) < 1e-6) exact++;
        }
      expect(exact).toBeGreaterThan(8);
    });

    it('attends with scores in single precision, which may be larger than any half', () => {
      const graph = new Graph('half', undefined, 'float16');
      const input = (name: string) => graph.input(name, 'float32', [1, 2, 2]);
      const hidden = graph.constant([0, -1e9], [1, 1, 2]);
      graph.output('y', dotProductAttention(input('q'), input('k'), input('v'), 1, hidden));
      const v = Float32Array.of(1, 2, 30, 40);
      const { y } = evaluate(graph, { q: normal(4), k: normal(4), v });
      // The second token is hidden by a number that no half can hold.
      expect(y).toEqual([1, 2, 1, 2]);
    });

    it('loses gradients that are too small for a half, unless the loss is scaled', () => {
      const x = normal(6);
      const at = (precision: Precision, scale?: number): number[] => {
        const graph = new Graph('small', undefined, precision);
        const w = graph.input('w', 'float32', [3, 2]);
        const loss = mul(reduceSum(affine(graph.constant(x, [2, 3]), w)), 1e-9);
        graph.output('grads', stepGradient(loss, w));
        expect(graph.inputs.map(({ name }) => name)).toEqual(scale ? ['w', LOSS_SCALE] : ['w']);
        const given = { w: normal(6), ...(scale && { [LOSS_SCALE]: Float32Array.of(scale) }) };
        return evaluate(graph, given).grads!;
      };
      // d loss / d w[k][c] = 1e-9 Σ_r x[r][k], whatever the column.
      const closed = [0, 1, 2].flatMap((k) => Array(2).fill(1e-9 * (x[k]! + x[3 + k]!)) as number[]);
      const scaled = at('float16', 2 ** 20);
      at('float32').forEach((g, n) => expect(g / closed[n]!).toBeCloseTo(1, 5));
      scaled.forEach((g, n) => expect(Math.abs(g / closed[n]! - 1)).toBeLessThan(4e-3));
      expect(at('float16', 1)).toEqual(closed.map(() => 0));
    });
  },
);

describe('the loss scale', () => {
  it('halves at an overflow, doubles after 200 steps without one, and ends where no smaller one would help', () => {
    const scale = LossScale.from(undefined);
    const start = scale.feed[0]!;
    expect(scale.after(false)).toBe(true);
    expect(scale.feed[0]).toBe(start / 2);
    for (let n = 0; n < 199; n++) scale.after(true);
    expect(scale.feed[0]).toBe(start / 2);
    const again = LossScale.from(scale.state);
    for (const one of [scale, again]) {
      one.after(true);
      expect(one.feed[0]).toBe(start);
    }
    let left = 0;
    while (scale.after(false)) left++;
    expect(left).toBe(Math.log2(start));
  });
});

describe('a run whose gradient may overflow', () => {
  // y = x w, pulled towards a target; the program says infinity where the scaled gradient is beyond the largest half.
  const x = normal(32);
  const target = normal(32);
  const params = Params.collect((_, scope) => void scope.param('w', [4, 4], { normal: 0.5 }));
  const objective = (precision: Precision) => {
    const graph = new Graph('toy');
    const [flat, teacher] = ['params', 'teacher'].map((name) => graph.input(name, 'float32', [params.size]));
    const y = affine(
      graph.input('x', 'float32', [8, 4]),
      params.bind(flat!).param('w', [4, 4], { normal: 0.5 }),
    );
    const loss = reduceSum(square(sub(y, graph.constant(target, [8, 4]))));
    const [exact] = gradients(loss, [flat!]);
    let grads = exact!;
    if (precision === 'float16') {
      const scale = graph.input(LOSS_SCALE, 'float32', []);
      grads = where(greater(65504, abs(mul(grads, scale))), grads, Infinity);
    }
    graph.output('loss', loss);
    graph.output('grads', grads);
    graph.output('seen', teacher!);
    return {
      params,
      program: graph,
      losses: ['loss'],
      initial: params.initialize(2),
      teacher: true,
      batch: () => Promise.resolve({ feeds: { x }, tokens: 8 }),
      model: (_: Float32Array, step: number) => ({
        config: modelConfig('nano'),
        tokenizer: null,
        step,
        provenance: NO_PROVENANCE,
        tensors: new Map(),
      }),
    };
  };
  const steps = 30;
  const go = async (run: string, precision: Precision, resume = false): Promise<StepMetrics[]> => {
    await train(objective(precision), {
      run: join(dir, run),
      steps,
      settings: {},
      resume,
      schedule: {
        learningRate: 0.05,
        warmupSteps: 1,
        weightDecay: 0,
        clipNorm: 3,
        teacherMomentum: [0.9, 1],
      },
      checkpointEvery: 10,
      probeEvery: steps,
      device: 'cpu',
      threads: 1,
    });
    return readFileSync(join(dir, run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as StepMetrics);
  };

  it('passes over steps that overflow, with nothing changed, and then learns', async () => {
    const whole = await go('half', 'float16');
    const skipped = whole.filter(({ gradNorm }) => gradNorm === undefined);
    // 2 (y - target) x, summed over 8 rows, times 2^14 exceeds 65504 until the scale has come down.
    expect(skipped.length).toBeGreaterThan(0);
    skipped.forEach(({ step, lossScale, loss }, n) => {
      expect(step).toBe(n + 1);
      expect(lossScale).toBe(2 ** (14 - n));
      expect(loss).toBe(whole[0]!.loss);
    });
    expect(whole[skipped.length]!.loss).toBe(whole[0]!.loss);
    expect(whole[skipped.length + 1]!.loss).toBeLessThan(whole[0]!.loss);
    const single = await go('single', 'float32');
    expect(single[0]!.lossScale).toBeUndefined();
    expect(single[0]!.loss).toBe(whole[0]!.loss);
    expect(single.at(-1)!.loss).toBeLessThan(single[0]!.loss - 1);
    expect(whole.at(-1)!.loss).toBeLessThan(single[0]!.loss - 1);
  });

  it('goes on from a checkpoint with its scale, to the same end', async () => {
    const run = join(dir, 'half');
    const last = await loadCheckpoint(run);
    expect(last!.state.scale).toHaveLength(2);
    rmSync(join(run, 'checkpoints', 'step-00000030'), { recursive: true });
    const losses = (log: StepMetrics[]) =>
      log.map(({ step, loss, lossScale }) => ({ step, loss, lossScale }));
    const before = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
    const after = await go('half', 'float16', true);
    expect(losses(after)).toEqual(losses(before.map((line) => JSON.parse(line) as StepMetrics)));
    expect((await loadCheckpoint(run))!.state).toEqual(last!.state);
  });
});
