/** Cuts a program at its collectives into stages that one device can run, with the exchanges between them. */
import { Graph, type Node, type TensorInfo, type Value } from './graph.js';
import type { Collective } from './ops/collective.js';

/** After its stage: the output `give` of every rank goes in, input `take` of later stages comes out. */
export interface Exchange {
  readonly collective: Collective;
  readonly give: TensorInfo;
  readonly take: TensorInfo;
}

export interface Stage {
  /** Inputs: those of the whole program that it needs, results of earlier exchanges, and what earlier stages keep. */
  readonly program: Graph;
  /** Outputs that later stages take as inputs of the same name; never needed outside the device. */
  readonly keeps: readonly TensorInfo[];
  /** Done, in this order, when the stage has run. */
  readonly exchanges: readonly Exchange[];
}

/**
 * The stages of a program: one, the program itself, where it holds no collective. Collectives that do not wait for
 * each other are exchanged together. A value is computed as late as its readers allow, so that few have to be kept.
 */
export function stages(graph: Graph): Stage[] {
  const levels = earliest(graph);
  const last = Math.max(0, ...graph.nodes.flatMap((node) => node.outputs.map((v) => levels.get(v)!)));
  if (last === 0) return [{ program: graph, keeps: [], exchanges: [] }];
  const runs = latest(graph, levels, last);
  return Array.from({ length: last + 1 }, (_, s) => stage(graph, runs, s, s === last));
}

/** The stage in which each value that is computed could be there at the earliest. */
function earliest(graph: Graph): Map<Value, number> {
  const levels = new Map<Value, number>();
  for (const node of graph.nodes) {
    const level = Math.max(0, ...node.inputs.map((v) => (v && levels.get(v)) ?? 0));
    for (const output of node.outputs) levels.set(output, node.domain === 'ranks' ? level + 1 : level);
  }
  return levels;
}

/** Where each node that the outputs need runs, and which of its outputs later stages read. */
type Runs = Map<Node, { readonly at: ReadonlySet<number>; readonly kept: ReadonlySet<Value> }>;

function latest(graph: Graph, levels: Map<Value, number>, last: number): Runs {
  const readIn = new Map<Value, Set<number>>();
  const read = (value: Value, s: number): void => {
    const known = readIn.get(value);
    if (known) known.add(s);
    else readIn.set(value, new Set([s]));
  };
  for (const value of graph.outputValues.values()) read(value, last);
  const again = repeatable(graph);
  const runs: Runs = new Map();
  for (const node of graph.nodes.toReversed()) {
    const readers = node.outputs.flatMap((v) => [...(readIn.get(v) ?? [])]);
    if (readers.length === 0) continue;
    const own = node.domain === 'ranks' ? levels.get(node.outputs[0]!)! - 1 : Math.min(...readers);
    const at = new Set(again.has(node) ? readers : [own]);
    const late = (v: Value): boolean => [...(readIn.get(v) ?? [])].some((s) => !at.has(s));
    runs.set(node, { at, kept: new Set(node.domain === 'ranks' ? [] : node.outputs.filter(late)) });
    for (const input of node.inputs) if (input) for (const s of at) read(input, s);
  }
  return runs;
}

/** Ops that cost little next to keeping their result when all that they look at is an input, as weights are. */
const PARTS = new Set(['Split', 'Slice', 'Transpose']);

/** Nodes that are run again where their result is needed: another shape of a value, and parts of inputs. */
function repeatable(graph: Graph): Set<Node> {
  const found = new Set<Node>();
  const computed = new Set<Value>();
  for (const node of graph.nodes) {
    const ofInputs = !node.inputs.some((v) => v && computed.has(v));
    if (node.opType === 'Reshape' || (ofInputs && PARTS.has(node.opType))) found.add(node);
    if (!(ofInputs && found.has(node))) for (const output of node.outputs) computed.add(output);
  }
  return found;
}

function stage(graph: Graph, runs: Runs, s: number, isLast: boolean): Stage {
  const program = new Graph(`${graph.name}.${s}`);
  const here = new Map<Value, Value>();
  const resolve = (value: Value): Value => {
    let found = here.get(value);
    if (!found) {
      const data = graph.constantData(value);
      found = data
        ? program.constant(data, value.shape)
        : program.input(nameOf(value), value.dtype, value.shape);
      here.set(value, found);
    }
    return found;
  };
  const keeps: TensorInfo[] = [];
  const exchanges: Exchange[] = [];
  for (const node of graph.nodes) {
    const run = runs.get(node);
    if (!run?.at.has(s)) continue;
    if (node.domain === 'ranks') {
      const [input, output] = [node.inputs[0]!, node.outputs[0]!];
      const give = { ...info(input), name: `give.${nameOf(output)}` };
      program.output(give.name, resolve(input));
      exchanges.push({ collective: node.opType as Collective, give, take: info(output) });
      continue;
    }
    const outputs = program.emit(
      node.opType,
      node.inputs.map((v) => v && resolve(v)),
      node.outputs,
      {
        ...(node.domain !== '' && { domain: node.domain }),
        attributes: node.attributes,
        requiredOutputs: node.requiredOutputs,
      },
    );
    node.outputs.forEach((value, n) => {
      here.set(value, outputs[n]!);
      if (!run.kept.has(value)) return;
      program.output(nameOf(value), outputs[n]!);
      keeps.push(info(value));
    });
  }
  if (isLast) for (const [name, value] of graph.outputValues) program.output(name, resolve(value));
  return { program, keeps, exchanges };
}

/** Names of computed values hold a ':', which those of inputs and outputs must not. */
const nameOf = (value: Value): string => value.name.replace(':', '.');

const info = (value: Value): TensorInfo => ({
  name: nameOf(value),
  dtype: value.dtype,
  shape: value.shape,
});
