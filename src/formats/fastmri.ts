/** HDF5 files of fastMRI (Zbontar et al. 2018; Knoll et al. 2020): the reconstructed image, and what the scan was. */
import { open } from 'node:fs/promises';
import type { Affine, Vec3, Volume } from '../volume/volume.js';

export class FastmriError extends Error {
  override readonly name = 'FastmriError';
}

export interface FastmriScan {
  /** As the file says: "AXT2", "CORPDFS_FBK", … */
  readonly acquisition: string;
  /** The publisher's pseudonym; '' where the file has none. */
  readonly patient: string;
  readonly manufacturer: string;
  readonly fieldStrengthT: number | null;
  readonly shape: Vec3;
  /**
   * Voxel to mm. **The files do not say how the patient lay**: columns are taken to run to the left; rows and slices of
   * axial scans to posterior and superior, of coronal ones (knees) to inferior and anterior.
   */
  readonly affine: Affine;
}

type Hdf5 = typeof import('h5wasm/node');
let loading: Promise<Hdf5> | null = null;

/** The library is a large one that few need. */
async function hdf5(): Promise<Hdf5> {
  loading ??= import('h5wasm/node').then(async (library) => {
    await library.ready;
    return library;
  });
  return loading;
}

const IMAGE = 'reconstruction_rss';
const LARGEST_MM = 1000;

/** What a file says of its scan, without reading voxels. @throws FastmriError when it is not one of these files. */
export const readFastmriScan = (path: string): Promise<FastmriScan> =>
  withFile(path, (file) => scanOf(path, file));

/** The root-sum-of-squares reconstruction. @throws FastmriError when the file is not one of these, or is damaged. */
export const readFastmriVolume = (path: string): Promise<Volume> =>
  withFile(path, (file) => {
    const { shape, affine } = scanOf(path, file);
    const { value } = file.get(IMAGE) as InstanceType<Hdf5['Dataset']>;
    if (!(value instanceof Float32Array) && !(value instanceof Float64Array))
      throw wrong(path, `hold ${IMAGE} as floating point numbers`);
    const data = Float32Array.from(value);
    const valid = new Uint8Array(data.length).fill(1);
    for (let n = 0; n < data.length; n++) if (!Number.isFinite(data[n])) data[n] = valid[n] = 0;
    const whole = valid.every((one) => one === 1);
    return { data, shape, affine, slope: 1, intercept: 0, valid: whole ? null : valid };
  });

const wrong = (path: string, rule: string, cause?: unknown): FastmriError =>
  new FastmriError(`fastmri: ${path} must ${rule}, but does not; take it as published`, { cause });

/** Section III.A of the HDF5 file format: of files without a user block. */
const SIGNATURE = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

async function startOf(path: string): Promise<Buffer> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw wrong(path, 'be a file that can be read', error);
  });
  try {
    const start = Buffer.alloc(SIGNATURE.length);
    await handle.read(start, 0, start.length, 0);
    return start;
  } finally {
    await handle.close();
  }
}

async function withFile<T>(path: string, use: (file: InstanceType<Hdf5['File']>) => T): Promise<T> {
  // The library prints what it thinks of other files.
  if (!(await startOf(path)).equals(SIGNATURE)) throw wrong(path, 'be an HDF5 file that can be read');
  const { File } = await hdf5();
  let file: InstanceType<Hdf5['File']>;
  try {
    file = new File(path, 'r');
  } catch (error) {
    throw wrong(path, 'be an HDF5 file that can be read', error);
  }
  try {
    return use(file);
  } catch (error) {
    throw error instanceof FastmriError ? error : wrong(path, 'be a whole HDF5 file', error);
  } finally {
    file.close();
  }
}

function scanOf(path: string, file: InstanceType<Hdf5['File']>): FastmriScan {
  const image = file.keys().includes(IMAGE) ? file.get(IMAGE) : null;
  const sizes = image && 'shape' in image ? image.shape : null;
  if (sizes?.length !== 3) throw wrong(path, `hold an image ${IMAGE} of slices, rows and columns`);
  const [slices, rows, columns] = sizes as [number, number, number];
  const header = file.keys().includes('ismrmrd_header') ? file.get('ismrmrd_header') : null;
  const value = header && 'value' in header ? header.value : null;
  const xml =
    typeof value === 'string' ? value : Array.isArray(value) && typeof value[0] === 'string' ? value[0] : '';
  const space = /<reconSpace>([\s\S]*?)<\/reconSpace>/.exec(xml)?.[1] ?? '';
  const numbers = (tag: string): number[] => {
    const part = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(space)?.[1] ?? '';
    return ['x', 'y', 'z'].map((axis) => Number(new RegExp(`<${axis}>([^<]*)</${axis}>`).exec(part)?.[1]));
  };
  const [matrix, fov] = [numbers('matrixSize'), numbers('fieldOfView_mm')];
  const spacing = fov.map((mm, d) => mm / matrix[d]!) as [number, number, number];
  if (!spacing.every((mm) => mm > 0 && mm <= LARGEST_MM))
    throw wrong(path, 'say in its ismrmrd_header how large the image is (reconSpace)');
  const text = (name: string): string => {
    const given = file.attrs[name]?.value;
    return typeof given === 'string' ? given : '';
  };
  const acquisition = text('acquisition');
  const [dx, dy, dz] = spacing;
  const down = acquisition.startsWith('COR') ? 2 : 1;
  const through = down === 2 ? 1 : 2;
  const affine = [0, 1, 2].map((d) => [
    d === 0 ? -dx : 0,
    d === down ? -dy : 0,
    d === through ? dz : 0,
    d === 0 ? (dx * columns) / 2 : d === down ? (dy * rows) / 2 : (-dz * slices) / 2,
  ]);
  const tesla = Number(/<systemFieldStrength_T>([^<]*)</.exec(xml)?.[1]);
  return {
    acquisition,
    patient: text('patient_id'),
    manufacturer: (/<systemVendor>([^<]*)</.exec(xml)?.[1] ?? '').trim().toUpperCase(),
    fieldStrengthT: tesla > 0 ? Math.round(tesla * 100) / 100 : null,
    shape: [columns, rows, slices],
    affine: [...affine, [0, 0, 0, 1]] as unknown as Affine,
  };
}
