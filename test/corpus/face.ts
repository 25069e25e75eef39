/** Where the face of a label map of a head is, by its eyes, and what of it and of the brain a defaced image has left. */
import { invert, apply } from '../../src/volume/affine.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';

/** FreeSurfer's labels of the brain, without fluid around it; 506 are the eyes in SynthSeg's training maps. */
const isBrain = (label: number): boolean => label > 0 && label < 500 && label !== 24;
const EYES = 506;

export interface FaceScore {
  /** Share of the brain's voxels that are kept. */
  readonly brainKept: number;
  /** Share of the voxels in the first 4 mm of the head, seen from the front, around eyes, nose and mouth, that are removed. */
  readonly faceRemoved: number;
  /** Share of the head's voxels that are kept. */
  readonly headKept: number;
}

/**
 * Compares an image of `labels` with what is left of it. The face is what a ray from the front meets first, from 10 mm
 * above the eyes to 80 mm below them, where that is not more than 25 mm behind the eyes.
 */
export function scoreOf(image: Volume, left: Volume, labels: Volume): FaceScore {
  const eyes = centreOf(labels, EYES);
  const back = invert(labels.affine);
  const [si, sj, sk] = labels.shape;
  const labelAt = (point: Vec3): number => {
    const [a, b, c] = apply(back, point).map(Math.round) as [number, number, number];
    if (a < 0 || b < 0 || c < 0 || a >= si || b >= sj || c >= sk) return 0;
    return labels.data[a + si * (b + sj * c)]!;
  };
  const [ni, nj] = image.shape;
  let [brain, brainKept, face, faceRemoved, head, headKept] = [0, 0, 0, 0, 0, 0];
  for (let n = 0; n < image.data.length; n++) {
    const i = n % ni;
    const j = Math.floor(n / ni) % nj;
    const point = apply(image.affine, [i, j, Math.floor(n / (ni * nj))]);
    const label = labelAt(point);
    if (label === 0) continue;
    const kept = left.valid?.[n] !== 0 ? 1 : 0;
    head++;
    headKept += kept;
    if (isBrain(label)) {
      brain++;
      brainKept += kept;
    }
    const [x, y, z] = point;
    if (z > eyes[2] + 10 || z < eyes[2] - 80 || y < eyes[1] - 25 || Math.abs(x - eyes[0]) > 60) continue;
    // Nothing in front, from 4 mm on.
    let isFront = true;
    for (let ahead = 4; ahead <= 60 && isFront; ahead += 2) isFront = labelAt([x, y + ahead, z]) === 0;
    if (!isFront) continue;
    face++;
    faceRemoved += 1 - kept;
  }
  return { brainKept: brainKept / brain, faceRemoved: faceRemoved / face, headKept: headKept / head };
}

function centreOf({ data, shape, affine }: Volume, label: number): Vec3 {
  const sum = [0, 0, 0];
  let count = 0;
  for (let n = 0; n < data.length; n++) {
    if (data[n] !== label) continue;
    const [ni, nj] = shape;
    const point = apply(affine, [n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj))]);
    point.forEach((mm, axis) => (sum[axis]! += mm));
    count++;
  }
  return [sum[0]! / count, sum[1]! / count, sum[2]! / count];
}
