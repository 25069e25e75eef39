/** What a header says of a series in Precess's own terms: body part, contrast, description, sentence. */
import { type Contrast, judgeContrast } from './contrast.js';
import { headerSentence, type HeaderFacts } from './sentences.js';
import { bodyPart } from './body-parts.js';
import {
  bodyPartOf,
  FAT_SUPPRESSION_WORDS,
  fold,
  imagingTerms,
  manufacturerOf,
  planeOf,
  type Plane,
  SEQUENCE_WORDS,
  wordSet,
} from './terms.js';

/** The header fields that describe a series, as the source has them. Text is '' and numbers null where it has none. */
export interface HeaderFields {
  readonly seriesDescription: string;
  readonly protocolName: string;
  readonly studyDescription: string;
  readonly sequenceName: string;
  readonly bodyPartExamined: string;
  readonly imageType: readonly string[];
  /** Values of Scanning Sequence, e.g. ["SE", "IR"]. */
  readonly scanningSequence: readonly string[];
  readonly scanOptions: string;
  /** "2D", "3D" or ''. */
  readonly acquisitionType: string;
  /** ms */
  readonly echoTime: number | null;
  readonly repetitionTime: number | null;
  readonly inversionTime: number | null;
  /** Degrees. */
  readonly flipAngle: number | null;
  /** s/mm² */
  readonly bValue: number | null;
  readonly fieldStrengthT: number | null;
  readonly manufacturer: string;
  readonly contrastAgent: string;
  /** File and folder names from the innermost outwards, where there is no header to speak of. */
  readonly names: readonly string[];
}

export const NO_FIELDS: HeaderFields = {
  seriesDescription: '',
  protocolName: '',
  studyDescription: '',
  sequenceName: '',
  bodyPartExamined: '',
  imageType: [],
  scanningSequence: [],
  scanOptions: '',
  acquisitionType: '',
  echoTime: null,
  repetitionTime: null,
  inversionTime: null,
  flipAngle: null,
  bValue: null,
  fieldStrengthT: null,
  manufacturer: '',
  contrastAgent: '',
  names: [],
};

export interface HeaderContext {
  /** From the geometry of the voxels. */
  readonly plane: Plane;
  readonly spacingMm: readonly [number, number, number];
  /** Chooses the wording; the pseudonymous id. */
  readonly id: string;
  /** Values of this source that identify a person; a word equal to a part of one is no imaging term here. */
  readonly identifying?: readonly string[];
  /** What the other series of the study agree on, used where this one does not name a body part. */
  readonly studyBodyPart?: string;
}

export interface HeaderDescription {
  /** Imaging terms of the series description in order, nothing else. */
  readonly description: string;
  readonly bodyPart: string;
  readonly contrast: Contrast;
  readonly manufacturer: string;
  /** One sentence. */
  readonly text: string;
  /** 0 to 1 each; 0 where the term is unknown. The plane comes from geometry: 1, less where the words disagree. */
  readonly confidence: { readonly bodyPart: number; readonly contrast: number; readonly plane: number };
}

/** Words that name a person: a series described "Head John" of a patient HEAD^JOHN keeps neither. */
function personWords(identifying: readonly string[]): ReadonlySet<string> {
  const names = identifying.filter((value) => value.includes('^') || /^\p{L}+$/u.test(value));
  const words = names.flatMap((value) => value.split(/[\^=\s]+/));
  return new Set(words.map(fold).filter((word) => word.length > 1));
}

/** The terms of a text without words that are part of a person's name in the same source. */
function termsOf(text: string, people: ReadonlySet<string>): string[] {
  return imagingTerms(text).filter((term) => !people.has(term));
}

/** How sure a body part is by where it comes from; measured as in contrast.ts. */
const SURE_PART = {
  /** Series description and Body Part Examined agree, or one is within the other. */
  agreed: 0.98,
  description: 0.95,
  stated: 0.92,
  /** The description names another part than Body Part Examined, which is often left over from a protocol. */
  overruled: 0.85,
  /** Protocol, study description. */
  named: 0.9,
  names: 0.8,
  /** Body Part Examined against what protocol or study description say. */
  disputed: 0.6,
  study: 0.7,
} as const;

interface JudgedPart {
  readonly part: string;
  /** 0 to 1; 0 for "UNKNOWN". */
  readonly confidence: number;
}

const related = (a: string, b: string): boolean =>
  a === b || bodyPart(a)?.within === b || bodyPart(b)?.within === a;

/**
 * The body part of a series from its own fields, "UNKNOWN" where they name none. Body Part Examined is often one value
 * for a whole visit, so a part that the series description names wins over it unless that is merely wider; protocol,
 * study description and file names only refine it (PELVIS to PROSTATE) or stand in for it, and overrule it where
 * protocol and study agree on another.
 */
export function judgeBodyPart(fields: HeaderFields, people: ReadonlySet<string> = new Set()): JudgedPart {
  const partOf = (text: string): string | null => bodyPartOf(termsOf(text, people));
  const stated = bodyPartOf(imagingTerms(fields.bodyPartExamined));
  const own = partOf(fields.seriesDescription);
  if (own !== null && stated === null) return { part: own, confidence: SURE_PART.description };
  if (own !== null && stated !== null) {
    if (bodyPart(stated)?.within === own) return { part: stated, confidence: SURE_PART.agreed };
    return { part: own, confidence: related(own, stated) ? SURE_PART.agreed : SURE_PART.overruled };
  }
  const protocol = partOf(fields.protocolName);
  const study = partOf(fields.studyDescription);
  const named = [protocol, study].filter((code) => code !== null);
  const all = [...named, ...fields.names.map(partOf).filter((code) => code !== null)];
  if (stated === null) {
    const part = all[0];
    if (part === undefined) return { part: 'UNKNOWN', confidence: 0 };
    const agree = named.every((code) => related(code, part));
    const base = named.length > 0 ? SURE_PART.named : SURE_PART.names;
    return { part, confidence: agree ? base : SURE_PART.disputed };
  }
  const finer = all.find((code) => bodyPart(code)?.within === stated);
  if (finer !== undefined) return { part: finer, confidence: SURE_PART.named };
  if (protocol !== null && protocol === study && !related(protocol, stated))
    return { part: protocol, confidence: SURE_PART.disputed };
  const disputed = named.some((code) => !related(code, stated));
  return { part: stated, confidence: disputed ? SURE_PART.disputed : SURE_PART.stated };
}

/** judgeBodyPart without its confidence. */
export function bodyPartFrom(fields: HeaderFields, people: ReadonlySet<string> = new Set()): string {
  return judgeBodyPart(fields, people).part;
}

/** Plane by geometry against the plane that the description names: where they differ, one of them is wrong. */
const PLANE_DISPUTED = 0.8;

function planeConfidence(geometry: Plane, terms: readonly string[]): number {
  const named = planeOf(terms);
  const agree = named === null || named === geometry || named === 'oblique' || geometry === 'oblique';
  return agree ? 1 : PLANE_DISPUTED;
}

/** A sequence family's phrase: the terms first, then Scanning Sequence. */
function sequenceOf(terms: readonly string[], scanningSequence: readonly string[]): string | null {
  for (const [phrase, words] of SEQUENCE_WORDS) {
    const set = wordSet(words);
    if (terms.some((term) => set.has(term))) return phrase;
  }
  if (scanningSequence.includes('EP')) return 'echo planar imaging';
  if (scanningSequence.includes('SE')) return 'spin echo';
  if (scanningSequence.includes('GR')) return 'gradient echo';
  return null;
}

const FAT_SUPPRESSION = wordSet(FAT_SUPPRESSION_WORDS);
const LOCALIZER = wordSet('localizer localiser localizador loc scout survey aahead');

/**
 * Describes a series from its header fields (or file names) and its geometry. Pure and deterministic: the same
 * input gives the same words. Only words of the vocabulary in terms.ts, numbers of the acquisition and fixed
 * phrases can appear in the result, so that no free text of the source passes.
 */
export function describeHeader(fields: HeaderFields, context: HeaderContext): HeaderDescription {
  const people = personWords(context.identifying ?? []);
  // A series description by hand says most; the protocol's name is the next best; study words only place it.
  const own = termsOf(fields.seriesDescription, people);
  const protocol = termsOf(fields.protocolName, people);
  const sequenceName = termsOf(fields.sequenceName, people);
  const fileName = termsOf(fields.names[0] ?? '', people);
  const series = own.length > 0 ? own : protocol.length > 0 ? protocol : fileName;

  const { contrast, confidence: contrastConfidence } = judgeContrast({
    texts: [[...own, ...sequenceName], [...protocol, ...sequenceName], fileName],
    imageType: fields.imageType.map((value) => value.toUpperCase()),
    scanningSequence: fields.scanningSequence,
    echoTimeMs: fields.echoTime,
    repetitionTimeMs: fields.repetitionTime,
    inversionTimeMs: fields.inversionTime,
    flipAngleDeg: fields.flipAngle,
    bValue: fields.bValue,
    agent: fields.contrastAgent,
  });

  const ownPart = judgeBodyPart(fields, people);
  const { part, confidence: partConfidence } =
    ownPart.part === 'UNKNOWN' && context.studyBodyPart !== undefined
      ? { part: context.studyBodyPart, confidence: SURE_PART.study }
      : ownPart;
  const all = [...own, ...protocol, ...fileName, ...sequenceName];
  const facts: HeaderFacts = {
    plane: context.plane,
    contrast,
    bodyPart: part,
    sequence: sequenceOf(all, fields.scanningSequence),
    fatSuppressed:
      all.some((term) => FAT_SUPPRESSION.has(term)) ||
      /(^|\\)(FS|SFS|FAT_SAT\w*)(\\|$)/.test(fields.scanOptions),
    fieldStrengthT: fields.fieldStrengthT,
    sliceMm: Math.max(...context.spacingMm),
    threeD: fields.acquisitionType === '3D' || all.includes('3d'),
    bValue: fields.bValue,
    localizer: all.some((term) => LOCALIZER.has(term)),
  };
  return {
    description: series.join(' '),
    bodyPart: part,
    contrast,
    manufacturer: manufacturerOf(fields.manufacturer),
    text: headerSentence(facts, context.id),
    confidence: {
      bodyPart: partConfidence,
      contrast: contrastConfidence,
      plane: planeConfidence(context.plane, series),
    },
  };
}
