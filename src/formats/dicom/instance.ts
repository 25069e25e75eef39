/** One DICOM file as the header describes it, read without its pixels. */
import { type ByteSource, openBytes, readBytesSync } from '../bytes.js';
import { DataSet } from './dataset.js';
import { type ComplexPart, complexPartOf } from './complex.js';
import { framesOf } from './enhanced.js';
import { DicomError } from './error.js';
import { identifying } from './identifying.js';
import { type Tile, tilesOf } from './mosaic.js';
import { DataSetReader, DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, NeedMoreBytes, PIXEL_DATA } from './parse.js';
import { type Orientation, orientationOf, pairOf, type Triple, tripleOf } from './plane.js';
import { IDENTITY, type Scaling, scalingOf } from './scaling.js';
import { startOf } from './start.js';
import { readDiffusion } from './vendor.js';

/** Where the pixels are. Offsets count from the start of the file, or of the inflated data set when deflated. */
export interface PixelLocation {
  readonly offset: number;
  /** Bytes; 0xffffffff where the pixels are encapsulated in fragments. */
  readonly length: number;
}

/**
 * The fields of an image file that grouping, geometry and description need. A text field is '' and any other
 * null where the file does not have it (or has it malformed). Units are DICOM's: mm, ms, degrees, tesla.
 */
export interface DicomInstance {
  readonly path: string;
  readonly fileSize: number;
  readonly transferSyntax: string;
  readonly littleEndian: boolean;
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly frameOfReferenceUid: string;
  readonly patientId: string;
  readonly patientName: string;
  readonly patientBirthDate: string;
  /** "M", "F", "O" or ''. */
  readonly sex: string;
  /** Patient's Age (0010,1010) in years; null where it is absent. */
  readonly age: number | null;
  readonly studyDate: string;
  readonly accessionNumber: string;
  readonly modality: string;
  readonly manufacturer: string;
  readonly manufacturerModel: string;
  readonly seriesDescription: string;
  readonly protocolName: string;
  readonly studyDescription: string;
  readonly bodyPartExamined: string;
  readonly sequenceName: string;
  readonly scanningSequence: string;
  readonly sequenceVariant: string;
  readonly scanOptions: string;
  /** "2D" or "3D". */
  readonly mrAcquisitionType: string;
  readonly imageType: readonly string[];
  readonly echoTime: number | null;
  readonly repetitionTime: number | null;
  readonly inversionTime: number | null;
  readonly flipAngle: number | null;
  readonly fieldStrengthT: number | null;
  readonly sliceThickness: number | null;
  readonly spacingBetweenSlices: number | null;
  readonly contrastAgent: string;
  /** Image Comments (0020,4000): free text, which may identify a person. */
  readonly imageComments: string;
  /** (0028,0301) "YES" where text is burnt into the pixels, "NO", or ''. */
  readonly burnedInAnnotation: string;
  /** (0008,0064) How an image that no scanner made came about: "SD", "WSD", "DF", … */
  readonly conversionType: string;
  /** s/mm², from (0018,9087) or the manufacturer's private element. */
  readonly diffusionBValue: number | null;
  /** Gradient direction as the file has it (only told apart, never interpreted); '' where there is none. */
  readonly diffusionDirection: string;
  readonly seriesNumber: number | null;
  readonly acquisitionNumber: number | null;
  readonly instanceNumber: number | null;
  readonly temporalPosition: number | null;
  readonly triggerTime: number | null;
  readonly echoNumber: number | null;
  /** Acquisition Time (0008,0032), else the time in Acquisition DateTime (0008,002A): seconds since midnight. */
  readonly acquisitionTime: number | null;
  /** Which part of the complex signal the image is; '' where the file does not say. */
  readonly complexPart: ComplexPart | '';
  readonly rows: number | null;
  readonly columns: number | null;
  /** [distance of row centres, distance of column centres] in mm, as in (0028,0030). */
  readonly pixelSpacing: readonly [number, number] | null;
  /** Centre of the first pixel in LPS+ mm (PS3.3 C.7.6.2.1.1). */
  readonly imagePosition: Triple | null;
  /** Unit vectors, LPS+: along a row (column index rises), then down a column (row index rises). */
  readonly imageOrientation: Orientation | null;
  readonly bits: {
    readonly allocated: number;
    readonly stored: number;
    readonly high: number;
    readonly signed: boolean;
    /** Float (7FE0,0008) or Double Float Pixel Data (7FE0,0009) instead of integers. */
    readonly float: boolean;
  };
  readonly samplesPerPixel: number;
  readonly photometric: string;
  /** From the integers of the file to values: see scaling.ts for which of a file's scalings it is. */
  readonly rescale: Scaling;
  /** Stored values that pad the image to its rectangle (PS3.3 C.7.5.1.1.2), first to last; null where none is named. */
  readonly padding: readonly [number, number] | null;
  readonly numberOfFrames: number;
  /** null where the file has no Pixel Data. */
  readonly pixels: PixelLocation | null;
  /** Index among the frames (or the mosaic's tiles) of the file; null where the instance is the whole file. */
  readonly frame: number | null;
  /** The part of the file's image that the instance is; null where it is all of it. */
  readonly tile: Tile | null;
  /** Stack ID (0020,9056) of a frame; '' elsewhere. */
  readonly stackId: string;
  /** The images that a multi-frame file or a mosaic holds, each an instance of its own; empty where the file is one image. */
  readonly frames: readonly DicomInstance[];
  /**
   * Every value in the file that could identify a person: names, identifiers, UIDs other than DICOM's own, dates,
   * accession numbers, institutions; nested ones too; names whole and in parts. Reads the file again.
   */
  identifyingValues(): string[];
}

/** Bytes that most headers fit into. */
export const FIRST_READ = 32 * 1024;

/**
 * Reads the header of the DICOM file at `path`, as openBytes takes it; the pixels stay where they are. A few tens of
 * kilobytes are read unless the header is longer.
 *
 * @throws DicomError when the file is empty, is not DICOM, or ends inside its header.
 */
export async function readDicomHeader(path: string): Promise<DicomInstance> {
  const file = await openBytes(path);
  try {
    return await readOpenDicomHeader(file, path, await file.read(0, FIRST_READ));
  } finally {
    await file.close();
  }
}

/** As readDicomHeader, of an open file of which the `first` bytes were read already. */
export async function readOpenDicomHeader(
  file: ByteSource,
  path: string,
  first: Uint8Array,
): Promise<DicomInstance> {
  const { size } = file;
  if (size === 0) throw new DicomError(`read DICOM: ${path} is empty; copy the file again from its source`);
  let bytes = first;
  for (let grew = true; ;) {
    try {
      return toInstance(path, size, parseHeader(bytes, size, path));
    } catch (error) {
      if (!(error instanceof NeedMoreBytes)) throw error;
      if (error.needed > size || !grew)
        throw new DicomError(
          `read DICOM: ${path} ends inside its header; copy the file again from its source`,
        );
      const wanted = Math.min(size, Math.max(error.needed + FIRST_READ, bytes.length * 2));
      const grown = new Uint8Array(wanted);
      grown.set(bytes);
      const there = await file.readInto(bytes.length, grown.subarray(bytes.length));
      grew = there > 0;
      bytes = grown.subarray(0, bytes.length + there);
    }
  }
}

export interface ParsedHeader {
  readonly transferSyntax: string;
  readonly dataSet: DataSet;
}

/**
 * Parses the header in `bytes`, the start of a DICOM file of `size` bytes, up to the pixels.
 *
 * @throws NeedMoreBytes when `bytes` ends before the header does; DicomError when it is not DICOM.
 */
export function parseHeader(bytes: Uint8Array, size: number, name: string): ParsedHeader {
  const start = startOf(bytes, size, name);
  const dataSet = new DataSet(start.bytes, start.encoding);
  new DataSetReader(start.bytes, start.encoding).walk(start.offset, start.end, (element, depth) => {
    if (depth === 0 && element.tag !== 0) dataSet.add(element);
    // A group length (7FE0,0000) may precede the pixels, which are (7FE0,0008), (7FE0,0009) or (7FE0,0010).
    return depth > 0 || element.tag < 0x7fe00008;
  });
  return { transferSyntax: start.transferSyntax, dataSet };
}

function toInstance(path: string, fileSize: number, header: ParsedHeader): DicomInstance {
  const { dataSet, transferSyntax } = header;
  const text = (tag: number): string => dataSet.text(tag);
  const decimal = (tag: number): number | null => dataSet.decimal(tag);
  const pixels =
    dataSet.element(PIXEL_DATA) ?? dataSet.element(FLOAT_PIXEL_DATA) ?? dataSet.element(DOUBLE_PIXEL_DATA);
  const diffusion = readDiffusion(dataSet);
  const file: DicomInstance = {
    path,
    fileSize,
    transferSyntax,
    littleEndian: dataSet.encoding.littleEndian,
    sopClassUid: text(0x00080016),
    sopInstanceUid: text(0x00080018),
    studyUid: text(0x0020000d),
    seriesUid: text(0x0020000e),
    frameOfReferenceUid: text(0x00200052),
    patientId: text(0x00100020),
    patientName: text(0x00100010),
    patientBirthDate: text(0x00100030),
    sex: text(0x00100040),
    age: ageInYears(text(0x00101010)),
    studyDate: text(0x00080020),
    accessionNumber: text(0x00080050),
    modality: text(0x00080060),
    manufacturer: text(0x00080070),
    manufacturerModel: text(0x00081090),
    seriesDescription: text(0x0008103e),
    protocolName: text(0x00181030),
    studyDescription: text(0x00081030),
    bodyPartExamined: text(0x00180015),
    sequenceName: text(0x00180024),
    scanningSequence: text(0x00180020),
    sequenceVariant: text(0x00180021),
    scanOptions: text(0x00180022),
    mrAcquisitionType: text(0x00180023),
    imageType: dataSet.texts(0x00080008),
    echoTime: decimal(0x00180081),
    repetitionTime: decimal(0x00180080),
    inversionTime: decimal(0x00180082),
    flipAngle: decimal(0x00181314),
    fieldStrengthT: teslas(decimal(0x00180087)),
    sliceThickness: decimal(0x00180050),
    spacingBetweenSlices: decimal(0x00180088),
    contrastAgent: text(0x00180010),
    imageComments: text(0x00204000),
    burnedInAnnotation: text(0x00280301),
    conversionType: text(0x00080064),
    diffusionBValue: diffusion.bValue,
    diffusionDirection: diffusion.direction,
    seriesNumber: decimal(0x00200011),
    acquisitionNumber: decimal(0x00200012),
    instanceNumber: decimal(0x00200013),
    temporalPosition: decimal(0x00200100),
    triggerTime: decimal(0x00181060),
    echoNumber: decimal(0x00180086),
    acquisitionTime: secondsOf(text(0x00080032)) ?? secondsOf(text(0x0008002a).slice(8)),
    complexPart: complexPartOf(dataSet, dataSet.texts(0x00080008)),
    rows: dataSet.binary(0x00280010),
    columns: dataSet.binary(0x00280011),
    pixelSpacing: pairOf(dataSet.decimals(0x00280030)),
    imagePosition: tripleOf(dataSet.decimals(0x00200032)),
    imageOrientation: orientationOf(dataSet.decimals(0x00200037)),
    bits: bitsOf(dataSet),
    samplesPerPixel: dataSet.binary(0x00280002) ?? 1,
    photometric: text(0x00280004),
    rescale: scalingOf({ rescale: dataSet, philips: dataSet, realWorld: dataSet }) ?? IDENTITY,
    padding: paddingOf(dataSet),
    numberOfFrames: decimal(0x00280008) ?? 1,
    pixels: pixels === undefined ? null : { offset: pixels.offset, length: pixels.length },
    frame: null,
    tile: null,
    stackId: '',
    frames: [],
    identifyingValues: identifyingIn(path),
  };
  const frames = framesOf(dataSet, file);
  return { ...file, frames: frames.length > 0 ? frames : tilesOf(dataSet, file) };
}

// Made here, because a function made in toInstance would keep the header's bytes in memory.
const identifyingIn = (path: string) => (): string[] => identifying(readBytesSync(path), path);

function bitsOf(dataSet: DataSet): DicomInstance['bits'] {
  // Parametric maps (PS3.3 C.7.6.24, C.7.6.25) have 32 or 64 bits, and no Bits Stored, High Bit or representation.
  const width = dataSet.has(PIXEL_DATA)
    ? 0
    : dataSet.has(FLOAT_PIXEL_DATA)
      ? 32
      : dataSet.has(DOUBLE_PIXEL_DATA)
        ? 64
        : 0;
  if (width > 0) return { allocated: width, stored: width, high: width - 1, signed: true, float: true };
  const allocated = dataSet.binary(0x00280100) ?? 16;
  const stored = dataSet.binary(0x00280101) ?? allocated;
  return {
    allocated,
    stored,
    high: dataSet.binary(0x00280102) ?? stored - 1,
    signed: dataSet.binary(0x00280103) === 1,
    float: false,
  };
}

/** Pixel Padding Value (0028,0120) and Range Limit (0028,0121), or their float forms (0028,0122) to (0028,0125). */
function paddingOf(dataSet: DataSet): readonly [number, number] | null {
  const signed = dataSet.binary(0x00280103) === 1;
  const [value, limit] = dataSet.has(FLOAT_PIXEL_DATA)
    ? [dataSet.float(0x00280122), dataSet.float(0x00280124)]
    : dataSet.has(DOUBLE_PIXEL_DATA)
      ? [dataSet.float(0x00280123), dataSet.float(0x00280125)]
      : [dataSet.int16(0x00280120, signed), dataSet.int16(0x00280121, signed)];
  if (value === null) return null;
  return [Math.min(value, limit ?? value), Math.max(value, limit ?? value)];
}

/** Time (PS3.5 section 6.2): "HHMMSS.FFFFFF", of which only the hours must be there. */
function secondsOf(time: string): number | null {
  const match = /^(\d{2})(\d{2})?(\d{2}(?:\.\d+)?)?/.exec(time);
  return match === null ? null : Number(match[1]) * 3600 + Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0);
}

/** Age String (PS3.5 section 6.2): "063Y", "018M", "002W", "010D". */
function ageInYears(text: string): number | null {
  const match = /^(\d{1,3})([DWMY])$/.exec(text);
  if (match === null) return null;
  const perYear = { D: 365.25, W: 52.18, M: 12, Y: 1 }[match[2] as 'D' | 'W' | 'M' | 'Y'];
  return Number(match[1]) / perYear;
}

/** Some scanners write gauss; no MR scanner for people reaches 25 T. */
function teslas(value: number | null): number | null {
  if (value === null || value <= 0) return null;
  return value > 25 ? value / 10000 : value;
}
