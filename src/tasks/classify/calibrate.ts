/** Probabilities that mean what they say. */
import { minimise } from './lbfgs.js';
import { softmax } from './logistic.js';

/** Logits are divided by the temperature and moved by a bias of each class. */
export interface Calibration {
  readonly temperature: number;
  /** [classes]; their sum is 0. */
  readonly bias: Float64Array;
}

/** Keeps biases small where hardly any cases say what they are: this many made-up cases with no bias. */
const PRIOR_CASES = 1;

/**
 * The temperature and class biases that make logits of cases which the model has not seen most likely (Guo et al.
 * 2017: temperature scaling, and the bias of vector scaling, which gives back the classes' true shares after training
 * with balanced weights).
 *
 * @param logits [classes] for each case. @param biased false fits the temperature alone.
 */
export function calibrationOf(
  logits: readonly ArrayLike<number>[],
  labels: ArrayLike<number>,
  biased = true,
): Calibration {
  const classes = logits[0]?.length ?? 0;
  const free = biased ? classes : 0;
  const evaluate = (x: Float64Array, gradient: Float64Array): number => {
    const inverse = Math.exp(-x[0]!);
    gradient.fill(0);
    let loss = 0;
    logits.forEach((row, n) => {
      const p = softmax(Float64Array.from(row, (z, c) => z * inverse + (x[1 + c] ?? 0)));
      loss -= Math.log(Math.max(p[labels[n]!]!, 1e-300));
      for (let c = 0; c < classes; c++) {
        const g = p[c]! - (labels[n] === c ? 1 : 0);
        gradient[0]! -= g * row[c]! * inverse;
        if (biased) gradient[1 + c]! += g;
      }
    });
    for (let c = 0; c < free; c++) {
      loss += (PRIOR_CASES / 2) * x[1 + c]! ** 2;
      gradient[1 + c]! += PRIOR_CASES * x[1 + c]!;
    }
    // A temperature without bound is no help where every case is right or none tells anything.
    loss += 0.005 * x[0]! ** 2;
    gradient[0]! += 0.01 * x[0]!;
    for (let d = 0; d < gradient.length; d++) gradient[d]! /= logits.length;
    return loss / logits.length;
  };
  const { x } = minimise(evaluate, new Float64Array(1 + free), { tolerance: 1e-5, maxIterations: 100 });
  return {
    temperature: Math.exp(x[0]!),
    bias: Float64Array.from({ length: classes }, (_, c) => x[1 + c] ?? 0),
  };
}

/** Calibrated probabilities of one case. */
export function calibrated({ temperature, bias }: Calibration, logits: ArrayLike<number>): Float64Array {
  return softmax(Float64Array.from(logits, (z, c) => z / temperature + bias[c]!));
}
