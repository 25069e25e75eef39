/** The JSON file that BIDS and dcm2niix put beside a NIfTI image: what the DICOM header said. */
import { existsBytes, openBytes } from '../formats/bytes.js';
import { wordsOfPlace } from '../formats/dicom/index.js';
import { type HeaderFields, NO_FIELDS } from '../text/header.js';
import { IMAGE_ENDING } from './file-names.js';

/** Keys that dcm2niix and others write (BIDS, "Institution information", and DICOM keywords). */
const IDENTIFYING = [
  'PatientName PatientID PatientBirthDate AccessionNumber InstitutionName InstitutionAddress StationName DeviceSerialNumber',
  'InstitutionalDepartmentName ReferringPhysicianName OperatorsName StudyID StudyInstanceUID SeriesInstanceUID',
  'AcquisitionDateTime',
].flatMap((line) => line.split(' '));

const LARGEST = 1024 * 1024;

export interface Sidecar {
  readonly fields: HeaderFields;
  /** Day of the acquisition, YYYY-MM-DD or YYYYMMDD, or ''. */
  readonly date: string;
  /** "MR", "CT", … or ''. */
  readonly modality: string;
  /** Names, ids and dates that the file holds. */
  readonly identifying: readonly string[];
}

/** The object in a JSON file; null where there is no file, or no object in it. */
export async function readJson(path: string): Promise<Record<string, unknown> | null> {
  let json: unknown;
  try {
    const source = await openBytes(path);
    try {
      if (source.size > LARGEST) return null;
      json = JSON.parse(Buffer.from(await source.read(0, source.size)).toString('utf8'));
    } finally {
      await source.close();
    }
  } catch {
    return null;
  }
  return typeof json === 'object' && json !== null && !Array.isArray(json)
    ? (json as Record<string, unknown>)
    : null;
}

/**
 * The b-values in `<stem>.bval` beside an image (BIDS, "Required gradient orientation information": one number a volume, in
 * s/mm², between spaces); null where there is no such file or it has not one for every frame.
 */
export async function readBValues(imagePath: string, frames: number): Promise<number[] | null> {
  const path = imagePath.replace(IMAGE_ENDING, '.bval');
  if (!(await existsBytes(path))) return null;
  const source = await openBytes(path);
  try {
    if (source.size > LARGEST) return null;
    const values = Buffer.from(await source.read(0, source.size))
      .toString('latin1')
      .trim()
      .split(/\s+/)
      .map(Number);
    return values.length === frames && values.every((value) => value >= 0) ? values : null;
  } finally {
    await source.close();
  }
}

/** Reads `<stem>.json` beside an image; null where there is none or it is no JSON object. */
export async function readSidecar(imagePath: string): Promise<Sidecar | null> {
  const values = await readJson(imagePath.replace(IMAGE_ENDING, '.json'));
  return values === null ? null : sidecarOf(values);
}

/** What a sidecar's values say. Keys as in the BIDS specification (MRI metadata); times there are in seconds. */
export function sidecarOf(values: Readonly<Record<string, unknown>>): Sidecar {
  const text = (...names: string[]): string =>
    names.map((name) => values[name]).find((value): value is string => typeof value === 'string') ?? '';
  const texts = (name: string): string[] => {
    const value = values[name];
    return Array.isArray(value) ? value.filter((v) => typeof v === 'string') : text(name).split(/[\\_]/);
  };
  const number = (name: string, factor = 1): number | null => {
    const value = values[name];
    return typeof value === 'number' && Number.isFinite(value) ? value * factor : null;
  };
  return {
    modality: text('Modality'),
    date: /^\d{4}-?\d{2}-?\d{2}/.exec(text('AcquisitionDateTime', 'AcquisitionDate', 'StudyDate'))?.[0] ?? '',
    identifying: [
      ...IDENTIFYING.map((name) => text(name)),
      ...['InstitutionName', 'InstitutionAddress'].flatMap((name) => wordsOfPlace(text(name))),
    ].filter((value) => value !== ''),
    fields: {
      ...NO_FIELDS,
      seriesDescription: text('SeriesDescription'),
      protocolName: text('ProtocolName'),
      studyDescription: text('StudyDescription', 'ProcedureStepDescription'),
      sequenceName: text('SequenceName', 'PulseSequenceName'),
      bodyPartExamined: text('BodyPartExamined', 'BodyPart'),
      imageType: texts('ImageType'),
      scanningSequence: texts('ScanningSequence'),
      scanOptions: text('ScanOptions'),
      acquisitionType: text('MRAcquisitionType'),
      echoTime: number('EchoTime', 1000),
      repetitionTime: number('RepetitionTime', 1000),
      inversionTime: number('InversionTime', 1000),
      flipAngle: number('FlipAngle'),
      fieldStrengthT: number('MagneticFieldStrength'),
      manufacturer: text('Manufacturer'),
      contrastAgent: text('ContrastBolusIngredient', 'ContrastBolusAgent'),
    },
  };
}
