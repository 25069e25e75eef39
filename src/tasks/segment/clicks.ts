/** Clicks in millimetres on an image, and what they add to windows. */
import { clickBump, CLICK_MM, type ClickShape } from '../../models/segment-clicks.js';
import { apply, column, invert } from '../../volume/affine.js';
import type { Vec3 } from '../../volume/volume.js';
import { TaskError } from '../error.js';
import { eachInside } from './window.js';
import type { SegmentImage } from './image.js';

export interface Click {
  /** RAS+ mm. */
  readonly pointMm: Vec3;
  /** Number of the label said; null for "what is here already": more of it. */
  readonly label: number | null;
}

interface Where {
  readonly click: Click;
  /** Voxel of the image's grid. */
  readonly voxel: Vec3;
  /** Start of the window about it, and its number in that window. */
  readonly start: Vec3;
  readonly inWindow: number;
}

/** A click and what was seen at its voxel. */
export interface PlacedClick extends Where {
  readonly logits: Float32Array;
  readonly features: Float32Array;
}

/** @throws TaskError for a click outside of the image. */
export function placeClick(click: Click, image: SegmentImage, side: Vec3): Where {
  const voxel = apply(invert(image.affine), click.pointMm).map(Math.round) as unknown as Vec3;
  if (voxel.some((n, d) => n < 0 || n >= image.shape[d as 0]))
    throw new TaskError(
      `click: ${click.pointMm.join(',')} mm must lie in the image, which goes from ` +
        `${apply(image.affine, [0, 0, 0]).map(Math.round).join(',')} to ` +
        `${apply(image.affine, [image.shape[0] - 1, image.shape[1] - 1, image.shape[2] - 1])
          .map(Math.round)
          .join(',')} mm ` +
        '(right, anterior, superior)',
    );
  const start = voxel.map((n, d) => n - side[d as 0] / 2) as unknown as Vec3;
  return { click, voxel, start, inWindow: side[0] / 2 + side[0] * (side[1] / 2 + side[1] * (side[2] / 2)) };
}

/** Beyond so many times {@link CLICK_MM} a click adds nothing. */
const REACH = 3;
/** By how much the label said must win at the voxel clicked on. */
const MARGIN = 2;

/**
 * What clicks add to the logits of a window, by label, in the window's order of voxels. A click whose label would not win
 * at its own voxel is made stronger until it does: what a person says of a voxel holds.
 */
export function clickAdditions(
  clicks: readonly PlacedClick[],
  shape: ClickShape,
  at: { readonly image: SegmentImage; readonly start: Vec3; readonly side: Vec3; readonly order: Int32Array },
  features: Float32Array | null,
): Map<number, Float32Array> {
  const out = new Map<number, Float32Array>();
  if (features === null) return out;
  const { image, start, side, order } = at;
  const steps = ([0, 1, 2] as const).map((axis) => column(image.affine, axis)) as [Vec3, Vec3, Vec3];
  for (const { click, voxel, logits, features: own } of clicks) {
    const label = click.label ?? logits.indexOf(Math.max(...logits));
    const others = Math.max(...logits.filter((_, l) => l !== label));
    const strength = clickBump(shape, 1, 0);
    const scale = Math.max(1, (others - logits[label]! + MARGIN) / strength);
    const size = own.length;
    const norm = Math.hypot(...own);
    const added = out.get(label) ?? new Float32Array(side[0] * side[1] * side[2]);
    out.set(label, added);
    eachInside(image, start, side, (inWindow) => {
      const from = [
        (inWindow % side[0]) + start[0] - voxel[0],
        (Math.floor(inWindow / side[0]) % side[1]) + start[1] - voxel[1],
        Math.floor(inWindow / (side[0] * side[1])) + start[2] - voxel[2],
      ];
      const mm = Math.hypot(
        ...([0, 1, 2] as const).map(
          (d) => steps[0][d] * from[0]! + steps[1][d] * from[1]! + steps[2][d] * from[2]!,
        ),
      );
      if (mm > REACH * CLICK_MM) return;
      let [along, squared] = [0, 0];
      for (let f = 0; f < size; f++) {
        const x = features[order[inWindow]! * size + f]!;
        along += x * own[f]!;
        squared += x * x;
      }
      const cosine = along / (norm * Math.sqrt(squared) || 1);
      added[inWindow]! += scale * clickBump(shape, cosine, mm);
    });
  }
  return out;
}
