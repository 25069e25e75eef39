/** Finds the files under what a person names. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CorpusError } from './error.js';

export interface SourceFile {
  /** Absolute, links resolved. */
  readonly path: string;
  /** As the person would type it: the source as given, then the way down from it. */
  readonly shown: string;
  /** Which of the sources it came from. */
  readonly source: number;
  readonly size: number;
}

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/**
 * Every file under `sources` (files or folders), each once, in a fixed order. Hidden files and folders are passed
 * over in silence, links are followed but never in circles, and what cannot be listed is reported to `skip`.
 * `without` is a folder that is not entered: the corpus itself.
 *
 * @throws CorpusError when a source does not exist.
 */
export async function* walk(
  sources: readonly string[],
  without: string,
  skip: (skipped: Skipped) => void,
): AsyncGenerator<SourceFile> {
  const seen = new Set<string>([await realpath(without).catch(() => without)]);

  async function* visit(path: string, shown: string, source: number): AsyncGenerator<SourceFile> {
    let real: string;
    let info: Awaited<ReturnType<typeof stat>>;
    try {
      real = await realpath(path);
      info = await stat(real);
    } catch {
      skip({ path: shown, reason: 'cannot be read: a broken link, or no permission' });
      return;
    }
    if (seen.has(real)) return;
    seen.add(real);
    if (info.isFile()) yield { path: real, shown, source, size: info.size };
    if (!info.isDirectory()) return;
    let names: string[];
    try {
      names = await readdir(real);
    } catch {
      skip({ path: shown, reason: 'the folder cannot be listed: no permission' });
      return;
    }
    for (const name of names.sort()) {
      if (!name.startsWith('.')) yield* visit(join(real, name), join(shown, name), source);
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
