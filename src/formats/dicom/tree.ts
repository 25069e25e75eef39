/** A whole DICOM file as a tree of elements that can be changed, and back to bytes (PS3.5 section 7, PS3.10 section 7). */
import { DataSet } from './dataset.js';
import { vrOf } from './dictionary.js';
import { DicomError } from './error.js';
import {
  DataSetReader,
  type Element,
  type Encoding,
  fragmentsAt,
  NeedMoreBytes,
  PIXEL_DATA,
  UNDEFINED_LENGTH,
} from './parse.js';
import { startOf } from './start.js';
import { IMPLEMENTATION } from './uid.js';

/** An element: a value in little endian bytes, or the items of a sequence, or the fragments of encapsulated pixels. */
export interface DicomNode {
  readonly tag: number;
  readonly vr: string;
  readonly value?: Uint8Array;
  readonly items?: readonly (readonly DicomNode[])[];
  readonly fragments?: readonly Uint8Array[];
}

export interface DicomTree {
  readonly transferSyntax: string;
  readonly nodes: readonly DicomNode[];
  /** Decodes the text of an element of this tree by the file's Specific Character Set. */
  readonly text: (node: DicomNode) => string;
}

const EXPLICIT_LITTLE = '1.2.840.10008.1.2.1';
const CHARSET = 0x00080005;
const NATIVE = /^1\.2\.840\.10008\.1\.2(\.1(\.99)?|\.2)?$/;
// Bytes in a number, by VR: big endian files are turned.
const WIDTH: Readonly<Record<string, number>> = {
  AT: 2,
  FD: 8,
  FL: 4,
  OD: 8,
  OF: 4,
  OL: 4,
  OV: 8,
  OW: 2,
  SL: 4,
  SS: 2,
  SV: 8,
  UL: 4,
  US: 2,
  UV: 8,
};
const TEXT_VRS = new Set([
  'AE',
  'AS',
  'CS',
  'DA',
  'DS',
  'DT',
  'IS',
  'LO',
  'LT',
  'PN',
  'SH',
  'ST',
  'TM',
  'UC',
  'UI',
  'UR',
  'UT',
]);
export const isText = (vr: string): boolean => TEXT_VRS.has(vr);

/**
 * Reads every element of the file in `bytes`, group lengths and trailing padding left out. Elements without a VR get
 * the standard's, private ones UN.
 *
 * @throws DicomError when the file is no DICOM, is damaged or ends early.
 */
export function readTree(bytes: Uint8Array, name: string): DicomTree {
  try {
    const start = startOf(bytes, bytes.length, name);
    const elements: Element[] = [];
    const dataSet = new DataSet(start.bytes, start.encoding);
    new DataSetReader(start.bytes, start.encoding).walk(start.offset, start.end, (element, depth) => {
      if (depth === 0) elements.push(element);
      if (depth === 0 && element.tag === CHARSET) dataSet.add(element);
      return true;
    });
    const text = ({ tag, vr, value }: DicomNode): string => {
      if (value === undefined) return '';
      const offset = value.byteOffset - start.bytes.byteOffset;
      return dataSet.textOf({ tag, vr, offset, length: value.length });
    };
    return {
      transferSyntax: NATIVE.test(start.transferSyntax) ? EXPLICIT_LITTLE : start.transferSyntax,
      nodes: nodesOf(start.bytes, start.encoding, elements, 0),
      text,
    };
  } catch (error) {
    if (!(error instanceof NeedMoreBytes || error instanceof RangeError)) throw error;
    throw new DicomError(`read DICOM: ${name} ends early; copy the file again from its source`, {
      cause: error,
    });
  }
}

const MOST_NESTED = 32;

function nodesOf(
  bytes: Uint8Array,
  encoding: Encoding,
  elements: readonly Element[],
  depth: number,
): DicomNode[] {
  if (depth > MOST_NESTED)
    throw new DicomError(`read DICOM: sequences nest deeper than ${MOST_NESTED}; the file is damaged`);
  return elements
    .filter(({ tag }) => (tag & 0xffff) !== 0 && tag !== 0xfffcfffc)
    .map((element): DicomNode => {
      const { tag, offset, length } = element;
      const vr = element.vr === '' || element.vr === 'UN' ? (vrOf(tag) ?? 'UN') : element.vr;
      if (tag === PIXEL_DATA && length === UNDEFINED_LENGTH)
        return { tag, vr: 'OB', fragments: fragmentsAt(bytes, offset) };
      if (vr === 'SQ' || length === UNDEFINED_LENGTH) {
        const inner = { ...encoding, explicit: encoding.explicit && element.vr !== 'UN' };
        const items = length === 0 ? [] : new DataSetReader(bytes, encoding).items(element);
        return { tag, vr: 'SQ', items: items.map((item) => nodesOf(bytes, inner, item, depth + 1)) };
      }
      if (offset + length > bytes.length) throw new NeedMoreBytes(offset + length);
      const value = bytes.subarray(offset, offset + length);
      return { tag, vr, value: encoding.littleEndian ? value : swapped(value, WIDTH[vr] ?? 1) };
    });
}

function swapped(value: Uint8Array, width: number): Uint8Array {
  if (width === 1) return value;
  const out = new Uint8Array(value.length);
  for (let at = 0; at < value.length; at++)
    out[at] = value[at - (at % width) + width - 1 - (at % width)] ?? 0;
  return out;
}

/** Text as an element's value, in UTF-8. */
export function textNode(tag: number, vr: string, text: string): DicomNode {
  return { tag, vr, value: Buffer.from(text, 'utf8') };
}

/**
 * A file with a new file meta group (PS3.10 section 7.1), an empty preamble, and `nodes` in explicit VR little endian in
 * the order of their tags.
 */
export function encodeTree(transferSyntax: string, nodes: readonly DicomNode[]): Uint8Array {
  const find = (tag: number): Uint8Array => nodes.find((one) => one.tag === tag)?.value ?? Buffer.alloc(0);
  const meta = encodeNodes([
    { tag: 0x00020001, vr: 'OB', value: Uint8Array.of(0, 1) },
    { tag: 0x00020002, vr: 'UI', value: find(0x00080016) },
    { tag: 0x00020003, vr: 'UI', value: find(0x00080018) },
    textNode(0x00020010, 'UI', transferSyntax),
    textNode(0x00020012, 'UI', IMPLEMENTATION),
    textNode(0x00020013, 'SH', 'PRECESS'),
  ]);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(meta.length);
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM', 'latin1'),
    encodeNodes([{ tag: 0x00020000, vr: 'UL', value: groupLength }]),
    meta,
    encodeNodes(nodes),
  ]);
}

function encodeNodes(nodes: readonly DicomNode[]): Buffer {
  const sorted = [...nodes].sort((a, b) => a.tag - b.tag);
  return Buffer.concat(sorted.flatMap(encodeNode));
}

const LONG_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

/** An element in explicit VR little endian (PS3.5 section 7.1.2), sequences with their lengths. */
export function encodeNode({ tag, vr, value, items, fragments }: DicomNode): Buffer[] {
  if (items !== undefined) {
    const body = items.flatMap((item) => {
      const inside = encodeNodes(item);
      return [itemHeader(inside.length), inside];
    });
    const whole = Buffer.concat(body);
    return [header(tag, 'SQ', whole.length), whole];
  }
  if (fragments !== undefined)
    return [
      header(tag, 'OB', UNDEFINED_LENGTH),
      ...fragments.flatMap((one) => [itemHeader(one.length + (one.length % 2)), ...padded(one, 0)]),
      Buffer.from([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]),
    ];
  const bytes = value ?? Buffer.alloc(0);
  const size = bytes.length + (bytes.length % 2);
  // PS3.5 section 6.2.2: a value too long for its VR's length field is written as UN.
  const written = LONG_VRS.has(vr) || size <= 0xfffe ? vr : 'UN';
  return [header(tag, written, size), ...padded(bytes, isText(vr) && vr !== 'UI' ? 0x20 : 0)];
}

function padded(bytes: Uint8Array, pad: number): Buffer[] {
  const own = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length % 2 === 0 ? [own] : [own, Buffer.from([pad])];
}

function header(tag: number, vr: string, length: number): Buffer {
  const long = LONG_VRS.has(vr);
  const out = Buffer.alloc(long ? 12 : 8);
  out.writeUInt16LE(tag >>> 16, 0);
  out.writeUInt16LE(tag & 0xffff, 2);
  out.write(vr, 4, 'latin1');
  if (long) out.writeUInt32LE(length, 8);
  else out.writeUInt16LE(length, 6);
  return out;
}

function itemHeader(length: number): Buffer {
  const out = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
  out.writeUInt32LE(length, 4);
  return out;
}
