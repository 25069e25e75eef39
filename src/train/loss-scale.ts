/** Loss scaling: small gradients in half precision (Micikevicius et al. 2018, section 3.2). */
import { div, gradients, mul, type Value } from '../graph/index.js';

/** A scalar input of programs that multiply halves: what their loss is multiplied by before it is differentiated. */
export const LOSS_SCALE = 'lossScale';

/**
 * d loss / d flat for the output `grads` of a step. Where the graph multiplies halves, the loss is first multiplied by
 * the input `lossScale` [], and the gradient divided by it, so that what is small does not become 0 on the way.
 */
export function stepGradient(loss: Value, flat: Value): Value {
  const { graph } = loss;
  if (graph.precision === 'float32') return gradients(loss, [flat])[0]!;
  const scale = graph.input(LOSS_SCALE, 'float32', []);
  return mul(gradients(mul(loss, scale), [flat])[0]!, div(1, scale));
}

const FIRST = 2 ** 14;
const MOST = 2 ** 24;
/** A scale below this would not have been needed at all: it is not the range of halves that is at fault. */
const LEAST = 1;
/** Steps without an overflow after which a larger scale is tried. */
const PATIENCE = 200;

/** The scale over a run: halved after a step whose gradient overflowed, doubled after {@link PATIENCE} good ones. */
export class LossScale {
  private constructor(
    private value: number,
    private good: number,
  ) {}

  /** A new one, or as a checkpoint has it. */
  static from(saved: Float32Array | undefined): LossScale {
    return saved ? new LossScale(saved[0]!, saved[1]!) : new LossScale(FIRST, 0);
  }

  get feed(): Float32Array {
    return Float32Array.of(this.value);
  }

  /** For a checkpoint. */
  get state(): Float32Array {
    return Float32Array.of(this.value, this.good);
  }

  /** Takes note of a step; false when its gradient was not finite and no smaller scale is left to try. */
  after(finite: boolean): boolean {
    if (!finite) {
      this.good = 0;
      this.value /= 2;
      return this.value >= LEAST;
    }
    if (++this.good === PATIENCE) {
      this.good = 0;
      this.value = Math.min(MOST, this.value * 2);
    }
    return true;
  }
}
