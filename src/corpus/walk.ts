/** Finds the files under what a person names. */
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isArchiveName, listArchive } from '../formats/archive/index.js';
import { CorpusError } from './error.js';
import { reasonOf } from './reason.js';

export interface SourceFile {
  /** Absolute, links resolved; a member of an archive is "ARCHIVE!/MEMBER". */
  readonly path: string;
  /** As the person would type it: the source as given, then the way down from it. */
  readonly shown: string;
  /** Which of the sources it came from. */
  readonly source: number;
  /** Absolute path of that source, links resolved. */
  readonly root: string;
  readonly size: number;
}

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/**
 * Every file under `sources` (files or folders), each once, in a fixed order. Hidden files and folders are passed
 * over in silence, links are followed but never in circles, and what cannot be listed is reported to `skip`. Of zip and
 * tar archives the members are listed; nothing is unpacked. `without` is a folder that is not entered: the corpus itself.
 *
 * @throws CorpusError when a source does not exist.
 */
export async function* walk(
  sources: readonly string[],
  without: string,
  skip: (skipped: Skipped) => void,
): AsyncGenerator<SourceFile> {
  const seen = new Set<string>([await realpath(without).catch(() => without)]);

  async function* visit(
    path: string,
    shown: string,
    source: number,
    root?: string,
    isReal = false,
  ): AsyncGenerator<SourceFile> {
    let real: string;
    let info: Awaited<ReturnType<typeof stat>>;
    try {
      real = isReal ? path : await realpath(path);
      info = await stat(real);
    } catch {
      skip({ path: shown, reason: 'cannot be read: a broken link, or no permission' });
      return;
    }
    if (seen.has(real)) return;
    seen.add(real);
    if (info.isFile()) {
      if (isArchiveName(real)) yield* unpacked(real, shown, source, root ?? real);
      else yield { path: real, shown, source, root: root ?? real, size: info.size };
    }
    if (!info.isDirectory()) return;
    let entries: Dirent[];
    try {
      entries = await readdir(real, { withFileTypes: true });
    } catch {
      skip({ path: shown, reason: 'the folder cannot be listed: no permission' });
      return;
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const { name } = entry;
      // What is a file by itself, in a folder without links above it, has no other path.
      if (!name.startsWith('.'))
        yield* visit(join(real, name), join(shown, name), source, root ?? real, entry.isFile());
    }
  }

  async function* unpacked(
    archive: string,
    shown: string,
    source: number,
    root: string,
  ): AsyncGenerator<SourceFile> {
    let listing: Awaited<ReturnType<typeof listArchive>>;
    try {
      listing = await listArchive(archive);
    } catch (error) {
      skip({ path: shown, reason: reasonOf(error, archive) });
      return;
    }
    const shownAs = (path: string): string => `${shown}${path.slice(archive.length)}`;
    for (const { path, reason } of listing.skipped) skip({ path: shownAs(path), reason });
    for (const { path, name, size } of listing.members) {
      if (name.split('/').some((part) => part.startsWith('.') || part === '__MACOSX')) continue;
      if (isArchiveName(name))
        skip({ path: shownAs(path), reason: 'an archive in an archive; unpack the outer one' });
      else yield { path, shown: shownAs(path), source, root, size };
    }
  }

  for (const [at, source] of sources.entries()) {
    try {
      await stat(source);
    } catch (error) {
      throw new CorpusError(`ingest: "${source}" must be a file or folder that can be read; check the path`, {
        cause: error,
      });
    }
    yield* visit(source, source, at);
  }
}
