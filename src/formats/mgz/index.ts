/** FreeSurfer's MGH images (.mgh; .mgz when gzipped), as its wiki page "FsTutorial/MghFormat" describes them. */
import { createGunzip } from 'node:zlib';
import type { Affine, Vec3 } from '../../volume/volume.js';
import { openBytes } from '../bytes.js';
import { cellBytes, type CellType } from '../cells.js';
import { ForwardReader } from '../forward.js';
import { imageFile, type ImageFile, type ScanParameters } from '../image-file.js';
import { MgzError } from './error.js';

export { MgzError } from './error.js';

/** Where the voxels start: the header has 90 bytes of fields and is filled up. */
const HEADER = 284;
const TYPES: Readonly<Record<number, CellType>> = {
  0: 'uint8',
  1: 'int32',
  3: 'float32',
  4: 'int16',
  10: 'uint16',
};

const fail = (rule: string, cause?: unknown): MgzError => new MgzError(`read MGH: ${rule}`, { cause });

export interface MgzImage extends ImageFile {
  /** Scan parameters after the voxels, in ms and degrees; null where they are 0 or not there. */
  readonly parameters: ScanParameters;
}

/**
 * Opens the image at `path`, as openBytes takes it, gzipped or not.
 *
 * @throws MgzError when it is none, is cut off, or its header breaks a rule.
 */
export async function openMgz(path: string): Promise<MgzImage> {
  const source = await openBytes(path);
  try {
    const first = await source.read(0, 2);
    const gzipped = first[0] === 0x1f && first[1] === 0x8b;
    const damaged = (cause: unknown): Error =>
      fail(`the compressed data of ${path} is damaged or cut off; copy it again`, cause);
    const reader = gzipped
      ? new ForwardReader(source, 0, source.size, () => createGunzip(), damaged)
      : source;
    try {
      const header = Buffer.alloc(HEADER);
      if ((await reader.readInto(0, header)) < HEADER)
        throw fail(`${path} must have a header of ${HEADER} bytes, but ends in it; copy it again`);
      const { sizes, type, affine } = headerOf(header, path);
      const count = sizes.reduce((product, size) => product * size, 1);
      const image = await imageFile({
        path,
        paths: [path],
        affine,
        type,
        littleEndian: false,
        sizes,
        spatial: [0, 1, 2],
        parts: [
          gzipped
            ? { path, encoding: 'deflate', start: 0, skip: HEADER, count }
            : { path, encoding: 'raw', start: HEADER, skip: 0, count },
        ],
        fail,
      });
      const after = Buffer.alloc(16);
      const there = await reader.readInto(HEADER + count * cellBytes(type), after);
      return { ...image, parameters: parametersOf(after.subarray(0, there)) };
    } finally {
      if (gzipped) await reader.close();
    }
  } finally {
    await source.close();
  }
}

function headerOf(header: Buffer, path: string): { sizes: number[]; type: CellType; affine: Affine } {
  const version = header.readInt32BE(0);
  // Newer writers keep the meaning of the values in the upper bytes.
  if ((version & 0xff) !== 1 || version >>> 16 !== 0)
    throw fail(`version of ${path} must be 1, got ${version}; it is no MGH image`);
  const sizes = [0, 1, 2, 3].map((n) => header.readInt32BE(4 + 4 * n));
  if (sizes.some((size) => size < 1))
    throw fail(`sizes of ${path} must be at least 1, got ${sizes.join('×')}; the header is damaged`);
  const code = header.readInt32BE(20);
  const type = TYPES[code];
  if (type === undefined)
    throw fail(`type of ${path} must be 0, 1, 3, 4 or 10, got ${code}; convert it, for instance to float`);
  // Without goodRASflag the fields are undefined and the image is coronal with voxels of 1 mm.
  const good = header.readInt16BE(28) > 0;
  const floats = Array.from({ length: 15 }, (_, n) => header.readFloatBE(30 + 4 * n));
  const fields = good ? floats : [1, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0];
  const [delta, cosines, centre] = [fields.slice(0, 3), fields.slice(3, 12), fields.slice(12)];
  const column = (axis: number): Vec3 => {
    const step = delta[axis]!;
    return [cosines[3 * axis]! * step, cosines[3 * axis + 1]! * step, cosines[3 * axis + 2]! * step];
  };
  const [i, j, k] = [column(0), column(1), column(2)];
  // The header gives the position of the voxel at half of every size.
  const row = (n: 0 | 1 | 2): [number, number, number, number] => [
    i[n],
    j[n],
    k[n],
    centre[n]! - (i[n] * sizes[0]! + j[n] * sizes[1]! + k[n] * sizes[2]!) / 2,
  ];
  return { sizes, type, affine: [row(0), row(1), row(2), [0, 0, 0, 1]] };
}

/** TR in ms, flip angle in radians, TE and TI in ms. */
function parametersOf(bytes: Buffer): ScanParameters {
  const value = (n: number, factor = 1): number | null => {
    if (bytes.length < 4 * n + 4) return null;
    const number = bytes.readFloatBE(4 * n) * factor;
    return Number.isFinite(number) && number > 0 ? number : null;
  };
  return {
    repetitionTime: value(0),
    flipAngle: value(1, 180 / Math.PI),
    echoTime: value(2),
    inversionTime: value(3),
  };
}
