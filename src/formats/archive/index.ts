/** Zip, tar and gzipped tar archives, read in place: nothing is unpacked to the disk. */
import { stat } from 'node:fs/promises';
import { type ByteSource, ByteSourceError, existsPlain, mountedBytes } from '../byte-source.js';
import { ArchiveError } from './error.js';
import type { Archive } from './member.js';
import { openTar } from './tar.js';
import { openTarGzip } from './tar-gzip.js';
import { openZip } from './zip.js';

export { ArchiveError } from './error.js';

const KINDS: readonly (readonly [RegExp, (path: string) => Promise<Archive>])[] = [
  [/\.zip$/i, openZip],
  [/\.tar$/i, openTar],
  [/\.(tar\.gz|tgz)$/i, openTarGzip],
];

/** Whether a file of this name is an archive that `listArchive` reads. */
export function isArchiveName(name: string): boolean {
  return KINDS.some(([ending]) => ending.test(name));
}

export interface InArchive {
  /** Of the archive. */
  readonly archive: string;
  readonly member: string;
  /** "ARCHIVE!/MEMBER". */
  readonly path: string;
}

/** The parts of "ARCHIVE!/MEMBER"; null where `path` is no such thing. */
export function archivePath(path: string): InArchive | null {
  for (let at = path.indexOf('!/'); at >= 0; at = path.indexOf('!/', at + 1)) {
    const archive = path.slice(0, at);
    if (isArchiveName(archive)) return { archive, member: path.slice(at + 2), path };
  }
  return null;
}

export interface ArchiveMember {
  /** "ARCHIVE!/MEMBER", as openBytes takes it. */
  readonly path: string;
  /** As the archive calls it. */
  readonly name: string;
  /** Bytes, unpacked. */
  readonly size: number;
}

export interface ArchiveListing {
  readonly members: readonly ArchiveMember[];
  /** Members that cannot be read, with the reason: encrypted, linked, cut off, leading out of the archive. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/**
 * The files in the archive at `path`, folders left out, in the order of the archive. Of a gzipped tar archive all is
 * read once; of the others the table of contents.
 *
 * @throws ArchiveError when it is no archive of its name's kind, or damaged, or made to unpack without end.
 */
export async function listArchive(path: string): Promise<ArchiveListing> {
  const archive = await opened(path);
  return {
    members: [...archive.members].map(([name, size]) => ({ path: `${path}!/${name}`, name, size })),
    skipped: archive.skipped.map(({ name, reason }) => ({ path: `${path}!/${name}`, reason })),
  };
}

/** @throws ByteSourceError where the archive has no such member; ArchiveError where it is damaged. */
export async function openMember({ archive: path, member, path: whole }: InArchive): Promise<ByteSource> {
  const archive = await opened(path);
  if (!archive.members.has(member))
    throw new ByteSourceError(
      `read bytes: ${path} must have a member ${member}, but has none; list it to see what is there`,
    );
  return archive.open(member, whole);
}

/** Whether the archive is there, can be read, and has the member. */
export async function existsMember({ archive, member }: InArchive): Promise<boolean> {
  if (!(await existsPlain(archive))) return false;
  return opened(archive).then(
    ({ members }) => members.has(member),
    () => false,
  );
}

/** Lets go of what is kept of archives that were read: tables of contents, and members of gzipped ones. */
export async function closeArchives(): Promise<void> {
  const all = [...known.values()];
  known.clear();
  for (const { archive } of all) await closed(archive);
}

interface Known {
  /** What tells whether the file is still the one that was read. */
  readonly stamp: string;
  readonly archive: Promise<Archive>;
}

/** Archives whose contents are kept, the latest used last. */
const MOST_KNOWN = 4;
const known = new Map<string, Known>();

async function opened(path: string): Promise<Archive> {
  const stamp = await stampOf(path);
  const kind = KINDS.find(([ending]) => ending.test(path));
  if (kind === undefined)
    throw new ArchiveError(`read archive: ${path} must end in .zip, .tar, .tar.gz or .tgz; unpack it first`);
  const before = known.get(path);
  known.delete(path);
  const now = before?.stamp === stamp ? before : { stamp, archive: kind[1](path) };
  known.set(path, now);
  const left = before === undefined || before === now ? [] : [before];
  for (const [oldest, one] of known) {
    if (known.size <= MOST_KNOWN) break;
    known.delete(oldest);
    left.push(one);
  }
  for (const { archive } of left) await closed(archive);
  return now.archive;
}

async function stampOf(path: string): Promise<string> {
  if (mountedBytes(path) !== null) return 'memory';
  const { size, mtimeMs, ino } = await stat(path);
  return `${size}/${mtimeMs}/${ino}`;
}

async function closed(archive: Promise<Archive>): Promise<void> {
  const one = await archive.catch(() => null);
  await one?.close();
}
