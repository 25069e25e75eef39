/** The transfer syntaxes that Precess reads (PS3.5 section 10, PS3.6 annex A). */

export type PixelCoding =
  'native' | 'rle' | 'jpeg-baseline' | 'jpeg-lossless' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k';

const SYNTAXES: Readonly<Record<string, { name: string; coding: PixelCoding }>> = {
  '1.2.840.10008.1.2': { name: 'Implicit VR Little Endian', coding: 'native' },
  '1.2.840.10008.1.2.1': { name: 'Explicit VR Little Endian', coding: 'native' },
  '1.2.840.10008.1.2.1.99': { name: 'Deflated Explicit VR Little Endian', coding: 'native' },
  '1.2.840.10008.1.2.2': { name: 'Explicit VR Big Endian', coding: 'native' },
  '1.2.840.10008.1.2.5': { name: 'RLE Lossless', coding: 'rle' },
  '1.2.840.10008.1.2.4.50': { name: 'JPEG Baseline', coding: 'jpeg-baseline' },
  '1.2.840.10008.1.2.4.57': { name: 'JPEG Lossless', coding: 'jpeg-lossless' },
  '1.2.840.10008.1.2.4.70': { name: 'JPEG Lossless SV1', coding: 'jpeg-lossless' },
  '1.2.840.10008.1.2.4.80': { name: 'JPEG-LS Lossless', coding: 'jpeg-ls' },
  '1.2.840.10008.1.2.4.81': { name: 'JPEG-LS Near-Lossless', coding: 'jpeg-ls' },
  '1.2.840.10008.1.2.4.90': { name: 'JPEG 2000 Lossless', coding: 'jpeg-2000' },
  '1.2.840.10008.1.2.4.91': { name: 'JPEG 2000', coding: 'jpeg-2000' },
  '1.2.840.10008.1.2.4.201': { name: 'High-Throughput JPEG 2000 Lossless', coding: 'htj2k' },
  '1.2.840.10008.1.2.4.202': { name: 'High-Throughput JPEG 2000 RPCL Lossless', coding: 'htj2k' },
  '1.2.840.10008.1.2.4.203': { name: 'High-Throughput JPEG 2000', coding: 'htj2k' },
};

/** The registered name of a transfer syntax; null where Precess cannot read it. */
export function transferSyntaxName(uid: string): string | null {
  return SYNTAXES[uid]?.name ?? null;
}

/** How the pixels of a transfer syntax are coded; null where Precess cannot read it. */
export function codingOf(uid: string): PixelCoding | null {
  return SYNTAXES[uid]?.coding ?? null;
}
