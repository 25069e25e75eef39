/** How a file starts: preamble, file meta group, encoding of the data set (PS3.10 section 7, PS3.5 annex A). */
import { inflateRawSync } from 'node:zlib';
import { DataSet } from './dataset.js';
import { DicomError } from './error.js';
import { DataSetReader, type Encoding, looksExplicit, NeedMoreBytes } from './parse.js';

const DEFLATED = '1.2.840.10008.1.2.1.99';
const IMPLICIT_LITTLE = '1.2.840.10008.1.2';
const EXPLICIT_LITTLE = '1.2.840.10008.1.2.1';
const EXPLICIT_BIG = '1.2.840.10008.1.2.2';

function ascii(bytes: Uint8Array, at: number, text: string): boolean {
  for (let n = 0; n < text.length; n++) if (bytes[at + n] !== text.charCodeAt(n)) return false;
  return true;
}

/**
 * Whether a file that starts with these bytes (132 are enough) is DICOM, by content: the "DICM" mark after the
 * 128-byte preamble (PS3.10 section 7.1), or a bare data set whose first element is of group 0002 or 0008.
 */
export function isDicom(firstBytes: Uint8Array): boolean {
  if (ascii(firstBytes, 128, 'DICM')) return true;
  return bareEncoding(firstBytes) !== null;
}

/** The encoding of a data set without preamble, judged by its first element; null when it is no such thing. */
function bareEncoding(bytes: Uint8Array): Encoding | null {
  if (bytes.length < 16) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const littleEndian of [true, false]) {
    const group = view.getUint16(0, littleEndian);
    const element = view.getUint16(2, littleEndian);
    if ((group !== 0x0002 && group !== 0x0008) || element > 0x00ff) continue;
    if (looksExplicit(bytes, 0)) {
      const vr = String.fromCharCode(bytes[4]!, bytes[5]!);
      if (/^(UL|OB|UI|CS|SH|DA|TM|PN|LO)$/.test(vr)) return { explicit: true, littleEndian };
    } else if (littleEndian && group === 0x0008) {
      const length = view.getUint32(4, true);
      if (length <= 1024 && length % 2 === 0) return { explicit: false, littleEndian: true };
    }
  }
  return null;
}

export interface Start {
  readonly bytes: Uint8Array;
  readonly offset: number;
  /** Where the data set ends; beyond `bytes` when only its beginning was read. */
  readonly end: number;
  readonly encoding: Encoding;
  readonly transferSyntax: string;
}

/** Reads the file meta group (PS3.10 section 7.1), which is explicit little endian whatever follows it. */
export function startOf(bytes: Uint8Array, size: number, name: string): Start {
  const marked = ascii(bytes, 128, 'DICM');
  const bare = marked ? null : bareEncoding(bytes);
  if (!marked && bare === null)
    throw new DicomError(`read DICOM: ${name} does not start as a DICOM file does; leave it out`);
  const metaStart = marked ? 132 : 0;
  let transferSyntax = '';
  let offset = metaStart;
  const meta = new DataSet(bytes, { explicit: true, littleEndian: true });
  if (marked || bytes[0] === 2) {
    new DataSetReader(bytes, meta.encoding).walk(metaStart, Infinity, (element) => {
      if (element.tag >= 0x00030000) return false;
      meta.add(element);
      offset = element.offset + element.length;
      return true;
    });
    transferSyntax = meta.text(0x00020010);
  }
  if (transferSyntax === DEFLATED) {
    if (bytes.length < size) throw new NeedMoreBytes(size);
    return inflated(bytes.subarray(offset), name);
  }
  if (bytes.length < offset + 8) throw new NeedMoreBytes(offset + 8);
  const littleEndian = bare === null || bytes[0] === 2 ? transferSyntax !== EXPLICIT_BIG : bare.littleEndian;
  const encoding = { explicit: looksExplicit(bytes, offset), littleEndian };
  if (transferSyntax === '') transferSyntax = syntaxOf(encoding);
  return { bytes, offset, end: size, encoding, transferSyntax };
}

/** PS3.5 section A.5: everything after the file meta group is one raw deflate stream. */
function inflated(stream: Uint8Array, name: string): Start {
  try {
    const bytes = inflateRawSync(stream);
    const encoding = { explicit: true, littleEndian: true };
    return { bytes, offset: 0, end: bytes.length, encoding, transferSyntax: DEFLATED };
  } catch (error) {
    throw new DicomError(`read DICOM: the deflated data set of ${name} is damaged; copy the file again`, {
      cause: error,
    });
  }
}

function syntaxOf(encoding: Encoding): string {
  if (!encoding.explicit) return IMPLICIT_LITTLE;
  return encoding.littleEndian ? EXPLICIT_LITTLE : EXPLICIT_BIG;
}
