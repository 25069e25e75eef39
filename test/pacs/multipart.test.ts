/** Multipart bodies read back whole however the network cuts them; broken ones are refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacsError, TransientError } from '../../src/pacs/error.js';
import { boundaryOf, type Part, parts } from '../../src/pacs/multipart.js';

const ROOMY = 2 ** 20;

// eslint-disable-next-line @typescript-eslint/require-await -- an async iterable is what the parser takes
async function* cut(body: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let n = 0; at < body.length; n++) {
    const size = sizes[n % sizes.length]!;
    yield body.subarray(at, at + size);
    at += size;
  }
}

async function read(body: Uint8Array, boundary: string, sizes = [7], most = ROOMY): Promise<Part[]> {
  const found: Part[] = [];
  for await (const part of parts(cut(body, sizes), boundary, most)) found.push(part);
  return found;
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('multipart bodies', () => {
  it('reads the example of RFC 2046 section 5.1.1: a preamble, a part without headers, an epilogue', async () => {
    const body = [
      'This is the preamble.  It is to be ignored, though it',
      'is a handy place for composition agents to include an',
      'explanatory note to non-MIME conformant readers.',
      '',
      '--simple boundary',
      '',
      'This is implicitly typed plain US-ASCII text.',
      'It does NOT end with a linebreak.',
      '--simple boundary',
      'Content-type: text/plain; charset=us-ascii',
      '',
      'This is explicitly typed plain US-ASCII text.',
      'It DOES end with a linebreak.',
      '',
      '--simple boundary--',
      '',
      'This is the epilogue.  It is also to be ignored.',
    ].join('\r\n');
    const found = await read(bytes(body), 'simple boundary');
    expect(found.map(({ body: one }) => Buffer.from(one).toString())).toEqual([
      'This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.',
      'This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n',
    ]);
    expect([...found[0]!.headers]).toEqual([]);
    expect([...found[1]!.headers]).toEqual([['content-type', 'text/plain; charset=us-ascii']]);
  });

  it('gives back any bodies, cut anywhere', async () => {
    // Few different bytes, so that line breaks and beginnings of the delimiter are frequent in the bodies.
    const body = fc
      .array(fc.constantFrom(13, 10, 45, 98, 0), { maxLength: 60 })
      .map((all) => Uint8Array.from(all));
    await fc.assert(
      fc.asyncProperty(
        fc.array(body, { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        async (bodies, sizes) => {
          const boundary = 'b-b';
          fc.pre(bodies.every((one) => !Buffer.from(one).includes(`\r\n--${boundary}`)));
          const written = Buffer.concat([
            ...bodies.flatMap((one, n) => [bytes(`--${boundary}\r\nN: ${n}\r\n\r\n`), one, bytes('\r\n')]),
            bytes(`--${boundary}--`),
          ]);
          const found = await read(written, boundary, sizes);
          expect(found.map((part) => part.headers.get('n'))).toEqual(bodies.map((_, n) => String(n)));
          expect(found.map((part) => [...part.body])).toEqual(bodies.map((one) => [...one]));
        },
      ),
      { numRuns: 400 },
    );
  });

  it('yields a part before the next one has come', async () => {
    let asked = 0;
    // eslint-disable-next-line @typescript-eslint/require-await -- as above
    async function* slow(): AsyncGenerator<Uint8Array> {
      for (const text of ['--b\r\n\r\none\r\n--b\r\n', '\r\ntwo\r\n--b--']) {
        asked++;
        yield bytes(text);
      }
    }
    const all = parts(slow(), 'b', ROOMY);
    const first = await all.next();
    expect(Buffer.from((first.value as Part).body).toString()).toBe('one');
    expect(asked).toBe(1);
    await all.return(undefined);
  });

  it.each([
    ['ends inside a part', '--b\r\n\r\nhalf', TransientError, /ends before/],
    ['ends after a part', '--b\r\n\r\none\r\n--b\r\n', TransientError, /ends before/],
    ['is empty', '', TransientError, /ends before/],
    ['has text after a delimiter', '--b x\r\n\r\none\r\n--b--', PacsError, /alone on its line/],
    ['has a part that is too long', `--b\r\n\r\n${'x'.repeat(99)}\r\n--b--`, PacsError, /70 bytes/],
    ['has endless headers', `--b\r\n${'A: b\r\n'.repeat(9999)}`, PacsError, /header may have/],
    [
      'has too much in all',
      `--b\r\n\r\n${'x'.repeat(40)}\r\n--b\r\n\r\n${'x'.repeat(40)}\r\n--b--`,
      PacsError,
      /30/,
    ],
  ])('refuses a body that %s', async (_, body, kind, message) => {
    const failure = await read(bytes(body), 'b', [11], 70).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(kind);
    expect((failure as Error).message).toMatch(message);
  });

  it.each([
    ['multipart/related; type="application/dicom"; boundary="a b"', 'a b'],
    ['Multipart/Related; boundary=abc; type=application/dicom', 'abc'],
    ["multipart/related;boundary=0'()+_,-./:=?", "0'()+_,-./:=?"],
  ])('takes the boundary of %s', (type, boundary) => expect(boundaryOf(type)).toBe(boundary));

  it.each([undefined, 'text/html', 'multipart/related', 'multipart/form-data; boundary=a'])(
    'refuses %s',
    (type) => expect(() => boundaryOf(type)).toThrow(/multipart\/related/),
  );
});
