/** Volume files of the formats that share one interface, by name. */
import type { ImageFile } from './image-file.js';
import { openMgz } from './mgz/index.js';
import { openMha } from './mha/index.js';
import { openNrrd } from './nrrd/index.js';

export type VolumeFormat = 'nrrd' | 'mgz' | 'mha';

const OPEN: Readonly<Record<VolumeFormat, (path: string) => Promise<ImageFile>>> = {
  nrrd: openNrrd,
  mgz: openMgz,
  mha: openMha,
};

/** Reads the header of an NRRD, MGH or MetaImage file. @throws the format's error or a system error. */
export function openImageFile(format: VolumeFormat, path: string): Promise<ImageFile> {
  return OPEN[format](path);
}
