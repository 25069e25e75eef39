/** A small DICOM data set reader (PS3.5 section 7): finds where values are, decodes none, and stops at the pixels. */
import { DicomError } from './error.js';

/** Where an element's value lies in the bytes given to the parser. */
export interface Element {
  /** Group in the high 16 bits, element in the low: 0x00100010. */
  readonly tag: number;
  /** Two letters in explicit VR data sets, '' where the data set does not say (implicit VR). */
  readonly vr: string;
  readonly offset: number;
  /** Bytes; UNDEFINED_LENGTH for sequences and encapsulated pixels that end at a delimiter. */
  readonly length: number;
}

export interface Encoding {
  readonly explicit: boolean;
  readonly littleEndian: boolean;
}

export const UNDEFINED_LENGTH = 0xffffffff;
export const PIXEL_DATA = 0x7fe00010;
export const FLOAT_PIXEL_DATA = 0x7fe00008;
export const DOUBLE_PIXEL_DATA = 0x7fe00009;

const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
const MAX_DEPTH = 64;

/** The parser ran past the bytes that it was given; `needed` is how many (from the start) it wants at least. */
export class NeedMoreBytes extends Error {
  constructor(readonly needed: number) {
    super(`internal: the DICOM parser needs ${needed} bytes`);
  }
}

// VRs with two reserved bytes and a 32-bit length (PS3.5 section 7.1.2).
const LONG_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

const isLetter = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x41 && byte <= 0x5a;

/** Walks the elements of one data set in file order. */
export class DataSetReader {
  private readonly view: DataView;

  constructor(
    readonly bytes: Uint8Array,
    private readonly encoding: Encoding,
    /** Also look into values of unknown VR that start as a sequence does: implicit VR does not name sequences. */
    private readonly guessSequences = false,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Calls `visit` for every element from `offset` on, at depth 0 for the data set itself and deeper inside
   * sequences; `visit` returns false to stop. Reading past the given bytes, or a value that passes `end`, throws
   * NeedMoreBytes.
   */
  walk(offset: number, end: number, visit: (element: Element, depth: number) => boolean): void {
    const last = this.walkItems(offset, end, 0, this.encoding.explicit, visit);
    if (last > end) throw new NeedMoreBytes(last);
  }

  /** The elements of every item of `sequence`, those of nested sequences left out. */
  items(sequence: Element): Element[][] {
    const items: Element[][] = [];
    const visit = (element: Element, depth: number): boolean => {
      if (depth === 1) items[items.length - 1]!.push(element);
      return true;
    };
    this.walkSequence(sequence, 0, this.encoding.explicit, visit, () => items.push([]));
    return items;
  }

  /** Returns the offset after the last element read, or -1 when `visit` stopped the walk. */
  private walkItems(
    start: number,
    end: number,
    depth: number,
    explicit: boolean,
    visit: (element: Element, depth: number) => boolean,
  ): number {
    if (depth > MAX_DEPTH)
      throw new DicomError(`read DICOM: sequences nest deeper than ${MAX_DEPTH}; the file is damaged`);
    let at = start;
    while (at < end) {
      const tag = this.tag(at);
      if (tag === ITEM_END || tag === SEQUENCE_END) return at + 8;
      const element = this.element(at, tag, explicit);
      if (!visit(element, depth)) return -1;
      if (tag === PIXEL_DATA && element.length === UNDEFINED_LENGTH) at = this.skipFragments(element.offset);
      else if (element.vr === 'SQ' || element.length === UNDEFINED_LENGTH || this.isGuessed(element)) {
        at = this.walkSequence(element, depth, explicit, visit);
        if (at < 0) return -1;
      } else at = element.offset + element.length;
    }
    return at;
  }

  private walkSequence(
    sequence: Element,
    depth: number,
    explicit: boolean,
    visit: (element: Element, depth: number) => boolean,
    onItem?: () => void,
  ): number {
    const undefinedLength = sequence.length === UNDEFINED_LENGTH;
    const end = undefinedLength ? Infinity : sequence.offset + sequence.length;
    // PS3.5 section 6.2.2: a UN of undefined length is a sequence written in implicit VR.
    const nested = explicit && sequence.vr !== 'UN';
    let at = sequence.offset;
    while (at < end) {
      const tag = this.tag(at);
      const length = this.u32(at + 4);
      if (tag === SEQUENCE_END) return at + 8;
      if (tag !== ITEM) {
        if (undefinedLength)
          throw new DicomError(
            `read DICOM: a sequence holds ${hex(tag)} instead of an item; the file is damaged`,
          );
        return end;
      }
      onItem?.();
      const itemEnd = length === UNDEFINED_LENGTH ? end : at + 8 + length;
      at = this.walkItems(at + 8, itemEnd, depth + 1, nested, visit);
      if (at < 0) return -1;
    }
    return at;
  }

  private isGuessed({ vr, offset, length }: Element): boolean {
    if (!this.guessSequences || (vr !== '' && vr !== 'UN') || length < 8) return false;
    if (offset + length > this.bytes.length || this.tag(offset) !== ITEM) return false;
    const itemLength = this.u32(offset + 4);
    return itemLength === UNDEFINED_LENGTH || itemLength + 8 <= length;
  }

  /** Encapsulated pixel data: fragments until the delimiter (PS3.5 section A.4). */
  private skipFragments(start: number): number {
    let at = start;
    for (;;) {
      const tag = this.tag(at);
      if (tag === SEQUENCE_END) return at + 8;
      if (tag !== ITEM)
        throw new DicomError(`read DICOM: pixel fragments hold ${hex(tag)}; the file is damaged`);
      at += 8 + this.u32(at + 4);
    }
  }

  private element(at: number, tag: number, explicit: boolean): Element {
    if (!explicit) return { tag, vr: '', offset: at + 8, length: this.u32(at + 4) };
    this.need(at + 8);
    const a = this.bytes[at + 4];
    const b = this.bytes[at + 5];
    // A VR of two zero bytes is written by broken anonymisers; its length field is read as a short one.
    const vr = isLetter(a) && isLetter(b) ? String.fromCharCode(a!, b!) : '';
    if (LONG_VRS.has(vr)) return { tag, vr, offset: at + 12, length: this.u32(at + 8) };
    return { tag, vr, offset: at + 8, length: this.u16(at + 6) };
  }

  private need(end: number): void {
    if (end > this.bytes.length) throw new NeedMoreBytes(end);
  }

  private u16(at: number): number {
    this.need(at + 2);
    return this.view.getUint16(at, this.encoding.littleEndian);
  }

  private u32(at: number): number {
    this.need(at + 4);
    return this.view.getUint32(at, this.encoding.littleEndian);
  }

  private tag(at: number): number {
    this.need(at + 4);
    const little = this.encoding.littleEndian;
    return this.view.getUint16(at, little) * 0x10000 + this.view.getUint16(at + 2, little);
  }
}

/** "(0010,0020)" */
export function hex(tag: number): string {
  const digits = tag.toString(16).padStart(8, '0');
  return `(${digits.slice(0, 4)},${digits.slice(4)})`;
}

/**
 * Whether a data set that starts at `offset` has explicit VRs: two capital letters where a VR would be. Files that
 * declare one and hold the other exist, so the bytes are believed rather than the declaration.
 */
export function looksExplicit(bytes: Uint8Array, offset: number): boolean {
  return isLetter(bytes[offset + 4]) && isLetter(bytes[offset + 5]);
}

/**
 * The fragments of encapsulated pixel data whose first item starts at `offset` (PS3.5 section A.4); the first is
 * the Basic Offset Table. Items are little endian in every encapsulated transfer syntax.
 */
export function fragmentsAt(bytes: Uint8Array, offset: number): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fragments: Uint8Array[] = [];
  let at = offset;
  while (at + 8 <= bytes.length) {
    const tag = view.getUint16(at, true) * 0x10000 + view.getUint16(at + 2, true);
    const length = view.getUint32(at + 4, true);
    if (tag !== ITEM) return fragments;
    if (at + 8 + length > bytes.length) throw new DicomError('the last fragment ends before its length');
    fragments.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  throw new DicomError('the fragments have no end');
}

/**
 * The fragments of frame `frame` of `count`, joined (PS3.5 section A.4): all of them in a single-frame image, else
 * those between two entries of the Basic Offset Table, else the one with the frame's number. `fragments` are those
 * of fragmentsAt, the table first.
 */
export function frameOfFragments(fragments: readonly Uint8Array[], frame: number, count: number): Uint8Array {
  const [table, ...rest] = fragments;
  if (table === undefined || rest.length === 0) throw new Error('there are no fragments');
  if (count === 1) return joined(rest);
  if (rest.length === count) return rest[frame]!;
  if (table.length !== 4 * count)
    throw new Error(`there are ${rest.length} fragments for ${count} frames and no offset table`);
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  // Offsets count from the first byte of the first item after the table, to the items' first bytes.
  const start = view.getUint32(4 * frame, true);
  const end = frame + 1 < count ? view.getUint32(4 * frame + 4, true) : Infinity;
  const first = rest[0]!.byteOffset;
  const own = rest.filter((one) => one.byteOffset - first >= start && one.byteOffset - first < end);
  if (own.length === 0) throw new Error(`the offset table has no fragments for frame ${frame + 1}`);
  return joined(own);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
