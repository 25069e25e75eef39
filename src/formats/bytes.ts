/** Where bytes come from: files, members of archives, and buffers mounted in memory, all read in the same way. */
import { readFileSync } from 'node:fs';
import { access, type FileHandle, open } from 'node:fs/promises';

export interface ByteSource {
  /** The path it was opened by, for messages. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * `length` bytes from `offset` on, fewer where the source ends before. Nothing beyond `size` is allocated, whatever
   * `length` says. What comes back may be part of a buffer that others read, and must not be written to.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `target` from `offset` on and returns how many bytes there were: fewer than asked for at the end. */
  readInto(offset: number, target: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** A source of bytes that is not there. `code` is as of Node's system errors. */
export class ByteSourceError extends Error {
  override readonly name = 'ByteSourceError';

  constructor(
    message: string,
    readonly code = 'ENOENT',
  ) {
    super(message);
  }
}

const MEMORY = 'memory:';
const mounted = new Map<string, Uint8Array>();
let mounts = 0;

/**
 * Makes `bytes` readable, without copying them, under the path that is returned ("memory:1/NAME") until
 * `unmountBytes` of it. The path is known in this thread only.
 */
export function mountBytes(bytes: Uint8Array, name: string): string {
  const path = `${MEMORY}${++mounts}/${name}`;
  mounted.set(path, bytes);
  return path;
}

/** Lets go of what `mountBytes` mounted; a path that is not mounted is passed over. */
export function unmountBytes(path: string): void {
  mounted.delete(path);
}

/**
 * Opens the file at `path`, or the buffer mounted there. Close it after use.
 *
 * @throws a system error where the file is not there or not allowed; ByteSourceError where nothing is mounted.
 */
export async function openBytes(path: string): Promise<ByteSource> {
  if (path.startsWith(MEMORY)) return new MemorySource(path, bytesAt(path));
  const file = await open(path, 'r');
  try {
    return new FileSource(path, file, (await file.stat()).size);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** All bytes of the source at `path`. @throws as openBytes. */
export async function readBytes(path: string): Promise<Uint8Array> {
  const source = await openBytes(path);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** All bytes of the file or the mounted buffer at `path`, at once. @throws as openBytes. */
export function readBytesSync(path: string): Uint8Array {
  return path.startsWith(MEMORY) ? bytesAt(path) : readFileSync(path);
}

/** Whether there is a source of bytes at `path`. */
export function existsBytes(path: string): Promise<boolean> {
  if (path.startsWith(MEMORY)) return Promise.resolve(mounted.has(path));
  return access(path).then(
    () => true,
    () => false,
  );
}

function bytesAt(path: string): Uint8Array {
  const bytes = mounted.get(path);
  if (bytes === undefined)
    throw new ByteSourceError(
      `read bytes: nothing is mounted at ${path}; mount the bytes before reading them`,
    );
  return bytes;
}

class MemorySource implements ByteSource {
  readonly size: number;

  constructor(
    readonly name: string,
    private readonly bytes: Uint8Array,
  ) {
    this.size = bytes.length;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.bytes.subarray(offset, offset + length));
  }

  readInto(offset: number, target: Uint8Array): Promise<number> {
    const part = this.bytes.subarray(offset, offset + target.length);
    target.set(part);
    return Promise.resolve(part.length);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class FileSource implements ByteSource {
  constructor(
    readonly name: string,
    private readonly file: FileHandle,
    readonly size: number,
  ) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    const target = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    const there = await this.readInto(offset, target);
    return target.subarray(0, there);
  }

  async readInto(offset: number, target: Uint8Array): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.file.read(target, done, target.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
