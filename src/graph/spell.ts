/** Ops for which a runtime has no kernel, said by others for which it has one. */
import {
  encodeNumbers,
  type Attribute,
  type DType,
  type Node,
  type TypedArray,
  type Value,
} from './graph.js';

type Spelled = { readonly node: Node; readonly write: Writer };

/**
 * The nodes with what ONNX Runtime's WebGPU provider lacks spelled out: FusedMatMul, LogSoftmax and sums of many. It would
 * run them on the CPU, and each operand would cross the bus (269 of 591 products of a step of pretraining did).
 * @param constants takes the constants that are needed besides.
 */
export function spellOut(nodes: readonly Node[], constants: Map<Value, TypedArray>): Node[] {
  return nodes.flatMap((node) => {
    const spell = SPELLINGS[node.opType];
    if (spell === undefined) return [node];
    const write = new Writer(node.outputs[0]!, constants);
    spell({ node, write });
    return write.nodes;
  });
}

const SPELLINGS: Readonly<Record<string, (spelled: Spelled) => void>> = {
  FusedMatMul: fusedMatMul,
  LogSoftmax: logSoftmax,
  Sum: sum,
};

/** Collects nodes whose last result takes the place of `result`. */
class Writer {
  readonly nodes: Node[] = [];

  constructor(
    readonly result: Value,
    private readonly constants: Map<Value, TypedArray>,
  ) {}

  /** A step on the way; `last` writes the result itself. */
  step(
    opType: string,
    inputs: readonly Value[],
    shape: readonly number[],
    attributes: Readonly<Record<string, Attribute>> = {},
    last = false,
  ): Value {
    const { graph, dtype } = this.result;
    const name = `${this.result.name}:${this.nodes.length}`;
    const value = last ? this.result : { name, dtype, shape, graph };
    this.nodes.push({ opType, domain: '', inputs, outputs: [value], requiredOutputs: 1, attributes });
    return value;
  }

  constant(numbers: readonly number[], dtype: DType, shape: readonly number[]): Value {
    const { graph } = this.result;
    const value = { name: `${this.result.name}:c${this.constants.size}`, dtype, shape, graph };
    this.constants.set(value, encodeNumbers(numbers, dtype));
    return value;
  }
}

const numberOf = (attribute: Attribute | undefined, usual: number): number => {
  if (attribute === undefined) return usual;
  if ('int' in attribute) return attribute.int;
  return 'float' in attribute ? attribute.float : usual;
};

/** Swaps the last two axes where the product asks for it, multiplies, and scales. */
function fusedMatMul({ node: { inputs, attributes }, write }: Spelled): void {
  const [a, b] = (['transA', 'transB'] as const).map((name, i) => {
    const operand = inputs[i]!;
    if (numberOf(attributes[name], 0) === 0) return operand;
    const rank = operand.shape.length;
    const perm = operand.shape
      .map((_, d) => d)
      .with(rank - 2, rank - 1)
      .with(rank - 1, rank - 2);
    const shape = perm.map((d) => operand.shape[d]!);
    return write.step('Transpose', [operand], shape, { perm: { ints: perm } });
  }) as [Value, Value];
  const { shape, dtype } = write.result;
  const scale = numberOf(attributes.alpha, 1);
  const product = write.step('MatMul', [a, b], shape, {}, scale === 1);
  if (scale === 1) return;
  write.step('Mul', [product, write.constant([scale], dtype, [])], shape, {}, true);
}

/** x - max, less the logarithm of the sum of its exponentials. */
function logSoftmax({ node: { inputs, attributes }, write }: Spelled): void {
  const x = inputs[0]!;
  const axis = numberOf(attributes.axis, -1);
  const axes = write.constant([axis], 'int64', [1]);
  const one = x.shape.with(axis, 1);
  const keep = { keepdims: { int: 1 } };
  const moved = write.step('Sub', [x, write.step('ReduceMax', [x, axes], one, keep)], x.shape);
  const total = write.step('ReduceSum', [write.step('Exp', [moved], x.shape), axes], one, keep);
  write.step('Sub', [moved, write.step('Log', [total], one)], x.shape, {}, true);
}

function sum({ node: { inputs }, write }: Spelled): void {
  const { shape } = write.result;
  (inputs as readonly Value[]).reduce((so, next, n) =>
    write.step('Add', [so, next], shape, {}, n === inputs.length - 1),
  );
}
