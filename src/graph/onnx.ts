/** Writes a graph as an ONNX ModelProto (field numbers: onnx/onnx.proto of the ONNX project). */
import { GraphError, type Attribute, type DType, type Node, type TypedArray, type Value } from './graph.js';
import { spellOut } from './spell.js';
import { ReverseWriter } from './wire.js';

/** ONNX IR 10 came with opset 21; every ONNX Runtime since 1.18 reads both. */
const IR_VERSION = 10;
const OPSET = 21;

const DATA_TYPE: Record<DType, number> = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10 };
const ATTRIBUTE_TYPE = { float: 1, int: 2, text: 3, ints: 7 } as const;

export interface ModelParts {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: ReadonlyMap<string, Value>;
  readonly nodes: readonly Node[];
  readonly constants: ReadonlyMap<Value, TypedArray>;
  readonly spelled: boolean;
}

/** Keeps what the outputs need, names values, and writes the bytes. Tensor data is copied once, into the result. */
export function encodeModel({ name, inputs, outputs, spelled, ...parts }: ModelParts): Uint8Array {
  const constants = new Map(parts.constants);
  const nodes = spelled ? spellOut(parts.nodes, constants) : parts.nodes;
  const needed = new Set<Value>(outputs.values());
  const kept: Node[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((v) => needed.has(v))) continue;
    kept.push(node);
    for (const v of node.inputs) if (v !== null) needed.add(v);
  }
  kept.reverse();
  const collective = kept.find((node) => node.domain === 'ranks');
  if (collective)
    throw new GraphError(
      `toOnnx: ONNX knows nothing of other ranks, got ${collective.opType} in "${name}"; cut the program with stages()`,
    );

  // A value computed by a node takes its (first) output name; any other output is a copy under its own name.
  const computed = new Set(kept.flatMap((node) => node.outputs));
  const named = new Map<Value, string>();
  const copies: [string, Value][] = [];
  for (const [outputName, value] of outputs) {
    if (computed.has(value) && !named.has(value)) named.set(value, outputName);
    else copies.push([outputName, value]);
  }
  const nameOf = (v: Value | null): string => (v === null ? '' : (named.get(v) ?? v.name));

  const used = [...constants].filter(([value]) => needed.has(value));
  const data = used.reduce((sum, [, array]) => sum + array.byteLength, 0);
  const out = new ReverseWriter(
    data + ENTRY_BYTES * (kept.length + used.length + inputs.length + outputs.size + 1),
  );
  if (kept.some((node) => node.domain !== '')) writeOpset(out, 'com.microsoft', 1);
  writeOpset(out, '', OPSET);
  out.message(7, () => {
    // Standard ops have shape inference of their own; the runtime's extra domain needs to be told.
    for (const node of kept) {
      if (node.domain === '') continue;
      for (const v of node.outputs) if (!named.has(v)) writeValueInfo(out, 13, v.name, v);
    }
    for (const [outputName, value] of [...outputs].reverse()) writeValueInfo(out, 12, outputName, value);
    for (const value of inputs.toReversed()) writeValueInfo(out, 11, value.name, value);
    for (const [value, array] of used) writeTensor(out, value, array);
    out.string(2, name);
    for (const [outputName, value] of copies) {
      out.message(1, () => {
        out.string(4, 'Identity');
        out.string(3, `${outputName}:copy`);
        out.string(2, outputName);
        out.string(1, nameOf(value));
      });
    }
    for (const node of kept.toReversed()) writeNode(out, node, nameOf, needed);
  });
  out.string(2, 'precess');
  out.varint(1, IR_VERSION);
  return out.finish();
}

/** What a node, an input or a constant takes beside its data, as a first guess. */
const ENTRY_BYTES = 256;

function writeOpset(out: ReverseWriter, domain: string, version: number): void {
  out.message(8, () => {
    out.varint(2, version);
    out.string(1, domain);
  });
}

function writeNode(
  out: ReverseWriter,
  node: Node,
  nameOf: (v: Value | null) => string,
  needed: ReadonlySet<Value>,
): void {
  out.message(1, () => {
    if (node.domain !== '') out.string(7, node.domain);
    for (const [name, attribute] of Object.entries(node.attributes)) writeAttribute(out, name, attribute);
    out.string(4, node.opType);
    out.string(3, node.outputs[0]!.name);
    const names = node.outputs.map((v, i) => (i < node.requiredOutputs || needed.has(v) ? nameOf(v) : ''));
    while (names.at(-1) === '') names.pop();
    for (const outputName of names.reverse()) out.string(2, outputName);
    for (const input of node.inputs.toReversed()) out.string(1, nameOf(input));
  });
}

function writeAttribute(out: ReverseWriter, name: string, attribute: Attribute): void {
  out.message(5, () => {
    if ('float' in attribute) {
      out.varint(20, ATTRIBUTE_TYPE.float);
      out.float(2, attribute.float);
    } else if ('int' in attribute) {
      out.varint(20, ATTRIBUTE_TYPE.int);
      out.varint(3, attribute.int);
    } else if ('text' in attribute) {
      out.varint(20, ATTRIBUTE_TYPE.text);
      out.string(4, attribute.text);
    } else {
      out.varint(20, ATTRIBUTE_TYPE.ints);
      for (const n of attribute.ints.toReversed()) out.varint(8, n);
    }
    out.string(1, name);
  });
}

function writeTensor(out: ReverseWriter, value: Value, data: TypedArray): void {
  out.message(5, () => {
    out.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    out.string(8, value.name);
    out.varint(2, DATA_TYPE[value.dtype]);
    for (const d of value.shape.toReversed()) out.varint(1, d);
  });
}

function writeValueInfo(out: ReverseWriter, field: number, name: string, { dtype, shape }: Value): void {
  out.message(field, () => {
    out.message(2, () => {
      out.message(1, () => {
        out.message(2, () => {
          for (const d of shape.toReversed()) out.message(1, () => out.varint(1, d));
        });
        out.varint(1, DATA_TYPE[dtype]);
      });
    });
    out.string(1, name);
  });
}
