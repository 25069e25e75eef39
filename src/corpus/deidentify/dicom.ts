/** A DICOM file without what identifies the person in it: PS3.15 annex E applied to every element, nested ones too. */
import { identifying } from '../../formats/dicom/identifying.js';
import { type DicomNode, encodeTree, isText, readTree, textNode } from '../../formats/dicom/tree.js';
import { vrOf } from '../../formats/dicom/dictionary.js';
import { imagingTerms, manufacturerOf } from '../../text/terms.js';
import { dicomPatient, Pseudonyms } from '../pseudonym.js';
import { cleanReport, withoutIdentifying } from '../report.js';
import { daysBack, isOfStandard, movedDate, movedDateTime, movedTime, uidFor } from './keyed.js';
import {
  actionFor,
  type DeidentifyOptions,
  methodCodes,
  type Place,
  type ResolvedOptions,
  resolveOptions,
  typeOf,
} from './profile.js';
import { safePrivate } from './safe-private.js';

const PATIENT_NAME = 0x00100010;
const PATIENT_ID = 0x00100020;
const PATIENT_AGE = 0x00101010;
const STUDY_TIME = 0x00080030;
const MANUFACTURER = 0x00080070;
const BODY_PART = 0x00180015;
const STUDY_UID = 0x0020000d;
const CHARSET = 0x00080005;
const OLDEST = 90;

/** What the rules need to know of the whole file. */
interface Context {
  readonly key: Uint8Array;
  readonly options: ResolvedOptions;
  readonly sopClass: string;
  readonly text: (node: DicomNode) => string;
  /** Pseudonym of the patient. */
  readonly patient: string;
  readonly days: number;
  readonly studyTime: string;
  readonly identifying: readonly string[];
}

/**
 * De-identifies the DICOM file in `bytes` by the Basic Application Level Confidentiality Profile with the given options
 * under the corpus's `key`, and returns it as a file in explicit VR little endian (encapsulated pixels stay as they are):
 *
 * - UIDs become others, the same one for the same UID; a patient's dates move back by the same 1 to 365 days, and a
 *   study's times so that it starts at noon;
 * - of descriptions the words of imaging stay, of comments what `cleanReport` leaves;
 * - private elements but a short list of numbers, curves, overlays and elements that PS3.6 does not know are removed;
 * - attributes that the profile does not list lose values that the file's identifying ones occur in.
 *
 * What was done is recorded in (0012,0062) to (0012,0064) and (0028,0303). The pixels stay as they are: see `burnedIn`.
 *
 * @throws DicomError when the file is no DICOM or is damaged.
 */
export function deidentifyDicom(
  bytes: Uint8Array,
  key: Uint8Array,
  options: DeidentifyOptions = {},
  name = 'the file',
): Uint8Array {
  const tree = readTree(bytes, name);
  const value = (tag: number): string => {
    const node = tree.nodes.find((one) => one.tag === tag);
    return node === undefined ? '' : tree.text(node);
  };
  const names = new Pseudonyms(key);
  const patient = dicomPatient(names, value(PATIENT_ID), value(STUDY_UID).trim());
  const resolved = resolveOptions(options);
  const context: Context = {
    key,
    options: resolved,
    sopClass: value(0x00080016),
    text: tree.text,
    patient,
    days: daysBack(key, patient),
    studyTime: value(STUDY_TIME),
    identifying: [...identifying(bytes, name), ...listedValues(tree.nodes, tree.text, false)],
  };
  const nodes = cleanItem(tree.nodes, context, false).filter(({ tag }) => !RECORDED.has(tag));
  return encodeTree(tree.transferSyntax, [
    ...nodes,
    textNode(CHARSET, 'CS', 'ISO_IR 192'),
    ...methodNodes(resolved),
  ]);
}

const RECORDED = new Set([CHARSET, 0x00120062, 0x00120063, 0x00120064, 0x00280303]);

/** What was done, as PS3.15 section E.1.1 wants it recorded. */
export function methodNodes(options: ResolvedOptions): DicomNode[] {
  const codes = methodCodes(options).map(([code, meaning]) => [
    textNode(0x00080100, 'SH', code),
    textNode(0x00080102, 'SH', 'DCM'),
    textNode(0x00080104, 'LO', meaning),
  ]);
  return [
    textNode(0x00120062, 'CS', 'YES'),
    textNode(0x00120063, 'LO', 'Precess: DICOM PS3.15 annex E, edition 2024e'),
    { tag: 0x00120064, vr: 'SQ', items: codes },
    textNode(0x00280303, 'CS', options.modifiedDates ? 'MODIFIED' : 'REMOVED'),
  ];
}

const BARE: ResolvedOptions = {
  cleanDescriptions: true,
  modifiedDates: false,
  deviceIdentity: false,
  patientCharacteristics: false,
  safePrivate: false,
};

/** Texts of the attributes that the profile takes away, descriptions left out: what must not be found elsewhere. */
function listedValues(
  nodes: readonly DicomNode[],
  text: (node: DicomNode) => string,
  nested: boolean,
): string[] {
  return nodes.flatMap((node) => {
    if (node.items !== undefined) return node.items.flatMap((item) => listedValues(item, text, true));
    if (!isText(node.vr) || /^(CS|DS|IS|TM|UI)$/.test(node.vr)) return [];
    const action = actionFor(node.tag, { sopClass: '', nested }, BARE);
    if (action === null || action === 'C' || action === 'K') return [];
    const values = text(node)
      .split('\\')
      .map((one) => one.trim());
    return values.filter((one) => one.length >= 4);
  });
}

function cleanItem(nodes: readonly DicomNode[], context: Context, nested: boolean): DicomNode[] {
  const creators = new Map<number, string>();
  for (const node of nodes)
    if (isPrivate(node.tag) && (node.tag & 0xff00) === 0 && (node.tag & 0xff) >= 0x10)
      creators.set(node.tag, context.text(node));
  return nodes.flatMap((node) => {
    const clean = isPrivate(node.tag)
      ? context.options.safePrivate
        ? safePrivate(node, creators)
        : null
      : cleanNode(node, context, { sopClass: context.sopClass, nested });
    return clean === null ? [] : [clean];
  });
}

const isPrivate = (tag: number): boolean => ((tag >>> 16) & 1) === 1;
/** Curves and overlays (repeating groups 50xx and 60xx), which may hold writing. */
const isGraphic = (tag: number): boolean => /^(50|60)/.test((tag >>> 24).toString(16));

function cleanNode(node: DicomNode, context: Context, place: Place): DicomNode | null {
  const { tag } = node;
  if (isGraphic(tag) || vrOf(tag) === undefined) return null;
  const action = actionFor(tag, place, context.options);
  const deeper = (items: NonNullable<DicomNode['items']>): DicomNode => ({
    ...node,
    items: items.map((item) => cleanItem(item, context, true)),
  });
  switch (action) {
    case 'X':
      return null;
    case 'Z':
      if (tag === PATIENT_ID || tag === PATIENT_NAME) return textNode(tag, node.vr, context.patient);
      return node.items === undefined
        ? { tag, vr: node.vr, value: Buffer.alloc(0) }
        : { tag, vr: 'SQ', items: [] };
    case 'D':
      if (tag === PATIENT_ID || tag === PATIENT_NAME) return textNode(tag, node.vr, context.patient);
      return node.items === undefined ? dummy(node, context) : deeper(node.items);
    case 'C':
      return node.items === undefined ? cleaned(node, context, place) : deeper(node.items);
    case 'U':
      return node.items === undefined ? mapped(node, context) : deeper(node.items);
    case 'K':
      if (tag === PATIENT_AGE) return textNode(tag, 'AS', cappedAge(context.text(node)));
      return node.items === undefined ? unlisted(node, context) : deeper(node.items);
    case null:
      return node.items === undefined ? unlisted(node, context) : deeper(node.items);
  }
}

const DUMMIES: Readonly<Record<string, string>> = {
  AE: 'REMOVED',
  AS: '000Y',
  CS: 'REMOVED',
  DA: '19000101',
  DS: '0',
  DT: '19000101',
  IS: '0',
  PN: 'Removed',
  TM: '000000',
  UR: 'urn:removed',
};

/** A value that says nothing and is valid for the VR. */
function dummy(node: DicomNode, context: Context): DicomNode {
  const { tag, vr, value } = node;
  if (vr === 'UI') return mapped(node, context);
  if (isText(vr)) return textNode(tag, vr, DUMMIES[vr] ?? 'removed');
  return { tag, vr, value: Buffer.alloc(value?.length ?? 0) };
}

function mapped(node: DicomNode, context: Context): DicomNode {
  const uids = context
    .text(node)
    .split('\\')
    .map((uid) => uidFor(context.key, uid.trim()));
  return textNode(node.tag, node.vr, uids.join('\\'));
}

/** Action C: dates are moved, descriptions and comments cleaned. Empty ones go unless the object needs them. */
function cleaned(node: DicomNode, context: Context, place: Place): DicomNode | null {
  const { tag, vr } = node;
  const text = context.text(node);
  let clean: string;
  if (vr === 'DA' || vr === 'DT' || vr === 'TM') clean = moved(vr, text, context);
  else if (vr === 'LT' || vr === 'ST' || vr === 'UT') clean = cleanReport(text, context.identifying);
  else if (isText(vr)) clean = vocabulary(text, context);
  else return null;
  if (clean !== '' || text === '') return textNode(tag, vr, clean);
  const type = typeOf(tag, place);
  if (type === 1) return dummy(node, context);
  // Study Date and Time are of type 2 (PS3.3 C.7.2.1), and are listed with one action only.
  return type === 2 || tag === 0x00080020 || tag === STUDY_TIME ? textNode(tag, vr, '') : null;
}

function moved(vr: string, text: string, { days, studyTime }: Context): string {
  return text
    .split('\\')
    .map((one) => {
      if (vr === 'DA') return movedDate(one, days);
      return vr === 'TM' ? movedTime(one, studyTime) : movedDateTime(one, days, studyTime);
    })
    .join('\\');
}

/** The words of imaging in a description: whatever else stands there may be a name. */
function vocabulary(text: string, { identifying: values }: Context): string {
  return text
    .split('\\')
    .map((one) => imagingTerms(withoutIdentifying(one, values)).join(' ').slice(0, 64))
    .join('\\');
}

/** An attribute that the table does not list: kept where its value is what its VR is for, and names nobody. */
function unlisted(node: DicomNode, context: Context): DicomNode | null {
  const { tag, vr } = node;
  if (!isText(vr)) {
    const image = tag >>> 16 === 0x0028 || tag >>> 16 === 0x7fe0;
    return image || !/^(OB|UN|OD|OV)$/.test(vr) ? node : null;
  }
  if (tag === CHARSET) return null;
  const text = context.text(node);
  if (/^(AE|AS|PN|UR)$/.test(vr)) return text === '' ? node : null;
  if (/^(DA|DT|TM)$/.test(vr))
    return context.options.modifiedDates ? textNode(tag, vr, moved(vr, text, context)) : null;
  if (vr === 'UI') return text.split('\\').every(isOfStandard) ? node : mapped(node, context);
  // Whoever fills these in may write anything.
  if (tag === MANUFACTURER) return textNode(tag, vr, manufacturerOf(text));
  if (tag === BODY_PART)
    return textNode(tag, vr, vocabulary(text, context).toUpperCase().slice(0, 16).trim());
  if (/^(LO|LT|ST|UC|UT)$/.test(vr)) return textNode(tag, vr, vocabulary(text, context));
  const kept = text.split('\\').map((one) => {
    const value = one.trim();
    if (vr === 'DS' || vr === 'IS')
      return Number.isFinite(Number(value)) && !isNumberOf(value, context.identifying) ? value : '';
    return withoutIdentifying(value, context.identifying) === value ? value : '';
  });
  return textNode(tag, vr, kept.every((one) => one === '') ? '' : kept.join('\\'));
}

/** Whether a number of five digits or more is part of an identifying value, such as 7734501 of "PID-7734501". */
function isNumberOf(value: string, identifyingValues: readonly string[]): boolean {
  const digits = value.replace(/\D/g, '');
  return (
    digits.length >= 5 &&
    identifyingValues.some(
      (one) => !/^[\d.]+\.[\d.]+\.\d+$/.test(one) && one.replace(/\D/g, '').includes(digits),
    )
  );
}

/** Age String without telling 91 from 99 (HIPAA's safe harbour). */
export function cappedAge(age: string): string {
  const years = /^(\d{3})Y$/.exec(age.trim());
  if (years !== null) return Number(years[1]) >= OLDEST ? `0${OLDEST}Y` : age.trim();
  return /^\d{3}[DWM]$/.test(age.trim()) ? age.trim() : '';
}
