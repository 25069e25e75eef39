/** Probabilities that mean what they say. */
import { softmax } from './logistic.js';

/**
 * The temperature that makes logits of cases that the model has not seen most likely (Guo et al. 2017, temperature
 * scaling), found by golden section on its logarithm between 1/20 and 20. It changes no decision.
 */
export function temperatureOf(logits: readonly ArrayLike<number>[], labels: ArrayLike<number>): number {
  const loss = (logT: number): number =>
    logits.reduce(
      (sum, row, n) => sum - Math.log(Math.max(softmax(row, Math.exp(logT))[labels[n]!]!, 1e-300)),
      0,
    );
  const golden = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [-Math.log(20), Math.log(20)];
  let [a, b] = [high - golden * (high - low), low + golden * (high - low)];
  let [lossA, lossB] = [loss(a), loss(b)];
  while (high - low > 1e-6) {
    if (lossA < lossB) {
      [high, b, lossB] = [b, a, lossA];
      a = high - golden * (high - low);
      lossA = loss(a);
    } else {
      [low, a, lossA] = [a, b, lossB];
      b = low + golden * (high - low);
      lossB = loss(b);
    }
  }
  return Math.exp((low + high) / 2);
}
