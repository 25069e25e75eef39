/** Heads that are trained by gradient steps: the attentive probe, LoRA and full fine-tuning. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { add, gradients, Graph, matmul, mul, sub, type TypedArray, type Value } from '../../graph/index.js';
import type { ModelFile } from '../../models/model-file.js';
import { Params, type Scope } from '../../nn/index.js';
import { loadCheckpoint } from '../../train/checkpoint.js';
import { train } from '../../train/loop.js';
import { Random } from '../../volume/random.js';
import { TaskError } from '../error.js';
import { stratifiedFolds } from './folds.js';
import { strata } from './head.js';
import { predictHead, type Head, type Prediction, type Target } from './prediction.js';
import { answersOf, applyLinear, headOf, lossOf, outputsOf, type Linear } from './questions.js';

/** How long and how fast to train. */
export interface TuneSettings {
  readonly steps: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface TuneOptions {
  readonly seed: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onStep?: (step: number, loss: number) => void;
}

/** What is trained below the linear layer, and on what. */
export interface Trunk {
  /** The vector [batch, dim] that the linear layer reads; declares its own inputs. */
  build(graph: Graph, scope: Scope): Value;
  /** Feeds of {@link build} for these cases (as many as the batch), and their tokens; `random` is the step's own. */
  feeds(
    cases: readonly number[],
    random: Random,
  ): Promise<{ feeds: Record<string, TypedArray>; tokens: number }>;
  /** Starting values of parameters below the linear layer, by name; the others start as they declare. */
  readonly start?: (name: string) => Float32Array | undefined;
  /** The linear layer to start from; zeros on the vector as it is unless given. */
  readonly probe?: Linear;
}

export interface Learnt {
  readonly params: Params;
  readonly flat: Float32Array;
  readonly linear: Linear;
}

/** Share of the steps over which the learning rate rises. */
const WARMUP = 0.1;

/**
 * Trains a trunk and a linear layer on some cases by the training loop, in a run folder that is removed afterwards. AdamW
 * with warm-up and half a cosine; batches go through the cases in a new order each epoch.
 * @param model what a checkpoint is written as. @throws TaskError when `signal` stops it; TrainError as the loop does.
 */
export async function tune(
  trunk: Trunk,
  cases: readonly number[],
  target: Target,
  settings: TuneSettings,
  model: (params: Params, flat: Float32Array) => ModelFile,
  options: TuneOptions,
): Promise<Learnt> {
  const { batch, steps } = settings;
  const outputs = outputsOf(target);
  const answers = answersOf(target);
  const { params, program } = stepOf(trunk, target, batch);
  const initial = startOf(params, trunk, options.seed);
  const run = await mkdtemp(join(tmpdir(), 'precess-fit-'));
  try {
    const { interrupted } = await train(
      {
        params,
        program,
        losses: ['loss'],
        initial,
        teacher: false,
        batch: async (step) => {
          const random = new Random(options.seed, 0x7e57, step);
          const places = placesOf(cases.length, step, batch, options.seed);
          const { feeds, tokens } = await trunk.feeds(
            places.map((n) => cases[n]!),
            random,
          );
          const truth = new Float32Array(batch * outputs);
          const weight = new Float32Array(batch * outputs);
          places.forEach((n, row) => {
            truth.set(answers[n]!.truth, row * outputs);
            weight.set(answers[n]!.weight, row * outputs);
          });
          return { feeds: { ...feeds, truth, weight }, tokens };
        },
        model: (flat) => model(params, flat),
      },
      {
        run,
        steps,
        schedule: {
          learningRate: settings.learningRate,
          warmupSteps: Math.ceil(WARMUP * steps),
          weightDecay: settings.weightDecay,
          clipNorm: 1,
          teacherMomentum: [1, 1],
        },
        settings: {},
        resume: false,
        checkpointEvery: steps,
        probeEvery: steps,
        device: 'cpu',
        ...(options.threads !== undefined && { threads: options.threads }),
        ...(options.signal && { signal: options.signal }),
        onStep: ({ step, loss }) => options.onStep?.(step, loss),
      },
    );
    if (interrupted) throw new TaskError('fit: stopped before the head was trained');
    const flat = (await loadCheckpoint(run))!.state.params!;
    return { params, flat, linear: linearOf(params, flat, trunk.probe) };
  } finally {
    await rm(run, { recursive: true, force: true });
  }
}

/** The program of a step: see {@link Trunk} and `lossOf`. */
export function stepOf(trunk: Trunk, target: Target, batch: number): { params: Params; program: Graph } {
  const outputs = outputsOf(target);
  const build = (graph: Graph, scope: Scope): Value => {
    const vector = standardised(trunk.build(graph, scope), trunk.probe);
    const head = scope.child('head');
    const weight = head.param('weight', [vector.shape[1]!, outputs], 'zeros');
    return add(matmul(vector, weight), head.param('bias', [outputs], 'zeros'));
  };
  const params = Params.collect((graph, scope) => void build(graph, scope));
  const program = new Graph('tune');
  const flat = program.input('params', 'float32', [params.size]);
  const z = build(program, params.bind(flat));
  const [truth, weight] = ['truth', 'weight'].map((name) => program.input(name, 'float32', [batch, outputs]));
  const loss = lossOf(target.kind, z, truth!, weight!);
  program.output('grads', gradients(loss, [flat])[0]!);
  program.output('loss', loss);
  return { params, program };
}

function standardised(vector: Value, probe: Linear | undefined): Value {
  if (probe === undefined) return vector;
  const { graph } = vector;
  const row = (data: Float64Array): Value => graph.constant(Float32Array.from(data), [1, data.length]);
  return mul(sub(vector, row(probe.mean)), row(probe.scale));
}

function startOf(params: Params, { start, probe }: Trunk, seed: number): Float32Array {
  const flat = params.initialize(seed);
  for (const { name, offset, shape } of params.slices) {
    const given = start?.(name);
    if (given) flat.set(given, offset);
    if (probe === undefined) continue;
    if (name === 'head.bias') flat.set(probe.bias, offset);
    if (name !== 'head.weight') continue;
    const [dim, outputs] = shape as [number, number];
    for (let k = 0; k < outputs; k++)
      for (let d = 0; d < dim; d++) flat[offset + d * outputs + k] = probe.weights[k * dim + d]!;
  }
  return flat;
}

function linearOf(params: Params, flat: Float32Array, probe: Linear | undefined): Linear {
  const slice = (wanted: string) => params.slices.find(({ name }) => name === wanted)!;
  const { offset, shape } = slice('head.weight');
  const [dim, outputs] = shape as [number, number];
  const bias = slice('head.bias');
  return {
    mean: probe?.mean ?? new Float64Array(dim),
    scale: probe?.scale ?? new Float64Array(dim).fill(1),
    weights: Float64Array.from({ length: outputs * dim }, (_, n) => {
      const [k, d] = [Math.floor(n / dim), n % dim];
      return flat[offset + d * outputs + k]!;
    }),
    bias: Float64Array.from(flat.subarray(bias.offset, bias.offset + outputs)),
  };
}

/** The cases of a step: a new order every epoch; few cases are gone through again within a step. */
function placesOf(count: number, step: number, batch: number, seed: number): number[] {
  return Array.from({ length: batch }, (_, i) => {
    const position = step * batch + i;
    const epoch = Math.floor(position / count);
    return new Random(seed, 0x0e9, epoch).sample(count, count)[position % count]!;
  });
}

/** Something that learns from some cases, and then turns others into what its linear layer reads. */
export interface Learner<T> {
  learn(cases: readonly number[], target: Target, seed: number): Promise<{ learnt: T; linear: Linear }>;
  vectors(learnt: T, cases: readonly number[]): Promise<readonly Float32Array[]>;
}

/**
 * Predictions of every case by a learner that has not seen its patient, and a head by one that has seen all. A fold's
 * predictions are calibrated on the outputs of the other folds' cases, each by the learner that had not seen it; the head
 * on those of all. Nothing else is tuned, so that no inner cross-validation is needed: folds + 1 trainings in all.
 *
 * @throws TaskError when a class has too few patients.
 */
export async function crossTune<T>(
  patients: readonly string[],
  target: Target,
  learner: Learner<T>,
  { folds = 5, seed = 0, onFold }: { folds?: number; seed?: number; onFold?: (fold: number) => void } = {},
): Promise<{ predictions: Prediction[]; head: Head; learnt: T }> {
  const fold = stratifiedFolds(patients, strata(target), folds, seed);
  const all = patients.map((_, n) => n);
  const part = (of: readonly number[]): Target =>
    ({ ...target, values: of.map((n) => target.values[n]!) }) as Target;
  const vectors = new Array<Float32Array>(all.length);
  const outputs = new Array<Float64Array>(all.length);
  const linears: Linear[] = [];
  for (let f = 0; f < folds; f++) {
    onFold?.(f);
    const [train, test] = [all.filter((n) => fold[n] !== f), all.filter((n) => fold[n] === f)];
    const { learnt, linear } = await learner.learn(train, part(train), seed + f + 1);
    linears.push(linear);
    (await learner.vectors(learnt, test)).forEach((vector, i) => {
      vectors[test[i]!] = vector;
      outputs[test[i]!] = applyLinear(linear, vector);
    });
  }
  const heldOut = (of: readonly number[]) => ({ outputs: of.map((n) => outputs[n]!), target: part(of) });
  const predictions = new Array<Prediction>(all.length);
  linears.forEach((linear, f) => {
    const others = all.filter((n) => fold[n] !== f);
    const head = headOf(linear, part(others), heldOut(others));
    for (const n of all) if (fold[n] === f) predictions[n] = predictHead(head, vectors[n]!);
  });
  onFold?.(folds);
  const { learnt, linear } = await learner.learn(all, target, seed);
  return { predictions, head: headOf(linear, target, heldOut(all)), learnt };
}
