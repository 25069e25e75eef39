/** Writes NRRD, MetaImage and MGH files, as far as tests need them: little more than a header before the voxels. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync, gzipSync } from 'node:zlib';
import type { Volume, VoxelArray } from '../../src/volume/volume.js';

const NRRD_TYPES = { Int16Array: 'short', Float32Array: 'float' } as const;
const MHA_TYPES = { Int16Array: 'MET_SHORT', Float32Array: 'MET_FLOAT' } as const;
const MGH_TYPES = { Int16Array: 4, Float32Array: 3 } as const;

/**
 * Writes an image of int16 or float32 whose axes are those of RAS+ in the format of the ending, with the voxels beside the
 * header where the format has that; returns the path of the header. MGH is compressed by its name alone.
 */
export async function writeVolumeFile(
  dir: string,
  name: string,
  { data, shape, affine }: Pick<Volume, 'data' | 'shape' | 'affine'>,
  compressed: boolean,
): Promise<string> {
  const path = join(dir, name);
  const type = data.constructor.name as keyof typeof NRRD_TYPES;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const sizes = shape.join(' ');
  const mm = [affine[0][0], affine[1][1], affine[2][2]] as const;
  const [x, y, z] = affine.map((row) => row[3]) as [number, number, number];
  if (/\.mg[hz]$/.test(name)) {
    const mgh = Buffer.concat([mghHeader(shape, mm, [x, y, z], MGH_TYPES[type]), bigEndian(data)]);
    await writeFile(path, name.endsWith('z') ? gzipSync(mgh, { level: 1 }) : mgh);
    return path;
  }
  const beside = /\.(nhdr|mhd)$/.test(name);
  const nrrd = /\.n/.test(name);
  const pack = nrrd ? gzipSync : deflateSync;
  const voxels = compressed ? pack(bytes, { level: 1 }) : bytes;
  const header = nrrd
    ? `NRRD0004\ntype: ${NRRD_TYPES[type]}\ndimension: 3\nspace: RAS\nsizes: ${sizes}\n` +
      `space directions: (${mm[0]},0,0) (0,${mm[1]},0) (0,0,${mm[2]})\nspace origin: (${x},${y},${z})\n` +
      `endian: little\nencoding: ${compressed ? 'gzip' : 'raw'}\n${beside ? 'data file: voxels\n' : '\n'}`
    : `ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = ${compressed ? 'True' : 'False'}\n` +
      `TransformMatrix = ${-Math.sign(mm[0])} 0 0 0 ${-Math.sign(mm[1])} 0 0 0 ${Math.sign(mm[2])}\n` +
      `Offset = ${-x} ${-y} ${z}\nElementSpacing = ${mm.map(Math.abs).join(' ')}\n` +
      `DimSize = ${sizes}\nElementType = ${MHA_TYPES[type]}\nElementDataFile = ${beside ? 'voxels' : 'LOCAL'}\n`;
  await writeFile(path, Buffer.concat([Buffer.from(header), beside ? Buffer.alloc(0) : voxels]));
  if (beside) await writeFile(join(dir, 'voxels'), voxels);
  return path;
}

function mghHeader(
  shape: readonly number[],
  mm: readonly number[],
  origin: readonly number[],
  type: number,
): Buffer {
  const header = Buffer.alloc(284);
  [1, ...shape, 1, type].forEach((value, n) => header.writeInt32BE(value, 4 * n));
  header.writeInt16BE(1, 28);
  const centre = origin.map((first, d) => first + (mm[d]! * shape[d]!) / 2);
  [...mm, 1, 0, 0, 0, 1, 0, 0, 0, 1, ...centre].forEach((value, n) => header.writeFloatBE(value, 30 + 4 * n));
  return header;
}

function bigEndian(data: VoxelArray): Buffer {
  const copy = Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return data.BYTES_PER_ELEMENT === 2 ? copy.swap16() : copy.swap32();
}
