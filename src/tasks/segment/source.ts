/** Scenes to learn from, each decided by seed and number alone, so that a run can be resumed. */
import { createHash } from 'node:crypto';
import type { Encoder } from '../../models/encoder.js';
import { Random } from '../../volume/random.js';
import { reorient } from '../../volume/orientation.js';
import type { Volume } from '../../volume/volume.js';
import { TaskError } from '../error.js';
import { type CaseFiles, maskOn, onlyVolume } from './cases.js';
import { airLevel, mirrorImage, ranksOf, segmentImage, type Working } from './image.js';
import { type LabelTable, mirrored, numbersOf, valuesOf } from './labels.js';
import { makeScene, pooledNumbers, type Scene, type Tokens } from './scene.js';
import { liesAlike } from './symmetry.js';
import { anatomyOf, synthesize, type Anatomy, type SynthesisOptions } from './synthesis.js';

/** Makes the image and the truth of a scene. */
export interface SceneSource {
  /** Pseudonymous id of each case, from its content. */
  readonly ids: readonly string[];
  /** What else decides the scenes: a run is resumed only with the same. */
  readonly recipe?: Readonly<Record<string, unknown>>;
  /** Whether some images are shown in a mirror, so that a head may look into one as well. */
  readonly mirrors: boolean;
  /** Whether the labels are tissues of anatomies, each of which has an intensity of its own in an image. */
  readonly adapts: boolean;
  draw(index: number): { image: Scene['image']; numbers: Uint8Array };
}

const contentId = (prefix: string, { data, shape, affine }: Volume): string => {
  const hash = createHash('sha256')
    .update(JSON.stringify([shape, affine]))
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return `${prefix}-${hash.digest('hex').slice(0, 24)}`;
};

/** The id by which a head knows an image with a mask that it was taught with. */
export const imageId = (volume: Volume): string => contentId('im', volume);

/** The cases of a draw: a new random order every round. */
function caseOf(count: number, seed: number, index: number): number {
  const order = new Random(seed, 0x5e9, Math.floor(index / count)).sample(count, count);
  return order[index % count]!;
}

/** Images made from label maps, each time another. @throws TaskError for a map without any of the labels. */
export async function synthesisSource(
  files: readonly CaseFiles[],
  options: SynthesisOptions,
  seed: number,
): Promise<SceneSource & { readonly anatomies: readonly Anatomy[] }> {
  const ids: string[] = [];
  const anatomies: Anatomy[] = [];
  for (const { map } of files) {
    const anatomy = anatomyOf(await onlyVolume(map), options, map);
    anatomies.push(anatomy);
    ids.push(contentId('lm', anatomy.map));
  }
  const mirrors = liesAlike(
    options.table.names,
    anatomies.map(({ map, numbers }) => ({ grid: map, numbers })),
  );
  return {
    ids,
    anatomies,
    mirrors,
    adapts: true,
    recipe: { contrasts: options.contrasts, spacingMm: options.spacingMm, ...options.working },
    draw: (index) =>
      synthesize(
        anatomies[caseOf(files.length, seed, index)]!,
        { ...options, mirrors },
        new Random(seed, 0x5c3, index),
      ),
  };
}

export interface Pair {
  /** In RAS order. */
  readonly volume: Volume;
  readonly numbers: Uint8Array;
}

/** Reads images and their masks. @throws TaskError for a mask on another grid, or one that is empty. */
export async function readPairs(
  files: readonly CaseFiles[],
  table: LabelTable,
): Promise<{ pairs: Pair[]; ids: string[] }> {
  const pairs: Pair[] = [];
  const ids: string[] = [];
  for (const { image, map } of files) {
    const volume = await onlyVolume(image!);
    const mask = maskOn(volume, await onlyVolume(map), { image: image!, mask: map });
    valuesOf(mask);
    const numbers = numbersOf(mask, table);
    if (!numbers.some((n) => n > 0))
      throw new TaskError(
        `fit segment: a mask must hold one of the labels, but ${map} is empty; leave the pair out, or check --labels`,
      );
    pairs.push({ volume: reorient(volume, 'RAS'), numbers });
    ids.push(imageId(volume));
  }
  return { pairs, ids };
}

/** Given images with changes of contrast and noise, and in a mirror where labels lie alike on both sides. */
export function pairSource(
  pairs: readonly Pair[],
  ids: readonly string[],
  table: LabelTable,
  working: Working,
  seed: number,
): SceneSource {
  const mirrors = liesAlike(
    table.names,
    pairs.map(({ volume, numbers }) => ({ grid: volume, numbers })),
  );
  const mirror = mirrors ? mirrored(table.names) : null;
  return {
    ids,
    mirrors,
    adapts: false,
    draw(index) {
      const { volume, numbers } = pairs[caseOf(pairs.length, seed, index)]!;
      const random = new Random(seed, 0x9a1, index);
      const flip = mirror !== null && random.chance(0.5);
      const image = segmentImage(flip ? mirrorImage(volume) : volume, working);
      const turned = flip ? mirroredNumbers(numbers, volume.shape[0], mirror) : numbers;
      const [power, noise] = [Math.exp(random.uniform(-0.4, 0.4)), random.uniform(0, 0.1)];
      const { values, weight } = image;
      for (let n = 0; n < values.length; n++) {
        if (weight !== null && weight[n] === 0) continue;
        // Normalised values run from -3 to 3; a power of their place in that range keeps both ends.
        values[n] = 6 * ((values[n]! + 3) / 6) ** power - 3 + noise * random.normal();
      }
      return {
        image: { ...image, ranks: ranksOf(values, weight, airLevel(image.prepared)) },
        numbers: pooledNumbers(image, turned),
      };
    },
  };
}

function mirroredNumbers(numbers: Uint8Array, length: number, mirror: readonly number[]): Uint8Array {
  const out = numbers.map((n) => mirror[n]!);
  for (let at = 0; at < out.length; at += length) out.subarray(at, at + length).reverse();
  return out;
}

/** Scenes by number; the last few are kept, as several steps look at each. */
export class SceneCache {
  private readonly held = new Map<number, Promise<Scene>>();

  constructor(
    private readonly source: SceneSource,
    private readonly labels: number,
    private readonly tokens: Tokens,
    private readonly encoder: Encoder | null,
    private readonly keep: number,
  ) {}

  get(index: number): Promise<Scene> {
    const present = this.held.get(index);
    if (present) return present;
    const { image, numbers } = this.source.draw(index);
    const made = makeScene(image, numbers, this.labels, this.tokens, this.encoder);
    this.held.set(index, made);
    // Scenes leave in the order of their numbers, in which the pool moves on.
    for (const old of [...this.held.keys()].sort((a, b) => a - b)) {
      if (this.held.size <= this.keep) break;
      if (old !== index) this.held.delete(old);
    }
    return made;
  }
}
