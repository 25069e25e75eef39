/** Headers that are lines of text before, or beside, binary voxels. */
import type { ByteSource } from './byte-source.js';

/** No header of an image is longer. */
const LONGEST = 4 << 20;

/**
 * Reads the lines at the start of `source` up to and including the first for which `isLast` says so, or up to the end
 * of the file; null where there is none within the length that headers have. `bytes` is where the last line ends.
 */
export async function headerLines(
  source: ByteSource,
  isLast: (line: string) => boolean,
): Promise<{ lines: string[]; bytes: number; ended: boolean } | null> {
  const lines: string[] = [];
  let at = 0;
  for (let size = 16 << 10; ; size *= 4) {
    const text = Buffer.from(await source.read(0, Math.min(size, LONGEST)));
    for (;;) {
      const end = text.indexOf(10, at);
      if (end < 0) break;
      const line = text.toString('utf8', at, end).replace(/\r$/, '');
      at = end + 1;
      lines.push(line);
      if (isLast(line)) return { lines, bytes: at, ended: true };
    }
    if (text.length === source.size) {
      if (at < text.length) lines.push(text.toString('utf8', at).replace(/\r$/, ''));
      const last = lines.at(-1);
      return { lines, bytes: text.length, ended: at < text.length && last !== undefined && isLast(last) };
    }
    if (size >= LONGEST) return null;
  }
}

/** Whole numbers separated by spaces; null where one is none. */
export function integers(text: string): number[] | null {
  const words = text.trim().split(/\s+/);
  return words.every((word) => /^[+-]?\d{1,15}$/.test(word)) ? words.map(Number) : null;
}

/** Numbers separated by spaces, NaN where one is none. */
export function decimals(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word) => (word === '' ? NaN : Number(word)));
}
