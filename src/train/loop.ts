/** The one training loop: next batch, gradients, update, log, probe, checkpoint. Every objective runs through it. */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Graph, TypedArray } from '../graph/index.js';
import type { ModelFile } from '../models/model-file.js';
import type { Params } from '../nn/index.js';
import { adamw, stepInputs, warmupCosine } from '../optim/index.js';
import { openDevice, type Device, type DeviceBuffer, type DeviceKind } from '../runtime/index.js';
import {
  bindRun,
  loadCheckpoint,
  METRICS_FILE,
  runFailure,
  saveCheckpoint,
  trimMetrics,
  type FlatState,
} from './checkpoint.js';
import { TrainError } from './loader.js';

/** What is trained: a program that turns flat weights and a batch into a flat gradient and named losses. */
export interface Objective {
  readonly params: Params;
  /** Inputs `params` (and `teacher`) flat, and the batch; outputs `grads` flat and the scalars of `losses`. */
  readonly program: Graph;
  /** Scalars to log; the first is the loss. */
  readonly losses: readonly string[];
  readonly initial: Float32Array;
  /** Whether an exponential moving average of the weights is kept and fed as `teacher`. */
  readonly teacher: boolean;
  /** Elements that may change, 1 or 0; everything unless given. Weight decay respects it. */
  readonly trainable?: Float32Array;
  /** Feeds of a step (from 0), decided by the step alone, and how many tokens they hold. */
  batch(step: number): Promise<{ feeds: Record<string, TypedArray>; tokens: number }>;
  /** What of the flat weights becomes the model file: the teacher where there is one. */
  model(weights: Float32Array, step: number): ModelFile;
  /** Measures of the present weights on held-out data, logged every `probeEvery` steps. */
  readonly probe?: (device: Device, weights: DeviceBuffer) => Promise<Record<string, number>>;
}

export interface Schedule {
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly clipNorm: number;
  /** Share of the old teacher kept at each step: from, rising to, by half a cosine. */
  readonly teacherMomentum: readonly [from: number, to: number];
}

export interface TrainOptions {
  /** The run folder: config.json, metrics.jsonl, checkpoints/. */
  readonly run: string;
  readonly steps: number;
  readonly schedule: Schedule;
  /** Settings that make this run what it is; a resumed run must have the same. */
  readonly settings: Record<string, unknown>;
  readonly resume: boolean;
  readonly checkpointEvery: number;
  readonly probeEvery: number;
  readonly device: DeviceKind;
  readonly threads?: number;
  /** When it fires, the loop stops after the present step and writes a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onStep?: (metrics: StepMetrics) => void;
  /** Called once the run folder is this run's, before anything is learnt. */
  readonly onStart?: () => Promise<void>;
}

/** One line of metrics.jsonl. */
export type StepMetrics = { readonly step: number; readonly loss: number } & Readonly<Record<string, number>>;

export interface TrainResult {
  /** Steps behind the last checkpoint. */
  readonly step: number;
  readonly interrupted: boolean;
}

/**
 * Trains until `steps` are done. Resuming continues from the newest checkpoint bit for bit, since a batch depends on
 * its step only and all state is in the checkpoint.
 * @throws TrainError for a run folder that holds another run or cannot be written, and when a loss or gradient stops
 * being finite.
 */
export async function train(objective: Objective, options: TrainOptions): Promise<TrainResult> {
  try {
    return await trainInto(options.run, objective, options);
  } catch (error) {
    throw runFailure(options.run, error);
  }
}

async function trainInto(run: string, objective: Objective, options: TrainOptions): Promise<TrainResult> {
  const { steps, schedule } = options;
  await bindRun(run, options.settings, options.resume);
  const saved = options.resume ? await loadCheckpoint(run) : null;
  await trimMetrics(run, saved?.step ?? 0);
  await options.onStart?.();

  const device = await openDevice({
    kind: options.device,
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  const log = createWriteStream(join(run, METRICS_FILE), { flags: 'a' });
  const logFailed = new Promise<never>((_, reject) => log.on('error', reject));
  logFailed.catch(() => undefined);
  try {
    const { size } = objective.params;
    const start = startingState(objective, saved?.state ?? null);
    const buffer = (name: string): Promise<DeviceBuffer> => device.buffer('float32', [size], start[name]);
    const [params, m, v] = [await buffer('params'), await buffer('m'), await buffer('v')];
    const teacher = objective.teacher ? await buffer('teacher') : null;
    const grads = await device.buffer('float32', [size]);
    const decay = await device.buffer('float32', [size], decayOf(objective));
    const optimiser = { size, beta2: 0.99, clipNorm: schedule.clipNorm, teacher: teacher !== null };
    const gradient = await device.load(objective.program);
    const update = await device.load(adamw(optimiser));

    const save = async (step: number): Promise<void> => {
      const flat: Record<string, Float32Array> = {
        params: (await params.read()) as Float32Array,
        m: (await m.read()) as Float32Array,
        v: (await v.read()) as Float32Array,
      };
      if (teacher) flat.teacher = (await teacher.read()) as Float32Array;
      await saveCheckpoint(run, step, objective.model(flat.teacher ?? flat.params!, step), flat);
    };

    let step = saved?.step ?? 0;
    let savedAt = step;
    let next = step < steps ? objective.batch(step) : null;
    while (next && step < steps && !options.signal?.aborted) {
      const began = performance.now();
      const { feeds, tokens } = await next;
      const waited = performance.now() - began;
      const running = gradient.run(
        { ...feeds, params, ...(teacher && { teacher }) },
        { into: { grads }, fetch: objective.losses },
      );
      // The next batch is cut on this thread while the device computes on its own.
      next = step + 1 < steps ? objective.batch(step + 1) : null;
      next?.catch(() => undefined);
      const losses = await running;
      const learningRate = warmupCosine(step + 1, {
        peak: schedule.learningRate,
        floor: schedule.learningRate / 100,
        warmupSteps: schedule.warmupSteps,
        totalSteps: steps,
      });
      const [from, to] = schedule.teacherMomentum;
      const momentum = to - ((to - from) * (1 + Math.cos((Math.PI * step) / steps))) / 2;
      const { gradNorm } = await update.run(
        {
          params,
          grads,
          m,
          v,
          decay,
          ...(teacher && { teacher }),
          ...stepInputs(optimiser, {
            step: step + 1,
            learningRate,
            weightDecay: schedule.weightDecay,
            momentum,
          }),
        },
        {
          into: { newParams: params, newM: m, newV: v, ...(teacher && { newTeacher: teacher }) },
          fetch: ['gradNorm'],
        },
      );
      step++;
      const parts = Object.fromEntries(objective.losses.map((name) => [name, losses[name]![0] as number]));
      const norm = gradNorm![0] as number;
      if (![...Object.values(parts), norm].every(Number.isFinite))
        throw new TrainError(
          `train: step ${step} gave ${JSON.stringify({ ...parts, gradNorm: norm })}, which is not finite; ` +
            `lower --learning-rate, or resume from the checkpoint of step ${savedAt}`,
        );
      const seconds = (performance.now() - began) / 1000;
      const probe =
        objective.probe && (step % options.probeEvery === 0 || step === steps)
          ? await objective.probe(device, teacher ?? params)
          : {};
      const metrics: StepMetrics = {
        step,
        loss: parts[objective.losses[0]!]!,
        ...parts,
        learningRate,
        gradNorm: norm,
        tokensPerSecond: Math.round(tokens / seconds),
        waitShare: Number((waited / 1000 / seconds).toFixed(3)),
        ...probe,
      };
      log.write(`${JSON.stringify(metrics)}\n`);
      options.onStep?.(metrics);
      if (step % options.checkpointEvery === 0 && step < steps) {
        await save(step);
        savedAt = step;
      }
    }
    if (savedAt < step || saved === null) await save(step);
    await Promise.race([new Promise<void>((resolve) => log.end(resolve)), logFailed]);
    return { step, interrupted: step < steps };
  } finally {
    log.destroy();
    await device.close();
  }
}

function startingState(objective: Objective, saved: FlatState | null): FlatState {
  const { size } = objective.params;
  const state = saved ?? {
    params: objective.initial,
    m: new Float32Array(size),
    v: new Float32Array(size),
    ...(objective.teacher && { teacher: objective.initial }),
  };
  for (const [name, data] of Object.entries(state))
    if (data.length !== size)
      throw new TrainError(
        `train: the checkpoint's ${name} has ${data.length} elements, this model ${size}; resume with the size and ` +
          'version it was started with',
      );
  return state;
}

function decayOf({ params, trainable }: Objective): Float32Array {
  const decay = params.decayMask();
  if (trainable) for (let n = 0; n < decay.length; n++) decay[n] = decay[n]! * trainable[n]!;
  return decay;
}
