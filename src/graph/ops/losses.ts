/** Losses with a gradient of their own. */
import { GraphError, type Value } from '../graph.js';
import { formatShape, requireDtype, sameShape } from '../shapes.js';
import { mul, sub } from './arithmetic.js';
import { logSoftmax, softmax } from './normalize.js';
import { reduceSum } from './reduce.js';
import { gatherElements, scatterAdd } from './indexing.js';
import { expandDims, expand, squeeze } from './layout.js';
import { neg } from './unary.js';

/**
 * -Σ target · log softmax(logits) over the last axis: logits [..., c] → [...], one loss a row.
 * @param target probabilities [..., c] (rows that add up to 1), or class numbers [...] (int32 or int64).
 */
export function crossEntropy(logits: Value, target: Value): Value {
  requireDtype('crossEntropy', logits, 'float32', 'float16');
  const rows = logits.shape.slice(0, -1);
  const labels = target.dtype === 'int32' || target.dtype === 'int64';
  if (!sameShape(target.shape, labels ? rows : logits.shape)) {
    throw new GraphError(
      `crossEntropy: target must be classes ${formatShape(rows)} or probabilities ${formatShape(logits.shape)}, got ${target.dtype} ${formatShape(target.shape)}`,
    );
  }
  const logp = logSoftmax(logits);
  if (labels) {
    const column = expandDims(target, -1);
    const loss = neg(squeeze(gatherElements(logp, column, -1), -1));
    // softmax - onehot, each row times its dy.
    logits.graph.record('crossEntropy', [logits], [loss], ([dy]) => {
      const weight = expandDims(dy!, -1);
      return [scatterAdd(mul(softmax(logits), weight), column, neg(weight), -1)];
    });
    return loss;
  }
  const loss = neg(reduceSum(mul(target, logp), { axes: -1 }));
  logits.graph.record('crossEntropy', [logits, target], [loss], ([dy], wanted) => {
    const weight = expandDims(dy!, -1);
    return [
      wanted[0] ? mul(sub(softmax(logits), target), weight) : undefined,
      wanted[1] ? mul(neg(logp), expand(weight, logp.shape)) : undefined,
    ];
  });
  return loss;
}
