/**
 * MetaImage (ITK's documentation of "MetaIO"): .mha, and .mhd with the voxels in files beside it. Positions are in
 * LPS+ mm.
 */
import type { Affine } from '../../volume/volume.js';
import { openBytes } from '../bytes.js';
import { cellBytes, type CellType } from '../cells.js';
import { besideHeader, numberedNames } from '../data-files.js';
import { decimals, headerLines, integers } from '../header-text.js';
import { imageFile, type ImageFile, type Part } from '../image-file.js';
import { MhaError } from './error.js';

export { MhaError } from './error.js';

const fail = (rule: string, cause?: unknown): MhaError => new MhaError(`read MetaImage: ${rule}`, { cause });

const TYPES: Readonly<Record<string, CellType>> = {
  MET_CHAR: 'int8',
  MET_UCHAR: 'uint8',
  MET_SHORT: 'int16',
  MET_USHORT: 'uint16',
  MET_INT: 'int32',
  MET_UINT: 'uint32',
  MET_LONG_LONG: 'int64',
  MET_ULONG_LONG: 'uint64',
  MET_FLOAT: 'float32',
  MET_DOUBLE: 'float64',
};
const MOST_AXES = 10;
const isData = (line: string): boolean => /^ElementDataFile\s*=/.test(line);

/**
 * Opens the image at `path`, as openBytes takes it. A fourth axis counts frames.
 *
 * @throws MhaError when the header breaks a rule, the image is no 3D image of real numbers, or voxels are missing.
 */
export async function openMha(path: string): Promise<ImageFile> {
  const source = await openBytes(path);
  try {
    const read = await headerLines(source, isData);
    if (read === null || !read.ended)
      throw fail(`${path} must have a header that ends with ElementDataFile; it is damaged or no MetaImage`);
    const fields = new Map<string, string>();
    for (const line of read.lines) {
      // Not ".*": a damaged line may hold carriage returns and other ends of lines.
      const match = /^(\w+)\s*=([^]*)$/.exec(line);
      if (match !== null) fields.set(match[1]!, match[2]!.trim());
    }
    const header = new Header(fields, path);
    const list = header.text('ElementDataFile')?.startsWith('LIST')
      ? Buffer.from(await source.read(read.bytes, 4 << 20))
          .toString('utf8')
          .split(/\r?\n/)
          .filter(Boolean)
      : [];
    return await open(header, read.bytes, list, path);
  } finally {
    await source.close();
  }
}

class Header {
  constructor(
    private readonly fields: ReadonlyMap<string, string>,
    private readonly path: string,
  ) {}

  /** The first of these fields that there is. */
  text(...names: string[]): string | undefined {
    return names.map((name) => this.fields.get(name)).find((value) => value !== undefined);
  }

  isTrue(...names: string[]): boolean {
    return /^(true|1|t|y)/i.test(this.text(...names) ?? '');
  }

  /** `count` numbers, or the default. */
  numbers(count: number, usual: readonly number[] | null, ...names: string[]): readonly number[] {
    const text = this.text(...names);
    if (text === undefined && usual !== null) return usual;
    const values = text === undefined ? [] : decimals(text);
    if (values.length !== count || values.some(Number.isNaN))
      throw fail(
        `${names[0]!} of ${this.path} must be ${count} numbers, got "${(text ?? '').slice(0, 60)}"; correct the header`,
      );
    return values;
  }
}

async function open(
  header: Header,
  headerBytes: number,
  list: readonly string[],
  path: string,
): Promise<ImageFile> {
  const axes = Number(header.text('NDims'));
  const dims = integers(header.text('DimSize') ?? '') ?? [];
  if (!(axes >= 1 && axes <= MOST_AXES) || dims.length !== axes || dims.some((size) => size < 1))
    throw fail(
      `DimSize of ${path} must be NDims whole numbers above 0, got "${(header.text('DimSize') ?? '').slice(0, 60)}" for ` +
        `NDims ${(header.text('NDims') ?? '').slice(0, 20)}; the header is damaged`,
    );
  if (axes < 3) throw fail(`NDims of ${path} must be at least 3, got ${axes}; convert it to a 3D image`);
  const typeName = header.text('ElementType') ?? '';
  const type = TYPES[typeName];
  if (type === undefined)
    throw fail(
      `ElementType of ${path} must be a number of at most 64 bits, got "${typeName.slice(0, 40)}"; convert it`,
    );
  const channels = Number(header.text('ElementNumberOfChannels') ?? 1);
  if (channels !== 1)
    throw fail(`${path} must hold one number a voxel, got ${channels}; store each channel by itself`);
  if (/^(false|0)/i.test(header.text('BinaryData') ?? 'True') && header.text('BinaryData') !== undefined)
    return build('text');
  return build(header.isTrue('CompressedData') ? 'deflate' : 'raw');

  async function build(encoding: Part['encoding']): Promise<ImageFile> {
    const total = dims.reduce((product, size) => product * size, 1);
    const field = header.text('ElementDataFile')!;
    const local = /^LOCAL$/i.test(field);
    const files = local ? [path] : dataFiles(field, list, path);
    if (total % files.length !== 0)
      throw fail(
        `the ${files.length} data files of ${path} must share ${total} voxels evenly; the header is damaged`,
      );
    const skip = local ? headerBytes : Number(header.text('HeaderSize') ?? 0);
    if (!Number.isSafeInteger(skip) || skip < -1)
      throw fail(`HeaderSize of ${path} must be a whole number, got ${skip}; correct the header`);
    const count = total / files.length;
    if (!Number.isSafeInteger(count * cellBytes(type!)))
      throw fail(`${path} is too large; the header is damaged`);
    return imageFile({
      path,
      paths: local ? [path] : [path, ...files],
      affine: affineOf(header, axes, path),
      type: type!,
      littleEndian: !header.isTrue('BinaryDataByteOrderMSB', 'ElementByteOrderMSB'),
      sizes: dims,
      spatial: [0, 1, 2],
      // HeaderSize -1: the voxels end where the file does.
      parts: files.map((file) => ({ path: file, encoding, start: skip < 0 ? null : skip, skip: 0, count })),
      fail,
    });
  }
}

function affineOf(header: Header, axes: number, path: string): Affine {
  const identity = Array.from({ length: axes * axes }, (_, n) => (n % (axes + 1) === 0 ? 1 : 0));
  const matrix = header.numbers(axes * axes, identity, 'TransformMatrix', 'Rotation', 'Orientation');
  const origin = header.numbers(axes, new Array<number>(axes).fill(0), 'Offset', 'Position', 'Origin');
  const spacing = header.numbers(axes, new Array<number>(axes).fill(1), 'ElementSpacing', 'ElementSize');
  if (spacing.some((mm) => mm < 0))
    throw fail(`ElementSpacing of ${path} must be above 0; correct the header`);
  // Of the matrix each run of NDims numbers is the direction of one axis. LPS+ to RAS+ turns x and y around.
  const row = (n: 0 | 1 | 2): [number, number, number, number] => {
    const sign = n < 2 ? -1 : 1;
    const at = (axis: number): number => sign * matrix[axis * axes + n]! * spacing[axis]!;
    return [at(0), at(1), at(2), sign * origin[n]!];
  };
  return [row(0), row(1), row(2), [0, 0, 0, 1]];
}

/** "FILE", "PATTERN MIN MAX STEP" or "LIST" with a name a line. */
function dataFiles(field: string, list: readonly string[], path: string): string[] {
  const numbered = /^(.*?%\d*d\S*)\s+(-?\d+)\s+(-?\d+)(?:\s+(-?\d+))?$/.exec(field);
  const names = field.startsWith('LIST')
    ? list
    : numbered !== null
      ? numberedNames(numbered[1]!, Number(numbered[2]), Number(numbered[3]), Number(numbered[4] ?? 1))
      : [field];
  if (names === null || names.length === 0)
    throw fail(
      `ElementDataFile of ${path} must name files, got ${JSON.stringify(field.slice(0, 60))}; correct the header`,
    );
  return names.map((name) => {
    const file = besideHeader(path, name);
    if (file === null)
      throw fail(
        `ElementDataFile of ${path} must be in the header's folder, got ${JSON.stringify(name)}; move it there`,
      );
    return file;
  });
}
