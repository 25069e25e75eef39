/** Reports in DICOM: Structured Reporting documents with a narrative (PS3.3 annex A.35, C.17.3). */
import { DataSet } from '../../formats/dicom/dataset.js';
import { DataSetReader, NeedMoreBytes } from '../../formats/dicom/parse.js';
import { startOf } from '../../formats/dicom/start.js';
import { identifying } from '../../formats/dicom/identifying.js';
import {
  hasHeadings,
  type ReportSections,
  type SectionKind,
  sectionOf,
  splitReport,
} from '../../text/report-sections.js';
import { daysOf, type FoundReport } from './found.js';

/** Basic Text, Enhanced, Comprehensive, Comprehensive 3D and Extensible SR Storage (PS3.4 table B.5-1). */
const NARRATIVE = new Set(['11', '22', '33', '34', '35'].map((n) => `1.2.840.10008.5.1.4.1.1.88.${n}`));
const ENCAPSULATED: Readonly<Record<string, string>> = {
  '1.2.840.10008.5.1.4.1.1.104.1': 'an encapsulated PDF; export its text',
  '1.2.840.10008.5.1.4.1.1.104.2': 'an encapsulated CDA document; export its text',
};

const tags = {
  sopClass: 0x00080016,
  studyDate: 0x00080020,
  accession: 0x00080050,
  codeValue: 0x00080100,
  scheme: 0x00080102,
  codeMeaning: 0x00080104,
  units: 0x004008ea,
  patientId: 0x00100020,
  studyUid: 0x0020000d,
  relationship: 0x0040a010,
  valueType: 0x0040a040,
  concept: 0x0040a043,
  text: 0x0040a160,
  code: 0x0040a168,
  measured: 0x0040a300,
  number: 0x0040a30a,
  content: 0x0040a730,
} as const;

/** Concept codes of PS3.16 CID 7001 and CID 7002, and LOINC's section codes, that say what a part of a report is. */
const CONCEPTS: Readonly<Record<string, SectionKind>> = {
  '121070': 'findings',
  '121071': 'findings',
  '121072': 'impression',
  '121073': 'impression',
  '121076': 'impression',
  '121077': 'impression',
  '121111': 'impression',
  '59776-5': 'findings',
  '18782-3': 'findings',
  '19005-8': 'impression',
  '55110-1': 'impression',
};
/** Other headings of the same lists: history, request, procedure, previous findings, recommendations, addendum, indications. */
const OTHER = /^1210(6\d|74|75|78)$|^121109$|^18783-0$|^11329-0$|^55111-9$|^55114-3$|^55115-0$/;

const DEEPEST = 32;

/** Whether the SOP class is of a document that may hold a report; null where it is not, a reason where it cannot be read. */
export function documentOf(sopClassUid: string): true | string | null {
  if (NARRATIVE.has(sopClassUid)) return true;
  return ENCAPSULATED[sopClassUid] ?? null;
}

/**
 * The report of one DICOM file, or why it holds none. Content items of people, dates and references are left out;
 * measurements and codes become "Concept: value.".
 *
 * @throws DicomError when the file is damaged.
 */
export function structuredReport(bytes: Uint8Array, shown: string): FoundReport | string {
  const start = startOf(bytes, bytes.length, shown);
  const root = new DataSet(start.bytes, start.encoding);
  try {
    new DataSetReader(start.bytes, start.encoding).walk(start.offset, start.end, (element, depth) => {
      if (depth === 0) root.add(element);
      return true;
    });
  } catch (error) {
    // Padding after the last element; what came before it was read.
    if (!(error instanceof NeedMoreBytes)) throw error;
  }
  const document = documentOf(root.text(tags.sopClass));
  if (document !== true) return document ?? 'a DICOM file that is no report';
  const parts: Record<SectionKind | 'none', string[]> = { findings: [], impression: [], other: [], none: [] };
  for (const item of root.sequence(tags.content)) read(item, null, parts, 0);
  const sections = sectionsOf(parts);
  if (Object.values(sections).every((text) => text === '')) return 'a structured report without text';
  return {
    keys: {
      accession: root.text(tags.accession),
      studyUid: root.text(tags.studyUid),
      patient: root.text(tags.patientId),
      dates: daysOf(root.text(tags.studyDate)),
      path: '',
    },
    sections,
    identifying: identifying(bytes, shown),
    shown,
  };
}

/** Text of no known heading is taken apart as a whole, as it is in files of text. */
function sectionsOf(parts: Record<SectionKind | 'none', string[]>): ReportSections {
  const rest = splitReport(parts.none.join('\n'));
  const join = (kind: SectionKind): string => [...parts[kind], rest[kind]].filter(Boolean).join('\n');
  return { findings: join('findings'), impression: join('impression'), other: join('other') };
}

function read(
  item: DataSet,
  within: SectionKind | null,
  parts: Record<SectionKind | 'none', string[]>,
  depth: number,
): void {
  if (depth > DEEPEST) return;
  // Context and modifiers: who observed, in which language, of whom.
  if (/CONTEXT|CONCEPT MOD/.test(item.text(tags.relationship))) return;
  const concept = item.sequence(tags.concept)[0];
  const kind = (concept === undefined ? null : kindOf(concept)) ?? within;
  const say = (text: string): void => {
    if (text.trim() !== '') parts[kind ?? 'none'].push(text.trim());
  };
  const name = concept?.text(tags.codeMeaning) ?? '';
  const labelled = (value: string): string => (kind === null || name === '' ? value : `${name}: ${value}`);
  switch (item.text(tags.valueType)) {
    case 'TEXT': {
      const text = item.text(tags.text).replace(/\r\n?/g, '\n');
      // A whole report is often put into one item, whatever that is called.
      if (hasHeadings(text)) parts.none.push(text);
      else say(text);
      break;
    }
    case 'CODE':
      if (within !== null) say(`${labelled(item.sequence(tags.code)[0]?.text(tags.codeMeaning) ?? '')}.`);
      break;
    case 'NUM': {
      const measured = item.sequence(tags.measured)[0];
      const units = measured?.sequence(tags.units)[0];
      const unit = units?.text(tags.codeValue) ?? '';
      if (measured !== undefined)
        say(`${labelled(`${measured.text(tags.number)}${unit === '1' ? '' : ` ${unit}`}`)}.`);
      break;
    }
  }
  for (const inner of item.sequence(tags.content)) read(inner, kind, parts, depth + 1);
}

function kindOf(concept: DataSet): SectionKind | null {
  const coded = /^(DCM|LN)$/.test(concept.text(tags.scheme));
  const value = coded ? concept.text(tags.codeValue) : '';
  return CONCEPTS[value] ?? (OTHER.test(value) ? 'other' : sectionOf(concept.text(tags.codeMeaning)));
}
