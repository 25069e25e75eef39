/** Which part of the complex MR signal an image shows. */
import type { DataSet } from './dataset.js';

export type ComplexPart = 'magnitude' | 'phase' | 'real' | 'imaginary';

const PARTS: Readonly<Record<string, ComplexPart>> = {
  M: 'magnitude',
  P: 'phase',
  R: 'real',
  I: 'imaginary',
  MAGNITUDE: 'magnitude',
  PHASE: 'phase',
  REAL: 'real',
  IMAGINARY: 'imaginary',
  'PHASE MAP': 'phase',
};
const GE = ['magnitude', 'phase', 'real', 'imaginary'] as const;

/**
 * Complex Image Component (0008,9208) where it is (PS3.3 C.8.13.3.1.1); else value 4 of Image Type, then value 3: MR
 * scanners write "M", "P", "R", "I" there (Siemens in value 3, Philips in value 4 after "M_FFE" and the like), and
 * PS3.3 C.8.3.1.1.1 has "PHASE MAP" in value 3; else GE's private (0043,xx2F). '' where none of them says.
 */
export function complexPartOf(dataSet: DataSet, imageType: readonly string[]): ComplexPart | '' {
  const named = PARTS[dataSet.text(0x00089208)] ?? PARTS[imageType[3] ?? ''] ?? PARTS[imageType[2] ?? ''];
  if (named !== undefined) return named;
  const philips = /^([MPRI])_/.exec(imageType[2] ?? '')?.[1];
  if (philips !== undefined) return PARTS[philips]!;
  const ge = dataSet.privateTag(0x0043, 'GEMS_PARM_01', 0x2f);
  return dataSet.has(ge) ? (GE[dataSet.int16(ge, true) ?? 0] ?? '') : '';
}
