/** safetensors: named float32 tensors in one file that every framework reads. */
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
 * Reads a safetensors file whole.
 * @throws ModelError naming the file when it is not safetensors, is cut short, or holds a dtype other than F32.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
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
    const body = new Float32Array(Math.floor((size - 8 - headerLength) / 4));
    await readInto(file, bytesOf(body), 8 + headerLength);
    const tensors = new Map<string, NamedTensor>();
    for (const [name, entry] of Object.entries(entries)) {
      const { dtype, shape, data_offsets: range } = entry as Entry;
      if (dtype !== 'F32')
        throw new ModelError(
          `model: ${path}: tensor "${name}" is ${dtype}, only F32 is read; convert it to float32`,
        );
      const [from, to] = range;
      if (to > body.byteLength || from % 4 !== 0 || to - from !== 4 * shape.reduce((a, b) => a * b, 1))
        throw new ModelError(
          `model: ${path}: tensor "${name}" does not fit the file, it is cut short; copy it again`,
        );
      tensors.set(name, { name, shape, data: body.subarray(from / 4, to / 4) });
    }
    return { tensors, metadata: (metadata ?? {}) as Record<string, string> };
  } finally {
    await file.close();
  }
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
