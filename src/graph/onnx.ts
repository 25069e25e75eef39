/** Writes a graph as an ONNX ModelProto (field numbers: onnx/onnx.proto of the ONNX project). */
import type { Attribute, DType, Node, TypedArray, Value } from './graph.js';
import { ProtoMessage } from './wire.js';

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
}

/** Keeps what the outputs need, names values, and writes the bytes. Tensor data is copied once, into the result. */
export function encodeModel({ name, inputs, outputs, nodes, constants }: ModelParts): Uint8Array {
  const needed = new Set<Value>(outputs.values());
  const kept: Node[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((v) => needed.has(v))) continue;
    kept.push(node);
    for (const v of node.inputs) if (v !== null) needed.add(v);
  }
  kept.reverse();

  // A value computed by a node takes its (first) output name; any other output is a copy under its own name.
  const computed = new Set(kept.flatMap((node) => node.outputs));
  const named = new Map<Value, string>();
  const copies: [string, Value][] = [];
  for (const [outputName, value] of outputs) {
    if (computed.has(value) && !named.has(value)) named.set(value, outputName);
    else copies.push([outputName, value]);
  }
  const nameOf = (v: Value | null): string => (v === null ? '' : (named.get(v) ?? v.name));

  const graph = new ProtoMessage();
  for (const node of kept) graph.message(1, encodeNode(node, nameOf, needed));
  for (const [outputName, value] of copies) {
    graph.message(
      1,
      new ProtoMessage()
        .string(1, nameOf(value))
        .string(2, outputName)
        .string(3, `${outputName}:copy`)
        .string(4, 'Identity'),
    );
  }
  graph.string(2, name);
  for (const [value, data] of constants) if (needed.has(value)) graph.message(5, encodeTensor(value, data));
  for (const value of inputs) graph.message(11, encodeValueInfo(value.name, value));
  for (const [outputName, value] of outputs) graph.message(12, encodeValueInfo(outputName, value));
  // Standard ops have shape inference of their own; the runtime's extra domain needs to be told.
  for (const node of kept) {
    if (node.domain === '') continue;
    for (const v of node.outputs) if (!named.has(v)) graph.message(13, encodeValueInfo(v.name, v));
  }

  const model = new ProtoMessage().varint(1, IR_VERSION).string(2, 'precess').message(7, graph);
  model.message(8, new ProtoMessage().string(1, '').varint(2, OPSET));
  if (kept.some((node) => node.domain !== '')) {
    model.message(8, new ProtoMessage().string(1, 'com.microsoft').varint(2, 1));
  }
  return model.finish();
}

function encodeNode(
  node: Node,
  nameOf: (v: Value | null) => string,
  needed: ReadonlySet<Value>,
): ProtoMessage {
  const message = new ProtoMessage();
  for (const input of node.inputs) message.string(1, nameOf(input));
  const outputNames = node.outputs.map((v, i) =>
    i < node.requiredOutputs || needed.has(v) ? nameOf(v) : '',
  );
  while (outputNames.at(-1) === '') outputNames.pop();
  for (const outputName of outputNames) message.string(2, outputName);
  message.string(3, node.outputs[0]!.name).string(4, node.opType);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message.message(5, encodeAttribute(name, attribute));
  }
  if (node.domain !== '') message.string(7, node.domain);
  return message;
}

function encodeAttribute(name: string, attribute: Attribute): ProtoMessage {
  const message = new ProtoMessage().string(1, name);
  if ('float' in attribute) return message.float(2, attribute.float).varint(20, ATTRIBUTE_TYPE.float);
  if ('int' in attribute) return message.varint(3, attribute.int).varint(20, ATTRIBUTE_TYPE.int);
  if ('text' in attribute) return message.string(4, attribute.text).varint(20, ATTRIBUTE_TYPE.text);
  for (const n of attribute.ints) message.varint(8, n);
  return message.varint(20, ATTRIBUTE_TYPE.ints);
}

function encodeTensor(value: Value, data: TypedArray): ProtoMessage {
  const message = new ProtoMessage();
  for (const d of value.shape) message.varint(1, d);
  message.varint(2, DATA_TYPE[value.dtype]).string(8, value.name);
  return message.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function encodeValueInfo(name: string, { dtype, shape }: Value): ProtoMessage {
  const dims = new ProtoMessage();
  for (const d of shape) dims.message(1, new ProtoMessage().varint(1, d));
  const tensor = new ProtoMessage().varint(1, DATA_TYPE[dtype]).message(2, dims);
  return new ProtoMessage().string(1, name).message(2, new ProtoMessage().message(1, tensor));
}
