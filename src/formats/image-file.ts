/** What NRRD, MetaImage and MGH files have in common: a grid in space, and cells in one file or several. */
import { determinant, spacing } from '../volume/affine.js';
import type { Affine, Vec3, Volume, VoxelArray } from '../volume/volume.js';
import { cellBytes, clearNonFinite } from './cells.js';
import { type Cells, CellStream, checkPart } from './image-cells.js';

export type { Part } from './image-cells.js';

/** An image whose header was read. Nothing stays open. */
export interface ImageFile {
  readonly shape: Vec3;
  /** Voxel to RAS+ mm. */
  readonly affine: Affine;
  /** 3D frames: 1 for a 3D image, more for time series, directions and the like. */
  readonly frames: number;
  /** The files that hold it, header first, as openBytes takes them. */
  readonly paths: readonly string[];
  /** Scan parameters that the file holds, in ms and degrees. */
  readonly parameters?: ScanParameters;
  /**
   * Reads frame `t`, counted in file order. Voxels that are NaN or infinite are 0 and marked in `valid`.
   *
   * @throws the format's error when the file changed, is cut off or damaged.
   */
  frame(t: number): Promise<Volume>;
  /** Frame `t` some slices at a time, so that it need not fit into memory. @throws the format's error without such a frame. */
  slabs(t: number): ImageSlabs;
}

/** A frame that is read slice by slice. */
export interface ImageSlabs {
  readonly shape: Vec3;
  readonly affine: Affine;
  readonly slope: number;
  readonly intercept: number;
  /** Of all voxels of the frame. */
  readonly bytes: number;
  /**
   * Slices k0 up to but without k1 in a new array; what is not finite is 0 and marked in `valid`. In rising order a
   * compressed file is unpacked on the way and never twice.
   *
   * @throws the format's error when the file changed, is cut off or damaged.
   */
  readSlices(k0: number, k1: number): Promise<{ data: VoxelArray; valid: Uint8Array | null }>;
  close(): Promise<void>;
}

/** null where the file does not say. */
export interface ScanParameters {
  readonly repetitionTime: number | null;
  readonly flipAngle: number | null;
  readonly echoTime: number | null;
  readonly inversionTime: number | null;
}

export interface Grid extends Cells {
  readonly paths: readonly string[];
  readonly affine: Affine;
  /** Lengths of the axes of the file, the fastest first. */
  readonly sizes: readonly number[];
  /** Which of them are i, j and k; the others count frames. */
  readonly spatial: readonly [number, number, number];
}

const LARGEST_MM = 1000;
/** Bytes that are read at a time where the voxels of a frame lie apart from one another. */
const AT_ONCE = 8 << 20;

/** @throws the format's error when the grid is no grid in space, or a part of the cells is not there. */
export async function imageFile(grid: Grid): Promise<ImageFile> {
  const { affine, sizes, spatial, path, fail } = grid;
  const wrong = wrongAffine(affine);
  if (wrong !== null) throw fail(`${path} must have ${wrong}; correct the header`);
  const shape: Vec3 = [sizes[spatial[0]]!, sizes[spatial[1]]!, sizes[spatial[2]]!];
  const perFrame = shape[0] * shape[1] * shape[2];
  const total = sizes.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(total * cellBytes(grid.type)))
    throw fail(`${path} must have a size that can be counted, got ${sizes.join('×')}; the header is damaged`);
  for (const part of grid.parts) await checkPart(part, grid);
  const frames = total / perFrame;
  const slabs = (t: number): ImageSlabs => {
    if (!Number.isInteger(t) || t < 0 || t >= frames)
      throw fail(`${path} has frames 0 to ${frames - 1}, got ${t}`);
    const stream = new CellStream(grid);
    return {
      shape,
      affine,
      slope: 1,
      intercept: 0,
      bytes: perFrame * cellBytes(grid.type),
      async readSlices(k0, k1) {
        const data = await readCells(grid, stream, t, k0, k1);
        return { data, valid: clearNonFinite(data) };
      },
      close: () => stream.close(),
    };
  };
  return {
    shape,
    affine,
    frames,
    paths: grid.paths,
    slabs,
    frame: async (t) => {
      const all = slabs(t);
      try {
        return { ...(await all.readSlices(0, shape[2])), shape, affine, slope: 1, intercept: 0 };
      } finally {
        await all.close();
      }
    },
  };
}

/** What the affine lacks, in words; null where it lacks nothing. */
function wrongAffine(affine: Affine): string | null {
  const values = affine.flat();
  if (!values.every(Number.isFinite)) return `finite axes and origin, got ${values.slice(0, 12).join(' ')}`;
  const sizes = spacing(affine);
  if (sizes.some((mm) => !(mm > 0 && mm <= LARGEST_MM)))
    return `voxel sizes above 0 and at most ${LARGEST_MM} mm, got ${sizes.join(' × ')}`;
  if (Math.abs(determinant(affine)) < 1e-4 * sizes[0] * sizes[1] * sizes[2])
    return `axes that span space, got a determinant of ${determinant(affine)}`;
  return null;
}

/** Slices k0 up to but without k1 of frame `t`. */
async function readCells(
  { sizes, spatial, type }: Grid,
  stream: CellStream,
  t: number,
  k0: number,
  k1: number,
): Promise<VoxelArray> {
  const [ni, nj, nk] = spatial.map((axis) => sizes[axis]!) as [number, number, number];
  const area = ni * nj;
  if (spatial.every((axis, n) => axis === n)) return stream.read((t * nk + k0) * area, (k1 - k0) * area);

  // The frame's cells lie apart from one another: rows are read with what lies between their cells.
  const strides = sizes.map((_, axis) => sizes.slice(0, axis).reduce((product, n) => product * n, 1));
  let first = 0;
  let left = t;
  sizes.forEach((length, axis) => {
    if (spatial.includes(axis)) return;
    first += (left % length) * strides[axis]!;
    left = Math.floor(left / length);
  });
  const [si, sj, sk] = spatial.map((axis) => strides[axis]!) as [number, number, number];
  const row = (ni - 1) * si + 1;
  const rows = Math.max(1, Math.floor((AT_ONCE / cellBytes(type) - row) / sj) + 1);
  let data: VoxelArray | null = null;
  let n = 0;
  for (let k = k0; k < k1; k++)
    for (let j0 = 0; j0 < nj; j0 += rows) {
      const many = Math.min(rows, nj - j0);
      const read = await stream.read(first + k * sk + j0 * sj, (many - 1) * sj + row);
      data ??= new (read.constructor as new (length: number) => VoxelArray)(area * (k1 - k0));
      for (let j = 0; j < many; j++) for (let i = 0; i < ni; i++, n++) data[n] = read[i * si + j * sj]!;
    }
  return data!;
}
