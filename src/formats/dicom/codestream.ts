/**
 * Compressed streams before they are decoded: the decoders allocate what a damaged header says, or never return from it,
 * so that JPEG 2000 codestreams (ISO/IEC 15444-1 annex A) and JPEG frame headers (ISO/IEC 10918-1 B.2.2, for JPEG-LS
 * ISO/IEC 14495-1 C.2.2) are looked at first.
 */

const SOC_SIZ = 0xff4fff51;
const SOT = 0xff90;
const EOC = 0xffd9;

/**
 * Checks that the codestream holds one whole image of one component with these sides, and that its tile-parts follow
 * one another to its end. What does not start as a codestream is left to the decoder, which says so.
 *
 * @throws Error with what is wrong, without a file's name.
 */
export function checkCodestream(frame: Uint8Array, columns: number, rows: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 45 || view.getUint32(0) !== SOC_SIZ) return;
  // A.5.1: the sides of the reference grid, the offsets, the tiles, the components and how they are subsampled.
  const [right, bottom, left, top, tileWidth, tileHeight] = [8, 12, 16, 20, 24, 28].map((at) =>
    view.getUint32(at),
  ) as [number, number, number, number, number, number];
  const components = view.getUint16(40);
  const whole = right - left === columns && bottom - top === rows && tileWidth > 0 && tileHeight > 0;
  if (!whole || components !== 1 || frame[43] !== 1 || frame[44] !== 1)
    throw new Error(
      `it holds ${right - left}×${bottom - top}×${components}, the header says ${columns}×${rows}×1`,
    );
  checkTileParts(view);
}

/** A.4.2: every tile-part says its length, the last of them possibly 0, which means up to the end. */
function checkTileParts(view: DataView): void {
  const end = view.byteLength;
  let at = 2;
  // Segments of the main header: a marker and a length that counts itself.
  while (at + 4 <= end && view.getUint16(at) !== SOT) {
    const length = view.getUint16(at + 2);
    if (view.getUint16(at) < 0xff00 || length < 2) break;
    at += 2 + length;
  }
  let parts = 0;
  while (at + 12 <= end && view.getUint16(at) === SOT) {
    const length = view.getUint32(at + 6);
    parts++;
    if (length === 0) return;
    if (length < 14 || at + length > end) throw new Error('a tile-part is longer than the stream');
    at += length;
  }
  if (parts === 0 || at + 2 > end || view.getUint16(at) !== EOC)
    throw new Error('its tile-parts do not follow one another to its end');
}

/**
 * Checks that the frame header of a JPEG or JPEG-LS stream says one component with these sides.
 *
 * @throws Error with what is wrong, without a file's name.
 */
export function checkJpegFrame(frame: Uint8Array, columns: number, rows: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = 2;
  while (at + 10 <= frame.length) {
    const marker = view.getUint16(at);
    // Any number of 0xff may come before a marker.
    if (marker === 0xffff) {
      at++;
      continue;
    }
    if (marker < 0xff00) break;
    if (isFrameHeader(marker)) {
      const [height, width, components] = [view.getUint16(at + 5), view.getUint16(at + 7), frame[at + 9]!];
      if (width === columns && height === rows && components === 1) return;
      throw new Error(`it holds ${width}×${height}×${components}, the header says ${columns}×${rows}×1`);
    }
    at += 2 + view.getUint16(at + 2);
  }
  throw new Error('the stream has no frame header');
}

/** SOF0 to SOF15, without DHT, JPG and DAC which lie between; SOF55 of JPEG-LS. */
const isFrameHeader = (marker: number): boolean =>
  marker === 0xfff7 ||
  (marker >= 0xffc0 && marker <= 0xffcf && marker !== 0xffc4 && marker !== 0xffc8 && marker !== 0xffcc);
