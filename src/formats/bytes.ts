/** Where bytes come from: files, members of archives, and buffers mounted in memory, all read in the same way. */
import { readFileSync } from 'node:fs';
import { archivePath, existsMember, openMember } from './archive/index.js';
import { type ByteSource, existsPlain, mountedBytes, openPlain } from './byte-source.js';

export { type ByteSource, ByteSourceError, mountBytes, unmountBytes } from './byte-source.js';

/**
 * Opens the file at `path`, the member "ARCHIVE!/MEMBER" of a zip or tar archive, or a mounted buffer. Close it after
 * use.
 *
 * @throws a system error where the file is not there or not allowed; ByteSourceError where the member or the buffer is
 * not there; ArchiveError where the archive is damaged.
 */
export async function openBytes(path: string): Promise<ByteSource> {
  const inside = archivePath(path);
  return inside === null ? openPlain(path) : openMember(inside);
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
  return mountedBytes(path) ?? readFileSync(path);
}

/** The bytes of the source at `path` in pieces, from its start to its end. @throws as openBytes. */
export async function* streamBytes(path: string, pieceBytes = 1 << 20): AsyncGenerator<Uint8Array> {
  const source = await openBytes(path);
  try {
    for (let at = 0; at < source.size;) {
      const piece = await source.read(at, pieceBytes);
      if (piece.length === 0) return;
      at += piece.length;
      yield piece;
    }
  } finally {
    await source.close();
  }
}

/** Whether there is a source of bytes at `path`. */
export function existsBytes(path: string): Promise<boolean> {
  const inside = archivePath(path);
  return inside === null ? existsPlain(path) : existsMember(inside);
}
