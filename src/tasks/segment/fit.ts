/** Learns a segmentation head: from images with masks, or from label maps alone. */
import { createHash } from 'node:crypto';
import { Encoder } from '../../models/encoder.js';
import type { ModelFile } from '../../models/model-file.js';
import type { Provenance } from '../../models/provenance.js';
import type { NamedTensor } from '../../models/safetensors.js';
import { DECODER, WINDOW_STEP, type DecoderConfig } from '../../models/segment-decoder.js';
import type { Params } from '../../nn/index.js';
import { train, type Objective, type StepMetrics, type TrainResult } from '../../train/loop.js';
import { provenanceOf } from '../../train/provenance.js';
import type { Rights } from '../../corpus/rights.js';
import { Random } from '../../volume/random.js';
import type { Vec3 } from '../../volume/volume.js';
import { TaskError } from '../error.js';
import type { SegmentHead } from './head-file.js';
import type { Working } from './image.js';
import type { LabelTable } from './labels.js';
import { SceneCache, type SceneSource } from './source.js';
import { LOSSES, stepFeeds, stepParams, stepProgram, type StepShape } from './step.js';

export interface FitOptions {
  readonly model: ModelFile;
  readonly table: LabelTable;
  /** Rights of what is learnt from. */
  readonly rights: Rights;
  /** Folder of the run: its log and checkpoints. */
  readonly run: string;
  readonly steps: number;
  readonly seed: number;
  /** A head to go on from: its weights where labels have the same names. */
  readonly from?: SegmentHead;
  /** Whether the encoder learns as well. */
  readonly tuneEncoder?: boolean;
  /** Windows a step. */
  readonly windows?: number;
  /** Voxels of a window along i, j, k of RAS order: multiples of 8. */
  readonly side?: Vec3;
  /** Windows that are cut from one image before the next is drawn. */
  readonly reuse?: number;
  readonly working: Working;
  readonly patchMm?: number;
  readonly maxTokens?: number;
  readonly learningRate?: number;
  readonly resume?: boolean;
  readonly threads?: number;
  readonly checkpointEvery?: number;
  readonly signal?: AbortSignal;
  readonly onStep?: (metrics: StepMetrics) => void;
}

export const FIT = {
  windows: 2,
  side: [40, 40, 40],
  reuse: 24,
  pool: 12,
  patchMm: 16,
  maxTokens: 2048,
  learningRate: 3e-3,
  checkpointEvery: 100,
} as const;

export interface Fitted {
  readonly result: TrainResult;
  /** The head after the last step, not yet measured. */
  readonly head: SegmentHead;
}

/**
 * Trains until `steps` are done. What is drawn follows from seed and step, so that a resumed run is the same bit for bit.
 * @throws TaskError for windows that do not divide, or a head to start from that reads another encoder.
 */
export async function fitSegment(source: SceneSource, options: FitOptions): Promise<Fitted> {
  const { model, table, from, seed, run } = options;
  const { windows = FIT.windows, side = FIT.side, reuse = FIT.reuse, patchMm = FIT.patchMm } = options;
  const { maxTokens = FIT.maxTokens, learningRate = FIT.learningRate, working } = options;
  checkSides(side);
  const { embedDim, samples } = model.config;
  const decoder: DecoderConfig = from
    ? { ...from.decoder, labels: table.names.length, intensities: DECODER.intensities }
    : { ...DECODER, labels: table.names.length, embedDim };
  if (decoder.embedDim !== embedDim)
    throw new TaskError(
      `fit segment: the head to start from reads tokens of width ${decoder.embedDim}, got an encoder of ${embedDim}; ` +
        'leave --model out to use the encoder of the head',
    );
  const shape: StepShape = {
    decoder,
    encoder: options.tuneEncoder ? model.config : null,
    side,
    tokens: maxTokens,
    windows,
  };
  const params = stepParams(shape);
  const settings = settingsOf(source, options, { windows, side, reuse, patchMm, maxTokens, learningRate });
  const provenance = provenanceFor(source, options, settings);
  const encoder = options.tuneEncoder
    ? null
    : await Encoder.open(model, options.threads === undefined ? {} : { threads: options.threads });
  const tokens = { patchMm, maxTokens, samples };
  const pool = Math.min(FIT.pool, Math.max(1, 4 * source.ids.length));
  const scenes = new SceneCache(source, decoder.labels, tokens, encoder, pool + windows);
  const latest: { weights?: Float32Array } = {};
  const objective: Objective = {
    params,
    program: stepProgram(params, shape),
    losses: LOSSES,
    initial: startFrom(params, seed, model, from, table),
    teacher: false,
    async batch(step) {
      const rows: Awaited<ReturnType<SceneCache['get']>>[] = [];
      const randoms = Array.from({ length: windows }, (_, row) => new Random(seed, 0x77d, step, row));
      for (const random of randoms)
        rows.push(await scenes.get(sceneOf(step, windows, { reuse, pool }, random)));
      return {
        feeds: stepFeeds(rows, shape, randoms),
        tokens: rows.reduce((sum, { read }) => sum + read.set.count, 0),
      };
    },
    model(weights, step) {
      latest.weights = weights;
      return { ...tunedModel(model, params, weights), provenance, step };
    },
  };
  try {
    const result = await train(objective, {
      run,
      steps: options.steps,
      settings,
      resume: options.resume ?? false,
      schedule: {
        learningRate,
        warmupSteps: Math.max(1, Math.round(options.steps * 0.05)),
        weightDecay: 0.01,
        clipNorm: 3,
        teacherMomentum: [1, 1],
      },
      checkpointEvery: options.checkpointEvery ?? FIT.checkpointEvery,
      probeEvery: options.steps,
      device: 'cpu',
      ...(options.threads !== undefined && { threads: options.threads }),
      ...(options.signal && { signal: options.signal }),
      ...(options.onStep && { onStep: options.onStep }),
    });
    const weights = latest.weights ?? (await lastWeights(run));
    const head: SegmentHead = {
      labels: table,
      decoder,
      side: [...side],
      ...working,
      patchMm,
      maxTokens,
      step: result.step,
      mirrors: source.mirrors,
      adapts: source.adapts,
      heldOut: null,
      tensors: slicesOf(params, weights, 'segment.'),
      model: { ...tunedModel(model, params, weights), provenance },
    };
    return { result, head };
  } finally {
    await encoder?.close();
  }
}

/**
 * Which scene a row looks at: one of a pool, drawn anew each step, so that steps that follow one another do not all see
 * the same images. A scene leaves the pool for a new one after about `reuse` windows.
 */
export function sceneOf(
  step: number,
  rows: number,
  { reuse, pool }: { readonly reuse: number; readonly pool: number },
  random: Random,
): number {
  return Math.floor((step * rows) / reuse) + random.int(pool);
}

function checkSides(side: Vec3): void {
  if (side.every((n) => Number.isInteger(n) && n >= WINDOW_STEP && n % WINDOW_STEP === 0)) return;
  throw new TaskError(
    `fit segment: the sides of a window are multiples of ${WINDOW_STEP} voxels, got ${side.join(' × ')}; round them`,
  );
}

function settingsOf(
  source: SceneSource,
  { seed, table, from, tuneEncoder = false, working, model }: FitOptions,
  rest: Record<string, unknown>,
): Record<string, unknown> {
  const hash = createHash('sha256').update(source.ids.join()).digest('hex').slice(0, 16);
  return {
    kind: 'fit segment',
    encoder: { size: model.config.size, step: model.step },
    labels: table.names,
    seed,
    ...working,
    tuneEncoder,
    from: from ? from.step : null,
    cases: `${source.ids.length}:${hash}`,
    ...(source.recipe && { recipe: source.recipe }),
    ...rest,
  };
}

function provenanceFor(
  source: SceneSource,
  { model, from, rights }: FitOptions,
  settings: Record<string, unknown>,
): Provenance {
  const name = `so-${createHash('sha256').update(source.ids.join()).digest('hex').slice(0, 16)}`;
  const taught = source.ids.map((id) => ({ id, source: name, rights }));
  // A head carries on what the one before it had seen, its encoder's past included.
  return provenanceOf('fit segment', settings, taught, (from?.model ?? model).provenance);
}

/** Random weights, the encoder's own, and those of the head to go on from: rows of labels by their names. */
function startFrom(
  params: Params,
  seed: number,
  model: ModelFile,
  from: SegmentHead | undefined,
  table: LabelTable,
): Float32Array {
  const initial = params.initialize(seed);
  for (const { name, offset, shape } of params.slices) {
    const tensor = model.tensors.get(name) ?? from?.tensors.get(name);
    const channels = from && SHOWN.get(name)?.(from.decoder);
    if (tensor && channels && tensor.shape[channels.axis]! < shape[channels.axis]!)
      initial.set(withRanks(tensor, channels, shape), offset);
    else if (tensor?.shape.join() === shape.join()) {
      if (!PER_LABEL.test(name) || sameNames(from!.labels, table)) initial.set(tensor.data, offset);
      else copyLabels(initial.subarray(offset), tensor, from!.labels, table);
    } else if (tensor && PER_LABEL.test(name))
      copyLabels(initial.subarray(offset), tensor, from!.labels, table);
  }
  return initial;
}

/** Tensors with an axis for what is shown of a block, and where on it the ranks of its voxels come in. */
const SHOWN = new Map<string, (decoder: DecoderConfig) => { readonly axis: number; readonly at: number }>([
  ['segment.half1.weight', () => ({ axis: 1, at: 8 })],
  ['segment.voxels.weight', ({ channels: [c1] }) => ({ axis: 0, at: c1 + 8 })],
]);

/** The weights of a head that was not shown ranks, for one that is: nothing is made of them yet. */
function withRanks(
  { shape: before, data }: NamedTensor,
  { axis, at }: { readonly axis: number; readonly at: number },
  shape: readonly number[],
): Float32Array {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const [old, now] = [before[axis]! * inner, shape[axis]! * inner];
  const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let row = 0; row * old < data.length; row++) {
    out.set(data.subarray(row * old, row * old + at * inner), row * now);
    out.set(data.subarray(row * old + at * inner, (row + 1) * old), (row + 1) * now - (old - at * inner));
  }
  return out;
}

/** Tensors whose last axis is the label. */
const PER_LABEL = /^segment\.(labels|shares)\./;
const sameNames = (a: LabelTable, b: LabelTable): boolean => a.names.join('\n') === b.names.join('\n');

function copyLabels(into: Float32Array, tensor: NamedTensor, before: LabelTable, now: LabelTable): void {
  const [old, size] = [before.names.length, now.names.length];
  now.names.forEach((name, l) => {
    const at = before.names.indexOf(name);
    if (at < 0) return;
    for (let row = 0; row < tensor.data.length / old; row++)
      into[row * size + l] = tensor.data[row * old + at]!;
  });
}

function slicesOf(params: Params, weights: Float32Array, prefix: string): Map<string, NamedTensor> {
  return new Map(
    params.slices
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, shape, offset, size }) => [
        name,
        { name, shape, data: weights.slice(offset, offset + size) },
      ]),
  );
}

/** The encoder with what it has learnt; as it was where it is frozen. */
function tunedModel(model: ModelFile, params: Params, weights: Float32Array): ModelFile {
  const tensors = new Map([...model.tensors, ...slicesOf(params, weights, 'image.')]);
  const { config, tokenizer, step, provenance, textEncoder } = model;
  return { config, tokenizer, step, provenance, tensors, ...(textEncoder && { textEncoder }) };
}

async function lastWeights(run: string): Promise<Float32Array> {
  const { loadCheckpoint } = await import('../../train/checkpoint.js');
  const saved = await loadCheckpoint(run);
  if (saved === null) throw new TaskError(`fit segment: ${run} holds no checkpoint; start it again`);
  return saved.state.params!;
}
