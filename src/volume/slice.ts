/** A plane through a volume as a picture, in the orientation in which radiologists look at it. */
import { sampleBlock } from './sampling.js';
import type { Prepared } from './tokens.js';

export interface SlicePicture {
  readonly width: number;
  readonly height: number;
  /** Grey values, row by row from the top left. */
  readonly data: Uint8Array;
}

export type PicturePlane = 'axial' | 'coronal' | 'sagittal';

/** Which of the axes R, A and S run across a picture of a plane, down it, and through it. */
export const PLANE_AXES: Readonly<
  Record<PicturePlane, { readonly across: 0 | 1; readonly down: 1 | 2; readonly through: 0 | 1 | 2 }>
> = {
  axial: { across: 0, down: 1, through: 2 },
  coronal: { across: 0, down: 2, through: 1 },
  sagittal: { across: 1, down: 2, through: 0 },
};

/** The square that a picture shows: its middle in RAS+ mm, and its side. */
export function frameOf(
  { stats }: Pick<Prepared, 'stats'>,
  plane: PicturePlane,
): { centreMm: [number, number, number]; sideMm: number } {
  const [low, high] = stats.foregroundMm;
  const { across, down } = PLANE_AXES[plane];
  return {
    centreMm: [0, 1, 2].map((d) => (low[d as 0] + high[d as 0]) / 2) as [number, number, number],
    sideMm: 1.1 * Math.max(high[across] - low[across], high[down] - low[down], 1),
  };
}

/**
 * Draws the plane through the middle of the foreground, or at `atMm` on the axis through it, as a square of `pixels` that
 * holds the whole foreground. Axial and coronal show the patient's right on the left; sagittal shows anterior on the
 * left; up is anterior (axial) or superior. Grey runs over the robust range; what was not measured is black.
 */
export function drawSlice(
  prepared: Prepared,
  plane: PicturePlane,
  pixels: number,
  atMm?: number,
): SlicePicture {
  const { stats } = prepared;
  const { centreMm: centre, sideMm: side } = frameOf(prepared, plane);
  const { across, down, through } = PLANE_AXES[plane];
  const step = side / pixels;
  const pyramid = prepared.pyramid(step);
  const value = new Float32Array(1);
  const ok = new Uint8Array(1);
  const data = new Uint8Array(pixels * pixels);
  // Columns and rows of all three planes run against the RAS axes: to the left, to posterior, to inferior.
  const at: [number, number, number] = [0, 0, 0];
  at[through] = atMm ?? centre[through];
  for (let r = 0; r < pixels; r++)
    for (let c = 0; c < pixels; c++) {
      at[across] = centre[across] + side / 2 - (c + 0.5) * step;
      at[down] = centre[down] + side / 2 - (r + 0.5) * step;
      if (sampleBlock(pyramid, at[0], at[1], at[2], step, 1, value, ok, 0) === 0) continue;
      const grey = (value[0]! - stats.threshold / 2) / (stats.high - stats.threshold / 2);
      data[r * pixels + c] = Math.max(0, Math.min(255, Math.round(230 * grey)));
    }
  return { width: pixels, height: pixels, data };
}
