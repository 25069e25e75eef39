/** Finds what could identify a person in a DICOM file, to test that none of it leaves the corpus' door. */
import { readBytes } from '../bytes.js';
import { DataSet } from './dataset.js';
import { DataSetReader, type Element, NeedMoreBytes, UNDEFINED_LENGTH } from './parse.js';
import { startOf } from './start.js';

const IDENTIFYING_VRS = new Set(['PN', 'UI', 'DA', 'DT']);

// Identifiers, places and contacts in other VRs (a subset of PS3.15 table E.1-1).
const IDENTIFYING_TAGS = new Set([
  0x00080050, // Accession Number
  0x00080080, // Institution Name
  0x00080081, // Institution Address
  0x00081010, // Station Name
  0x00081040, // Institutional Department Name
  0x00100020, // Patient ID
  0x00100021, // Issuer of Patient ID
  0x00101000, // Other Patient IDs
  0x00101040, // Patient's Address
  0x00102154, // Patient's Telephone Numbers
  0x00104000, // Patient Comments
  0x00181000, // Device Serial Number
  0x00200010, // Study ID
  0x00380010, // Admission ID
  0x00401001, // Requested Procedure ID
  0x00400009, // Scheduled Procedure Step ID
  0x00402016, // Placer Order Number
  0x00402017, // Filler Order Number
]);

// What implicit VR data sets do not say: names, dates and UIDs that are commonly present.
const NAME_TAGS = new Set([
  0x00080090, 0x00081048, 0x00081050, 0x00081060, 0x00081070, 0x00100010, 0x00101001, 0x00101005, 0x00101060,
  0x00321032, 0x00401006, 0x0040a123,
]);
const DATE_TAGS = new Set([
  0x00080012, 0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002a, 0x00100030, 0x00400244, 0x00400250,
]);

const UID_TAGS = new Set([
  0x00020003, 0x00080014, 0x00080018, 0x00080058, 0x00081155, 0x0020000d, 0x0020000e, 0x00200052, 0x00200200,
]);

const PLACE_TAGS = new Set([0x00080080, 0x00080081, 0x00081040]);
/** Words in names of institutions that name none, or that reports need. */
const COMMON_IN_PLACES =
  /^(?:universit\p{L}*|hospital\p{L}*|h[ôo]pital|ospedale|spital|klini\p{L}*|clini\p{L}*|krankenhaus|medi[czk]\p{L}*|m[ée]di\p{L}*|cent\p{L}*|zentrum|institut\p{L}*|istituto|radiolog\p{L}*|imag\p{L}*|diagnost\p{L}*|depart\p{L}*|abteilung|praxis|practice|research|forschung\p{L}*|school|college|health|healthcare|gesundheit\p{L}*|general|regional|national|public|private|north|south|east|west|street|road|avenue|stra(?:ß|ss)e|neuro\p{L}*|cardi\p{L}*|kardi\p{L}*|ortho?\p{L}*|onco\p{L}*|onko\p{L}*|brain|spine|spinal|heart|prostate|breast|joint|sport\p{L}*|child\p{L}*|women\p{L}*|cancer|magnet\p{L}*|resonan\p{L}*|tomogra\p{L}*|scan\p{L}*|ultraschall)$/iu;

/** The words of an institution's name that tell it from others: "Quellenhof" of "Klinik Quellenhof". */
export const wordsOfPlace = (name: string): string[] =>
  name.split(/[^\p{L}]+/u).filter((word) => word.length >= 5 && !COMMON_IN_PLACES.test(word));

const DICOM_ROOT = '1.2.840.10008.';
const UID = /^[0-2](\.(0|[1-9]\d*)){3,}$/;

/**
 * What could identify a person in the DICOM file at `path`, as openBytes takes it: see `DicomInstance.identifyingValues`.
 *
 * @throws DicomError when it is no DICOM file, or a system error.
 */
export async function readIdentifyingValues(path: string): Promise<string[]> {
  return identifying(await readBytes(path), path);
}

/** Distinct non-empty values, names also in their parts of three letters or more. `bytes` is the whole file. */
export function identifying(bytes: Uint8Array, name: string): string[] {
  const start = startOf(bytes, bytes.length, name);
  const dataSet = new DataSet(start.bytes, start.encoding);
  const found = new Set<string>();
  const visit = (element: Element): boolean => {
    if (element.tag === 0x00080005) dataSet.add(element);
    for (const value of valuesOf(dataSet, element)) found.add(value);
    return true;
  };
  try {
    new DataSetReader(start.bytes, start.encoding, true).walk(start.offset, start.end, visit);
  } catch (error) {
    // Some files end in padding after the pixels; every element before it has been seen.
    if (!(error instanceof NeedMoreBytes)) throw error;
  }
  return [...found];
}

function valuesOf(dataSet: DataSet, element: Element): string[] {
  const { tag, vr, length } = element;
  if (length === UNDEFINED_LENGTH || length === 0 || length > 10240) return [];
  const isName = vr === 'PN' || (vr !== 'UI' && NAME_TAGS.has(tag));
  const known =
    isName || IDENTIFYING_VRS.has(vr) || IDENTIFYING_TAGS.has(tag) || DATE_TAGS.has(tag) || UID_TAGS.has(tag);
  // Without a VR other UIDs are known by their form.
  if (!known && vr !== '' && vr !== 'UN') return [];
  const values = dataSet
    .textOf(element)
    .split('\\')
    .map((value) => value.trim())
    .filter((value) => value !== '' && (known || UID.test(value)) && !value.startsWith(DICOM_ROOT));
  if (PLACE_TAGS.has(tag)) return [...values, ...values.flatMap(wordsOfPlace)];
  if (!isName) return values;
  return [...values, ...values.flatMap((value) => value.split(/[\^= ]+/).filter((part) => part.length > 2))];
}
