/** Windows of an image in the layout that the decoder takes, and back. */
import type { TypedArray } from '../../graph/index.js';
import { WINDOW_STEP } from '../../models/segment-decoder.js';
import { spacing } from '../../volume/affine.js';
import type { TokenSet } from '../../volume/tokens.js';
import type { Vec3 } from '../../volume/volume.js';
import { pointOf, type SegmentImage, TokenLattice } from './image.js';

/** Tokens of an image and what the encoder says of them. */
export interface Read {
  readonly set: TokenSet;
  readonly lattice: TokenLattice;
  /** [count, embedDim]; not there where the encoder is part of the program. */
  readonly features: Float32Array | null;
}

export const readOf = (set: TokenSet, features: Float32Array | null): Read => ({
  set,
  lattice: new TokenLattice(set.positions, set.patchMm),
  features,
});

/** One window: the voxels from `start` on, which may lie partly outside of the image. */
export interface Window {
  readonly image: SegmentImage;
  readonly read: Read;
  readonly start: Vec3;
}

/** Voxels of a window along i, j, k to its blocks along z, y, x. */
export const blocksOf = (side: Vec3): [number, number, number] => [side[2] / 2, side[1] / 2, side[0] / 2];

/** Position of a window's voxel (i, j, k) in the decoder's order: blocks of 2³ one after another. */
export function orderOf(side: Vec3): Int32Array {
  const [ni, nj, nk] = side;
  const order = new Int32Array(ni * nj * nk);
  let n = 0;
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        const block = (i >> 1) + (ni >> 1) * ((j >> 1) + (nj >> 1) * (k >> 1));
        order[n] = block * 8 + (k & 1) * 4 + (j & 1) * 2 + (i & 1);
      }
  return order;
}

/** Calls `visit` for every voxel of a window that lies in the image: its number in the window and in the image. */
export function eachInside(
  { shape }: Pick<SegmentImage, 'shape'>,
  start: Vec3,
  side: Vec3,
  visit: (inWindow: number, inImage: number) => void,
): void {
  const [ni, nj, nk] = shape;
  for (let k = Math.max(0, -start[2]); k < side[2] && start[2] + k < nk; k++)
    for (let j = Math.max(0, -start[1]); j < side[1] && start[1] + j < nj; j++)
      for (let i = Math.max(0, -start[0]); i < side[0] && start[0] + i < ni; i++)
        visit(i + side[0] * (j + side[1] * k), start[0] + i + ni * (start[1] + j + nj * (start[2] + k)));
}

/** The feeds of windows, padded to `length` tokens each, for a decoder that is shown so many intensities; see WindowInputs for the shapes. */
export function windowFeeds(
  windows: readonly Window[],
  side: Vec3,
  length: number,
  intensities: number,
): Record<string, TypedArray> {
  const rows = windows.length;
  const [ni, nj, nk] = side;
  const size = ni * nj * nk;
  const blocks = size / 8;
  const places = size / WINDOW_STEP ** 3;
  const feeds = {
    voxels: new Float32Array(rows * size * intensities),
    measured: new Float32Array(rows * blocks),
    spacing: new Float32Array(rows * 3),
    positions: new Float32Array(rows * length * 3),
    read: new Float32Array(rows * places * length),
  };
  const order = orderOf(side);
  windows.forEach(({ image, read, start }, row) => {
    const { weight } = image;
    const channels = [image.values, image.ranks].slice(0, intensities);
    eachInside(image, start, side, (inWindow, inImage) => {
      const at = order[inWindow]!;
      const [block, sub] = [at >> 3, at & 7];
      channels.forEach((values, c) => {
        feeds.voxels[((row * intensities + c) * 8 + sub) * blocks + block] = values[inImage]!;
      });
      feeds.measured[row * blocks + block]! += (weight === null ? 1 : weight[inImage]!) / 8;
    });
    spacing(image.affine).forEach((mm, d) => (feeds.spacing[row * 3 + d] = Math.log2(mm / 2)));
    const { positions, count } = read.set;
    const mean = [0, 0, 0];
    for (let t = 0; t < count; t++) for (let d = 0; d < 3; d++) mean[d]! += positions[t * 3 + d]! / count;
    for (let t = 0; t < count; t++)
      for (let d = 0; d < 3; d++)
        feeds.positions[(row * length + t) * 3 + d] = positions[t * 3 + d]! - mean[d]!;
    let place = row * places;
    const middle = (WINDOW_STEP - 1) / 2;
    for (let k = 0; k < nk; k += WINDOW_STEP)
      for (let j = 0; j < nj; j += WINDOW_STEP)
        for (let i = 0; i < ni; i += WINDOW_STEP, place++) {
          const voxel: Vec3 = [start[0] + i + middle, start[1] + j + middle, start[2] + k + middle];
          read.lattice.read(pointOf(image, voxel), (token, share) => {
            feeds.read[place * length + token] = share;
          });
        }
  });
  return Object.fromEntries(Object.entries(feeds).map(([name, data]) => [`window.${name}`, data]));
}

/** [rows * length * width] token features of windows, padded; for a frozen encoder. */
export function tokenFeed(windows: readonly Window[], length: number, width: number): Float32Array {
  const out = new Float32Array(windows.length * length * width);
  windows.forEach(({ read }, row) => out.set(read.features!, row * length * width));
  return out;
}
