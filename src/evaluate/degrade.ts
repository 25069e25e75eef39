/** Images made worse by known amounts, to see how much of it a model bears. */
import { noisy, thickSlices, type Axis } from '../train/scanner.js';
import { apply, invert, multiply, spacing } from '../volume/affine.js';
import { intensityStats } from '../volume/intensity.js';
import { reorient } from '../volume/orientation.js';
import { Random } from '../volume/random.js';
import { buildPyramid, type Pyramid } from '../volume/sampling.js';
import type { Affine, Row4, Vec3, Volume } from '../volume/volume.js';

export interface Degradation {
  readonly name: string;
  /** What the strengths count. */
  readonly unit: string;
  /** From weak to strong. */
  readonly strengths: readonly { readonly at: number; readonly label: string }[];
  /** The image made worse; `random` is the image's own stream, so that it is always the same. */
  readonly apply: (volume: Volume, at: number, random: Random) => Volume;
}

const numbers = (...values: readonly number[]): { at: number; label: string }[] =>
  values.map((at) => ({ at, label: String(at) }));

/** Orders of the array's axes, none of them changing where a voxel is in the patient. */
const ORDERS = ['LPS', 'ASR', 'SRA', 'PIR'] as const;

export const DEGRADATIONS: readonly Degradation[] = [
  { name: 'resolution', unit: 'voxel side, mm', strengths: numbers(2, 3, 4, 6), apply: coarser },
  { name: 'slice thickness', unit: 'mm', strengths: numbers(4, 6, 8, 10), apply: thicker },
  {
    name: 'Rician noise',
    unit: 'σ as a share of the bright tissue',
    strengths: numbers(0.05, 0.1, 0.2, 0.3),
    apply: noisier,
  },
  {
    name: 'missing slices',
    unit: 'share of the slices',
    strengths: numbers(0.1, 0.25, 0.5, 0.75),
    apply: gappy,
  },
  { name: 'rotation', unit: 'degrees about the long axis', strengths: numbers(5, 10, 20, 40), apply: turned },
  {
    name: 'axis order',
    unit: 'order of the array’s axes',
    strengths: ORDERS.map((label, at) => ({ at: at + 1, label })),
    apply: (volume, at) => reorient(volume, ORDERS[at - 1]!),
  },
];

/** The axis along which slices lie: that of the widest step, the last among equals. */
export function sliceAxis(affine: Affine): Axis {
  const mm = spacing(affine);
  return mm[2] >= mm[0] * 0.999 && mm[2] >= mm[1] * 0.999 ? 2 : mm[1] > mm[0] ? 1 : 0;
}

/** Box averages of whole voxels, about `mm` wide where voxels are finer. */
function coarser(volume: Volume, mm: number): Volume {
  return fromPyramid(buildPyramid(volume, mm));
}

/** Slices averaged to about `mm`; see `thickSlices`. */
function thicker(volume: Volume, mm: number): Volume {
  return fromPyramid(thickSlices(buildPyramid(volume, 0), sliceAxis(volume.affine), mm));
}

/**
 * Magnitude of the signal with Gaussian noise of `share` × the 95th percentile of the foreground in its real and imaginary
 * part (Gudbjartsson & Patz 1995).
 */
function noisier(volume: Volume, share: number, random: Random): Volume {
  const sigma = share * intensityStats(volume).high;
  const { data, slope, intercept } = volume;
  const values = Float32Array.from(data, (value) => noisy(value * slope + intercept, sigma, random));
  return { ...volume, data: values, slope: 1, intercept: 0 };
}

/** A share of the slices, drawn by chance, not measured. At least one is kept. */
function gappy(volume: Volume, share: number, random: Random): Volume {
  const axis = sliceAxis(volume.affine);
  const { shape } = volume;
  const slices = shape[axis];
  const gone = new Set(random.sample(slices, Math.min(slices - 1, Math.round(share * slices))));
  const valid = volume.valid === null ? new Uint8Array(volume.data.length).fill(1) : volume.valid.slice();
  const stride = [1, shape[0], shape[0] * shape[1]][axis]!;
  for (let n = 0; n < valid.length; n++) if (gone.has(Math.floor(n / stride) % slices)) valid[n] = 0;
  return { ...volume, valid };
}

/** The patient turned about the foot-head axis through the middle of the image: the affine alone changes. */
function turned(volume: Volume, degrees: number): Volume {
  const middle = volume.shape.map((size) => (size - 1) / 2) as unknown as Vec3;
  const [x, y] = apply(volume.affine, middle);
  const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const turn: Affine = [
    [c, -s, 0, x - c * x + s * y],
    [s, c, 0, y - s * x - c * y],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ];
  return { ...volume, affine: multiply(turn, volume.affine) };
}

/** An averaged grid as an image; a voxel of which less than half was measured is not. */
function fromPyramid({ values, weight, shape, toVoxel: m }: Pyramid): Volume {
  const row = (r: number): Row4 => [m[4 * r]!, m[4 * r + 1]!, m[4 * r + 2]!, m[4 * r + 3]!];
  return {
    data: values,
    shape,
    affine: invert([row(0), row(1), row(2), [0, 0, 0, 1]]),
    slope: 1,
    intercept: 0,
    valid: weight && Uint8Array.from(weight, (w) => (w >= 0.5 ? 1 : 0)),
  };
}
