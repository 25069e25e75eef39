/** A small series to write as DICOM, and ways to get it back, that several DICOM tests share. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DicomInstance,
  groupSeries,
  type GroupedSeries,
  type MrHeader,
  newUid,
  readDicomHeader,
} from '../../src/formats/dicom/index.js';
import { affineFrom } from '../../src/volume/affine.js';
import type { Vec3, Volume } from '../../src/volume/volume.js';
import { rotation } from '../volume/geometry.js';

export const header: MrHeader = {
  patientId: 'PID-1',
  patientName: 'Doe^Jane',
  birthDate: '19600704',
  sex: 'F',
  studyUid: newUid('study'),
  seriesUid: newUid('series'),
  frameOfReferenceUid: newUid('frame'),
  studyDate: '20240102',
  manufacturer: 'Acme',
  model: 'Resonator',
  fieldStrengthT: 1.5,
  seriesDescription: 't2 axial',
  protocolName: 'head',
  bodyPart: 'BRAIN',
  sequenceName: 'tse2d',
  scanningSequence: 'SE',
  repetitionTime: 4000,
  echoTime: 90,
  flipAngle: 150,
  sliceThickness: 4,
  seriesNumber: 3,
};

/** A tilted int16 volume, 5 mm between slices, whose voxels are all different. */
export function tilted(shape: Vec3 = [7, 6, 5], angles: Vec3 = [0.2, -0.1, 0.3], flip = 1): Volume {
  const [x, y, z] = rotation(...angles);
  const mm = (v: Vec3, size: number): Vec3 => [v[0] * size, v[1] * size, v[2] * size];
  return {
    data: Int16Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, n) => n * 3 - 50),
    shape,
    affine: affineFrom(mm(x, 0.8), mm(y, 1.2), mm(z, 5 * flip), [-30, 12.5, 44]),
    slope: 1,
    intercept: 0,
    valid: null,
  };
}

export async function headersOf(paths: readonly string[]): Promise<DicomInstance[]> {
  return Promise.all(paths.map((path) => readDicomHeader(path)));
}

export async function group(paths: readonly string[]): Promise<GroupedSeries> {
  return groupSeries(await headersOf(paths));
}

/** Every file below `dir`, in a fixed order. */
export function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
