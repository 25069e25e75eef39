/** From the integers in a file to values: which of the scalings that a file may hold is used. */
import type { DataSet } from './dataset.js';

export interface Scaling {
  readonly slope: number;
  readonly intercept: number;
}

export const IDENTITY: Scaling = { slope: 1, intercept: 0 };

/** Where each scaling is looked for: the data set of a classic image, functional groups of a frame. */
interface Places {
  /** With Rescale Slope and Intercept. */
  readonly rescale: DataSet;
  /** With the block of Philips' private elements. */
  readonly philips: DataSet;
  /** With the Real World Value Mapping Sequence. */
  readonly realWorld: DataSet;
}

/**
 * In this order, the first that is there:
 *
 * 1. Philips' scale slope SS (2005,xx0E) with Rescale Slope RS and Intercept RI: (stored × RS + RI) / (RS × SS), the
 *    scanner's floating-point value (as its PAR/REC headers define it, and as dcm2niix takes it). Rescaled values are
 *    stretched to a display range image by image, so slices, echoes and series cannot be compared by them. Without a
 *    rescale the private scale intercept SI (2005,xx0D) says the same: (stored − SI) / SS.
 * 2. Rescale Slope and Intercept (PS3.3 C.11.1, C.7.6.16.2.9) where they change anything.
 * 3. The first linear Real World Value Mapping (PS3.3 C.7.6.16.2.11) whose range is not a single value.
 *
 * null where there is none of them.
 */
export function scalingOf({ rescale, philips, realWorld }: Places): Scaling | null {
  const slope = rescale.decimal(0x00281053);
  const rescaling: Scaling | null =
    slope === null ? null : { slope, intercept: rescale.decimal(0x00281052) ?? 0 };
  const scaleSlope = philipsValue(philips, 0x0e);
  if (scaleSlope !== null && scaleSlope !== 0) {
    if (slope !== null && slope !== 0)
      return { slope: 1 / scaleSlope, intercept: (rescaling?.intercept ?? 0) / (slope * scaleSlope) };
    return { slope: 1 / scaleSlope, intercept: -(philipsValue(philips, 0x0d) ?? 0) / scaleSlope };
  }
  if (rescaling !== null && (rescaling.slope !== 1 || rescaling.intercept !== 0)) return rescaling;
  return realWorldScaling(realWorld) ?? rescaling;
}

/** FL; FD in some enhanced images. */
function philipsValue(dataSet: DataSet, element: number): number | null {
  const value = dataSet.float(dataSet.privateTag(0x2005, 'Philips MR Imaging DD 001', element));
  return value !== null && Number.isFinite(value) ? value : null;
}

function realWorldScaling(dataSet: DataSet): Scaling | null {
  for (const item of dataSet.sequence(0x00409096)) {
    const slope = item.float(0x00409225);
    const intercept = item.float(0x00409224);
    // A slope of zero, or a lookup table instead of a slope, is no linear mapping.
    if (slope !== null && intercept !== null && slope !== 0 && Number.isFinite(slope + intercept))
      return { slope, intercept };
  }
  return null;
}
