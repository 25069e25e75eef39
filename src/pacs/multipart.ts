/** Reads multipart/related bodies (RFC 2046 section 5.1, RFC 2387) part by part as they arrive. */
import { PacsError, TransientError } from './error.js';

export interface Part {
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

const HEADER_BYTES = 16 * 1024;
const CRLF = Buffer.from('\r\n');
const BLANK_LINE = Buffer.from('\r\n\r\n');

/**
 * The boundary parameter of a multipart/related Content-Type.
 * @throws PacsError when the type is another or has no usable boundary.
 */
export function boundaryOf(contentType: string | undefined): string {
  const type = contentType ?? '';
  // Quoted or a token; RFC 2046 allows 1 to 70 characters.
  const match = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i.exec(type);
  const boundary = match?.[1] ?? match?.[2];
  if (!/^multipart\/related\b/i.test(type.trim()) || boundary === undefined)
    throw new PacsError(
      `read a multipart answer: the server must answer with multipart/related and a boundary, got ` +
        `"${type.replace(/[^\x20-\x7e]/g, '?').slice(0, 80)}"; check that the address is a DICOMweb root`,
    );
  return boundary;
}

/**
 * Yields each part of a multipart body when it is complete. At most one part is held, plus one chunk of the stream.
 *
 * @param mostBytes Bytes of all parts together; more are refused.
 * @throws TransientError when the body ends before its closing delimiter; PacsError when it breaks the syntax or a
 * limit.
 */
export async function* parts(
  chunks: AsyncIterable<Uint8Array>,
  boundary: string,
  mostBytes: number,
): AsyncGenerator<Part> {
  const source = new Reader(chunks);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  try {
    // What precedes the first delimiter is a preamble, usually empty; the delimiter's line break may then be missing.
    source.unread(CRLF);
    await source.until(delimiter, HEADER_BYTES, 'the preamble');
    let total = 0;
    while (!(await isLast(source))) {
      const headers = await headersOf(source);
      const body = await source.until(delimiter, mostBytes - total, 'the rest of its parts');
      total += body.length;
      yield { headers, body };
    }
    await source.drain(HEADER_BYTES);
  } finally {
    await source.close();
  }
}

/** After a delimiter: "--" closes the body; else its line ends after optional blanks. */
async function isLast(source: Reader): Promise<boolean> {
  const two = await source.take(2);
  if (two.equals(Buffer.from('--'))) return true;
  source.unread(two);
  const padding = await source.until(CRLF, HEADER_BYTES, 'a delimiter line');
  if (!/^[ \t]*$/.test(padding.toString('latin1')))
    throw new PacsError(
      'read a multipart answer: a delimiter must stand alone on its line; the body is damaged',
    );
  return false;
}

async function headersOf(source: Reader): Promise<Map<string, string>> {
  const headers = new Map<string, string>();
  // A part without headers starts with the blank line itself.
  source.unread(CRLF);
  const block = await source.until(BLANK_LINE, HEADER_BYTES, "a part's header");
  for (const line of block.toString('latin1').split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

/** Takes bytes off a stream of chunks. */
class Reader {
  private readonly chunks: AsyncIterator<Uint8Array>;
  /** Read and not yet taken. */
  private rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.chunks = chunks[Symbol.asyncIterator]();
  }

  unread(bytes: Buffer): void {
    this.rest = Buffer.concat([bytes, this.rest]);
  }

  async take(count: number): Promise<Buffer> {
    while (this.rest.length < count) this.rest = Buffer.concat([this.rest, await this.next()]);
    const taken = this.rest.subarray(0, count);
    this.rest = this.rest.subarray(count);
    return taken;
  }

  /** The bytes before the next `mark`, which is taken off too. They are copied, so that they outlive the chunks. */
  async until(mark: Buffer, most: number, what: string): Promise<Buffer> {
    const found: Buffer[] = [];
    let length = 0;
    for (;;) {
      const at = this.rest.indexOf(mark);
      // Without a mark, all but what could be the beginning of one belongs to the value.
      const end = at >= 0 ? at : Math.max(0, this.rest.length - mark.length + 1);
      found.push(this.rest.subarray(0, end));
      length += end;
      if (length > most)
        throw new PacsError(
          `read a multipart answer: ${what} may have ${most} bytes, got more; raise the limit or leave it out`,
        );
      if (at >= 0) {
        this.rest = this.rest.subarray(at + mark.length);
        return Buffer.concat(found);
      }
      this.rest = Buffer.concat([this.rest.subarray(end), await this.next()]);
    }
  }

  /** Reads the epilogue, so that the connection can be used again; one that is long or breaks is left. */
  async drain(most: number): Promise<void> {
    let length = 0;
    try {
      while (length <= most) length += (await this.next()).length;
    } catch {
      // The stream ended, as it should, or broke when everything had arrived.
    }
  }

  async close(): Promise<void> {
    await this.chunks.return?.();
  }

  private async next(): Promise<Uint8Array> {
    const next = await this.chunks.next();
    if (next.done === true)
      throw new TransientError('read a multipart answer: it ends before its closing delimiter');
    return next.value;
  }
}
