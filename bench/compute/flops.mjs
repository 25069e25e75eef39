// Floating-point operations of one run of a program: two for every multiply-add of its matrix products, which are all
// but a few percent of the work. Only what the outputs need is counted, padding included.

const PRODUCTS = new Set(['MatMul', 'Gemm', 'FusedMatMul']);

export function flopsOf(graph) {
  const makers = new Map();
  for (const node of graph.nodes) for (const output of node.outputs) makers.set(output.name, node);
  const needed = new Set();
  const open = [...graph.outputValues.values()].map(({ name }) => name);
  while (open.length > 0) {
    const node = makers.get(open.pop());
    if (!node || needed.has(node)) continue;
    needed.add(node);
    for (const input of node.inputs) if (input) open.push(input.name);
  }
  let total = 0;
  for (const { opType, inputs, outputs, attributes } of needed) {
    if (!PRODUCTS.has(opType)) continue;
    const a = inputs[0].shape;
    const transposed = (attributes.transA?.int ?? 0) === 1;
    const inner = transposed ? a[a.length - 2] : a[a.length - 1];
    total += 2 * outputs[0].shape.reduce((n, d) => n * d, 1) * inner;
  }
  return total;
}
