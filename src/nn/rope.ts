/** Rotary positions in millimetres. */
import { add, cos, floor, GraphError, matmul, mul, sin, sub, type Value } from '../graph/index.js';

/** Angles of the rotary embedding, [b, n, headDim / 2] each: one a pair of channels. */
export interface Rope {
  readonly cos: Value;
  readonly sin: Value;
}

export interface RopeOptions {
  /** Shortest distance over which a pair turns once. */
  readonly minWavelengthMm: number;
  /** Longest distance over which a pair turns once. */
  readonly maxWavelengthMm: number;
}

/**
 * Angles for positions [b, n, 3] in mm (Su et al. 2021, on three axes): a third of the pairs for each axis with
 * wavelengths in geometric progression; the one or two pairs left over do not turn. Attention then depends on
 * distances along the axes only, not on where the origin is.
 */
export function rope3d(positionsMm: Value, headDim: number, options: RopeOptions): Rope {
  const { minWavelengthMm: shortest, maxWavelengthMm: longest } = options;
  const pairs = headDim / 2;
  const each = Math.floor(pairs / 3);
  if (!Number.isInteger(pairs) || each < 1) {
    throw new GraphError(`rope3d: headDim must be even and at least 6, got ${headDim}`);
  }
  if (!(shortest > 0 && longest >= shortest)) {
    throw new GraphError(`rope3d: wavelengths must be 0 < min ≤ max, got ${shortest} and ${longest} mm`);
  }
  const turns = new Float32Array(3 * pairs); // [3, pairs], a mm
  for (let axis = 0; axis < 3; axis++) {
    for (let i = 0; i < each; i++) {
      const wavelength = shortest * (longest / shortest) ** (each === 1 ? 0 : i / (each - 1));
      turns[axis * pairs + axis * each + i] = 1 / wavelength;
    }
  }
  const turned = matmul(positionsMm, positionsMm.graph.constant(turns, [3, pairs]));
  // Whole turns change nothing, and a GPU's sine is exact only within half a turn of 0.
  const angles = mul(sub(turned, floor(add(turned, 0.5))), 2 * Math.PI);
  return { cos: cos(angles), sin: sin(angles) };
}
