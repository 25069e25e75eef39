/** What of an image is shown to the encoder: one token set, or overlapping windows where one would be too coarse. */
import { boundsMm } from '../volume/sampling.js';
import { tokenizeScanned, type BoxMm, type Scanned, type TokenSet } from '../volume/tokens.js';
import { VolumeError } from '../volume/volume.js';
import { ModelError } from './sizes.js';

export interface EmbedOptions {
  /** Side of a token in mm; smaller sees more detail and costs more. 16 unless said. */
  readonly patchMm?: number;
  /**
   * A volume that needs more tokens is read with cubes twice the size, until it fits; beyond cubes of 32 mm, in
   * overlapping windows. 2048 unless said.
   */
  readonly maxTokens?: number;
  /** Windows instead of larger cubes: every detail that `patchMm` shows, at the cost of one run a window. */
  readonly windows?: boolean;
}

/** The longest program's tokens. */
export const MOST_TOKENS = 4096;

/** @throws ModelError for more tokens than the longest program has. */
export function checkMaxTokens(maxTokens: number): void {
  if (!(maxTokens >= 1 && maxTokens <= MOST_TOKENS))
    throw new ModelError(`embed: maxTokens is from 1 to ${MOST_TOKENS}, got ${maxTokens}`);
}

/** The largest cubes that models are trained with, mm; an image that needs larger ones is read in windows. */
const LARGEST_CUBE = 32;
/** Neighbouring windows have at least this share of their side in common. */
const OVERLAP = 0.25;

/**
 * Cuts an image for embedding. Where it needs more than `maxTokens` cubes of `patchMm`, the cubes are twice the size, up
 * to 32 mm; where that is not enough (or `windows` asks for it at `patchMm`), the image is shown in windows of at most
 * `maxTokens` cells, which overlap by a quarter of their sides.
 * @throws VolumeError when there is no anatomy. @throws ModelError for a number of tokens that no program has.
 */
export async function* windowsOf(
  image: Scanned,
  samples: number,
  options: EmbedOptions = {},
): AsyncGenerator<TokenSet> {
  const { patchMm = 16, maxTokens = 2048, windows = false } = options;
  checkMaxTokens(maxTokens);
  let side = patchMm;
  for (; ; side *= 2) {
    const set = await tokenizeScanned(image, { patchMm: side, samples, limit: maxTokens + 1 });
    if (set.count === 0) throw nothingToSee();
    if (set.count <= maxTokens) {
      yield set;
      return;
    }
    if (windows || 2 * side > LARGEST_CUBE) break;
  }
  for (const regionMm of windowBoxes(image, side, maxTokens)) {
    const set = await tokenizeScanned(image, { patchMm: side, samples, regionMm });
    if (set.count > 0) yield set;
  }
}

/** As {@link windowsOf}, but always one token set, of larger cubes where it must be: for what reads single tokens. */
export async function oneSetOf(
  image: Scanned,
  samples: number,
  { patchMm = 16, maxTokens = 2048 }: EmbedOptions = {},
): Promise<TokenSet> {
  checkMaxTokens(maxTokens);
  for (let side = patchMm; ; side *= 2) {
    const set = await tokenizeScanned(image, { patchMm: side, samples, limit: maxTokens + 1 });
    if (set.count === 0) throw nothingToSee();
    if (set.count <= maxTokens) return set;
  }
}

const nothingToSee = (): VolumeError =>
  new VolumeError(
    'embed: the volume holds no anatomy (all air, or too little was measured); check the image',
  );

/** Boxes in RAS+ mm of at most `most` cells of `patchMm`, near cubes, evenly spread over the image. */
export function windowBoxes(
  { volume, stats }: Pick<Scanned, 'volume' | 'stats'>,
  patchMm: number,
  most: number,
): BoxMm[] {
  const [low, high] = boundsMm(volume);
  const cell = (mm: number, d: number): number => Math.round((mm - stats.centreMm[d as 0]) / patchMm);
  const first = low.map(cell);
  const cells = high.map((mm, d) => cell(mm, d) - first[d]! + 1);
  const size = [...cells];
  while (size.reduce((a, b) => a * b) > most) size[size.indexOf(Math.max(...size))]! -= 1;
  const starts = cells.map((n, d) => startsOf(n, size[d]!));
  const boxes: BoxMm[] = [];
  for (const z of starts[2]!)
    for (const y of starts[1]!)
      for (const x of starts[0]!) {
        // Borders lie in the middle between two cells' centres.
        const from = [x, y, z].map((n, d) => stats.centreMm[d as 0] + (first[d]! + n - 0.5) * patchMm);
        boxes.push([from, from.map((v, d) => v + size[d]! * patchMm)]);
      }
  return boxes;
}

function startsOf(cells: number, size: number): number[] {
  const step = Math.max(1, Math.floor((1 - OVERLAP) * size));
  const count = Math.ceil((cells - size) / step) + 1;
  return Array.from({ length: count }, (_, n) =>
    count === 1 ? 0 : Math.round((n * (cells - size)) / (count - 1)),
  );
}

/** Unit vectors of the windows of one image as one: their mean by how much was measured in each, normalised. */
export class VectorPool {
  private readonly seen: { readonly vector: Float32Array; readonly weight: number }[] = [];

  /** `at` is the number of the window: the sum does not depend on the order in which they come. */
  add(at: number, vector: Float32Array, { valid }: Pick<TokenSet, 'valid'>): this {
    this.seen[at] = { vector, weight: valid.reduce((sum, v) => sum + v, 0) };
    return this;
  }

  /** The vector of the one window as it is. */
  get vector(): Float32Array {
    const { length } = this.seen;
    if (length === 1) return this.seen[0]!.vector;
    const sum = new Float64Array(this.seen[0]!.vector.length);
    for (const { vector, weight } of this.seen) vector.forEach((v, d) => (sum[d]! += weight * v));
    const norm = Math.sqrt(sum.reduce((total, v) => total + v * v, 0));
    return Float32Array.from(sum, (v) => v / (norm || 1));
  }
}
