/** The program of one training step of a segmentation head, and its feeds. */
import { addAll, add, Graph, gradients, mul, type TypedArray, type Value } from '../../graph/index.js';
import { imageBatch } from '../../models/batch.js';
import { imageInputs } from '../../models/inputs.js';
import { CLICK_MM, clickInputs, withClicks } from '../../models/segment-clicks.js';
import { segmentDecoder, windowInputs, type DecoderConfig } from '../../models/segment-decoder.js';
import type { ModelConfig } from '../../models/sizes.js';
import { vit3d } from '../../models/vit3d.js';
import { Params, type Scope } from '../../nn/index.js';
import { column } from '../../volume/affine.js';
import type { Random } from '../../volume/random.js';
import type { Vec3 } from '../../volume/volume.js';
import { overlapLosses, shareLoss } from './loss.js';
import { drawStart, type Scene } from './scene.js';
import { blocksOf, eachInside, orderOf, tokenFeed, windowFeeds, type Window } from './window.js';

/** What decides the shapes of a step. */
export interface StepShape {
  readonly decoder: DecoderConfig;
  /** Of an encoder that learns as well; null for a frozen one, whose tokens are fed. */
  readonly encoder: ModelConfig | null;
  /** Voxels of a window along i, j, k. */
  readonly side: Vec3;
  /** Tokens of an image at most. */
  readonly tokens: number;
  readonly windows: number;
}

/** Clicks that a window can have in training. */
const CLICKS = 2;
/** Share of windows that are shown clicks. */
const CLICKED = 0.4;
/** Weight of what tokens say against what voxels say. */
const SHARES = 0.5;

export const LOSSES = ['loss', 'dice', 'crossEntropy', 'shares'] as const;

function forward(graph: Graph, scope: Scope, shape: StepShape) {
  const { decoder, encoder, windows, tokens: length, side } = shape;
  const tokens = encoder
    ? vit3d(scope.child('image'), encoder, imageInputs(graph, 'image', windows, length, encoder.samples))
        .tokens
    : graph.input('window.tokens', 'float32', [windows, length, decoder.embedDim]);
  const inputs = { ...windowInputs(graph, decoder, windows, blocksOf(side), length), tokens };
  const decoded = segmentDecoder(scope.child('segment'), decoder, inputs);
  const voxels = side[0] * side[1] * side[2];
  const clicks = clickInputs(graph, windows, CLICKS, decoder.labels, voxels);
  return { ...decoded, logits: withClicks(scope.child('segment.clicks'), decoded, clicks), voxels };
}

/** The parameters of the head (`segment.…`) and, where it learns, of the encoder (`image.…`). */
export function stepParams(shape: StepShape): Params {
  const small = { ...shape, side: [8, 8, 8] as const, tokens: 4, windows: 1 };
  return Params.collect((graph, scope) => void forward(graph, scope, small));
}

/**
 * Inputs `params` (flat) and the feeds of {@link stepFeeds}; outputs `grads` (flat) and the losses: overlap and cross
 * entropy of voxels, and half of what the tokens' shares miss.
 */
export function stepProgram(params: Params, shape: StepShape): Graph {
  const graph = new Graph('segment');
  const { windows, tokens, decoder } = shape;
  const flat = graph.input('params', 'float32', [params.size]);
  const { logits, tokenLogits, voxels } = forward(graph, params.bind(flat), shape);
  const input = (name: string, dims: number[]): Value => graph.input(name, 'float32', dims);
  const target = graph.input('truth.labels', 'int32', [windows, voxels]);
  const { dice, crossEntropy } = overlapLosses(logits, target, input('truth.weight', [windows, voxels]));
  const shares = shareLoss(
    tokenLogits,
    input('truth.shares', [windows, tokens, decoder.labels]),
    input('truth.keep', [windows, tokens]),
  );
  const loss = addAll([add(dice, crossEntropy), mul(shares, SHARES)]);
  graph.output('grads', gradients(loss, [flat])[0]!);
  for (const [name, value] of Object.entries({ loss, dice, crossEntropy, shares })) graph.output(name, value);
  return graph;
}

/** Feeds for one window of each scene; where they lie and what is clicked is drawn. */
export function stepFeeds(
  scenes: readonly Scene[],
  shape: StepShape,
  randoms: readonly Random[],
): Record<string, TypedArray> {
  const { side, tokens: length, decoder, encoder, windows: rows } = shape;
  const voxels = side[0] * side[1] * side[2];
  const order = orderOf(side);
  const target = new Int32Array(rows * voxels);
  const weight = new Float32Array(rows * voxels);
  const shares = new Float32Array(rows * length * decoder.labels);
  const keep = new Float32Array(rows * length);
  const clicks = clickFeeds(rows, decoder.labels, voxels);
  const windows = scenes.map(({ image, read, numbers, ...scene }, row): Window => {
    const start = drawStart({ image, read, numbers, ...scene }, side, randoms[row]!);
    const inside: number[] = [];
    eachInside(image, start, side, (inWindow, inImage) => {
      if (image.weight !== null && image.weight[inImage]! < 0.5) return;
      const at = row * voxels + order[inWindow]!;
      target[at] = numbers[inImage]!;
      weight[at] = 1;
      inside.push(inWindow);
    });
    shares.set(scene.shares, row * length * decoder.labels);
    keep.fill(1, row * length, row * length + read.set.count);
    if (inside.length > 0 && randoms[row]!.chance(CLICKED))
      drawClicks(clicks, row, target.subarray(row * voxels, (row + 1) * voxels), inside, image.affine, {
        side,
        order,
        labels: decoder.labels,
        random: randoms[row]!,
      });
    return { image, read, start };
  });
  const encoderFeeds = encoder
    ? Object.entries(
        imageBatch(
          scenes.map(({ read }) => read.set),
          length,
          encoder.samples,
        ),
      ).map(([name, data]) => [`image.${name}`, data as Float32Array] as const)
    : [['window.tokens', tokenFeed(windows, length, decoder.embedDim)] as const];
  return {
    ...windowFeeds(windows, side, length, decoder.intensities),
    ...Object.fromEntries(encoderFeeds),
    'truth.labels': target,
    'truth.weight': weight,
    'truth.shares': shares,
    'truth.keep': keep,
    'clicks.index': clicks.index,
    'clicks.label': clicks.label,
    'clicks.near': clicks.near,
  };
}

const clickFeeds = (rows: number, labels: number, voxels: number) => ({
  index: new Int32Array(rows * CLICKS),
  label: new Float32Array(rows * CLICKS * labels),
  near: new Float32Array(rows * CLICKS * voxels),
});

interface Clicking {
  readonly side: Vec3;
  readonly order: Int32Array;
  readonly labels: number;
  readonly random: Random;
}

/** A person clicks into what matters: into labels of the window, each alike, and now and then beside them. */
function drawClicks(
  clicks: ReturnType<typeof clickFeeds>,
  row: number,
  target: Int32Array,
  inside: readonly number[],
  affine: Scene['image']['affine'],
  { side, order, labels, random }: Clicking,
): void {
  const voxels = target.length;
  const steps = ([0, 1, 2] as const).map((axis) => column(affine, axis));
  const count = 1 + random.int(CLICKS);
  for (let c = 0; c < count; c++) {
    // Of a few voxels drawn at random one whose label no other of them has: rare labels come as often as frequent ones.
    const drawn = Array.from({ length: 24 }, () => inside[random.int(inside.length)]!);
    const byLabel = new Map(drawn.map((voxel) => [target[order[voxel]!]!, voxel]));
    const clicked = random.choice([...byLabel.values()]);
    const slot = row * CLICKS + c;
    clicks.index[slot] = order[clicked]!;
    clicks.label[slot * labels + target[order[clicked]!]!] = 1;
    const at = voxelOf(clicked, side);
    for (let k = 0, n = 0; k < side[2]; k++)
      for (let j = 0; j < side[1]; j++)
        for (let i = 0; i < side[0]; i++, n++) {
          const [u, v, w] = [i - at[0], j - at[1], k - at[2]];
          let squared = 0;
          for (let d = 0; d < 3; d++)
            squared += (steps[0]![d as 0] * u + steps[1]![d as 0] * v + steps[2]![d as 0] * w) ** 2;
          clicks.near[slot * voxels + order[n]!] = squared / CLICK_MM ** 2;
        }
  }
}

const voxelOf = (n: number, [ni, nj]: Vec3): Vec3 => [
  n % ni,
  Math.floor(n / ni) % nj,
  Math.floor(n / (ni * nj)),
];
