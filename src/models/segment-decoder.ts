/** From tokens back to voxels: a small 3D U-Net over the image's own voxels that reads the encoder's tokens on its way. */
import {
  add,
  concat,
  conv3d,
  expand,
  gelu,
  layerNorm as standardize,
  matmul,
  mul,
  reshape,
  transpose,
  type Graph,
  type Value,
} from '../graph/index.js';
import { layerNorm, linear, type Scope } from '../nn/index.js';

/** Everything that decides the shapes of a decoder; stored with its weights. */
export interface DecoderConfig {
  /** Labels, the background among them. */
  readonly labels: number;
  /** Intensities of each voxel: 1 the normalised one, 2 also its rank among the voxels of the body. */
  readonly intensities: 1 | 2;
  /** Channels at a half, a quarter and an eighth of the voxels' resolution. */
  readonly channels: readonly [number, number, number];
  /** Features of a single voxel, from which labels are told and which clicks compare. */
  readonly voxelFeatures: number;
  /** Layers of that width on each voxel by itself, before labels are told. */
  readonly voxelLayers: number;
  /** Width of the encoder's tokens, and of what the decoder makes of them. */
  readonly embedDim: number;
  readonly tokenWidth: number;
}

export const DECODER = {
  intensities: 2,
  channels: [24, 48, 64],
  voxelFeatures: 24,
  voxelLayers: 1,
  tokenWidth: 64,
} as const;

/** Channels of what a window shows of a block: its voxels, their measured share, and the spacing. */
const seenOf = ({ intensities }: Pick<DecoderConfig, 'intensities'>): number => 8 * intensities + 4;

/** Sides of a window are multiples of this many voxels: it is halved three times. */
export const WINDOW_STEP = 8;

/**
 * B windows of an image with [d, h, w] blocks of 2³ voxels each (z, y, x; x fastest), and the N tokens of the image that
 * each was cut from. P = d h w / 64 places, one for each cube of 8³ voxels.
 */
export interface WindowInputs {
  /** [B, 8 intensities, d, h, w] normalised intensities of the voxels of each block, then their ranks; 0 where not measured. */
  readonly voxels: Value;
  /** [B, 1, d, h, w] measured share of each block. */
  readonly measured: Value;
  /** [B, 3] log2(mm / 2) of the voxels along x, y, z. */
  readonly spacing: Value;
  /** [B, N, D] */
  readonly tokens: Value;
  /** [B, N, 3] centres in RAS+ mm about the mean of the tokens. */
  readonly positions: Value;
  /** [B, P, N] how each place reads the tokens: weights that add up to 1, or 0 in air. */
  readonly read: Value;
}

export interface Decoded {
  /** [B, V, L] logits of each voxel, block by block: V = 8 d h w. */
  readonly logits: Value;
  /** [B, V, voxelFeatures] */
  readonly features: Value;
  /** [B, N, L] logits of each token: what share of its cube each label takes. */
  readonly tokenLogits: Value;
}

/** Declares the inputs of a decoder but for the tokens, named `window.…`. */
export function windowInputs(
  graph: Graph,
  { intensities }: Pick<DecoderConfig, 'intensities'>,
  rows: number,
  [d, h, w]: readonly [number, number, number],
  count: number,
): Omit<WindowInputs, 'tokens'> {
  const input = (name: string, shape: number[]): Value => graph.input(`window.${name}`, 'float32', shape);
  return {
    voxels: input('voxels', [rows, 8 * intensities, d, h, w]),
    measured: input('measured', [rows, 1, d, h, w]),
    spacing: input('spacing', [rows, 3]),
    positions: input('positions', [rows, count, 3]),
    read: input('read', [rows, (d * h * w) / 64, count]),
  };
}

/**
 * Labels of voxels. A U-Net (Ronneberger et al. 2015) whose finest
 * level is a block of 2³ voxels, so that no convolution runs at full resolution; at its bottom it meets the tokens,
 * interpolated between their centres. The tokens bring what a window cannot see: the rest of the image and the place in it.
 */
export function segmentDecoder(scope: Scope, config: DecoderConfig, input: WindowInputs): Decoded {
  const [b, , d, h, w] = input.voxels.shape as [number, number, number, number, number];
  const [c1, c2, c3] = config.channels;
  const spacing = expand(reshape(input.spacing, [b, 3, 1, 1, 1]), [b, 3, d, h, w]);
  const told = tokenNeck(scope.child('tokens'), config, input);

  const seen = concat([input.voxels, input.measured, spacing], 1); // [B, 8 intensities + 4, d, h, w]
  const half = block(scope.child('half2'), block(scope.child('half1'), seen, c1), c1);
  const quarter = block(scope.child('quarter'), halved(scope.child('down1'), half, c2), c2);
  const places = transpose(matmul(input.read, told), [0, 2, 1]); // [B, W, P]
  const place = reshape(places, [b, config.tokenWidth, d / 4, h / 4, w / 4]);
  const bottom = concat([halved(scope.child('down2'), quarter, c3), place], 1);
  const eighth = block(scope.child('eighth2'), block(scope.child('eighth1'), bottom, c3), c3);
  const up2 = concat([quarter, doubled(scope.child('up2'), eighth, c2)], 1);
  const up1 = concat([half, doubled(scope.child('up1'), block(scope.child('back2'), up2, c2), c1)], 1);
  const back = block(scope.child('back1'), up1, c1); // [B, c1, d, h, w]

  const size = config.voxelFeatures;
  // What was measured joins in again: a voxel's own intensity is half of what tells its tissue.
  const blocks = transpose(reshape(concat([back, seen], 1), [b, c1 + seenOf(config), d * h * w]), [0, 2, 1]);
  const voxels = linear(scope.child('voxels'), blocks, 8 * size, { init: he(c1 + seenOf(config)) });
  let features = gelu(reshape(voxels, [b, 8 * d * h * w, size]));
  for (let n = 1; n <= config.voxelLayers; n++)
    features = gelu(linear(scope.child(`voxels${n}`), features, size, { init: he(size) }));
  return {
    logits: linear(scope.child('labels'), features, config.labels, { init: { normal: 0.2 } }),
    features,
    tokenLogits: linear(scope.child('shares'), told, config.labels),
  };
}

const he = (fan: number) => ({ normal: Math.sqrt(2 / fan) });

/** [B, N, D] → [B, N, tokenWidth]: each token with its place, by two layers. */
function tokenNeck(scope: Scope, { tokenWidth }: DecoderConfig, { tokens, positions }: WindowInputs): Value {
  const place = mul(positions, 1 / 100);
  const known = concat([layerNorm(scope.child('norm'), tokens), place, mul(place, place)], 2);
  const hidden = gelu(linear(scope.child('fc1'), known, 2 * tokenWidth, { init: { normal: 0.08 } }));
  return gelu(linear(scope.child('fc2'), hidden, tokenWidth, { init: { normal: 0.1 } }));
}

/**
 * 3³ convolution, instance normalisation (Ulyanov et al. 2016: each channel over the places of its window), GELU. As in
 * nnU-Net (Isensee et al. 2021); normalised over the channels of each place instead, it learnt more slowly (docs/results.md).
 */
function block(scope: Scope, x: Value, size: number): Value {
  const [b, from, d, h, w] = x.shape as [number, number, number, number, number];
  const weight = scope.param('weight', [size, from, 3, 3, 3], he(27 * from));
  const rows = reshape(conv3d(x, weight, { pads: [1, 1, 1] }), [b, size, d * h * w]);
  const [ones, zeros] = [1, 0].map((v) => rows.graph.constant(new Float32Array(d * h * w).fill(v)));
  const y = reshape(standardize(rows, ones!, zeros!, 1e-5), [b, size, d, h, w]);
  const vector = (name: string, init: 'ones' | 'zeros'): Value =>
    scope.param(name, [1, size, 1, 1, 1], init, { weightDecay: false });
  return gelu(add(mul(y, vector('scale', 'ones')), vector('bias', 'zeros')));
}

/** [B, c, d, h, w] → [B, size, d / 2, h / 2, w / 2] by one linear map of each 2³ places. */
function halved(scope: Scope, x: Value, size: number): Value {
  const [b, c, d, h, w] = x.shape as [number, number, number, number, number];
  const [d2, h2, w2] = [d / 2, h / 2, w / 2];
  const apart = transpose(reshape(x, [b, c, d2, 2, h2, 2, w2, 2]), [0, 2, 4, 6, 1, 3, 5, 7]);
  const y = linear(scope, reshape(apart, [b, d2 * h2 * w2, 8 * c]), size, { init: he(8 * c) });
  return reshape(transpose(y, [0, 2, 1]), [b, size, d2, h2, w2]);
}

/** [B, c, d, h, w] → [B, size, 2 d, 2 h, 2 w]: a transposed convolution of kernel and stride 2. */
function doubled(scope: Scope, x: Value, size: number): Value {
  const [b, c, d, h, w] = x.shape as [number, number, number, number, number];
  const rows = transpose(reshape(x, [b, c, d * h * w]), [0, 2, 1]);
  const y = linear(scope, rows, 8 * size, { init: he(c) });
  const apart = transpose(reshape(y, [b, d, h, w, 2, 2, 2, size]), [0, 7, 1, 4, 2, 5, 3, 6]);
  return reshape(apart, [b, size, 2 * d, 2 * h, 2 * w]);
}
