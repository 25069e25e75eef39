/** Clicks on an image: what a person says of one voxel is taken to hold for voxels nearby that look alike. */
import {
  add,
  exp,
  expand,
  expandDims,
  gatherElements,
  l2Normalize,
  matmul,
  mul,
  neg,
  reshape,
  sigmoid,
  softplus,
  sub,
  type Graph,
  type Value,
} from '../graph/index.js';
import type { Scope } from '../nn/index.js';
import type { Decoded } from './segment-decoder.js';

/** K clicks on each of B windows of V voxels. */
export interface ClickInputs {
  /** int32 [B, K] the voxel clicked on, in the decoder's order. */
  readonly index: Value;
  /** [B, K, L] 1 for the label said, 0 elsewhere; all 0 for a click that is none. */
  readonly label: Value;
  /** [B, K, V] squared distance of each voxel from the click, in units of {@link CLICK_MM} squared. */
  readonly near: Value;
}

export const CLICK_MM = 20;

/** What is learnt of clicks. The four numbers move ten times as fast as weights do. */
export interface ClickShape {
  /** Fall with the squared distance. */
  readonly fall: number;
  /** Steepness and middle of the step in cosine from "looks different" to "looks alike". */
  readonly slope: number;
  readonly middle: number;
  /** What is added to the logit of the label said, where a voxel is near and alike. */
  readonly strength: number;
}

const START = { fall: 0, slope: 6, middle: 0.7, strength: 3 } as const;
const SPEED = 10;
const softplusOf = (x: number): number => Math.log1p(Math.exp(x));

/** Declares the inputs of clicks, named `clicks.…`. */
export function clickInputs(
  graph: Graph,
  rows: number,
  clicks: number,
  labels: number,
  voxels: number,
): ClickInputs {
  return {
    index: graph.input('clicks.index', 'int32', [rows, clicks]),
    label: graph.input('clicks.label', 'float32', [rows, clicks, labels]),
    near: graph.input('clicks.near', 'float32', [rows, clicks, voxels]),
  };
}

/** The logits [B, V, L] after the clicks: see {@link clickBump} for what one adds. */
export function withClicks(scope: Scope, { logits, features }: Decoded, clicks: ClickInputs): Value {
  const [b, k] = clicks.index.shape as [number, number];
  const size = features.shape[2]!;
  const scalar = (name: keyof typeof START): Value =>
    mul(scope.param(name, [1], { constant: START[name] / SPEED }, { weightDecay: false }), SPEED);
  const unit = l2Normalize(features); // [B, V, F]
  const at = expand(expandDims(clicks.index, 2), [b, k, size]);
  const alike = matmul(gatherElements(unit, at, 1), unit, { transB: true }); // [B, K, V]
  const near = exp(neg(mul(clicks.near, softplus(scalar('fall')))));
  const same = sigmoid(mul(scalar('slope'), sub(alike, scalar('middle'))));
  const bump = mul(mul(near, same), reshape(softplus(scalar('strength')), [1, 1, 1]));
  return add(logits, matmul(bump, clicks.label, { transA: true }));
}

/** The learnt numbers of a head's tensors, for {@link clickBump}. */
export function clickShape(tensor: (name: string) => number): ClickShape {
  const read = (name: keyof typeof START): number => SPEED * tensor(name);
  return {
    fall: softplusOf(read('fall')),
    slope: read('slope'),
    middle: read('middle'),
    strength: softplusOf(read('strength')),
  };
}

/** What a click adds to its label's logit at a voxel of this cosine with the clicked one, this far (mm) from it. */
export function clickBump(shape: ClickShape, cosine: number, mm: number): number {
  const near = Math.exp(-shape.fall * (mm / CLICK_MM) ** 2);
  return (shape.strength * near) / (1 + Math.exp(-shape.slope * (cosine - shape.middle)));
}
