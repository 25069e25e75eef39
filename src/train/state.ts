/** What a run changes at every step: weights, Adam's moments, the teacher; whole on one rank, shared out on several. */
import { add, Graph, mul, type TypedArray } from '../graph/index.js';
import type { Communicator } from '../mpi/index.js';
import { adamw, stepInputs, type AdamWConfig, type StepScalars } from '../optim/index.js';
import type { Device, DeviceBuffer, Program, RunInput } from '../runtime/index.js';
import type { FlatState } from './checkpoint.js';
import type { Runnable } from './staged.js';

export interface StateOptions {
  /** Elements of the flat vectors. */
  readonly size: number;
  readonly clipNorm: number;
  readonly beta2: number;
  /** 1 where weight decay applies, else 0. */
  readonly decay: Float32Array;
  /** By what the learning rate of each element is multiplied; 1 unless given. */
  readonly rates?: Float32Array;
  /** Parts of a step whose gradients are added up. */
  readonly parts: number;
  /** A step whose gradient is not finite changes nothing. */
  readonly guarded?: boolean;
}

/** All calls are collective. */
export interface TrainingState {
  /** Runs the step's program on one part of the batch, adds up its gradient, and returns the named losses. */
  learn(
    program: Runnable,
    feeds: Readonly<Record<string, RunInput>>,
    losses: readonly string[],
  ): Promise<Record<string, TypedArray>>;
  /** One step with the mean gradient of the parts; returns its length before clipping. */
  update(scalars: StepScalars): Promise<number>;
  /** The gradient of the last step before clipping; on several ranks the sum of their parts. */
  gradient(): Promise<Float32Array>;
  /** The weights that are measured: the teacher's where there is one. They are there until the next call of `learn`. */
  measured(): Promise<DeviceBuffer>;
  /** All vectors whole, on every rank. */
  whole(): Promise<FlatState>;
}

/** The state that starts from `from` (`params`, `m`, `v` and perhaps `teacher`). */
export function openState(
  device: Device,
  ranks: Communicator,
  options: StateOptions,
  from: FlatState,
): Promise<TrainingState> {
  return ranks.size === 1
    ? WholeState.open(device, options, from)
    : ShardedState.open(device, ranks, options, from);
}

class WholeState implements TrainingState {
  private started = false;

  private constructor(
    private readonly optimiser: AdamWConfig,
    private readonly params: DeviceBuffer,
    private readonly teacher: DeviceBuffer | null,
    private readonly buffers: Readonly<Record<'m' | 'v' | 'grads', DeviceBuffer>>,
    /** What the optimiser reads only. */
    private readonly fixed: Readonly<Record<string, DeviceBuffer>>,
    private readonly program: Program,
    /** Adds a further part's gradient to `grads`, where there are several parts. */
    private readonly further: { readonly grads: DeviceBuffer; readonly program: Program } | null,
  ) {}

  static async open(device: Device, options: StateOptions, from: FlatState): Promise<WholeState> {
    const { size, clipNorm, beta2, decay, rates, parts, guarded = false } = options;
    const buffer = (data?: Float32Array): Promise<DeviceBuffer> => device.buffer('float32', [size], data);
    const teacher = from.teacher ? await buffer(from.teacher) : null;
    const optimiser: AdamWConfig = {
      ...{ size, beta2, clipNorm, teacher: teacher !== null, guarded },
      rates: rates !== undefined,
    };
    return new WholeState(
      optimiser,
      await buffer(from.params),
      teacher,
      {
        m: await buffer(from.m),
        v: await buffer(from.v),
        grads: await buffer(),
      },
      { decay: await buffer(decay), ...(rates && { rate: await buffer(rates) }) },
      await device.load(adamw(optimiser)),
      parts > 1 ? { grads: await buffer(), program: await device.load(meanSum(size, parts)) } : null,
    );
  }

  async learn(
    program: Runnable,
    feeds: Readonly<Record<string, RunInput>>,
    fetch: readonly string[],
  ): Promise<Record<string, TypedArray>> {
    const { params, teacher, further } = this;
    const { grads } = this.buffers;
    const target = further ? further.grads : grads;
    const losses = await program.run(
      { ...feeds, params, ...(teacher && { teacher }) },
      { into: { grads: target }, fetch },
    );
    if (further)
      await further.program.run(
        { sum: grads, grads: further.grads, keep: Float32Array.of(this.started ? 1 : 0) },
        { into: { newSum: grads } },
      );
    this.started = true;
    return losses;
  }

  async update(scalars: StepScalars): Promise<number> {
    const { params, teacher } = this;
    const { m, v, grads } = this.buffers;
    this.started = false;
    const { gradNorm } = await this.program.run(
      {
        params,
        grads,
        m,
        v,
        ...this.fixed,
        ...(teacher && { teacher }),
        ...stepInputs(this.optimiser, scalars),
      },
      {
        into: { newParams: params, newM: m, newV: v, ...(teacher && { newTeacher: teacher }) },
        fetch: ['gradNorm'],
      },
    );
    return gradNorm![0] as number;
  }

  async gradient(): Promise<Float32Array> {
    return (await this.buffers.grads.read()) as Float32Array;
  }

  measured(): Promise<DeviceBuffer> {
    return Promise.resolve(this.teacher ?? this.params);
  }

  async whole(): Promise<FlatState> {
    const read = async (from: DeviceBuffer): Promise<Float32Array> => (await from.read()) as Float32Array;
    return {
      params: await read(this.params),
      m: await read(this.buffers.m),
      v: await read(this.buffers.v),
      ...(this.teacher && { teacher: await read(this.teacher) }),
    };
  }
}

/** newSum = keep sum + grads / parts. */
function meanSum(size: number, parts: number): Graph {
  const graph = new Graph('accumulate');
  const sum = graph.input('sum', 'float32', [size]);
  const grads = graph.input('grads', 'float32', [size]);
  graph.output('newSum', add(mul(sum, graph.input('keep', 'float32', [])), mul(grads, 1 / parts)));
  return graph;
}

/** Elements a rank updates at a time: while a bucket's new weights travel, the next is worked out. */
const BUCKET = 2 ** 19;

/**
 * Every rank keeps moments and teacher of its own elements only (ZeRO stage 1, Rajbhandari et al. 2020): gradients are
 * reduce-scattered, each rank updates its elements, and the new weights are gathered. The vector is cut into buckets
 * of `ranks` blocks, the r-th block of each being rank r's, so that update and travel overlap. The teacher's forward pass
 * needs it whole; it is gathered for it into the buffer that takes the gradient, which comes when that pass is over.
 */
class ShardedState implements TrainingState {
  /** The sum of this step's gradients so far. */
  private grads: Float32Array | null = null;
  /** That of the step before, for reports. */
  private last: Float32Array = new Float32Array();

  private constructor(
    private readonly ranks: Communicator,
    private readonly options: StateOptions,
    private readonly optimiser: AdamWConfig,
    /** The weights on the host, with the padding of the last bucket. */
    private readonly weights: Float32Array,
    private readonly params: DeviceBuffer,
    /** The whole teacher, and then the gradient. */
    private readonly scratch: DeviceBuffer,
    private readonly shards: readonly {
      readonly m: DeviceBuffer;
      readonly v: DeviceBuffer;
      readonly teacher: DeviceBuffer | null;
      /** What the optimiser reads only. */
      readonly fixed: Readonly<Record<string, DeviceBuffer>>;
    }[],
    private readonly program: Program,
  ) {}

  static async open(
    device: Device,
    ranks: Communicator,
    options: StateOptions,
    from: FlatState,
  ): Promise<ShardedState> {
    const { size, clipNorm, beta2, decay, rates, guarded = false } = options;
    const buckets = Math.max(1, Math.round(size / (ranks.size * BUCKET)));
    const block = Math.ceil(size / (ranks.size * buckets));
    const padded = (data: Float32Array): Float32Array => {
      const whole = new Float32Array(buckets * ranks.size * block);
      whole.set(data);
      return whole;
    };
    const optimiser: AdamWConfig = {
      ...{ size: block, beta2, clipNorm, shard: true, guarded, teacher: from.teacher !== undefined },
      rates: rates !== undefined,
    };
    const shards = [];
    const [m, v, decayed, rated, teacher] = [from.m!, from.v!, decay, rates, from.teacher].map(
      (data) => data && padded(data),
    );
    for (let b = 0; b < buckets; b++) {
      const start = (b * ranks.size + ranks.rank) * block;
      const own = (whole: Float32Array): Promise<DeviceBuffer> =>
        device.buffer('float32', [block], whole.slice(start, start + block));
      shards.push({
        m: await own(m!),
        v: await own(v!),
        teacher: teacher ? await own(teacher) : null,
        fixed: { decay: await own(decayed!), ...(rated && { rate: await own(rated) }) },
      });
    }
    return new ShardedState(
      ranks,
      options,
      optimiser,
      padded(from.params!),
      await device.buffer('float32', [size], from.params),
      await device.buffer('float32', [size]),
      shards,
      await device.load(adamw(optimiser)),
    );
  }

  async learn(
    program: Runnable,
    feeds: Readonly<Record<string, RunInput>>,
    losses: readonly string[],
  ): Promise<Record<string, TypedArray>> {
    const { params, scratch, optimiser } = this;
    if (optimiser.teacher) await scratch.write(await this.gathered('teacher'));
    const told = await program.run(
      { ...feeds, params, ...(optimiser.teacher && { teacher: scratch }) },
      { into: { grads: scratch }, fetch: losses },
    );
    const part = (await scratch.read()) as Float32Array;
    if (this.grads) for (let n = 0; n < part.length; n++) this.grads[n]! += part[n]!;
    else this.grads = part;
    return told;
  }

  async update(scalars: StepScalars): Promise<number> {
    const { ranks, weights, optimiser } = this;
    const block = optimiser.size;
    const own = await this.reduced();
    const square = Float64Array.of(own.reduce((sum, part) => sum + squares(part), 0));
    await ranks.allreduceSum(square);
    const gradNorm = Math.sqrt(square[0]!);
    const inputs = { ...stepInputs(optimiser, scalars), gradNorm: Float32Array.of(gradNorm) };
    const travelling: Promise<void>[] = [];
    for (const [b, { m, v, teacher, fixed }] of this.shards.entries()) {
      const bucket = weights.subarray(b * ranks.size * block, (b + 1) * ranks.size * block);
      const before = bucket.slice(ranks.rank * block, (ranks.rank + 1) * block);
      const { newParams } = await this.program.run(
        { params: before, grads: own[b]!, m, v, ...(teacher && { teacher }), ...fixed, ...inputs },
        { into: { newM: m, newV: v, ...(teacher && { newTeacher: teacher }) }, fetch: ['newParams'] },
      );
      travelling.push(ranks.allgather(newParams as Float32Array, bucket));
    }
    await Promise.all(travelling);
    await this.params.write(weights.slice(0, this.options.size));
    return gradNorm;
  }

  /** This rank's blocks of the mean gradient over parts and its sum over ranks. */
  private async reduced(): Promise<Float32Array[]> {
    const { ranks, options, optimiser, shards } = this;
    const grads = this.grads!;
    this.grads = null;
    this.last = grads;
    const length = ranks.size * optimiser.size;
    const blocks = shards.map(() => new Float32Array(optimiser.size));
    await Promise.all(
      blocks.map((block, b) => {
        let bucket = grads.subarray(b * length, (b + 1) * length);
        if (bucket.length < length) {
          const padded = new Float32Array(length);
          padded.set(bucket);
          bucket = padded;
        }
        return ranks.reduceScatterSum(bucket, block);
      }),
    );
    if (options.parts > 1)
      for (const block of blocks) for (let n = 0; n < block.length; n++) block[n]! /= options.parts;
    return blocks;
  }

  async gradient(): Promise<Float32Array> {
    const sum = this.last.slice();
    await this.ranks.allreduceSum(sum);
    return sum;
  }

  async whole(): Promise<FlatState> {
    return {
      params: this.weights.slice(0, this.options.size),
      m: await this.gathered('m'),
      v: await this.gathered('v'),
      ...(this.optimiser.teacher && { teacher: await this.gathered('teacher') }),
    };
  }

  async measured(): Promise<DeviceBuffer> {
    if (!this.optimiser.teacher) return this.params;
    await this.scratch.write(await this.gathered('teacher'));
    return this.scratch;
  }

  /** A vector of which every rank has its blocks, whole. */
  private async gathered(name: 'm' | 'v' | 'teacher'): Promise<Float32Array> {
    const { ranks, shards, optimiser } = this;
    const whole = new Float32Array(this.weights.length);
    const length = ranks.size * optimiser.size;
    const travelling: Promise<void>[] = [];
    for (const [b, shard] of shards.entries()) {
      const own = (await shard[name]!.read()) as Float32Array;
      travelling.push(ranks.allgather(own, whole.subarray(b * length, (b + 1) * length)));
    }
    await Promise.all(travelling);
    return whole.slice(0, this.options.size);
  }
}

function squares(values: Float32Array): number {
  let sum = 0;
  for (let n = 0; n < values.length; n++) sum += values[n]! * values[n]!;
  return sum;
}
