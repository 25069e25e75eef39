/** The fields of an NRRD header that place and type its voxels. */
import type { Affine } from '../../volume/volume.js';
import type { CellType } from '../cells.js';
import { decimals, integers } from '../header-text.js';
import type { Part } from '../image-file.js';
import { NrrdError } from './error.js';

export interface NrrdHeader {
  readonly sizes: readonly number[];
  /** Indices of the axes of space. */
  readonly spatial: readonly [number, number, number];
  readonly type: CellType;
  readonly littleEndian: boolean;
  readonly encoding: Part['encoding'];
  /** Voxel to RAS+ mm. */
  readonly affine: Affine;
  /** null where the voxels follow the header. */
  readonly dataFile: string | null;
  /** The names after "data file: LIST". */
  readonly list: readonly string[];
  readonly lineSkip: number;
  readonly byteSkip: number;
}

const TYPES: Readonly<Record<string, CellType>> = Object.fromEntries(
  (
    [
      ['int8', ['signed char', 'int8', 'int8_t']],
      ['uint8', ['uchar', 'unsigned char', 'uint8', 'uint8_t']],
      ['int16', ['short', 'short int', 'signed short', 'signed short int', 'int16', 'int16_t']],
      ['uint16', ['ushort', 'unsigned short', 'unsigned short int', 'uint16', 'uint16_t']],
      ['int32', ['int', 'signed int', 'int32', 'int32_t']],
      ['uint32', ['uint', 'unsigned int', 'uint32', 'uint32_t']],
      [
        'int64',
        [
          'longlong',
          'long long',
          'long long int',
          'signed long long',
          'signed long long int',
          'int64',
          'int64_t',
        ],
      ],
      ['uint64', ['ulonglong', 'unsigned long long', 'unsigned long long int', 'uint64', 'uint64_t']],
      ['float32', ['float']],
      ['float64', ['double']],
    ] as const
  ).flatMap(([type, names]) => names.map((name) => [name, type])),
);

const ENCODINGS: Readonly<Record<string, Part['encoding']>> = {
  raw: 'raw',
  gz: 'deflate',
  gzip: 'deflate',
  txt: 'text',
  text: 'text',
  ascii: 'text',
  hex: 'hex',
};

/** Signs that turn the axes of a space into RAS+. */
const SPACES: Readonly<Record<string, readonly [number, number]>> = {
  'right-anterior-superior': [1, 1],
  ras: [1, 1],
  'left-anterior-superior': [-1, 1],
  las: [-1, 1],
  'left-posterior-superior': [-1, -1],
  lps: [-1, -1],
  'scanner-xyz': [-1, -1],
  '3d-right-handed': [-1, -1],
  '3dr': [-1, -1],
  '': [-1, -1],
};

const MILLIMETRES: Readonly<Record<string, number>> = { mm: 1, cm: 10, m: 1000, um: 0.001 };
/** Kinds of axes along which the values are parts of one vector, colour or tensor. */
const PARTS_OF_ONE =
  /^(complex|2-vector|3-.*|4-.*|quaternion|rgb.*|hsv.*|xyz.*|.*-matrix|.*-masked-.*|covariant-vector|normal)$/i;
const MOST_AXES = 16;

/** @throws NrrdError naming the field that breaks a rule. */
export function parseNrrdHeader(lines: readonly string[], path: string): NrrdHeader {
  const fail = (rule: string): NrrdError => new NrrdError(`read NRRD: ${rule}`);
  if (!/^NRRD000[1-5]$/.test(lines[0] ?? ''))
    throw fail(
      `${path} must start with NRRD0001 to NRRD0005, got ${JSON.stringify((lines[0] ?? '').slice(0, 20))}; it is no NRRD file`,
    );
  const fields = fieldsIn(lines.slice(1));
  const field = (...names: string[]): string | undefined =>
    names.map((name) => fields.get(name)).find((value) => value !== undefined);
  const needed = (name: string): string => {
    const value = field(name);
    if (value === undefined) throw fail(`${path} must have the field "${name}"; the header is damaged`);
    return value;
  };
  const sizes = integers(needed('sizes'));
  const dimension = Number(needed('dimension'));
  if (sizes === null || sizes.length !== dimension || dimension > MOST_AXES || sizes.some((size) => size < 1))
    throw fail(
      `sizes of ${path} must be ${dimension} whole numbers above 0, got "${needed('sizes').slice(0, 60)}"; the header is damaged`,
    );
  const type = TYPES[needed('type').toLowerCase()];
  if (type === undefined)
    throw fail(
      `type of ${path} must be a whole or real number, got "${needed('type').slice(0, 40)}"; convert it`,
    );
  const encoding = ENCODINGS[needed('encoding').toLowerCase()];
  if (encoding === undefined)
    throw fail(
      `encoding of ${path} must be raw, gzip, ascii or hex, got "${needed('encoding').slice(0, 40)}"; convert it`,
    );
  const endian = field('endian')?.toLowerCase();
  const bytesHaveOrder = !/8$/.test(type) && encoding !== 'text';
  if (bytesHaveOrder && endian !== 'little' && endian !== 'big')
    throw fail(`endian of ${path} must be little or big, got "${endian ?? ''}"; correct the header`);

  const spatial = spatialAxes(fields, sizes, fail, path);
  const skip = (name: string, alias: string): number => {
    const text = field(name, alias) ?? '0';
    const value = integers(text)?.[0];
    if (value === undefined || value < -1 || (value < 0 && name === 'line skip'))
      throw fail(`${name} of ${path} must be a whole number, got "${text.slice(0, 40)}"; correct the header`);
    return value;
  };
  return {
    sizes,
    spatial,
    type,
    littleEndian: endian !== 'big',
    encoding,
    affine: affineOf(fields, spatial, dimension, fail, path),
    dataFile: field('data file', 'datafile') ?? null,
    list: [],
    lineSkip: skip('line skip', 'lineskip'),
    byteSkip: skip('byte skip', 'byteskip'),
  };
}

/** Fields ("name: value") by name in lower case; comments and key/value pairs ("key:=value") are left out. */
function fieldsIn(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const match = /^([^#:][^:]*):(?!=)\s*(.*)$/.exec(line);
    if (match !== null) fields.set(match[1]!.trim().toLowerCase(), match[2]!.trim());
  }
  return fields;
}

type Fail = (rule: string) => NrrdError;

function spatialAxes(
  fields: ReadonlyMap<string, string>,
  sizes: readonly number[],
  fail: Fail,
  path: string,
): [number, number, number] {
  const kinds = fields.get('kinds')?.split(/\s+/) ?? [];
  const parts = kinds.find((kind, axis) => PARTS_OF_ONE.test(kind) && sizes[axis] !== 1);
  if (parts !== undefined)
    throw fail(
      `${path} must hold one number a voxel, got an axis of kind "${parts}"; store each component by itself`,
    );
  const directions = directionsOf(fields);
  const isSpatial = sizes.map((_, axis) => {
    if (directions !== null) return directions[axis] !== undefined && directions[axis] !== null;
    return kinds.length === 0 || /^(domain|space|\?\?\?|none)$/i.test(kinds[axis] ?? '???');
  });
  let axes = sizes.flatMap((_, axis) => (isSpatial[axis] ? [axis] : []));
  // Without kinds or directions a fourth axis is time, as everywhere.
  if (directions === null && kinds.length === 0) axes = axes.slice(0, 3);
  if (axes.length !== 3)
    throw fail(`${path} must have 3 axes of space, got ${axes.length}; convert it to a 3D image`);
  const colour = sizes.find(
    (size, axis) =>
      !axes.includes(axis) && /^(vector)$/i.test(kinds[axis] ?? '') && (size === 3 || size === 4),
  );
  if (colour !== undefined && /8$/.test(TYPES[fields.get('type')!.toLowerCase()]!))
    throw fail(`${path} must hold one number a voxel, but holds colours; convert it to grey values`);
  return axes as [number, number, number];
}

/** Vectors of "space directions", null for "none" and for axes of time only; null where there is no such field. */
function directionsOf(fields: ReadonlyMap<string, string>): (number[] | null)[] | null {
  const text = fields.get('space directions');
  if (text === undefined) return null;
  const words = text.match(/none|\([^)]*\)/gi) ?? [];
  return words.map((word) => {
    if (word.toLowerCase() === 'none') return null;
    const vector = vectorOf(word);
    return vector.slice(0, 3).every((value) => value === 0) && vector.length > 3 ? null : vector;
  });
}

/** "(1,0,0)" */
const vectorOf = (text: string): number[] => decimals(text.replace(/[(),]/g, ' '));

function affineOf(
  fields: ReadonlyMap<string, string>,
  spatial: readonly [number, number, number],
  dimension: number,
  fail: Fail,
  path: string,
): Affine {
  const space = (fields.get('space') ?? '').toLowerCase().replace(/-time$|(?<=^(ras|las|lps|3dr))t$/, '');
  const signs = SPACES[space];
  if (signs === undefined)
    throw fail(
      `space of ${path} must say where right, front and top are, got "${space.slice(0, 40)}"; correct the header`,
    );
  const directions = directionsOf(fields);
  const spacings = fields.get('spacings');
  const sizesMm = spacings === undefined ? null : decimals(spacings);
  if (directions === null && sizesMm?.length !== dimension)
    throw fail(`${path} must have space directions, or spacings for ${dimension} axes; correct the header`);
  const vectors = spatial.map((axis, n) => {
    const vector =
      directions === null ? [0, 1, 2].map((m) => (m === n ? sizesMm![axis]! : 0)) : directions[axis]!;
    if (vector.length < 3)
      throw fail(`space directions of ${path} must have 3 components each; correct the header`);
    return vector;
  });
  const origin = fields.has('space origin') ? vectorOf(fields.get('space origin')!) : [0, 0, 0];
  if (origin.length < 3) throw fail(`space origin of ${path} must have 3 components; correct the header`);
  const units = (fields.get('space units') ?? '').match(/"[^"]*"/g)?.map((unit) => unit.slice(1, -1)) ?? [];
  const row = (n: 0 | 1 | 2): [number, number, number, number] => {
    const factor = (n < 2 ? signs[n as 0 | 1] : 1) * (MILLIMETRES[(units[n] ?? 'mm').toLowerCase()] ?? 1);
    return [
      vectors[0]![n]! * factor,
      vectors[1]![n]! * factor,
      vectors[2]![n]! * factor,
      origin[n]! * factor,
    ];
  };
  return [row(0), row(1), row(2), [0, 0, 0, 1]];
}
