/** Gzipped tar archives: one stream, read forwards, with the members that were read lately kept. */
import { createGunzip } from 'node:zlib';
import { type ByteSource, FillingSource, MemorySource, openPlain } from '../byte-source.js';
import { ForwardReader } from '../forward.js';
import { ArchiveError, damagedStream } from './error.js';
import type { Archive } from './member.js';
import { contentsOfTar, sizesOf, type TarMember } from './tar.js';

/** Bytes of members that are kept, so that a series whose order is not the archive's is read in few passes. */
const KEPT_BYTES = 256 << 20;
/** Larger members are read by a stream of their own and not kept. */
const LARGEST_KEPT = 64 << 20;
/** Images shrink to a half or a fifth, label maps to a hundredth; what shrinks more is made to unpack without end. */
const MOST_PER_BYTE = 250;
const FREE_BYTES = 1 << 30;

/** @throws ArchiveError when `path` is no gzipped tar archive or is damaged. */
export async function openTarGzip(path: string): Promise<Archive> {
  const source = await openPlain(path);
  const reader = gunzipped(source, path);
  try {
    const most = FREE_BYTES + MOST_PER_BYTE * source.size;
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      if (offset > most)
        throw new ArchiveError(
          `read tar: ${path} must unpack to at most ${MOST_PER_BYTE} times its size, but holds more; unpack it with a ` +
            'tool you trust',
        );
      const target = new Uint8Array(length);
      return target.subarray(0, await reader.readInto(offset, target));
    };
    const { members, skipped } = await contentsOfTar(read, path, () => reader.position);
    return new TarGzip(path, members, skipped);
  } finally {
    await reader.close();
    await source.close();
  }
}

const gunzipped = (source: ByteSource, path: string): ForwardReader =>
  new ForwardReader(source, 0, source.size, () => createGunzip(), damagedStream(path));

class TarGzip implements Archive {
  readonly members: ReadonlyMap<string, number>;
  private readonly order: readonly TarMember[];
  /** By offset, the latest used last. */
  private readonly kept = new Map<number, Uint8Array>();
  private keptBytes = 0;
  private stream: { readonly source: ByteSource; readonly reader: ForwardReader } | null = null;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly path: string,
    private readonly contents: ReadonlyMap<string, TarMember>,
    readonly skipped: Archive['skipped'],
  ) {
    this.members = sizesOf(contents);
    this.order = [...contents.values()];
  }

  async open(name: string, memberPath: string): Promise<ByteSource> {
    const member = this.contents.get(name)!;
    if (member.size > LARGEST_KEPT) return new Large(memberPath, await openPlain(this.path), member);
    const read = this.turn.then(() => this.read(member));
    this.turn = read.catch(() => undefined);
    return new MemorySource(memberPath, await read);
  }

  async close(): Promise<void> {
    await this.turn;
    const { stream } = this;
    this.stream = null;
    this.kept.clear();
    this.keptBytes = 0;
    await stream?.reader.close();
    await stream?.source.close();
  }

  /** Goes forward to the member, from the start where it lies behind, and keeps those on the way. */
  private async read(member: TarMember): Promise<Uint8Array> {
    const kept = this.kept.get(member.offset);
    if (kept !== undefined) {
      this.kept.delete(member.offset);
      this.kept.set(member.offset, kept);
      return kept;
    }
    if (this.stream === null) {
      const source = await openPlain(this.path);
      this.stream = { source, reader: gunzipped(source, this.path) };
    }
    const { reader } = this.stream;
    const from = reader.position > member.offset ? 0 : reader.position;
    for (const one of this.order) {
      if (one.offset < from || one.offset >= member.offset) continue;
      if (one.size <= LARGEST_KEPT && !this.kept.has(one.offset)) await this.take(reader, one);
    }
    return this.take(reader, member);
  }

  private async take(reader: ForwardReader, { offset, size }: TarMember): Promise<Uint8Array> {
    const bytes = await wholly(reader, offset, size, this.path);
    this.kept.set(offset, bytes);
    this.keptBytes += size;
    for (const [oldest, { length }] of this.kept) {
      if (this.keptBytes <= KEPT_BYTES) break;
      this.kept.delete(oldest);
      this.keptBytes -= length;
    }
    return bytes;
  }
}

/** One member; that it is there and how long was seen when the contents were read. */
async function wholly(
  reader: ForwardReader,
  offset: number,
  size: number,
  path: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  if ((await reader.readInto(offset, bytes)) < size)
    throw new ArchiveError(`read tar: ${path} ends inside a member; copy the archive again from its source`);
  return bytes;
}

class Large extends FillingSource {
  readonly size: number;
  private readonly reader: ForwardReader;

  constructor(
    readonly name: string,
    private readonly archive: ByteSource,
    private readonly member: TarMember,
  ) {
    super();
    this.size = member.size;
    this.reader = gunzipped(archive, name);
  }

  readInto(offset: number, target: Uint8Array): Promise<number> {
    const there = Math.max(0, Math.min(target.length, this.size - offset));
    return this.reader.readInto(this.member.offset + offset, target.subarray(0, there));
  }

  async close(): Promise<void> {
    await this.reader.close();
    await this.archive.close();
  }
}
