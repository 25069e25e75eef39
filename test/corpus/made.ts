/** Small images and files for the corpus tests. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { Corpus } from '../../src/corpus/index.js';
import { type MrHeader, newUid, writeDicomSeries } from '../../src/formats/dicom/index.js';
import type { Affine, Vec3, Volume } from '../../src/volume/volume.js';

const made: string[] = [];

/** A new temporary folder, removed after the test. */
export async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'precess-test-'));
  made.push(dir);
  return dir;
}
afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** Voxel sizes 0.8 × 0.8 × 3 mm, axial, DICOM's direction of axes. */
const AXIAL: Affine = [
  [-0.8, 0, 0, 40],
  [0, -0.8, 0, 50],
  [0, 0, 3, -20],
  [0, 0, 0, 1],
];

/** A noisy 16-bit image: 1000 different values and more, so that nothing takes it for a label map. */
export function image(shape: Vec3 = [40, 36, 8], seed = 1): Volume {
  const data = new Uint16Array(shape[0] * shape[1] * shape[2]);
  let state = seed >>> 0;
  for (let n = 0; n < data.length; n++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[n] = (state >>> 20) % 1900;
  }
  return { data, shape, affine: AXIAL, slope: 1, intercept: 0, valid: null };
}

export function mrHeader(over: Partial<MrHeader> = {}): MrHeader {
  return {
    patientId: 'P-1',
    patientName: 'Test^Person',
    birthDate: '19610402',
    sex: 'F',
    studyUid: newUid('study 1'),
    seriesUid: newUid('series 1'),
    frameOfReferenceUid: newUid('frame 1'),
    studyDate: '20110707',
    manufacturer: 'SIEMENS',
    model: 'Skyra',
    fieldStrengthT: 3,
    seriesDescription: 't2_tse_tra',
    protocolName: 't2_tse_tra',
    bodyPart: 'PROSTATE',
    sequenceName: '*tse2d1_25',
    scanningSequence: 'SE',
    acquisitionType: '2D',
    repetitionTime: 5000,
    echoTime: 100,
    flipAngle: 160,
    sliceThickness: 3,
    seriesNumber: 1,
    ...over,
  };
}

/** Writes a DICOM series into `dir` and returns its files in order of k. */
export async function dicom(dir: string, over: Partial<MrHeader> = {}, volume = image()): Promise<string[]> {
  return writeDicomSeries(dir, volume, mrHeader(over));
}

/** Opens a corpus for the time of `use`. */
export async function withCorpus<T>(dir: string, use: (corpus: Corpus) => Promise<T>): Promise<T> {
  const corpus = await Corpus.open(dir);
  try {
    return await use(corpus);
  } finally {
    corpus.close();
  }
}

/** Every file under `dir`, with its path from there. */
export async function filesUnder(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
