/** Tar archives (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU long names): their table of contents. */
import { openPlain } from '../byte-source.js';
import { ArchiveError } from './error.js';
import { type Archive, Contents } from './member.js';
import { Slice } from './slice.js';

export interface TarMember {
  /** Of the first byte of its content. */
  readonly offset: number;
  readonly size: number;
}

/** Reads `length` bytes at `offset`, which never goes down from call to call; fewer at the end. */
type ReadForwards = (offset: number, length: number) => Promise<Uint8Array>;

const BLOCK = 512;
/** Longest extended header: a name is at most a few kB; more is made to exhaust memory. */
const LONGEST_EXTENSION = 1 << 20;

/** @throws ArchiveError when `path` is no tar archive. */
export async function openTar(path: string): Promise<Archive> {
  const source = await openPlain(path);
  try {
    const { members, skipped } = await contentsOfTar(
      (at, length) => source.read(at, length),
      path,
      () => source.size,
    );
    return {
      members: sizesOf(members),
      skipped,
      open: async (name, memberPath) => {
        const { offset, size } = members.get(name)!;
        return new Slice(memberPath, await openPlain(path), offset, size);
      },
      close: () => Promise.resolve(),
    };
  } finally {
    await source.close();
  }
}

export const sizesOf = (members: ReadonlyMap<string, TarMember>): Map<string, number> =>
  new Map([...members].map(([name, { size }]) => [name, size]));

/**
 * Walks the headers from the start. An archive that is cut off has the members that are whole; the one that is not is
 * in `skipped`. `end` gives the archive's size once all was read.
 *
 * @throws ArchiveError when the first block is no tar header or a later one is damaged.
 */
export async function contentsOfTar(
  read: ReadForwards,
  path: string,
  end: () => number,
): Promise<Contents<TarMember>> {
  const contents = new Contents<TarMember>(path);
  let at = 0;
  let extended: Extended = {};
  for (;;) {
    const block = Buffer.from(await read(at, BLOCK));
    // Two blocks of zeros end an archive; some writers leave one, or none.
    if (block.length < BLOCK || block.every((byte) => byte === 0)) {
      if (at === 0) throw damaged(path, at);
      const last = [...contents.members.entries()].at(-1);
      if (last !== undefined && last[1].offset + last[1].size > end()) {
        contents.members.delete(last[0]);
        contents.skip(last[0], 'its archive ends before it does');
      }
      return contents;
    }
    const header = headerOf(block);
    if (header === null) throw damaged(path, at);
    const { type } = header;
    const own = 'xgLK'.includes(type);
    const size = own ? header.size : (extended.size ?? header.size);
    const content = at + BLOCK;
    const next = content + Math.ceil(size / BLOCK) * BLOCK;
    if (!Number.isSafeInteger(next)) throw damaged(path, at);
    if (own) {
      if (size > LONGEST_EXTENSION) throw damaged(path, at);
      const text = Buffer.from(await read(content, size));
      if (type === 'x') extended = { ...extended, ...paxOf(text, path, at) };
      else if (type === 'L') extended = { ...extended, path: upToNul(text) };
    } else {
      const name = extended.path ?? header.name;
      const reason = refusalOf(type, extended);
      if (type === '5' || name.endsWith('/')) {
        // A folder.
      } else if (reason !== null) contents.skip(name, reason);
      else contents.add(name, { offset: content, size });
      extended = {};
    }
    at = next;
  }
}

/** What extension headers say of the next member. */
interface Extended {
  readonly path?: string;
  readonly size?: number;
  readonly sparse?: boolean;
}

interface Header {
  readonly name: string;
  readonly size: number;
  /** The type flag: '0' or '\0' for files. */
  readonly type: string;
}

const damaged = (path: string, at: number): ArchiveError =>
  new ArchiveError(
    `read tar: the block at byte ${at} of ${path} must be a header, but is none; the archive is damaged, copy it again`,
  );

/** The fields of a ustar header; null when its checksum is wrong. */
function headerOf(block: Buffer): Header | null {
  // The checksum counts its own field as spaces; some old writers sum signed bytes.
  let unsigned = 0;
  let signed = 0;
  for (let n = 0; n < BLOCK; n++) {
    const byte = n >= 148 && n < 156 ? 32 : block[n]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const sum = numberOf(block.subarray(148, 156));
  const size = numberOf(block.subarray(124, 136));
  if ((sum !== unsigned && sum !== signed) || size === null) return null;
  const ustar = block.toString('latin1', 257, 262) === 'ustar';
  // GNU writers ("ustar  ") keep times where POSIX has the prefix.
  const posix = ustar && block[262] === 0;
  const prefix = posix ? upToNul(block.subarray(345, 500)) : '';
  const name = upToNul(block.subarray(0, 100));
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size,
    type: String.fromCharCode(block[156]!),
  };
}

/** Octal digits, or GNU's base 256 where the first byte has its high bit; null where it is neither. */
function numberOf(field: Buffer): number | null {
  if (field[0] === 0x80) {
    let value = 0;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    return Number.isSafeInteger(value) ? value : null;
  }
  const text = upToNul(field).trim();
  return /^[0-7]*$/.test(text) ? Number.parseInt(text === '' ? '0' : text, 8) : null;
}

function upToNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

/** Records "LENGTH KEY=VALUE\n" of a pax header (POSIX pax, "pax Extended Header"). */
function paxOf(text: Buffer, path: string, at: number): Extended {
  const found: { path?: string; size?: number; sparse?: boolean } = {};
  for (let from = 0; from < text.length;) {
    const space = text.indexOf(32, from);
    const length = space < 0 ? NaN : Number(text.toString('latin1', from, space));
    if (!Number.isInteger(length) || length <= space - from || from + length > text.length)
      throw damaged(path, at);
    const record = text.toString('utf8', space + 1, from + length - 1);
    const equals = record.indexOf('=');
    const key = record.slice(0, equals);
    const value = record.slice(equals + 1);
    if (key === 'path') found.path = value;
    else if (key === 'size') {
      if (!/^\d{1,15}$/.test(value)) throw damaged(path, at);
      found.size = Number(value);
    } else if (key.startsWith('GNU.sparse.')) found.sparse = true;
    from += length;
  }
  return found;
}

/** Why a member that is no folder is not read; null where it is a file. */
function refusalOf(type: string, extended: Extended): string | null {
  if (type === 'S' || extended.sparse === true)
    return 'stored with holes (a sparse file); pack it without them';
  if (type === '1' || type === '2') return 'a link in an archive';
  if (type === '0' || type === '\0' || type === '7') return null;
  return 'neither a file nor a folder';
}
