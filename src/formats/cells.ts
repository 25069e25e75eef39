/** Numbers as files store them, turned into voxels. */
import type { VoxelArray } from '../volume/volume.js';

const ARRAYS = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
} as const;

export type CellType = keyof typeof ARRAYS;

/** Bytes of one cell. */
export const cellBytes = (type: CellType): number => ARRAYS[type].BYTES_PER_ELEMENT;

/**
 * The cells in `bytes`, which start at the start of their buffer and are turned in place where they are big endian.
 * 64-bit integers become float64.
 *
 * @throws what `tooLarge` makes of a 64-bit integer beyond ±2^53, where float64 has no room for it.
 */
export function cellsOf(
  bytes: Uint8Array<ArrayBuffer>,
  type: CellType,
  littleEndian: boolean,
  tooLarge: (value: bigint) => Error,
): VoxelArray {
  const size = cellBytes(type);
  // Typed arrays are little endian wherever Node and browsers run.
  if (!littleEndian) reverseCells(bytes, size);
  const cells = new ARRAYS[type](bytes.buffer, bytes.byteOffset, bytes.length / size);
  if (!(cells instanceof BigInt64Array || cells instanceof BigUint64Array)) return cells;
  const out = new Float64Array(cells.length);
  for (let n = 0; n < cells.length; n++) {
    const value = Number(cells[n]);
    if (!Number.isSafeInteger(value)) throw tooLarge(cells[n]!);
    out[n] = value;
  }
  return out;
}

/** Reverses every cell of `size` bytes in place. */
function reverseCells(bytes: Uint8Array, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size === 2) buffer.swap16();
  else if (size === 4) buffer.swap32();
  else if (size === 8) buffer.swap64();
}

/** Zeroes what is not finite and returns the mask of the rest; null when everything is finite. */
export function clearNonFinite(data: VoxelArray): Uint8Array | null {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return null;
  let valid: Uint8Array | null = null;
  for (let n = 0; n < data.length; n++) {
    if (Number.isFinite(data[n])) continue;
    valid ??= new Uint8Array(data.length).fill(1);
    valid[n] = 0;
    data[n] = 0;
  }
  return valid;
}
