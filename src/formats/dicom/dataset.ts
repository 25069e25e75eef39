/** The top-level elements of one data set and typed access to their values (PS3.5 section 6.2). */
import { TextDecoder } from 'node:util';
import { DataSetReader, type Element, type Encoding, PIXEL_DATA, UNDEFINED_LENGTH } from './parse.js';

// Specific Character Set (0008,0005) defined terms (PS3.3 C.12.1.1.2) to the Encoding Standard's labels.
const CHARSETS: Readonly<Record<string, string>> = {
  'ISO_IR 100': 'latin1',
  'ISO_IR 101': 'iso-8859-2',
  'ISO_IR 109': 'iso-8859-3',
  'ISO_IR 110': 'iso-8859-4',
  'ISO_IR 144': 'iso-8859-5',
  'ISO_IR 127': 'iso-8859-6',
  'ISO_IR 126': 'iso-8859-7',
  'ISO_IR 138': 'iso-8859-8',
  'ISO_IR 148': 'iso-8859-9',
  'ISO_IR 203': 'iso-8859-15',
  'ISO_IR 166': 'windows-874',
  'ISO_IR 13': 'shift_jis',
  'ISO_IR 192': 'utf-8',
  GB18030: 'gb18030',
  GBK: 'gbk',
  'ISO 2022 IR 58': 'gb18030',
  'ISO 2022 IR 87': 'iso-2022-jp',
  'ISO 2022 IR 159': 'iso-2022-jp',
  'ISO 2022 IR 13': 'shift_jis',
  'ISO 2022 IR 149': 'euc-kr',
};

const SPECIFIC_CHARACTER_SET = 0x00080005;

export class DataSet {
  private readonly elements = new Map<number, Element>();
  /** Tags of private creators, in the order of the file. */
  private readonly creators: number[] = [];
  private readonly view: DataView;
  private decoder: TextDecoder | null = null;

  constructor(
    readonly bytes: Uint8Array,
    readonly encoding: Encoding,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Keeps the first of elements with the same tag, as PS3.5 allows only one. */
  add(element: Element): void {
    if (!this.elements.has(element.tag)) {
      this.elements.set(element.tag, element);
      if (isCreator(element.tag)) this.creators.push(element.tag);
    }
    if (element.tag === SPECIFIC_CHARACTER_SET) this.decoder = charsetOf(this.text(SPECIFIC_CHARACTER_SET));
  }

  element(tag: number): Element | undefined {
    return this.elements.get(tag);
  }

  has(tag: number): boolean {
    return this.elements.has(tag);
  }

  /** The whole value as text without padding; '' where the element is absent or empty. */
  text(tag: number): string {
    const element = this.elements.get(tag);
    return element === undefined ? '' : this.textOf(element);
  }

  textOf(element: Element): string {
    if (element.length === 0 || element.length === UNDEFINED_LENGTH || element.tag === PIXEL_DATA) return '';
    const raw = this.bytes.subarray(element.offset, element.offset + element.length);
    return trim(decodeText(raw, this.decoder));
  }

  /** Values separated by backslash (PS3.5 section 6.4). */
  texts(tag: number): string[] {
    const text = this.text(tag);
    return text === '' ? [] : text.split('\\').map(trim);
  }

  /** Decimal or integer strings; entries that are no numbers become NaN. */
  decimals(tag: number): number[] {
    return this.texts(tag).map((text) => (text === '' ? NaN : Number(text)));
  }

  decimal(tag: number): number | null {
    const value = this.decimals(tag)[0];
    return value !== undefined && Number.isFinite(value) ? value : null;
  }

  /** A US, SS, UL, SL, FL or FD value, by its VR, else by its length (unsigned); decimal text where it is neither. */
  binary(tag: number): number | null {
    const element = this.elements.get(tag);
    if (element === undefined || element.length < 2 || element.length === UNDEFINED_LENGTH) return null;
    const { vr, offset, length } = element;
    const little = this.encoding.littleEndian;
    if (vr === 'FL') return this.view.getFloat32(offset, little);
    if (vr === 'FD') return this.view.getFloat64(offset, little);
    if (vr === 'SS') return this.view.getInt16(offset, little);
    if (vr === 'SL') return this.view.getInt32(offset, little);
    if (vr === 'IS' || vr === 'DS') return this.decimal(tag);
    return length >= 4 && vr !== 'US'
      ? this.view.getUint32(offset, little)
      : this.view.getUint16(offset, little);
  }

  /** A 16-bit value of an element that is US or SS as Pixel Representation says (PS3.5 annex A.1). */
  int16(tag: number, signed: boolean): number | null {
    const element = this.elements.get(tag);
    if (element === undefined || element.length < 2 || element.length === UNDEFINED_LENGTH) return null;
    const little = this.encoding.littleEndian;
    return signed ? this.view.getInt16(element.offset, little) : this.view.getUint16(element.offset, little);
  }

  /** An FL or FD value, told apart by its length where there is no VR; else as `binary` reads it. */
  float(tag: number): number | null {
    const element = this.elements.get(tag);
    if (element === undefined || (element.vr !== '' && element.vr !== 'UN')) return this.binary(tag);
    const little = this.encoding.littleEndian;
    if (element.length === 4) return this.view.getFloat32(element.offset, little);
    return element.length === 8 ? this.view.getFloat64(element.offset, little) : null;
  }

  /** FD values. */
  doubles(tag: number): number[] {
    const element = this.elements.get(tag);
    if (element === undefined || element.length === UNDEFINED_LENGTH) return [];
    const values: number[] = [];
    for (let at = 0; at + 8 <= element.length; at += 8)
      values.push(this.view.getFloat64(element.offset + at, this.encoding.littleEndian));
    return values;
  }

  /** The items of a sequence (PS3.5 section 7.5), a data set each; none where it is absent. */
  sequence(tag: number): DataSet[] {
    const element = this.elements.get(tag);
    if (element === undefined || element.length === 0) return [];
    const encoding = { ...this.encoding, explicit: this.encoding.explicit && element.vr !== 'UN' };
    return new DataSetReader(this.bytes, this.encoding).items(element).map((elements) => {
      const item = new DataSet(this.bytes, encoding);
      item.decoder = this.decoder;
      for (const inner of elements) item.add(inner);
      return item;
    });
  }

  /** A data set without elements, to ask for what is not there. */
  empty(): DataSet {
    return new DataSet(this.bytes, this.encoding);
  }

  /**
   * The tag of a private element: `group` and the low byte `element` in the block that `creator` reserved
   * (PS3.5 section 7.8.1); 0 where the block is absent.
   */
  privateTag(group: number, creator: string, element: number): number {
    let first = Infinity;
    for (const tag of this.creators)
      if (tag >>> 16 === group && tag < first && this.text(tag) === creator) first = tag;
    return first === Infinity ? 0 : group * 0x10000 + (first & 0xff) * 0x100 + element;
  }

  tags(): IterableIterator<number> {
    return this.elements.keys();
  }
}

/** Whether an element reserves a block of private elements (PS3.5 section 7.8.1). */
const isCreator = (tag: number): boolean =>
  ((tag >>> 16) & 1) === 1 && (tag & 0xffff) >= 0x10 && (tag & 0xffff) <= 0xff;

/** By label; decoding whole values keeps no state. */
const decoders = new Map<string, TextDecoder>();

function charsetOf(term: string): TextDecoder | null {
  const named = term
    .split('\\')
    .map((part) => CHARSETS[part.trim()])
    .find((label) => label !== undefined);
  if (named === undefined || named === 'latin1') return null;
  const decoder = decoders.get(named) ?? new TextDecoder(named);
  decoders.set(named, decoder);
  return decoder;
}

function decodeText(raw: Uint8Array, decoder: TextDecoder | null): string {
  if (decoder !== null) return decoder.decode(raw);
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('latin1');
}

/** Trailing padding is a space or, for UIDs, a zero byte; leading spaces mean nothing in the VRs read here. */
function trim(text: string): string {
  let [start, end] = [0, text.length];
  while (end > start && isPadding(text.charCodeAt(end - 1))) end--;
  while (start < end && isPadding(text.charCodeAt(start))) start++;
  return text.slice(start, end);
}

const isPadding = (code: number): boolean => code === 0 || code === 0x20;
