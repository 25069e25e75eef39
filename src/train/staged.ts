/** A program with collectives on one device: its stages one after another, what they exchange going over MPI. */
import { stages, type Collective, type Exchange, type Graph, type TypedArray } from '../graph/index.js';
import type { Communicator } from '../mpi/index.js';
import type { Device, DeviceBuffer, Program, RunInput, RunOptions } from '../runtime/index.js';

/** The part of a Program that a step needs. */
export type Runnable = Pick<Program, 'run'>;

/**
 * Loads a program whose collectives go to `ranks`. All ranks must run it in the same order among their other calls to
 * `ranks`. Values that a stage needs of an earlier one stay on the device, in buffers that live as long as it does.
 */
export async function loadStaged(device: Device, graph: Graph, ranks: Communicator): Promise<Runnable> {
  const cut = stages(graph);
  if (cut.length === 1) return device.load(graph);
  const kept: Record<string, DeviceBuffer> = {};
  const parts: { program: Program; exchanges: readonly Exchange[]; keeps: readonly string[] }[] = [];
  for (const { program, keeps, exchanges } of cut) {
    for (const { name, dtype, shape } of keeps) kept[name] = await device.buffer(dtype, shape);
    parts.push({ program: await device.load(program), exchanges, keeps: keeps.map(({ name }) => name) });
  }
  return {
    async run(inputs: Readonly<Record<string, RunInput>>, options: RunOptions = {}) {
      const values: Record<string, RunInput> = { ...inputs, ...kept };
      for (const { program, exchanges, keeps } of parts) {
        const feeds = Object.fromEntries(program.inputs.map(({ name }) => [name, values[name]!]));
        const isLast = program === parts.at(-1)!.program;
        const results = await program.run(
          feeds,
          isLast
            ? options
            : {
                into: Object.fromEntries(keeps.map((name) => [name, kept[name]!])),
                fetch: exchanges.map(({ give }) => give.name),
              },
        );
        if (isLast) return results;
        Object.assign(values, await exchange(exchanges, results, ranks));
      }
      throw new Error('internal: a program without a last stage');
    },
  };
}

/** What every later stage takes, by name: one message for each kind of collective. */
async function exchange(
  exchanges: readonly Exchange[],
  given: Readonly<Record<string, TypedArray>>,
  ranks: Communicator,
): Promise<Record<string, TypedArray>> {
  const taken: Record<string, TypedArray> = {};
  const messages = (['allReduceSum', 'allGather', 'reduceScatterSum'] as const).map(async (collective) => {
    const some = exchanges.filter((one) => one.collective === collective);
    if (some.length === 0) return;
    const pieces = some.map(({ give }) => given[give.name] as Float32Array);
    const results = await MESSAGE[collective](pieces, ranks);
    some.forEach(({ take }, i) => (taken[take.name] = results[i]!));
  });
  await Promise.all(messages);
  return taken;
}

type Message = (pieces: readonly Float32Array[], ranks: Communicator) => Promise<Float32Array[]>;

const MESSAGE: Record<Collective, Message> = {
  async allReduceSum(pieces, ranks) {
    const all = joined(pieces);
    await ranks.allreduceSum(all);
    let at = 0;
    return pieces.map(({ length }) => all.subarray(at, (at += length)));
  },

  async allGather(pieces, ranks) {
    const own = joined(pieces);
    const all = new Float32Array(own.length * ranks.size);
    await ranks.allgather(own, all);
    let at = 0;
    return pieces.map(({ length }) => {
      const whole = new Float32Array(length * ranks.size);
      for (let r = 0; r < ranks.size; r++)
        whole.set(all.subarray(r * own.length + at, r * own.length + at + length), r * length);
      at += length;
      return whole;
    });
  },

  async reduceScatterSum(pieces, ranks) {
    const share = pieces.map(({ length }) => length / ranks.size);
    const blocks = Array.from({ length: ranks.size }, (_, r) =>
      pieces.map((piece, i) => piece.subarray(r * share[i]!, (r + 1) * share[i]!)),
    );
    const own = new Float32Array(share.reduce((sum, n) => sum + n, 0));
    await ranks.reduceScatterSum(joined(blocks.flat()), own);
    let at = 0;
    return share.map((length) => own.slice(at, (at += length)));
  },
};

function joined(pieces: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
