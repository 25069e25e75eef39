/** Where the files of a corpus are: a folder, or a bucket of an S3-compatible service. Keys are paths with "/". */
import { constants } from 'node:fs';
import {
  access,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { CorpusError } from './error.js';

export type ByteRange =
  { readonly offset: number; readonly length: number } | { readonly suffixLength: number };

/** Bytes on their way into one file, which is there once it is closed. */
export interface StoreWriter {
  /** `bytes` may be reused once this returns. */
  write(bytes: Uint8Array): Promise<void>;
  /** Returns when the file would survive a power cut. */
  close(): Promise<void>;
  /** Gives up; what was written is removed. */
  abort(): Promise<void>;
}

export interface WriteOptions {
  /** Permissions of the file in a folder; the usual ones where not given. */
  readonly mode?: number;
  /** Whether the name of the file survives a power cut too when this returns, and not only its content. */
  readonly syncFolder?: boolean;
}

export interface CorpusStore {
  /** The folder, absolute, or the URL without a slash at its end. */
  readonly root: string;
  /** Makes the place of a new corpus. @throws CorpusError when it cannot be one. */
  prepare(): Promise<void>;
  /** @throws a system error where it is known at once that nothing may be written. */
  requireWritable(): Promise<void>;
  /** null where there is no such file. */
  read(key: string): Promise<Uint8Array | null>;
  /** As `read`, a part of it; fewer bytes where the file ends before. */
  readRange(key: string, range: ByteRange): Promise<Uint8Array | null>;
  /** Writes or replaces a file: it holds all of the old bytes or all of the new, also after a crash. */
  write(key: string, bytes: Uint8Array, options?: WriteOptions): Promise<void>;
  /** Makes a file one of its first `at` bytes and `bytes`; who calls it holds a lock. A crash may leave a part of them. */
  append(key: string, at: number, bytes: Uint8Array, options?: WriteOptions): Promise<void>;
  /** Starts a file that is written piece by piece. Nothing may read it before it is closed. */
  writer(key: string): Promise<StoreWriter>;
  /** Names of the files and folders right under a folder ("" for all of the corpus); none where it is missing. */
  names(folder: string): Promise<string[]>;
  /** Removes a file, or a folder with all that is in it. */
  remove(key: string): Promise<void>;
  /** Removes what writers under a folder left that died before they were closed, as far as `names` does not tell of it. */
  sweep(folder: string): Promise<void>;
}

/** Whether a corpus is named by a URL of an S3-compatible store. */
export const isRemote = (corpus: string): boolean => /^s3:\/\//.test(corpus);

/** The one name of a place: a folder's absolute path, a URL without a slash at its end. */
export const rootOf = (corpus: string): string =>
  isRemote(corpus) ? corpus.replace(/\/+$/, '') : resolve(corpus);

/** What is inside a corpus, for those that open it by themselves. */
export const insideOf = (corpus: string, key: string): string =>
  isRemote(corpus) ? `${rootOf(corpus)}/${key}` : join(corpus, ...key.split('/'));

const opened = new Map<string, Promise<CorpusStore>>();

/** The store at a folder or an s3:// URL; one a place and thread. @throws CorpusError for a URL that names no bucket. */
export function openStore(corpus: string): Promise<CorpusStore> {
  const root = rootOf(corpus);
  let store = opened.get(root);
  if (store === undefined) {
    store = isRemote(root)
      ? import('./s3.js').then(({ S3Store }) => new S3Store(root))
      : Promise.resolve(new FolderStore(root));
    opened.set(root, store);
    store.catch(() => opened.delete(root));
  }
  return store;
}

/** null for what is not there, as errors of the file system tell it. */
function absent(error: unknown): null {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return null;
  throw error;
}

export class FolderStore implements CorpusStore {
  constructor(readonly root: string) {}

  async prepare(): Promise<void> {
    try {
      await mkdir(this.root, { recursive: true });
    } catch (error) {
      // Node reports a read-only file system as ENOENT here, and a file in the way as EEXIST or ENOTDIR.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
      throw new CorpusError(
        `create corpus: ${this.root} must be a folder that can be made, but its file system is read-only or a file ` +
          'is in the way; name another folder',
        { cause: error },
      );
    }
  }

  requireWritable(): Promise<void> {
    return access(this.root, constants.W_OK);
  }

  private at(key: string): string {
    return join(this.root, ...key.split('/'));
  }

  read(key: string): Promise<Uint8Array | null> {
    return readFile(this.at(key)).catch(absent);
  }

  async readRange(key: string, range: ByteRange): Promise<Uint8Array | null> {
    let file: FileHandle;
    try {
      file = await open(this.at(key), 'r');
    } catch (error) {
      return absent(error);
    }
    try {
      const { size } = await file.stat();
      const from = 'offset' in range ? range.offset : Math.max(0, size - range.suffixLength);
      const wanted = 'offset' in range ? range.length : range.suffixLength;
      const bytes = new Uint8Array(Math.max(0, Math.min(wanted, size - from)));
      let done = 0;
      while (done < bytes.length) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, from + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    } finally {
      await file.close();
    }
  }

  async write(
    key: string,
    bytes: Uint8Array,
    { mode = 0o666, syncFolder = false }: WriteOptions = {},
  ): Promise<void> {
    const path = this.at(key);
    const fresh = `${path}.tmp`;
    const write = (): Promise<void> => writeFile(fresh, bytes, { flush: true, mode });
    try {
      await write().catch(async (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        await makeFolders(dirname(path));
        await write();
      });
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { force: true }).catch(() => undefined);
      throw error;
    }
    if (syncFolder) await syncNames(dirname(path));
  }

  async append(
    key: string,
    at: number,
    bytes: Uint8Array,
    { mode = 0o666 }: WriteOptions = {},
  ): Promise<void> {
    const file = await open(this.at(key), 'a', mode);
    try {
      if ((await file.stat()).size > at) await file.truncate(at);
      await file.appendFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async writer(key: string): Promise<StoreWriter> {
    const path = this.at(key);
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'w');
    return {
      write: (bytes) => file.writeFile(bytes),
      close: async () => {
        try {
          await file.sync();
        } finally {
          await file.close();
        }
      },
      abort: async () => {
        await file.close().catch(() => undefined);
        await rm(path, { force: true });
      },
    };
  }

  async names(folder: string): Promise<string[]> {
    return (await readdir(this.at(folder)).catch(absent)) ?? [];
  }

  remove(key: string): Promise<void> {
    return rm(this.at(key), { recursive: true, force: true });
  }

  sweep(): Promise<void> {
    return Promise.resolve();
  }
}

/** As mkdir with `recursive`, with which Node reports a read-only file system as a missing folder. */
async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolders(dirname(path));
    await mkdir(path).catch((again: unknown) => {
      if ((again as NodeJS.ErrnoException).code !== 'EEXIST') throw again;
    });
  }
}

/** Brings names of files in a folder to the disk; some file systems offer no such thing. */
async function syncNames(dir: string): Promise<void> {
  const folder = await open(dir, 'r').catch(() => null);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

/** A path of the file system as a store and a key: for images that are not in a corpus. */
export function storeAt(path: string): { store: CorpusStore; key: string } {
  const root = resolve(dirname(path));
  return { store: new FolderStore(root), key: relative(root, resolve(path)).split(sep).join('/') };
}
