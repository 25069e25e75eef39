/** Makes a DICOM file (PS3.10 section 7.1) of a data set that came over the network. */
import { newUid } from '../formats/dicom/index.js';

export interface FileMeta {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
}

/** Precess as the writer of a file and as the partner of an association. */
export const IMPLEMENTATION_CLASS_UID = newUid('precess implementation');
export const IMPLEMENTATION_VERSION = 'PRECESS';

/** Preamble, file meta information and data set in one piece; the data set's bytes are copied as they are. */
export function dicomFile(meta: FileMeta, dataSet: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat([
    element(1, 'OB', Buffer.from([0, 1])),
    element(2, 'UI', uid(meta.sopClassUid)),
    element(3, 'UI', uid(meta.sopInstanceUid)),
    element(0x10, 'UI', uid(meta.transferSyntaxUid)),
    element(0x12, 'UI', uid(IMPLEMENTATION_CLASS_UID)),
    element(0x13, 'SH', Buffer.from(IMPLEMENTATION_VERSION.padEnd(8))),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0, 'UL', length), body, ...dataSet]);
}

/** An element of group 0002, in explicit VR little endian (PS3.5 section 7.1.2). */
function element(number: number, vr: string, value: Buffer): Buffer {
  const long = vr === 'OB';
  const head = Buffer.alloc(long ? 12 : 8);
  head.writeUInt16LE(2, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, 'latin1');
  if (long) head.writeUInt32LE(value.length, 8);
  else head.writeUInt16LE(value.length, 6);
  return Buffer.concat([head, value]);
}

/** UIDs are padded to even length with a null (PS3.5 section 9). */
const uid = (text: string): Buffer => Buffer.from(text.length % 2 === 0 ? text : `${text}\0`, 'latin1');
