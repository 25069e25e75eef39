/** Private elements that hold numbers of the acquisition and nothing else (PS3.15 E.3.10), by their creator. */
import type { DicomNode } from '../../formats/dicom/tree.js';

// Only what is needed to read diffusion weighting, mosaics and scaled values, from the manufacturers' conformance
// statements; the standard's own list (table E.3.10-1) is longer.
const SAFE: Readonly<Record<string, readonly number[]>> = {
  // Images in mosaic, b-value, gradient direction, b-matrix, bandwidth per pixel along phase encoding.
  '0019 SIEMENS MR HEADER': [0x0a, 0x0c, 0x0e, 0x27, 0x28],
  // Gradient direction x, y, z; b-value.
  '0019 GEMS_ACQU_01': [0xbb, 0xbc, 0xbd],
  '0043 GEMS_PARM_01': [0x39],
  // b-value.
  '2001 Philips Imaging DD 001': [0x03],
  // Scale intercept, scale slope; gradient direction.
  '2005 Philips MR Imaging DD 001': [0x0d, 0x0e, 0xb0, 0xb1, 0xb2],
  // b-value, gradient direction.
  '0065 Image Private Header': [0x09, 0x37],
};

const NUMBERS = new Set(['DS', 'FD', 'FL', 'IS', 'SL', 'SS', 'UL', 'US']);

/**
 * A private element that may stay, or the creator of a block that has one; null for every other. A safe element whose
 * value is no number goes too. `creators` are the block's names by the tag that reserves it (PS3.5 section 7.8.1).
 */
export function safePrivate(node: DicomNode, creators: ReadonlyMap<number, string>): DicomNode | null {
  const { tag, vr, value } = node;
  const group = (tag >>> 16).toString(16).padStart(4, '0');
  const own = creators.get(tag);
  if (own !== undefined) return `${group} ${own}` in SAFE && vr !== 'SQ' ? { ...node, vr: 'LO' } : null;
  const block = (tag & 0xff00) >>> 8;
  const creator = creators.get((tag >>> 16) * 0x10000 + block);
  if (creator === undefined || value === undefined || value.length > 256) return null;
  if (SAFE[`${group} ${creator}`]?.includes(tag & 0xff) !== true) return null;
  if (NUMBERS.has(vr) && vr !== 'DS' && vr !== 'IS') return node;
  // Numbers as text, whatever VR they were given; a number of many digits could be anybody's.
  const text = Buffer.from(value).toString('latin1').replace(/\0/g, '').trim();
  const isNumbers = text.split('\\').every((one) => /^\s*[-+]?\d{0,10}(\.\d*)?([eE][-+]?\d+)?\s*$/.test(one));
  return isNumbers && vr !== 'SQ' ? node : null;
}
