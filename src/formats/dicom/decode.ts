/** Compressed pixels (PS3.5 annex A.4, section 8.2) to stored values, with a decoder loaded only when it is needed. */
import { createRequire } from 'node:module';
import { readBytes } from '../bytes.js';
import { checkCodestream, checkJpegFrame } from './codestream.js';
import { DicomError } from './error.js';
import type { DicomInstance } from './instance.js';
import { fragmentsAt, frameOfFragments } from './parse.js';
import { decodeRle } from './rle.js';
import { startOf } from './start.js';
import { codingOf } from './syntax.js';

/** The part of the Emscripten classes of @cornerstonejs' codecs that is used; they ship no types. */
interface Codec {
  getEncodedBuffer(size: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): { width: number; height: number; bitsPerSample: number; componentCount: number };
  decode(): void;
  delete(): void;
}
type CodecModule = Record<string, new () => Codec>;
type CodecFactory = (options: { print: Print; printErr: Print }) => Promise<CodecModule>;
type Print = (line: string) => void;

const CODECS = {
  'jpeg-baseline': ['@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs', 'JPEGDecoder'],
  'jpeg-ls': ['@cornerstonejs/codec-charls/decodewasmjs', 'JpegLSDecoder'],
  'jpeg-2000': ['@cornerstonejs/codec-openjpeg/decodewasmjs', 'J2KDecoder'],
  htj2k: ['@cornerstonejs/codec-openjph/wasmjs', 'HTJ2KDecoder'],
} as const;

const require = createRequire(import.meta.url);
const loaded = new Map<string, Promise<CodecModule>>();

// What the decoders print (OpenJPEG reports its progress, and damage without failing) while one frame is decoded.
let complaints: string[] = [];
const listen: Print = (line) => {
  if (/error|warning/i.test(line)) complaints.push(line);
};

/** What was read of files with several frames, so that each is read once; by path. */
export type ReadFiles = Map<string, Promise<PixelSource>>;

interface PixelSource {
  /** The file, inflated where it is deflated. */
  readonly bytes: Uint8Array;
  /** Empty where the pixels are not encapsulated. */
  readonly fragments: readonly Uint8Array[];
}

async function read(instance: DicomInstance): Promise<PixelSource> {
  const file = await readBytes(instance.path);
  if (codingOf(instance.transferSyntax) === 'native')
    return { bytes: startOf(file, file.length, instance.path).bytes, fragments: [] };
  const { offset, length } = instance.pixels!;
  if (length !== 0xffffffff) throw new Error('pixels are not in fragments');
  return { bytes: file, fragments: fragmentsAt(file, offset) };
}

function sourceOf(instance: DicomInstance, files: ReadFiles): Promise<PixelSource> {
  if (instance.numberOfFrames === 1) return read(instance);
  const known = files.get(instance.path) ?? read(instance);
  files.set(instance.path, known);
  return known;
}

/**
 * The stored pixel cells of `instance`, one frame, as `byteLength` bytes of little-endian values.
 *
 * @throws DicomError when the stream is damaged or holds another size than the header says.
 */
export async function decodeFrame(
  instance: DicomInstance,
  byteLength: number,
  files: ReadFiles = new Map(),
): Promise<Uint8Array> {
  const coding = codingOf(instance.transferSyntax);
  try {
    const { bytes, fragments } = await sourceOf(instance, files);
    const { offset } = instance.pixels!;
    if (coding === 'native') return bytes.subarray(offset, offset + byteLength);
    const frame = frameOfFragments(fragments, instance.frame ?? 0, instance.numberOfFrames);
    return await decode(coding, frame, instance, byteLength);
  } catch (error) {
    // An unreadable file says so itself, and so does a damaged deflated one.
    if (error instanceof Error && ('code' in error || coding === 'native')) throw error;
    // C++ exceptions come out of WebAssembly as bare numbers.
    const why = error instanceof Error ? error.message : 'the compressed stream is damaged';
    throw new DicomError(
      `read DICOM pixels: ${instance.path} cannot be decoded (${why}); decompress it with dcmdjpeg or copy it again`,
      { cause: error },
    );
  }
}

async function decode(
  coding: ReturnType<typeof codingOf>,
  frame: Uint8Array,
  instance: DicomInstance,
  byteLength: number,
): Promise<Uint8Array> {
  const { bits } = instance;
  if (coding === 'rle') return decodeRle(frame, byteLength, bits.allocated / 8);
  if (/^jpeg-(lossless|baseline|ls)$/.test(coding ?? ''))
    checkJpegFrame(frame, instance.columns!, instance.rows!);
  if (coding === 'jpeg-lossless') return widen(decodeLossless(frame), byteLength, bits.allocated);
  if (coding === null || coding === 'native')
    throw new Error('internal: no decoder for this transfer syntax');
  if (coding === 'htj2k') expectEnd(frame);
  if (coding === 'htj2k' || coding === 'jpeg-2000') checkCodestream(frame, instance.columns!, instance.rows!);
  const [module, className] = CODECS[coding];
  return widen(await decodeWith(module, className, frame, instance), byteLength, bits.allocated);
}

async function decodeWith(
  module: string,
  className: string,
  frame: Uint8Array,
  instance: DicomInstance,
): Promise<Uint8Array> {
  let codecs = loaded.get(module);
  if (codecs === undefined) {
    codecs = (require(module) as CodecFactory)({ print: listen, printErr: listen });
    loaded.set(module, codecs);
  }
  const decoder = new (await codecs)[className]!();
  try {
    complaints = [];
    decoder.getEncodedBuffer(frame.length).set(frame);
    decoder.decode();
    if (complaints.length > 0) throw new Error(complaints.join(' ').trim());
    const info = decoder.getFrameInfo();
    if (info.width !== instance.columns || info.height !== instance.rows || info.componentCount !== 1)
      throw new Error(
        `it holds ${info.width}×${info.height}×${info.componentCount}, the header says ${instance.columns}×${instance.rows}×1`,
      );
    // The decoded buffer lies in the decoder's memory, which delete() gives back.
    return decoder.getDecodedBuffer().slice();
  } finally {
    decoder.delete();
  }
}

/**
 * Some decoders read on past a stream that was cut off, or fill up what is missing, so its end is looked for first:
 * the EOI marker of JPEG, the EOC marker of JPEG 2000, which are the same two bytes.
 */
function expectEnd(frame: Uint8Array): void {
  if (Buffer.from(frame.subarray(-16)).indexOf('ffd9', 'hex') < 0) throw new Error('the stream has no end');
}

interface LosslessDecoder {
  decode(buffer: ArrayBuffer, offset: number, length: number): Uint8Array | Uint16Array;
}

function decodeLossless(frame: Uint8Array): Uint8Array {
  expectEnd(frame);
  const { Decoder } = require('jpeg-lossless-decoder-js') as { Decoder: new () => LosslessDecoder };
  const copy = new Uint8Array(frame).buffer;
  const values = new Decoder().decode(copy, 0, copy.byteLength);
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Decoders give one byte a value where the stream has at most 8 bits, also when the header allocates 16. */
function widen(decoded: Uint8Array, byteLength: number, allocated: number): Uint8Array {
  if (decoded.length === byteLength) return decoded;
  if (allocated === 16 && decoded.length * 2 === byteLength)
    return new Uint8Array(Uint16Array.from(decoded).buffer);
  throw new Error(`it holds ${decoded.length} bytes of pixels, the header says ${byteLength}`);
}
