/** What a segmentation is taught with: an image, the truth on its grid, and the tokens of both. */
import type { Encoder } from '../../models/encoder.js';
import { invert, multiply } from '../../volume/affine.js';
import { Random } from '../../volume/random.js';
import { type TokenSet, tokenize } from '../../volume/tokens.js';
import type { Vec3, Volume } from '../../volume/volume.js';
import { TaskError } from '../error.js';
import type { SegmentImage } from './image.js';
import { type Read, readOf } from './window.js';

export interface Scene {
  readonly image: SegmentImage;
  /** Number of the label of each voxel of the image's grid. */
  readonly numbers: Uint8Array;
  readonly read: Read;
  /** [count, L] share of each label in the cube of each token. */
  readonly shares: Float32Array;
  /** Voxels of each label that has any, for windows about them; never the background. */
  readonly places: readonly Int32Array[];
}

export interface Tokens {
  readonly patchMm: number;
  readonly maxTokens: number;
  readonly samples: number;
}

/** Tokens of an image; cubes twice the size where it would need more than `maxTokens`. */
export function tokensOf({ prepared }: SegmentImage, tokens: Tokens, shiftMm?: Vec3): TokenSet {
  const { maxTokens, samples } = tokens;
  for (let patchMm = tokens.patchMm; ; patchMm *= 2) {
    const set = tokenize(prepared, {
      patchMm,
      samples,
      limit: maxTokens + 1,
      ...(shiftMm && { shiftMm: [...shiftMm] }),
    });
    if (set.count === 0) throw new TaskError('segment: the image holds no anatomy; check it');
    if (set.count <= maxTokens) return set;
  }
}

/** Voxels of one label that are kept as places to look at. */
const MOST_PLACES = 4096;

/** Puts a scene together. `encoder` is null where it is part of the program that learns. */
export async function makeScene(
  image: SegmentImage,
  numbers: Uint8Array,
  labels: number,
  tokens: Tokens,
  encoder: Encoder | null,
): Promise<Scene> {
  const set = tokensOf(image, tokens);
  const features = encoder === null ? null : (await encoder.features([set]))[0]!.tokens;
  return {
    image,
    numbers,
    read: readOf(set, features),
    shares: sharesOf(image, numbers, set, labels),
    places: placesOf(numbers, labels),
  };
}

function placesOf(numbers: Uint8Array, labels: number): Int32Array[] {
  const counts = new Uint32Array(labels);
  for (const one of numbers) counts[one]!++;
  const places = Array.from(counts, (count) => new Int32Array(Math.min(count, MOST_PLACES)));
  // Every n-th voxel of a label, so that its places are spread over all of it.
  const seen = new Uint32Array(labels);
  for (let n = 0; n < numbers.length; n++) {
    const label = numbers[n]!;
    if (label === 0) continue;
    const list = places[label]!;
    const at = Math.floor((seen[label]!++ * list.length) / counts[label]!);
    list[at] = n;
  }
  return places.slice(1).filter((list) => list.length > 0);
}

/** Points along each side of a cube at which its labels are looked up. */
const POINTS = 4;

function sharesOf(image: SegmentImage, numbers: Uint8Array, set: TokenSet, labels: number): Float32Array {
  const toVoxel = invert(image.affine);
  const [ni, nj, nk] = image.shape;
  const shares = new Float32Array(set.count * labels);
  const offset = (n: number): number => ((n + 0.5) / POINTS - 0.5) * set.patchMm;
  for (let t = 0; t < set.count; t++)
    for (let n = 0; n < POINTS ** 3; n++) {
      const x = set.positions[t * 3]! + offset(n % POINTS);
      const y = set.positions[t * 3 + 1]! + offset(Math.floor(n / POINTS) % POINTS);
      const z = set.positions[t * 3 + 2]! + offset(Math.floor(n / POINTS ** 2));
      const [i, j, k] = toVoxel
        .slice(0, 3)
        .map((row) => Math.round(row[0] * x + row[1] * y + row[2] * z + row[3])) as [number, number, number];
      const inside = i >= 0 && j >= 0 && k >= 0 && i < ni && j < nj && k < nk;
      shares[t * labels + (inside ? numbers[i + ni * (j + nj * k)]! : 0)]! += 1 / POINTS ** 3;
    }
  return shares;
}

/** Points along each side of a voxel at which its label is looked up: an even number lies alike about the borders of a map's voxels. */
const ACROSS = 4;

/**
 * Labels on an image's grid from a map on any grid: the one that takes most of each voxel, as the voxel's intensity is the mean
 * over all of it. Where two take as much, the one in its middle. Beyond the map is background.
 */
export function majorityNumbers(
  { shape, affine }: Pick<SegmentImage, 'shape' | 'affine'>,
  map: Pick<Volume, 'shape' | 'affine'>,
  numbers: Uint8Array,
): Uint8Array {
  const m = multiply(invert(map.affine), affine);
  const [ni, nj, nk] = shape;
  const [si, sj, sk] = map.shape;
  const out = new Uint8Array(ni * nj * nk);
  const labelAt = (u: number, v: number, w: number): number => {
    const [x, y, z] = [Math.round(u), Math.round(v), Math.round(w)];
    return x < 0 || y < 0 || z < 0 || x >= si || y >= sj || z >= sk ? 0 : numbers[x + si * (y + sj * z)]!;
  };
  // Where the points lie about a voxel's middle, in voxels of the map.
  const offset = (n: number): number => (n + 0.5) / ACROSS - 0.5;
  const points = Array.from({ length: ACROSS ** 3 }, (_, n) => {
    const [i, j, k] = [n % ACROSS, Math.floor(n / ACROSS) % ACROSS, Math.floor(n / ACROSS ** 2)].map(offset);
    return [0, 1, 2].map((d) => m[d as 0][0] * i! + m[d as 0][1] * j! + m[d as 0][2] * k!);
  });
  const [du, dv, dw] = [0, 1, 2].map((d) => Float64Array.from(points, (point) => point[d]!)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const votes = new Uint8Array(numbers.reduce((most, one) => Math.max(most, one), 0) + 1);
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        const u = m[0][0] * i + m[0][1] * j + m[0][2] * k + m[0][3];
        const v = m[1][0] * i + m[1][1] * j + m[1][2] * k + m[1][3];
        const w = m[2][0] * i + m[2][1] * j + m[2][2] * k + m[2][3];
        votes.fill(0);
        for (let p = 0; p < du.length; p++) votes[labelAt(u + du[p]!, v + dv[p]!, w + dw[p]!)]!++;
        let best = labelAt(u, v, w);
        for (let l = 0; l < votes.length; l++) if (votes[l]! > votes[best]!) best = l;
        out[n] = best;
      }
  return out;
}

/** Labels of the source's voxels brought to the image's grid: the most frequent one of each box. */
export function pooledNumbers(
  { shape, source, factors }: Pick<SegmentImage, 'shape' | 'source' | 'factors'>,
  numbers: Uint8Array,
): Uint8Array {
  if (factors.every((f) => f === 1)) return numbers;
  const [ni, nj, nk] = shape;
  const [si, sj] = source.shape;
  const out = new Uint8Array(ni * nj * nk);
  const votes = new Uint16Array(256);
  // Every voxel that reaches into the box; 1e-6 of one is rounding.
  const first = (at: number, d: 0 | 1 | 2): number =>
    Math.min(Math.floor(at * factors[d] + 1e-6), source.shape[d] - 1);
  const last = (at: number, d: 0 | 1 | 2): number =>
    Math.min(Math.ceil((at + 1) * factors[d] - 1e-6), source.shape[d]);
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++) {
        votes.fill(0);
        let best = 0;
        for (let w = first(k, 2); w < last(k, 2); w++)
          for (let v = first(j, 1); v < last(j, 1); v++)
            for (let u = first(i, 0); u < last(i, 0); u++) {
              const one = numbers[u + si * (v + sj * w)]!;
              votes[one]!++;
              // Of equal votes for the background and a label, the label: small things must not vanish.
              if (votes[one]! > votes[best]! || (best === 0 && votes[one] === votes[best])) best = one;
            }
        out[n] = best;
      }
  return out;
}

/** Where a window starts: half of the time about a voxel of a label, each label alike, else anywhere in the image. */
export function drawStart({ image, places }: Scene, side: Vec3, random: Random): Vec3 {
  const { shape } = image;
  if (places.length > 0 && random.chance(0.5)) {
    const list = random.choice(places);
    const n = list[random.int(list.length)]!;
    const voxel = [n % shape[0], Math.floor(n / shape[0]) % shape[1], Math.floor(n / (shape[0] * shape[1]))];
    return voxel.map((v, d) => v - Math.floor(random.uniform(0.15, 0.85) * side[d as 0])) as unknown as Vec3;
  }
  // A window may hang over by a quarter, as those at the faces of an image do.
  return shape.map((n, d) => {
    const over = Math.floor(side[d as 0] / 4);
    const room = n - side[d as 0];
    return room <= 0 ? Math.floor(room / 2) : random.int(room + 2 * over + 1) - over;
  }) as unknown as Vec3;
}
