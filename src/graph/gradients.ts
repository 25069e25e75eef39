/** Reverse-mode differentiation: one walk over the tape, backwards, emitting the gradient's nodes into the graph. */
import { GraphError, sizeOf, type OpRecord, type Value } from './graph.js';
import { formatShape, isFloat } from './shapes.js';
import { addAll } from './ops/arithmetic.js';

/**
 * d loss / d wrt[i] for each i, as values of the same graph, each of its variable's shape.
 * @param loss one float element.
 * @throws GraphError when an op on the way has no gradient rule (naming it), or the loss does not depend on a variable.
 */
export function gradients(loss: Value, wrt: readonly Value[]): Value[] {
  const { graph } = loss;
  if (sizeOf(loss.shape) !== 1 || !isFloat(loss)) {
    throw new GraphError(
      `gradients: the loss must be one float element, got ${loss.dtype} ${formatShape(loss.shape)}; reduce it first`,
    );
  }
  for (const value of wrt) graph.own(value, 'gradients');
  const records = graph.records.slice();

  const depends = new Set<Value>(wrt);
  const producer = new Map<Value, OpRecord>();
  for (const record of records) {
    const reached = record.backward !== 'stop' && record.inputs.some((v) => depends.has(v));
    for (const output of record.outputs) {
      producer.set(output, record);
      // A later record replaces an earlier one, so it decides alone.
      if (reached) depends.add(output);
      else if (!wrt.includes(output)) depends.delete(output);
    }
  }

  const arrived = new Map<Value, Value[]>();
  const total = (value: Value): Value | undefined => {
    const parts = arrived.get(value);
    if (parts === undefined) return undefined;
    const sum = addAll(parts);
    arrived.set(value, [sum]);
    return sum;
  };

  arrived.set(loss, [graph.constant(1, loss.shape.length === 0 ? [] : loss.shape, loss.dtype)]);
  for (const record of records.reverse()) {
    if (record.backward === 'stop' || !record.inputs.some((v) => depends.has(v))) continue;
    if (!record.outputs.some((v) => arrived.has(v) && producer.get(v) === record)) continue;
    if (record.backward === 'missing') {
      throw new GraphError(`gradients: op "${record.op}" has no gradient rule; use stopGradient() before it`);
    }
    const wanted = record.inputs.map((v) => depends.has(v) && isFloat(v));
    const grads = record.outputs.map(total);
    const inputGrads = record.backward(grads, wanted);
    record.inputs.forEach((input, i) => {
      const grad = inputGrads[i];
      if (grad === undefined || wanted[i] !== true) return;
      if (formatShape(grad.shape) !== formatShape(input.shape) || grad.dtype !== input.dtype) {
        throw new GraphError(
          `internal: gradient of "${record.op}" input ${i} is ${formatShape(grad.shape)}, not ${formatShape(input.shape)}`,
        );
      }
      const parts = arrived.get(input);
      if (parts === undefined) arrived.set(input, [grad]);
      else parts.push(grad);
    });
  }

  return wrt.map((value) => {
    const grad = total(value);
    if (grad === undefined) {
      throw new GraphError(`gradients: the loss does not depend on "${value.name}"; leave it out`);
    }
    return grad;
  });
}
