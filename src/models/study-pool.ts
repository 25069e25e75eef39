/** A study as one vector: attention over the vectors of its series, as in multiple-instance learning. */
import { add, l2Normalize, matmul, mul, reshape, softmax, sub, tanh, type Value } from '../graph/index.js';
import { linear, type Scope } from '../nn/index.js';
import type { ModelFile } from './model-file.js';

/** Width of the hidden layer that says how much a series counts. */
const HIDDEN = 64;
/** Takes a series that is not of the study out of the softmax. */
const NEVER = 1e9;

/**
 * Attention pooling (Ilse et al. 2018, equations 7 and 8): the weight of a series is the softmax, over the series of its
 * study, of qᵀ tanh(W x + b). series [R, D] unit vectors; member [G, R] is 1 where a series is there and of the study,
 * else 0 → [G, D] unit vectors. q starts at 0: a plain mean, which is what a model without the pool does.
 */
export function studyPool(scope: Scope, series: Value, member: Value): Value {
  const rows = series.shape[0]!;
  const hidden = tanh(linear(scope.child('attention'), series, HIDDEN, { init: { normal: 0.2 } })); // [R, H]
  const scores = matmul(hidden, scope.param('query', [HIDDEN, 1], 'zeros')); // [R, 1]
  const logits = add(reshape(scores, [1, rows]), mul(sub(member, 1), NEVER)); // [G, R]
  return l2Normalize(matmul(softmax(logits), series), 1);
}

/** The learnt part of {@link studyPool}. */
export interface StudyPool {
  /** [D, hidden] */
  readonly weight: Float32Array;
  /** [hidden] */
  readonly bias: Float32Array;
  /** [hidden] */
  readonly query: Float32Array;
}

/** Where the pool is among the tensors of an aligned model. */
export const STUDY_SCOPE = 'align.study';

/** The pool of a model that was aligned with studies; null for others. */
export function studyPoolOf({ tensors }: Pick<ModelFile, 'tensors'>): StudyPool | null {
  const of = (name: string): Float32Array | undefined => tensors.get(`${STUDY_SCOPE}.${name}`)?.data;
  const [weight, bias, query] = [of('attention.weight'), of('attention.bias'), of('query')];
  return weight && bias && query ? { weight, bias, query } : null;
}

/**
 * The unit vector of a study from those of its series, by the pool or, without one, their mean. Order matters to the
 * last bit.
 */
export function studyVector(vectors: readonly Float32Array[], pool: StudyPool | null = null): Float32Array {
  const weights = pool === null ? vectors.map(() => 1) : attention(vectors, pool);
  const sum = new Float64Array(vectors[0]!.length);
  vectors.forEach((vector, n) => vector.forEach((v, d) => (sum[d]! += weights[n]! * v)));
  const norm = Math.sqrt(sum.reduce((total, v) => total + v * v, 0));
  // Series that cancel out have no direction; any will do.
  return norm > 0 ? Float32Array.from(sum, (v) => v / norm) : vectors[0]!.slice();
}

function attention(vectors: readonly Float32Array[], { weight, bias, query }: StudyPool): number[] {
  const scores = vectors.map((vector) => {
    let score = 0;
    for (let h = 0; h < query.length; h++) {
      let sum = bias[h]!;
      for (let d = 0; d < vector.length; d++) sum += vector[d]! * weight[d * query.length + h]!;
      score += query[h]! * Math.tanh(sum);
    }
    return score;
  });
  const most = Math.max(...scores);
  return scores.map((score) => Math.exp(score - most));
}
