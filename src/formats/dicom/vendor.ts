/** Diffusion weighting, which most classic MR images have only in their manufacturer's private elements. */
import type { DataSet } from './dataset.js';

export interface Diffusion {
  /** s/mm², null where the file does not say. */
  readonly bValue: number | null;
  /** The direction as the file writes it, '' where there is none: images are told apart by it, nothing else. */
  readonly direction: string;
}

const direction = (values: readonly number[]): string =>
  values.length === 3 && values.every(Number.isFinite) ? values.map((v) => v.toFixed(4)).join('\\') : '';

/**
 * Standard elements first (PS3.3 C.8.13.5.9: (0018,9087), (0018,9089)), then the private ones that the
 * manufacturers' DICOM conformance statements describe.
 */
export function readDiffusion(dataSet: DataSet): Diffusion {
  if (dataSet.has(0x00189087))
    return { bValue: dataSet.binary(0x00189087), direction: direction(dataSet.doubles(0x00189089)) };

  // Siemens writes decimal text in OB, so the text is parsed whatever the VR.
  const siemens = dataSet.privateTag(0x0019, 'SIEMENS MR HEADER', 0x0c);
  if (dataSet.has(siemens))
    return { bValue: dataSet.decimal(siemens), direction: direction(dataSet.doubles(siemens + 2)) };

  // GE: the first of four integers; 1e9 is added when the scanner combined directions.
  const ge = dataSet.privateTag(0x0043, 'GEMS_PARM_01', 0x39);
  if (dataSet.has(ge)) {
    const b = dataSet.decimal(ge);
    const axes = [0xbb, 0xbc, 0xbd].map((e) =>
      dataSet.decimal(dataSet.privateTag(0x0019, 'GEMS_ACQU_01', e)),
    );
    return { bValue: b === null ? null : b % 1e9, direction: direction(axes.map((axis) => axis ?? NaN)) };
  }

  const philips = dataSet.privateTag(0x2001, 'Philips Imaging DD 001', 0x03);
  if (dataSet.has(philips)) {
    const name = dataSet.text(dataSet.privateTag(0x2001, 'Philips Imaging DD 001', 0x04));
    return { bValue: dataSet.binary(philips), direction: name };
  }

  const uih = dataSet.privateTag(0x0065, 'Image Private Header', 0x09);
  if (dataSet.has(uih))
    return { bValue: dataSet.binary(uih), direction: direction(dataSet.doubles(uih - 0x09 + 0x37)) };
  return { bValue: null, direction: '' };
}
