/** Zip archives (PKWARE APPNOTE 6.3), their members read in place: stored ones anywhere, deflated ones forwards. */
import { createInflateRaw } from 'node:zlib';
import * as yauzl from 'yauzl';
import { type ByteSource, FillingSource, openPlain } from '../byte-source.js';
import { ForwardReader } from '../forward.js';
import { ArchiveError, damagedStream } from './error.js';
import { type Archive, Contents } from './member.js';
import { Slice } from './slice.js';

interface ZipMember {
  /** Of the local header, which the bytes follow. */
  readonly offset: number;
  readonly packed: number;
  readonly size: number;
  readonly crc32: number;
  readonly deflated: boolean;
}

const METHODS: Readonly<Record<number, string>> = {
  9: 'Deflate64',
  12: 'bzip2',
  14: 'LZMA',
  93: 'Zstandard',
  95: 'XZ',
  98: 'PPMd',
};
/** No deflate stream gives more bytes for one (zlib's technical notes: 1032 to 1). */
export const MOST_PER_BYTE = 1032;
/** File types of Unix in the upper half of the external attributes. */
const TYPE_MASK = 0xf000;
const SYMBOLIC_LINK = 0xa000;
const REGULAR = 0x8000;

/** @throws ArchiveError when `path` is no zip archive or its directory is damaged. */
export async function openZip(path: string): Promise<Archive> {
  const source = await openPlain(path);
  try {
    const { members, skipped } = await contentsOf(source, path);
    return {
      members: new Map([...members].map(([name, member]) => [name, member.size])),
      skipped,
      open: (name, memberPath) => openMember(path, members.get(name)!, memberPath),
      close: () => Promise.resolve(),
    };
  } finally {
    await source.close();
  }
}

async function contentsOf(source: ByteSource, path: string): Promise<Contents<ZipMember>> {
  const contents = new Contents<ZipMember>(path);
  let packed = 0;
  try {
    // Names are decoded here, because one that leads elsewhere must not stop the others.
    const zip = await yauzl.fromRandomAccessReaderPromise(new Reader(source), source.size, {
      autoClose: false,
      decodeStrings: false,
      validateEntrySizes: false,
    });
    for await (const entry of zip.eachEntry()) {
      const name = yauzl.getFileNameLowLevel(
        entry.generalPurposeBitFlag,
        entry.fileNameRaw,
        entry.extraFields,
        false,
      );
      if (name.endsWith('/')) continue;
      const reason = refusalOf(entry, source.size);
      if (reason !== null) {
        contents.skip(name, reason);
        continue;
      }
      packed += entry.compressedSize;
      contents.add(name, {
        offset: entry.relativeOffsetOfLocalHeader,
        packed: entry.compressedSize,
        size: entry.uncompressedSize,
        crc32: entry.crc32,
        deflated: entry.compressionMethod === 8,
      });
    }
  } catch (error) {
    if (error instanceof ArchiveError || (error as NodeJS.ErrnoException).code !== undefined) throw error;
    throw new ArchiveError(
      `read zip: the directory of ${path} must be whole, but: ${(error as Error).message}; copy the archive again`,
      { cause: error },
    );
  }
  if (packed > source.size)
    throw new ArchiveError(
      `read zip: the members of ${path} must not share their bytes, but hold ${packed} in a file of ${source.size}; ` +
        'it is made to unpack without end, leave it out',
    );
  return contents;
}

/** Why a member is not read; null where it is. */
function refusalOf(entry: yauzl.Entry, archiveSize: number): string | null {
  const type = (entry.externalFileAttributes >>> 16) & TYPE_MASK;
  if (type === SYMBOLIC_LINK) return 'a link in an archive';
  if (type !== 0 && type !== REGULAR) return 'neither a file nor a folder';
  if (entry.isEncrypted()) return 'encrypted in its archive; decrypt it and ingest the result';
  const { compressionMethod: method, compressedSize, uncompressedSize, relativeOffsetOfLocalHeader } = entry;
  if (method !== 0 && method !== 8)
    return `compressed by ${METHODS[method] ?? `method ${method}`}, not by deflate; pack it again with another tool`;
  if (relativeOffsetOfLocalHeader + compressedSize > archiveSize) return 'its archive ends before it does';
  const most = method === 0 ? compressedSize : compressedSize * MOST_PER_BYTE;
  if (uncompressedSize > most || (method === 0 && uncompressedSize !== compressedSize))
    return `its archive says ${uncompressedSize} bytes, which its ${compressedSize} packed ones cannot hold`;
  return null;
}

/** How yauzl reads: through a window, because it asks for a few bytes at a time. */
class Reader extends yauzl.RandomAccessReader {
  private window: Uint8Array = new Uint8Array(0);
  private windowAt = 0;

  constructor(private readonly source: ByteSource) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    const fill = async (): Promise<number> => {
      const inside = position >= this.windowAt && position + length <= this.windowAt + this.window.length;
      if (!inside) {
        this.window = await this.source.read(position, Math.max(length, 128 * 1024));
        this.windowAt = position;
      }
      const part = this.window.subarray(position - this.windowAt, position - this.windowAt + length);
      buffer.set(part, offset);
      return part.length;
    };
    fill().then(
      (bytesRead) => callback(null, bytesRead),
      (error: unknown) => callback(error as Error),
    );
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

/** A deflated member; going back in it costs inflating it again up to there. */
class Deflated extends FillingSource {
  readonly size: number;
  private readonly reader: ForwardReader;

  constructor(
    readonly name: string,
    private readonly archive: ByteSource,
    start: number,
    member: ZipMember,
  ) {
    super();
    this.size = member.size;
    this.reader = new ForwardReader(
      archive,
      start,
      member.packed,
      () => createInflateRaw(),
      damagedStream(name),
      member,
    );
  }

  readInto(offset: number, target: Uint8Array): Promise<number> {
    return this.reader.readInto(offset, target);
  }

  async close(): Promise<void> {
    await this.reader.close();
    await this.archive.close();
  }
}

/** Local file header (APPNOTE 4.3.7): 30 bytes, then a name and an extra field of the lengths at 26 and 28. */
async function openMember(path: string, member: ZipMember, name: string): Promise<ByteSource> {
  const archive = await openPlain(path);
  try {
    const header = Buffer.from(await archive.read(member.offset, 30));
    if (header.length < 30 || header.readUInt32LE(0) !== 0x04034b50)
      throw new ArchiveError(
        `read zip: ${name} must start with a local header, but does not; the archive is damaged, copy it again`,
      );
    const start = member.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
    return member.deflated
      ? new Deflated(name, archive, start, member)
      : new Slice(name, archive, start, member.size);
  } catch (error) {
    await archive.close();
    throw error;
  }
}
