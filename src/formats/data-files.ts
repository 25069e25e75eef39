/** Files that a header names as the place of its voxels. */
import { dirname, join } from 'node:path';

/** Most files of one image. */
const MOST_FILES = 100_000;

/** The path of `name` as a header at `headerPath` means it; null where it would lead out of the header's folder. */
export function besideHeader(headerPath: string, name: string): string | null {
  const tidy = name.replaceAll('\\', '/').replace(/^(\.\/+)+/, '');
  const outside =
    tidy === '' || tidy.startsWith('/') || /^[A-Za-z]:/.test(tidy) || tidy.split('/').includes('..');
  return outside || tidy.includes('\0') ? null : join(dirname(headerPath), tidy);
}

/**
 * The names that a printf pattern with one %d, such as "slice%03d.raw", gives for the numbers from `first` to `last` in
 * steps; null where it is no such pattern or the numbers do not end.
 */
export function numberedNames(pattern: string, first: number, last: number, step: number): string[] | null {
  const match = /^([^%]*)%(0?)(\d{0,2})d([^%]*)$/.exec(pattern);
  if (match === null || ![first, last, step].every(Number.isSafeInteger) || step === 0) return null;
  const count = Math.floor((last - first) / step) + 1;
  if (!(count >= 1 && count <= MOST_FILES)) return null;
  const [, before, zero, width, after] = match as unknown as [string, string, string, string, string];
  return Array.from({ length: count }, (_, n) => {
    const digits = String(first + n * step).padStart(Number(width), zero === '0' ? '0' : ' ');
    return `${before}${digits}${after}`;
  });
}
