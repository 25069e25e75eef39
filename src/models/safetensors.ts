/** safetensors: named tensors in one file that every framework reads; float32 in memory. */
import { type FileHandle, open, rename, writeFile } from 'node:fs/promises';
import { ModelError } from './sizes.js';

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface SafetensorsFile {
  readonly tensors: Map<string, NamedTensor>;
  readonly metadata: Record<string, string>;
  /** Tensors that hold no numbers this reader knows, by name: their dtype. */
  readonly others: ReadonlyMap<string, string>;
}

/** A header larger than this is a damaged file (the reference implementation has the same limit). */
const MAX_HEADER = 100_000_000;

/**
 * Writes tensors as safetensors (format as published with the reference implementation: u64 header length, JSON
 * header padded with spaces to 8 bytes, data). The file appears under its name only when it is complete.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Record<string, string> = {},
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const { name, shape, data } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  let json = JSON.stringify(header);
  json += ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  const parts = [length, Buffer.from(json), ...tensors.map(({ data }) => bytesOf(data))];
  const partial = `${path}.partial`;
  await writeFile(partial, parts);
  await rename(partial, path);
}

/** One read of the system takes less than 2 GiB, and may give less than was asked for. */
const READ_AT_ONCE = 2 ** 30;

async function readInto(file: FileHandle, bytes: Buffer, from: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesRead } = await file.read(bytes, at, Math.min(READ_AT_ONCE, bytes.length - at), from + at);
    if (bytesRead === 0) return;
    at += bytesRead;
  }
}

const bytesOf = (data: Float32Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/**
 * Reads a safetensors file whole; F16 and BF16 become float32, which holds each of their values.
 * @throws ModelError naming the file when it is not safetensors, is cut short, or, unless they may be passed over with
 * `others`, holds tensors of another dtype.
 */
export async function readSafetensors(
  path: string,
  { others = 'refuse' }: { others?: 'refuse' | 'pass over' } = {},
): Promise<SafetensorsFile> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new ModelError(`model: ${path} cannot be opened (${errorText(error)}); check the path`);
  });
  try {
    const { size } = await file.stat();
    const lead = Buffer.alloc(8);
    await file.read(lead, 0, 8, 0);
    const headerLength = Number(lead.readBigUInt64LE());
    if (size < 8 || headerLength > Math.min(MAX_HEADER, size - 8))
      throw new ModelError(`model: ${path} is not a whole safetensors file; copy it again`);
    const json = Buffer.alloc(headerLength);
    await file.read(json, 0, headerLength, 8);
    const header = parseHeader(path, json.toString('utf8'));
    const { __metadata__: metadata, ...entries } = header;
    const length = size - 8 - headerLength;
    // Aligned, so that float32 tensors can be views of it.
    const body = new Float32Array(Math.ceil(length / 4));
    const bytes = bytesOf(body).subarray(0, length);
    await readInto(file, bytes, 8 + headerLength);
    const tensors = new Map<string, NamedTensor>();
    const passed = new Map<string, string>();
    for (const [name, entry] of Object.entries(entries)) {
      const { dtype, shape, data_offsets: range } = entry as Entry;
      const width = BYTES[dtype];
      if (width === undefined) {
        if (others === 'refuse')
          throw new ModelError(
            `model: ${path}: tensor "${name}" is ${dtype}, only F32, F16 and BF16 are read; convert it to float32`,
          );
        passed.set(name, dtype);
        continue;
      }
      const [from, to] = range;
      if (to > length || to - from !== width * shape.reduce((a, b) => a * b, 1))
        throw new ModelError(
          `model: ${path}: tensor "${name}" does not fit the file, it is cut short; copy it again`,
        );
      tensors.set(name, { name, shape, data: toFloat32(dtype, bytes.subarray(from, to)) });
    }
    return { tensors, metadata: (metadata ?? {}) as Record<string, string>, others: passed };
  } finally {
    await file.close();
  }
}

/** Bytes of an element. */
const BYTES: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Little-endian elements as float32; a view where they are that already and lie on whole words. */
function toFloat32(dtype: string, bytes: Buffer): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  const { buffer, byteOffset, byteLength } = aligned;
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, byteLength / 4);
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  if (dtype === 'F16') return Float32Array.from(halves, fromHalf);
  // bfloat16 is the upper half of a float32.
  return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
}

/** The value of IEEE 754 binary16 bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

function parseHeader(path: string, json: string): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(json);
    if (typeof header === 'object' && header !== null) return header as Record<string, unknown>;
  } catch {
    // Falls through to the one error for every kind of damage.
  }
  throw new ModelError(
    `model: ${path} is not a safetensors file (its header is not JSON); give a model file or run`,
  );
}

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));
