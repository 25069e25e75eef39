/** Header sentences: one fact sheet, several wordings, so that a text encoder does not learn one template. */
import { bodyPart } from './body-parts.js';
import type { Plane } from './terms.js';

/** What a sentence may say. Absent facts are left out of it, never guessed. */
export interface HeaderFacts {
  readonly plane: Plane;
  /** As contrastOf gives it. */
  readonly contrast: string;
  /** Code of BODY_PARTS, or "UNKNOWN". */
  readonly bodyPart: string;
  /** Phrase of SEQUENCE_WORDS ("turbo spin echo"), or null. */
  readonly sequence: string | null;
  readonly fatSuppressed: boolean;
  readonly fieldStrengthT: number | null;
  /** Distance of slices in mm, or null where it says nothing. */
  readonly sliceMm: number | null;
  readonly threeD: boolean;
  readonly bValue: number | null;
  readonly localizer: boolean;
}

/** contrast → wordings as an adjective of "image"; "unknown" has none. */
export const CONTRAST_NAMES: Readonly<Record<string, readonly string[]>> = {
  T1w: ['T1-weighted', 'T1'],
  'T1w+C': ['contrast-enhanced T1-weighted', 'post-contrast T1'],
  T2w: ['T2-weighted', 'T2'],
  'T2*w': ['T2*-weighted', 'T2*'],
  PDw: ['proton-density-weighted', 'PD'],
  FLAIR: ['FLAIR', 'fluid-attenuated inversion recovery'],
  STIR: ['STIR', 'short-tau inversion recovery'],
  DIR: ['double inversion recovery', 'DIR'],
  DWI: ['diffusion-weighted', 'DWI'],
  ADC: ['apparent diffusion coefficient', 'ADC'],
  FA: ['fractional anisotropy', 'FA'],
  SWI: ['susceptibility-weighted', 'SWI'],
  MRA: ['MR angiography', 'angiographic'],
  PWI: ['perfusion-weighted', 'perfusion'],
  DCE: ['dynamic contrast-enhanced', 'DCE'],
  ASL: ['arterial spin labelling', 'ASL'],
  BOLD: ['BOLD', 'functional'],
  bSSFP: ['balanced steady-state', 'bSSFP'],
  T1map: ['quantitative T1', 'T1 relaxation'],
  T2map: ['quantitative T2', 'T2 relaxation'],
  phase: ['phase', 'phase'],
};
export const MAPS = new Set(['ADC', 'FA', 'T1map', 'T2map']);
/** Families that the contrast's own name already implies. */
const IMPLIED: Readonly<Record<string, string>> = {
  bSSFP: 'balanced steady-state free precession',
  BOLD: 'echo planar imaging',
  DWI: 'echo planar imaging',
};

/** FNV-1a, 32 bit: spreads wordings over ids, the same for the same id on every machine. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

export const millimetres = (mm: number): string =>
  String(mm >= 1 ? Math.round(mm * 10) / 10 : Math.round(mm * 100) / 100);
const join = (...words: (string | null | undefined | false)[]): string => words.filter(Boolean).join(' ');
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Every wording of the facts, without a closing stop; the first is the plain one. */
export function headerSentences(facts: HeaderFacts): string[] {
  const names = CONTRAST_NAMES[facts.contrast];
  const parts = bodyPart(facts.bodyPart)?.names;
  const part = parts?.[0];
  const otherPart = parts?.[1] ?? part;
  const noun = MAPS.has(facts.contrast) ? 'map' : facts.localizer ? 'localizer' : 'image';
  const family =
    facts.sequence !== IMPLIED[facts.contrast] && !MAPS.has(facts.contrast) ? facts.sequence : null;
  const fat = facts.fatSuppressed && facts.contrast !== 'STIR' && !MAPS.has(facts.contrast);
  const threeD = facts.threeD && family !== null && !family.includes('3D');
  const sequence = join(threeD && '3D', family);
  const { plane } = facts;
  const b =
    facts.contrast === 'DWI' && facts.bValue !== null ? `b = ${Math.round(facts.bValue)} s/mm²` : null;
  const field =
    facts.fieldStrengthT === null ? null : `${String(Math.round(facts.fieldStrengthT * 10) / 10)} T`;
  const mm = facts.sliceMm === null ? null : millimetres(facts.sliceMm);
  const tail = (...items: (string | null | undefined | false)[]): string =>
    items
      .filter((item): item is string => typeof item === 'string' && item !== '')
      .map((item) => `, ${item}`)
      .join('');
  const slices = mm === null ? null : `${mm} mm slices`;
  const first = names?.[0] ?? 'MR';
  const second = names?.[1] ?? 'MR';
  const of = part === undefined ? null : `of the ${part}`;

  return [
    // axial T2-weighted turbo spin echo of the prostate, 3 T, 3 mm slices
    join(plane, fat && 'fat-suppressed', first, sequence || noun, of) + tail(b, field, slices),
    // prostate MRI, axial T2, turbo spin echo, fat suppression, 3 T
    join(otherPart, 'MRI') +
      tail(join(plane, names?.[1]), b, sequence, fat && 'with fat suppression', field, slices),
    // T2-weighted MRI of the prostate in the axial plane at 3 T, slices of 3 mm
    join(
      first,
      facts.localizer && 'localizer',
      MAPS.has(facts.contrast) ? 'map' : 'MRI',
      of,
      `in the ${plane} plane`,
    ) +
      (field === null ? '' : ` at ${field}`) +
      tail(b, sequence, fat && 'fat-suppressed', mm === null ? null : `slices of ${mm} mm`),
    // axial T2 image of the prostate
    join(
      plane,
      fat && 'fat-saturated',
      second,
      noun,
      otherPart === undefined ? null : `of the ${otherPart}`,
    ) + tail(b),
    // MRI of the prostate: axial, T2-weighted, turbo spin echo, slice thickness 3 mm, field strength 3 T
    join('MRI', of) +
      `: ${plane}` +
      tail(names && first, b, sequence, fat && 'fat-suppressed') +
      tail(mm === null ? null : `slice distance ${mm} mm`, field === null ? null : `field strength ${field}`),
  ].map(capital);
}

/** The wording for a series: chosen by its id, so that it never changes. */
export function headerSentence(facts: HeaderFacts, id: string): string {
  const all = headerSentences(facts);
  return `${all[hash32(id) % all.length]!}.`;
}
