/** RLE Lossless (PS3.5 annex G): byte planes, most significant first, each PackBits-coded. */

/** Decodes one RLE frame to `byteLength` bytes of little-endian cells of `width` bytes. */
export function decodeRle(frame: Uint8Array, byteLength: number, width: number): Uint8Array {
  if (frame.length < 64) throw new Error('the RLE header is cut off');
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const segments = view.getUint32(0, true);
  if (segments !== width) throw new Error(`it has ${segments} RLE segments, a cell has ${width} bytes`);
  const out = new Uint8Array(byteLength);
  for (let segment = 0; segment < segments; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < segments ? view.getUint32(8 + 4 * segment, true) : frame.length;
    if (start < 64 || end < start || end > frame.length)
      throw new Error('an RLE segment lies outside its frame');
    unpackPlane(frame.subarray(start, end), out, width - 1 - segment, width);
  }
  return out;
}

/** Writes a plane's bytes to out[first], out[first + step] … (annex G.3.2). */
function unpackPlane(packed: Uint8Array, out: Uint8Array, first: number, step: number): void {
  let to = first;
  let at = 0;
  while (to < out.length) {
    if (at >= packed.length) throw new Error('an RLE segment ends before the last pixel');
    const count = (packed[at++]! << 24) >> 24;
    if (count >= 0) {
      if (at + count >= packed.length) throw new Error('an RLE run passes the end of its segment');
      for (let n = 0; n <= count && to < out.length; n++, to += step) out[to] = packed[at + n]!;
      at += count + 1;
    } else if (count !== -128) {
      const value = packed[at++] ?? 0;
      for (let n = 0; n <= -count && to < out.length; n++, to += step) out[to] = value;
    }
  }
}
