/** The one training loop: next batch, gradients, update, log, probe, checkpoint. Every objective runs through it. */
import { createWriteStream } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Graph, TypedArray } from '../graph/index.js';
import type { ModelFile } from '../models/model-file.js';
import type { Params } from '../nn/index.js';
import { SingleProcess, type Communicator } from '../mpi/index.js';
import { warmupCosine } from '../optim/index.js';
import { openDevice, type Device, type DeviceBuffer, type DeviceKind } from '../runtime/index.js';
import {
  bindRun,
  loadCheckpoint,
  METRICS_FILE,
  runFailure,
  saveCheckpoint,
  trimLog,
  type FlatState,
} from './checkpoint.js';
import { onRankZero, shareState } from './job.js';
import { TrainError } from './loader.js';
import { LOSS_SCALE, LossScale } from './loss-scale.js';
import { MAPS_FILE, type SeriesMap } from './maps.js';
import { lockRun } from './run-lock.js';
import { normsOf, notFinite, writeFailure } from './failure.js';
import { loadStaged, type Runnable } from './staged.js';
import { openState } from './state.js';

/** What one rank feeds to the program for one part of a step. */
export interface Batch {
  readonly feeds: Record<string, TypedArray>;
  /** Tokens in them. */
  readonly tokens: number;
  /** Series in them, to be named when something goes wrong. */
  readonly ids?: readonly string[];
  /** What the other ranks must know of this share, and the feeds that follow from what all tell, by rank. */
  readonly tell?: Uint8Array;
  readonly hear?: (all: readonly Uint8Array[]) => Record<string, TypedArray>;
}

/** What is trained: a program that turns flat weights and a batch into a flat gradient and named losses. */
export interface Objective {
  readonly params: Params;
  /**
   * Inputs `params` (and `teacher`) flat, and the batch; outputs `grads` flat and the scalars of `losses`. On several
   * ranks each output is this rank's part of a sum.
   */
  readonly program: Graph;
  /** Scalars to log; the first is the loss. */
  readonly losses: readonly string[];
  readonly initial: Float32Array;
  /** Whether an exponential moving average of the weights is kept and fed as `teacher`. */
  readonly teacher: boolean;
  /** Elements that may change, 1 or 0; everything unless given. Weight decay respects it. */
  readonly trainable?: Float32Array;
  /** By what the learning rate of each element is multiplied, and its weight decay with it; 1 unless given. */
  readonly rates?: Float32Array;
  /** The program from a step on (the first is 0), of the same inputs in other shapes. */
  readonly late?: { readonly from: number; readonly program: Graph };
  /**
   * This rank's share of part `part` (of `parts` whose gradients are averaged) of a step, both from 0; decided by them
   * alone. The parts of a whole run are numbered `step * parts + part`.
   */
  batch(step: number, part: number): Promise<Batch>;
  /** Parts of a step; 1 unless given. */
  readonly parts?: number;
  /** What of the flat weights becomes the model file: the teacher where there is one. */
  model(weights: Float32Array, step: number): ModelFile;
  /** Measures of the present weights on held-out data, logged after the first step, every `probeEvery` steps and the last. */
  readonly probe?: (device: Device, weights: DeviceBuffer) => Promise<Record<string, number>>;
  /** Maps of a few images by the present weights, kept with each probe. */
  readonly maps?: (device: Device, weights: DeviceBuffer) => Promise<SeriesMap[]>;
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
  /** The processes that share the work; this one alone unless given. Rank 0 writes the run and calls back. */
  readonly ranks?: Communicator;
  /** When it fires on any rank, all stop after the present step and a checkpoint is written. */
  readonly signal?: AbortSignal;
  readonly onStep?: (metrics: StepMetrics) => void;
  /** Steps in which the whole corpus is gone through once, which need not be a whole number; for `onEpoch`. */
  readonly stepsPerEpoch?: number;
  /** Called after the step that ends an epoch, and after the last one. */
  readonly onEpoch?: (summary: EpochSummary) => void;
  /** Called once the run folder is this run's, before anything is learnt. */
  readonly onStart?: () => Promise<void>;
}

/** One line of metrics.jsonl. */
export type StepMetrics = { readonly step: number; readonly loss: number } & Readonly<Record<string, number>>;

/** Of the steps of one epoch that this process has done. */
export interface EpochSummary {
  /** From 1. */
  readonly epoch: number;
  readonly steps: number;
  /** Mean over the steps. */
  readonly loss: number;
  readonly seconds: number;
  /** Share of the time in which the device waited for data. */
  readonly waitShare: number;
}

export interface TrainResult {
  /** Steps behind the last checkpoint. */
  readonly step: number;
  readonly interrupted: boolean;
}

/**
 * Trains until `steps` are done. Resuming continues from the newest checkpoint bit for bit, since a batch depends on
 * its step only and all state is in the checkpoint. On another number of ranks it continues to float accuracy.
 * @throws TrainError for a run folder that holds another run or cannot be written, and when a loss or gradient stops
 * being finite; CorpusError for one that another process is writing to.
 */
export async function train(objective: Objective, options: TrainOptions): Promise<TrainResult> {
  const ranks = options.ranks ?? new SingleProcess();
  let unlock = (): Promise<void> => Promise.resolve();
  try {
    const saved = await onRankZero(ranks, 'start the run', async () => {
      unlock = await lockRun(options.run);
      await bindRun(options.run, options.settings, options.resume);
      const found = options.resume ? await loadCheckpoint(options.run) : null;
      for (const file of [METRICS_FILE, MAPS_FILE]) await trimLog(options.run, file, found?.step ?? 0);
      await options.onStart?.();
      return found;
    });
    return await trainFrom(await shareState(ranks, saved), ranks, objective, options);
  } catch (error) {
    throw runFailure(options.run, error);
  } finally {
    await unlock();
  }
}

async function trainFrom(
  saved: { step: number; state: FlatState } | null,
  ranks: Communicator,
  objective: Objective,
  options: TrainOptions,
): Promise<TrainResult> {
  const { steps, schedule, run } = options;
  const { parts = 1 } = objective;
  const device = await openDevice({
    kind: options.device,
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  const log = ranks.rank === 0 ? createWriteStream(join(run, METRICS_FILE), { flags: 'a' }) : null;
  const logFailed = new Promise<never>((_, reject) => log?.on('error', reject));
  logFailed.catch(() => undefined);
  try {
    const start = startingState(objective, saved?.state ?? null);
    const { size } = objective.params;
    const scaled = objective.program.inputs.some(({ name }) => name === LOSS_SCALE);
    const scale = scaled ? LossScale.from(saved?.state.scale) : null;
    const { late, rates } = objective;
    const shape = { size, clipNorm: schedule.clipNorm, beta2: 0.99, decay: decayOf(objective), parts };
    const state = await openState(
      device,
      ranks,
      { ...shape, guarded: scaled, ...(rates && { rates }) },
      start,
    );
    const isLate = (at: number): boolean => late !== undefined && at >= late.from;
    const load = (at: number): Promise<Runnable> =>
      loadStaged(device, isLate(at) ? late!.program : objective.program, ranks);
    let gradient = await load(saved?.step ?? 0);

    const save = async (step: number): Promise<void> => {
      const flat: FlatState = { ...(await state.whole()), ...(scale && { scale: scale.state }) };
      if (ranks.rank === 0)
        await saveCheckpoint(run, step, objective.model(flat.teacher ?? flat.params!, step), flat);
    };

    let step = saved?.step ?? 0;
    let savedAt = step;
    let stopped = options.signal?.aborted === true && ranks.size === 1;
    const prepare = (part: number): Promise<Batch> | null => {
      const at = Math.floor(part / parts);
      if (at >= steps) return null;
      const batch = objective.batch(at, part % parts);
      batch.catch(() => undefined);
      return batch;
    };
    const epochs = new EpochTally(options);
    let next = stopped ? null : prepare(step * parts);
    while (next && step < steps && !stopped) {
      if (isLate(step) && !isLate(step - 1) && step > (saved?.step ?? 0)) gradient = await load(step);
      const began = performance.now();
      let waited = 0;
      const shown: string[] = [];
      // Sums over the ranks: losses, tokens, whether one of them is to stop.
      const tally = new Float64Array(objective.losses.length + 2);
      for (let part = 0; part < parts; part++) {
        const asked = performance.now();
        const { feeds, tokens, ids, tell, hear } = (await next)!;
        shown.push(...(ids ?? []));
        waited += performance.now() - asked;
        const heard = tell && hear ? hear(await ranks.allgatherBytes(tell)) : {};
        const given = { ...feeds, ...heard, ...(scale && { [LOSS_SCALE]: scale.feed }) };
        const running = state.learn(gradient, given, objective.losses);
        // The next batch is cut on this thread while the device computes on its own.
        next = prepare(step * parts + part + 1);
        const losses = await running;
        objective.losses.forEach((name, n) => (tally[n]! += (losses[name]![0] as number) / parts));
        tally[objective.losses.length]! += tokens;
      }
      if (options.signal?.aborted) tally[objective.losses.length + 1] = 1;
      const [from, to] = schedule.teacherMomentum;
      const learningRate = warmupCosine(step + 1, {
        peak: schedule.learningRate,
        floor: schedule.learningRate / 100,
        warmupSteps: schedule.warmupSteps,
        totalSteps: steps,
      });
      const gradNorm = await state.update({
        step: step + 1,
        learningRate,
        weightDecay: schedule.weightDecay,
        momentum: to - ((to - from) * (1 + Math.cos((Math.PI * step) / steps))) / 2,
      });
      await ranks.allreduceSum(tally);
      step++;
      const losses = Object.fromEntries(objective.losses.map((name, n) => [name, tally[n]!]));
      const used = scale?.feed[0];
      // A gradient that overflows with one scale is tried with a smaller one at the next step, on every rank alike.
      const passable = scale ? scale.after(Number.isFinite(gradNorm)) : Number.isFinite(gradNorm);
      if (!passable || !Object.values(losses).every(Number.isFinite)) {
        const gradient = await state.gradient();
        const all = await ranks.allgatherBytes(Buffer.from(JSON.stringify(shown)));
        const series = all.flatMap((bytes) => JSON.parse(Buffer.from(bytes).toString()) as string[]);
        const failure = { step, ...losses, gradNorm, series, ...normsOf(objective.params, gradient) };
        if (ranks.rank === 0) await writeFailure(run, failure);
        throw new TrainError(notFinite(run, failure, savedAt));
      }
      const seconds = (performance.now() - began) / 1000;
      stopped = tally.at(-1)! > 0;
      // In all but short runs the first learning rate is next to nothing: a curve of probes starts with the untrained encoder.
      const probing = step % options.probeEvery === 0 || step === 1;
      const weights = probing || step === steps ? await state.measured() : null;
      if (log) {
        const probe = objective.probe && weights ? await objective.probe(device, weights) : {};
        const maps = objective.maps && probing && weights ? await objective.maps(device, weights) : [];
        if (maps.length > 0)
          await appendFile(join(run, MAPS_FILE), `${JSON.stringify({ step, series: maps })}\n`);
        const metrics: StepMetrics = {
          step,
          loss: losses[objective.losses[0]!]!,
          ...losses,
          learningRate,
          // Where it overflowed, the step changed nothing, and there is no length to tell.
          ...(Number.isFinite(gradNorm) && { gradNorm }),
          ...(used !== undefined && { lossScale: used }),
          tokensPerSecond: Math.round(tally.at(-2)! / seconds),
          seconds: Number(seconds.toFixed(4)),
          waitShare: Number((waited / 1000 / seconds).toFixed(3)),
          memoryMB: Math.round(process.memoryUsage.rss() / 2 ** 20),
          ...probe,
        };
        log.write(`${JSON.stringify(metrics)}\n`);
        options.onStep?.(metrics);
        epochs.add(metrics, waited / 1000, seconds, stopped);
      }
      if (step % options.checkpointEvery === 0 && step < steps) {
        await save(step);
        savedAt = step;
      }
    }
    if (savedAt < step || saved === null) await save(step);
    if (log) await Promise.race([new Promise<void>((resolve) => log.end(resolve)), logFailed]);
    return { step, interrupted: step < steps };
  } finally {
    log?.destroy();
    await device.close();
  }
}

/** Adds steps up to epochs. */
class EpochTally {
  private sums = { steps: 0, loss: 0, seconds: 0, waited: 0 };

  constructor(private readonly options: Pick<TrainOptions, 'steps' | 'stepsPerEpoch' | 'onEpoch'>) {}

  add({ step, loss }: StepMetrics, waited: number, seconds: number, isLast: boolean): void {
    const { sums, options } = this;
    sums.steps++;
    sums.loss += loss;
    sums.seconds += seconds;
    sums.waited += waited;
    const { stepsPerEpoch = Infinity, onEpoch } = options;
    const epochOf = (n: number): number => Math.floor(n / stepsPerEpoch + 1e-9);
    const before = epochOf(step - 1);
    if (epochOf(step) === before && step < options.steps && !isLast) return;
    onEpoch?.({
      epoch: before + 1,
      steps: sums.steps,
      loss: sums.loss / sums.steps,
      seconds: sums.seconds,
      waitShare: sums.waited / sums.seconds,
    });
    this.sums = { steps: 0, loss: 0, seconds: 0, waited: 0 };
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
    if (name !== 'scale' && data.length !== size)
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
