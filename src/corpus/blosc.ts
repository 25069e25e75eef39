/**
 * The chunks of an image in Blosc containers (c-blosc 1, README_CHUNK_FORMAT.rst): shuffled by bytes and compressed as
 * one block by Zstandard. A native library does it in a third of the time of the codec that zarrita brings, which copies
 * each chunk into WebAssembly and out of it; that one reads what others wrote, and does all where there is no native one.
 */
import type * as Zstd from '@toondepauw/node-zstd';
import { CorpusError } from './error.js';

const HEADER = 16;
/** The header, where the one block starts, and how long it is. */
const DATA = HEADER + 8;
const VERSION = 2;
const FORMAT = 1;
const SHUFFLED = 0x01;
const STORED = 0x02;
const UNSPLIT = 0x10;
const ZSTD = 4 << 5;
const LEVEL = 1;

interface Native {
  readonly encoder: Zstd.Encoder;
  readonly decoder: Zstd.Decoder;
}

let native: Promise<Native | null> | null = null;

/** null where the package has nothing for this platform. */
export function loadNative(): Promise<Native | null> {
  native ??= import('@toondepauw/node-zstd').then(
    ({ default: zstd }) => ({ encoder: new zstd.Encoder(LEVEL), decoder: new zstd.Decoder() }),
    () => null,
  );
  return native;
}

/** The container of cells of `size` bytes; what does not get smaller is stored as it is. */
export function pack(bytes: Uint8Array, size: number, { encoder }: Native): Uint8Array {
  const shuffled = size > 1 ? shuffle(bytes, size) : bytes;
  const packed = encoder.encodeSync(bufferOf(shuffled));
  const isSmaller = packed.length + DATA < bytes.length + HEADER;
  const out = new Uint8Array(isSmaller ? DATA + packed.length : HEADER + bytes.length);
  const view = new DataView(out.buffer);
  out.set([VERSION, FORMAT, (size > 1 ? SHUFFLED : 0) | UNSPLIT | ZSTD | (isSmaller ? 0 : STORED), size]);
  view.setUint32(4, bytes.length, true);
  view.setUint32(8, bytes.length, true);
  view.setUint32(12, out.length, true);
  if (!isSmaller) {
    out.set(bytes, HEADER);
    return out;
  }
  view.setUint32(HEADER, HEADER + 4, true);
  view.setUint32(HEADER + 4, packed.length, true);
  out.set(packed, DATA);
  return out;
}

/** What {@link pack} was given; null for a container of another kind. @throws CorpusError for a damaged one. */
export function unpack(bytes: Uint8Array, { decoder }: Native): Uint8Array | null {
  if (bytes.length < DATA) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [flags, size, length] = [bytes[2]!, bytes[3]!, view.getUint32(4, true)];
  const isOurs =
    bytes[0] === VERSION &&
    (flags & ~SHUFFLED) === (UNSPLIT | ZSTD) &&
    view.getUint32(8, true) === length &&
    view.getUint32(HEADER, true) === HEADER + 4;
  if (!isOurs) return null;
  if (view.getUint32(12, true) !== bytes.length || view.getUint32(HEADER + 4, true) !== bytes.length - DATA)
    throw damaged();
  let unpacked: Uint8Array;
  try {
    unpacked = decoder.decodeSync(bufferOf(bytes.subarray(DATA)));
  } catch {
    throw damaged();
  }
  if (unpacked.length !== length || size === 0 || length % size !== 0) throw damaged();
  return flags & SHUFFLED && size > 1 ? unshuffle(unpacked, size) : Uint8Array.from(unpacked);
}

const damaged = (): CorpusError =>
  new CorpusError('a chunk of the image is damaged; ingest the series again from its source');

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** First all first bytes of the cells, then all second ones, …. */
function shuffle(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const cells = bytes.length / size;
  for (let byte = 0; byte < size; byte++)
    for (let n = 0, from = byte, to = byte * cells; n < cells; n++, from += size, to++)
      out[to] = bytes[from]!;
  return out;
}

function unshuffle(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const cells = bytes.length / size;
  for (let byte = 0; byte < size; byte++)
    for (let n = 0, to = byte, from = byte * cells; n < cells; n++, to += size, from++)
      out[to] = bytes[from]!;
  return out;
}
