/** Series that are stored slab by slab, because memory is not to hold them whole. */
import type { VoxelArray, Volume } from '../volume/volume.js';
import type { Slabs } from './voxels.js';

/** Voxels beyond this are streamed: 512 × 512 × 256 of 16 bits are within. */
export const LARGEST_WHOLE = 128 * 1024 * 1024;
/** Bytes of a preview of a streamed volume. */
const PREVIEW = 32 * 1024 * 1024;
/** Slices are read this many bytes at a time. */
const AT_ONCE = 32 * 1024 * 1024;

/**
 * Every n-th voxel along each axis, of the slab as a volume of its own: what the inspections look at instead of a volume
 * that does not fit into memory. The affine is the preview's.
 */
export async function previewOf(image: Slabs, bytes: number): Promise<{ volume: Volume; step: number }> {
  const { shape, affine, slope, intercept } = image;
  const [ni, nj, nk] = shape;
  const step = Math.ceil(Math.cbrt(bytes / PREVIEW));
  const small = [ni, nj, nk].map((n) => Math.ceil(n / step)) as [number, number, number];
  const slices = Math.max(1, Math.floor(AT_ONCE / (bytes / nk)));
  let data: VoxelArray | null = null;
  let valid: Uint8Array | null = null;
  for (let k0 = 0; k0 < nk; k0 += slices) {
    const k1 = Math.min(nk, k0 + slices);
    const slab = await image.readSlices(k0, k1);
    const make = slab.data.constructor as new (n: number) => VoxelArray;
    data ??= new make(small[0] * small[1] * small[2]);
    if (slab.valid !== null) valid ??= new Uint8Array(data.length).fill(1);
    for (let k = Math.ceil(k0 / step) * step; k < k1; k += step)
      for (let j = 0; j < nj; j += step) {
        const row = ni * (j + nj * (k - k0));
        let to = small[0] * (j / step + small[1] * (k / step));
        for (let i = 0; i < ni; i += step, to++) {
          data[to] = slab.data[row + i]!;
          if (valid !== null) valid[to] = slab.valid?.[row + i] ?? 1;
        }
      }
  }
  const wider = affine.map((row) => [row[0] * step, row[1] * step, row[2] * step, row[3]]);
  return {
    volume: {
      data: data!,
      shape: small,
      affine: wider as unknown as Volume['affine'],
      slope,
      intercept,
      valid,
    },
    step,
  };
}

/** The image without the voxels that an inspection took out of its preview: those around a removed one go with it. */
export function withMaskOf(image: Slabs, before: Volume, after: Volume, step: number): Slabs {
  if (after.valid === null || after.valid === before.valid) return image;
  const mask = after.valid;
  const [mi, mj, mk] = after.shape;
  const [ni, nj] = image.shape;
  const removed = mask.map((there, n) => (there === 0 && before.valid?.[n] !== 0 ? 1 : 0));
  // A voxel lies between two of the preview along each axis; either takes it along.
  const around = (n: number, last: number): [number, number] => [
    Math.floor(n / step),
    Math.min(last - 1, Math.ceil(n / step)),
  ];
  const columns = Array.from({ length: ni }, (_, i) => around(i, mi));
  /** Marks what is removed in the rows of the preview about (j, k); whether there is anything. */
  const markRow = (j: number, k: number, row: Uint8Array): boolean => {
    row.fill(0);
    let any = 0;
    for (const c of around(k, mk))
      for (const b of around(j, mj)) {
        const first = mi * (b + mj * c);
        for (let a = 0; a < mi; a++) any |= row[a]! |= removed[first + a]!;
      }
    return any === 1;
  };
  return {
    ...image,
    readSlices: async (k0, k1) => {
      const slab = await image.readSlices(k0, k1);
      const valid = slab.valid?.slice() ?? new Uint8Array(slab.data.length).fill(1);
      const row = new Uint8Array(mi);
      for (let k = k0; k < k1; k++)
        for (let j = 0; j < nj; j++) {
          if (!markRow(j, k, row)) continue;
          const at = ni * (j + nj * (k - k0));
          columns.forEach(([low, high], i) => {
            if (row[low] === 1 || row[high] === 1) slab.data[at + i] = valid[at + i] = 0;
          });
        }
      return { data: slab.data, valid };
    },
  };
}
