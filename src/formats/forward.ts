/** Compressed streams, which can only be read forwards, read at any offset: back means from the start again. */
import { pipeline, Readable, type Transform } from 'node:stream';
import { crc32 } from 'node:zlib';
import type { ByteSource } from './byte-source.js';

const PIECE = 256 * 1024;

/** The bytes of `source` from `start`, `length` of them, in pieces. */
async function* pieces(source: ByteSource, start: number, length: number): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length;) {
    const piece = await source.read(start + done, Math.min(PIECE, length - done));
    if (piece.length === 0) return;
    done += piece.length;
    yield piece;
  }
}

/** What a stream must come to, as its archive says. */
export interface Expected {
  readonly size: number;
  readonly crc32: number;
}

/** What `unpack` makes of `length` bytes of `source` from `start` on, read forwards. */
export class ForwardReader {
  private stream: AsyncIterator<Uint8Array> | null = null;
  private piece: Uint8Array = new Uint8Array(0);
  /** Of the first byte of `piece`. */
  private at = 0;
  private checksum = 0;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly source: ByteSource,
    private readonly start: number,
    private readonly length: number,
    private readonly unpack: () => Transform,
    /** What is thrown when the stream is damaged or cut off. */
    private readonly damaged: (cause: unknown) => Error,
    private readonly expected: Expected | null = null,
  ) {}

  /** Offset that is read next without going back. */
  get position(): number {
    return this.at;
  }

  /** Fills `target` from `offset` on; returns how many bytes there were. Calls wait for one another. */
  readInto(offset: number, target: Uint8Array): Promise<number> {
    return this.inTurn(async () => {
      await this.seek(offset);
      let done = 0;
      while (done < target.length && (await this.fill())) {
        const part = this.piece.subarray(0, target.length - done);
        target.set(part, done);
        done += part.length;
        this.take(part.length);
      }
      return done;
    });
  }

  /** Goes forward to `offset`; false where the stream ends before. */
  skipTo(offset: number): Promise<boolean> {
    return this.inTurn(() => this.seek(offset));
  }

  close(): Promise<void> {
    return this.inTurn(() => this.stop());
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work);
    this.turn = next.catch(() => undefined);
    return next;
  }

  private async seek(offset: number): Promise<boolean> {
    if (offset < this.at) await this.stop();
    while (this.at < offset && (await this.fill())) this.take(Math.min(this.piece.length, offset - this.at));
    return this.at === offset;
  }

  private take(length: number): void {
    this.piece = this.piece.subarray(length);
    this.at += length;
  }

  /** Makes `piece` hold something; false at the end. */
  private async fill(): Promise<boolean> {
    try {
      this.stream ??= this.begin();
      while (this.piece.length === 0) {
        const next = await this.stream.next();
        if (this.expected !== null) this.check(this.expected, next.done === true ? null : next.value);
        if (next.done === true) return false;
        this.piece = next.value;
      }
      return true;
    } catch (error) {
      await this.stop();
      const { code } = error as NodeJS.ErrnoException;
      throw code?.startsWith('Z_') === true ? this.damaged(error) : error;
    }
  }

  /** The stream goes on with `piece` (null: ends) after what was read of it. */
  private check({ size, crc32: sum }: Expected, piece: Uint8Array | null): void {
    if (piece !== null) this.checksum = crc32(piece, this.checksum);
    const end = this.at + (piece?.length ?? 0);
    if (end > size || (piece === null && end < size) || (end === size && this.checksum !== sum))
      throw this.damaged(undefined);
  }

  private begin(): AsyncIterator<Uint8Array> {
    const unpacked = this.unpack();
    // A failure reaches whoever reads `unpacked`.
    pipeline(Readable.from(pieces(this.source, this.start, this.length)), unpacked, () => undefined);
    return unpacked[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  private async stop(): Promise<void> {
    const { stream } = this;
    this.stream = null;
    this.piece = new Uint8Array(0);
    this.at = 0;
    this.checksum = 0;
    await stream?.return?.().catch(() => undefined);
  }
}
