/** Opens the images of a file or folder as they are, without a corpus: for embed, describe and search by image. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { fileFormat, type FileFormat } from '../corpus/file-names.js';
import { walk } from '../corpus/walk.js';
import { openBytes } from '../formats/bytes.js';
import {
  groupSeries,
  isDicom,
  loadSeries,
  readDicomHeader,
  type DicomInstance,
} from '../formats/dicom/index.js';
import { readNiftiFile } from '../formats/nifti/index.js';
import { openImageFile } from '../formats/volume-files.js';
import type { Volume } from '../volume/volume.js';
import { TaskError } from './error.js';

export interface OpenedImage {
  /** From the content alone: the same voxels in the same place have the same id, wherever the file lies. */
  readonly id: string;
  readonly volume: Volume;
}

/** Headers read at a time. */
const PARALLEL = 16;

/**
 * Every MR series in a DICOM file, folder (searched with its subfolders) or archive, and the first frame of NIfTI, NRRD,
 * MetaImage and MGH images. Images come one at a time, so that only one volume is held; one that cannot be read is
 * told to `warn` and passed over.
 * @throws TaskError when `path` holds no image that can be read, with the reason of the first file that was not.
 */
export async function* openImages(
  path: string,
  warn: (message: string) => void = () => undefined,
): AsyncGenerator<OpenedImage> {
  if (!(await stat(path).catch(() => null)))
    throw new TaskError(`image: ${path} does not exist; give a DICOM folder, a DICOM file or a NIfTI file`);
  const reasons: string[] = [];
  const leaveOut = (file: string, why: string): void => {
    reasons.push(`${file}: ${why}`);
    warn(`image: ${file} is passed over: ${why}`);
  };
  const others: string[] = [];
  const images: { file: string; format: FileFormat }[] = [];
  for await (const file of walk([path], '', (one) => leaveOut(one.path, one.reason))) {
    const format = fileFormat(file.path);
    if (format === null) others.push(file.path);
    // Of a pair, the header stands for both files.
    else if (!/\.img(\.gz)?$/i.test(file.path)) images.push({ file: file.path, format });
  }
  const instances: DicomInstance[] = [];
  for (let at = 0; at < others.length; at += PARALLEL)
    await Promise.all(
      others.slice(at, at + PARALLEL).map(async (file) => {
        try {
          if (isDicom(await firstBytes(file))) instances.push(await readDicomHeader(file));
        } catch (error) {
          leaveOut(file, messageOf(error));
        }
      }),
    );
  const { series, skipped } = groupSeries(instances);
  for (const one of skipped) leaveOut(one.path, one.reason);
  let found = 0;
  const readers = [
    ...series.map((one) => ({ file: one.header.path, read: () => loadSeries(one) })),
    ...images.map(({ file, format }) => ({ file, read: () => firstFrame(file, format) })),
  ];
  for (const { file, read } of readers) {
    let volume: Volume;
    try {
      volume = await read();
    } catch (error) {
      leaveOut(file, messageOf(error));
      continue;
    }
    found++;
    yield opened(volume);
  }
  if (found === 0)
    throw new TaskError(
      `image: ${path} holds no MR image that can be read${reasons.length === 0 ? '' : ` (${reasons[0]!})`}; ` +
        'give a DICOM folder, a DICOM file or a NIfTI file',
    );
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function firstFrame(file: string, format: FileFormat): Promise<Volume> {
  if (format === 'nifti') return (await readNiftiFile(file)).frame(0);
  return (await openImageFile(format, file)).frame(0);
}

function opened(volume: Volume): OpenedImage {
  const { data, affine, shape } = volume;
  const hash = createHash('sha256')
    .update(JSON.stringify([shape, affine]))
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return { id: `im-${hash.digest('hex').slice(0, 24)}`, volume };
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const source = await openBytes(path);
  try {
    return await source.read(0, Math.min(256, source.size));
  } finally {
    await source.close();
  }
}
