/** Images that do not fit into memory: padding, statistics and averaged copies are read from them box by box. */
import { STATS_MM, statsOf, type IntensityStats } from './intensity.js';
import { boundsMm, boxFactors, buildPyramid, coarsen, inverseOf, type Pyramid } from './sampling.js';
import type { BoxMm, Cuttable, Scanned } from './tokens.js';
import { isConstant, startingAt } from './trim.js';
import type { Vec3, Volume } from './volume.js';

/** An image that stays where it is, of which boxes can be read. */
export interface BoxImage extends Pick<Volume, 'shape' | 'affine' | 'slope' | 'intercept'> {
  /** Of all voxels as stored. */
  readonly bytes: number;
  /** Sides of the chunks in which it is stored, in voxels; boxes that end between two of them are read fastest. */
  readonly chunk: Vec3;
  /** The box of `shape` voxels from voxel `start`; the affine is the box's own. */
  read(start: Vec3, shape: Vec3): Promise<Volume>;
}

/** Parts of the memory: one averaged copy, the voxels that are read at a time. */
const COPY_SHARE = 8;
const READ_SHARE = 32;
/** A sample of a copy: its value and its weight. */
const SAMPLE_BYTES = 8;
/** Voxels along the sides of what is read at a time: from a chunk to five. */
const READ_SIDE = [64, 320] as const;

type Three = [number, number, number];
type Axis = 0 | 1 | 2;

/** A copy of the image, or of a part of it, in voxels of the copy. */
interface Grid {
  readonly factors: Three;
  readonly shape: Three;
  readonly toVoxel: Float64Array;
}

/**
 * An image that is never in memory whole. What it gives is what {@link Prepared} gives of the same voxels; averaged
 * copies that fit into an eighth of `memory` are kept, of others only the part that is asked for is made.
 */
export class Streamed implements Scanned {
  readonly volume: Pick<Volume, 'affine' | 'shape'>;
  private whole = new Map<number, Promise<Pyramid>>();
  private kept = 0;

  private constructor(
    private readonly image: BoxImage,
    private readonly memory: number,
    private readonly start: Vec3,
    shape: Vec3,
    private statistics: IntensityStats | null,
  ) {
    this.volume = { affine: startingAt(image.affine, start), shape };
  }

  /**
   * Finds the padding and reads the image once for its statistics.
   * @throws VolumeError when it holds nothing (see {@link statsOf}), or whatever reading it throws.
   */
  static async open(image: BoxImage, memory: number): Promise<Streamed> {
    const { start, shape } = await withoutPadding(image, readSide(image, memory));
    const streamed = new Streamed(image, memory, start, shape, null);
    const grid = streamed.grid(STATS_MM);
    streamed.statistics = statsOf(
      await streamed.copy(STATS_MM, grid, [0, 0, 0], grid.shape),
      streamed.volume,
    );
    return streamed;
  }

  get stats(): IntensityStats {
    return this.statistics!;
  }

  get bytes(): number {
    return this.kept;
  }

  /** Lets the averaged copies go; they are made again when they are asked for. */
  release(): void {
    this.whole = new Map();
    this.kept = 0;
  }

  async part(sampleMm: number, boxMm?: BoxMm, slices?: { axis: Axis; mm: number }): Promise<Cuttable> {
    const pyramid = await this.pyramidOf(sampleMm, boxMm, slices);
    return { volume: this.volume, stats: this.stats, pyramid: () => pyramid };
  }

  fitting(sampleMm: number, boxMm: BoxMm): BoxMm {
    const grid = this.grid(sampleMm);
    if (this.fits(grid.shape)) return boxMm;
    let [low, high] = [Array.from(boxMm[0]), Array.from(boxMm[1])];
    while (!this.fits(within(grid, [low, high]).shape)) {
      const middle = low.map((v, d) => (v + high[d]!) / 2);
      low = low.map((v, d) => middle[d]! + 0.9 * (v - middle[d]!));
      high = high.map((v, d) => middle[d]! + 0.9 * (v - middle[d]!));
    }
    return [low, high];
  }

  layers(patchMm: number, samples: number, boxMm?: BoxMm): readonly (BoxMm | undefined)[] {
    const grid = this.grid(patchMm / samples);
    if (this.fits(grid.shape)) return [boxMm];
    const [low, high] = boundsMm(this.volume);
    // A cell whose centre lies outside may reach in by half of its side.
    const first = low.map((v, d) =>
      this.cellFrom(d, Math.max(boxMm?.[0][d] ?? -Infinity, v - patchMm / 2), patchMm),
    );
    const end = high.map(
      (v, d) => -this.cellFrom(d, Math.min(boxMm?.[1][d] ?? Infinity, v + patchMm / 2), -patchMm) + 1,
    );
    /** The far side of a cell; nothing that its samples need lies beyond. */
    const border = (d: number, cell: number): number =>
      this.stats.centreMm[d as Axis] + (cell - 0.5) * patchMm;
    const layer = (z: number, cells: number): BoxMm => [
      [border(0, first[0]!), border(1, first[1]!), border(2, z)],
      [border(0, end[0]!), border(1, end[1]!), border(2, Math.min(end[2]!, z + cells))],
    ];
    let cells = Math.max(1, end[2]! - first[2]!);
    while (cells > 1 && !this.fits(within(grid, layer(first[2]!, cells)).shape)) cells = Math.ceil(cells / 2);
    const layers: BoxMm[] = [];
    for (let z = first[2]!; z < end[2]!; z += cells) layers.push(layer(z, cells));
    return layers;
  }

  /** Number of the first cell whose centre lies at `mm` or beyond, counted along (or, with a negative side, against) an axis. */
  private cellFrom(axis: number, mm: number, patchMm: number): number {
    return Math.ceil((mm - this.stats.centreMm[axis as Axis]) / patchMm);
  }

  private async pyramidOf(
    sampleMm: number,
    boxMm?: BoxMm,
    slices?: { axis: Axis; mm: number },
  ): Promise<Pyramid> {
    const grid = this.grid(sampleMm);
    const known = this.whole.get(sampleMm);
    if (known) return known;
    if (boxMm === undefined || this.fits(grid.shape)) {
      const made = this.copy(sampleMm, grid, [0, 0, 0], grid.shape);
      this.whole.set(sampleMm, made);
      try {
        await made;
        if (this.whole.get(sampleMm) === made) this.kept += grid.shape.reduce((a, b) => a * b, SAMPLE_BYTES);
      } catch (error) {
        this.whole.delete(sampleMm);
        throw error;
      }
      return made;
    }
    const { start, shape } = within(grid, boxMm, slices);
    return this.copy(sampleMm, grid, start, shape);
  }

  private fits(shape: Three): boolean {
    return shape.reduce((a, b) => a * b, SAMPLE_BYTES) <= this.memory / COPY_SHARE;
  }

  private grid(sampleMm: number): Grid {
    const { affine, shape } = this.volume;
    const factors = boxFactors(affine, sampleMm);
    return {
      factors,
      shape: shape.map((n, d) => Math.ceil(n / factors[d]!)) as Three,
      toVoxel: inverseOf(coarsen(affine, factors)),
    };
  }

  /** Averages the part of `shape` boxes from box `start`: whole boxes are read, so that each is what it is in the whole. */
  private async copy(
    sampleMm: number,
    { factors, toVoxel }: Grid,
    start: Three,
    shape: Three,
  ): Promise<Pyramid> {
    const values = new Float32Array(shape[0] * shape[1] * shape[2]);
    let weight: Float32Array | null = null;
    const side = readSide(this.image, this.memory);
    const cuts = shape.map((n, d) => {
      const chunk = this.image.chunk[d as Axis];
      const far = Math.max(1, Math.floor(side / chunk)) * chunk;
      return cutsOf(n, far / factors[d]!, start[d]! + this.start[d as Axis] / factors[d]!);
    });
    for (const block of blocks(cuts)) {
      const first = block.start.map((n, d) => (start[d]! + n) * factors[d]!) as Three;
      const size = block.shape.map((n, d) =>
        Math.min(n * factors[d]!, this.volume.shape[d as Axis] - first[d]!),
      ) as Three;
      const read = await this.image.read(first.map((n, d) => n + this.start[d as Axis]) as Three, size);
      const part = buildPyramid(read, sampleMm);
      if (part.weight) weight ??= new Float32Array(values.length).fill(1);
      for (let k = 0; k < block.shape[2]; k++)
        for (let j = 0; j < block.shape[1]; j++) {
          const from = block.shape[0] * (j + block.shape[1] * k);
          const to = block.start[0] + shape[0] * (block.start[1] + j + shape[1] * (block.start[2] + k));
          values.set(part.values.subarray(from, from + block.shape[0]), to);
          if (part.weight) weight!.set(part.weight.subarray(from, from + block.shape[0]), to);
        }
    }
    const moved = Float64Array.from(toVoxel);
    for (const d of [0, 1, 2]) moved[d * 4 + 3]! -= start[d]!;
    return { values, weight, shape, toVoxel: moved };
  }
}

/**
 * The part of a grid that samples inside of a box need: linear interpolation looks one voxel further. Where the copy will
 * be averaged into slices, the part holds whole slices and one more to either side.
 */
function within(
  { shape, toVoxel: m }: Grid,
  [low, high]: BoxMm,
  slices?: { axis: Axis; mm: number },
): { start: Three; shape: Three } {
  const start: Three = [0, 0, 0];
  const size: Three = [1, 1, 1];
  for (const d of [0, 1, 2] as const) {
    let [first, last] = [m[d * 4 + 3]!, m[d * 4 + 3]!];
    for (let c = 0; c < 3; c++) {
      const [a, b] = [m[d * 4 + c]! * low[c]!, m[d * 4 + c]! * high[c]!];
      first += Math.min(a, b);
      last += Math.max(a, b);
    }
    let unit = 1;
    if (slices?.axis === d) {
      const spacing = 1 / Math.hypot(m[d * 4]!, m[d * 4 + 1]!, m[d * 4 + 2]!);
      unit = Math.max(1, Math.min(shape[d], Math.round(slices.mm / spacing)));
    }
    const from = Math.floor(Math.floor(first - unit) / unit) * unit;
    const to = Math.ceil((Math.ceil(last + unit) + 1) / unit) * unit;
    // A box beside the image still gets one voxel, in which it finds nothing.
    start[d] = Math.max(0, Math.min(shape[d] - 1, from));
    size[d] = Math.max(1, Math.min(shape[d], to) - start[d]);
  }
  return { start, shape: size };
}

function readSide({ shape, bytes }: BoxImage, memory: number): number {
  const each = bytes / (shape[0] * shape[1] * shape[2]);
  return Math.max(READ_SIDE[0], Math.min(READ_SIDE[1], Math.floor(Math.cbrt(memory / READ_SHARE / each))));
}

/** Where an axis of `n` boxes that starts at box `start` of the image is cut: after every `step`, up to a whole box. */
function cutsOf(n: number, step: number, start = 0): number[] {
  const cuts = [0];
  for (let at = Math.floor(start / step) + 1; ; at++) {
    const cut = Math.ceil(at * step - start - 1e-9);
    if (cut >= n) return [...cuts, n];
    if (cut > cuts.at(-1)!) cuts.push(cut);
  }
}

/** The blocks between the cuts along each axis. */
function* blocks(cuts: readonly (readonly number[])[]): Generator<{ start: Three; shape: Three }> {
  const [along, down, through] = cuts as [number[], number[], number[]];
  for (let k = 1; k < through.length; k++)
    for (let j = 1; j < down.length; j++)
      for (let i = 1; i < along.length; i++) {
        const start: Three = [along[i - 1]!, down[j - 1]!, through[k - 1]!];
        yield { start, shape: [along[i]! - start[0], down[j]! - start[1], through[k]! - start[2]] };
      }
}

/** What trimPadding leaves, found from the outside: of an image without padding, the faces are read and no more. */
async function withoutPadding(image: BoxImage, side: number): Promise<{ start: Three; shape: Three }> {
  const from: Three = [0, 0, 0];
  const to: Three = [...image.shape];
  for (const axis of [2, 1, 0] as const) {
    for (const end of ['low', 'high'] as const) {
      for (;;) {
        const deep = Math.min(READ_SIDE[0], to[axis] - from[axis] - 1);
        if (deep < 1) break;
        const at = end === 'low' ? from[axis] : to[axis] - deep;
        const constant = await constantPlanes(image, from, to, axis, at, deep, side);
        const flags = end === 'low' ? constant : constant.reverse();
        const padding = flags.includes(false) ? flags.indexOf(false) : deep;
        if (end === 'low') from[axis] += padding;
        else to[axis] -= padding;
        if (padding < deep) break;
      }
    }
  }
  return { start: from, shape: to.map((n, d) => n - from[d]!) as Three };
}

/** Of `deep` planes across an axis from `at`, within a box, whether each holds one value. */
async function constantPlanes(
  image: BoxImage,
  from: Three,
  to: Three,
  axis: Axis,
  at: number,
  deep: number,
  side: number,
): Promise<boolean[]> {
  const shape = to.map((n, d) => (d === axis ? deep : n - from[d]!)) as Three;
  const cuts = shape.map((n, d) => (d === axis ? [0, n] : cutsOf(n, side)));
  const values: (number | null)[] = new Array<null>(deep).fill(null);
  const constant = new Array<boolean>(deep).fill(true);
  for (const block of blocks(cuts)) {
    if (!constant.includes(true)) break;
    const start = block.start.map((n, d) => n + (d === axis ? at : from[d]!)) as Three;
    const read = await image.read(start, block.shape);
    for (let plane = 0; plane < deep; plane++) {
      const value = planeValue(read, axis, plane);
      if (value === null || !constant[plane]) continue;
      values[plane] ??= value;
      if (values[plane] !== value) constant[plane] = false;
    }
  }
  return constant;
}

/** The one value of a plane's measured voxels; null where none was measured, NaN where they differ. */
function planeValue(volume: Volume, axis: Axis, plane: number): number | null {
  const { shape, data, valid } = volume;
  if (!isConstant(volume, [0, 0, 0], shape, axis, plane)) return NaN;
  if (valid === null) return data[plane * [1, shape[0], shape[0] * shape[1]][axis]!]!;
  const counts = [0, 1, 2].map((d) => (d === axis ? 1 : shape[d as Axis]));
  for (let k = 0; k < counts[2]!; k++)
    for (let j = 0; j < counts[1]!; j++)
      for (let i = 0; i < counts[0]!; i++) {
        const ijk = [i, j, k];
        ijk[axis] = plane;
        const at = ijk[0]! + shape[0] * (ijk[1]! + shape[1] * ijk[2]!);
        if (valid[at] === 1) return data[at]!;
      }
  return null;
}
