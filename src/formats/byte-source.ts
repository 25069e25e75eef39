/** Bytes that can be read at any place, and the two kinds that need no archive: files, and buffers in memory. */
import { closeSync, fstatSync, open as openFile, read as readFile } from 'node:fs';
import { access } from 'node:fs/promises';
import { promisify } from 'node:util';

// Handles of node:fs/promises cost twice as much, which counts where a hundred thousand files are opened.
const open = promisify(openFile);
const read = promisify(readFile);

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

/** The buffer mounted at `path`; null where `path` is of another kind. @throws ByteSourceError where none is. */
export function mountedBytes(path: string): Uint8Array | null {
  if (!path.startsWith(MEMORY)) return null;
  const bytes = mounted.get(path);
  if (bytes === undefined)
    throw new ByteSourceError(
      `read bytes: nothing is mounted at ${path}; mount the bytes before reading them`,
    );
  return bytes;
}

/** Opens a file or a mounted buffer. @throws a system error, or ByteSourceError, where it is not there. */
export async function openPlain(path: string): Promise<ByteSource> {
  const bytes = mountedBytes(path);
  if (bytes !== null) return new MemorySource(path, bytes);
  const fd = await open(path, 'r');
  try {
    // Opening was what may take long; the size of an open file is at hand.
    return new FileSource(path, fd, fstatSync(fd).size);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Whether there is a file or a mounted buffer at `path`. */
export function existsPlain(path: string): Promise<boolean> {
  if (path.startsWith(MEMORY)) return Promise.resolve(mounted.has(path));
  return access(path).then(
    () => true,
    () => false,
  );
}

export class MemorySource implements ByteSource {
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

/** What sources share that can only fill a buffer. */
export abstract class FillingSource implements ByteSource {
  abstract readonly name: string;
  abstract readonly size: number;
  abstract readInto(offset: number, target: Uint8Array): Promise<number>;
  abstract close(): Promise<void>;

  async read(offset: number, length: number): Promise<Uint8Array> {
    const target = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    return target.subarray(0, await this.readInto(offset, target));
  }
}

class FileSource extends FillingSource {
  private reading = 0;
  private isClosed = false;
  private isReleased = false;

  constructor(
    readonly name: string,
    private readonly fd: number,
    readonly size: number,
  ) {
    super();
  }

  async readInto(offset: number, target: Uint8Array): Promise<number> {
    if (this.isClosed) throw new ByteSourceError(`read bytes: ${this.name} is closed already`, 'EBADF');
    this.reading++;
    try {
      let done = 0;
      while (done < target.length) {
        const { bytesRead } = await read(this.fd, target, done, target.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    } finally {
      this.reading--;
      this.release();
    }
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.release();
    return Promise.resolve();
  }

  /** Not while it is read: the number would be given to the next file, and that be read. Nor twice. */
  private release(): void {
    if (!this.isClosed || this.reading > 0 || this.isReleased) return;
    this.isReleased = true;
    closeSync(this.fd);
  }
}
