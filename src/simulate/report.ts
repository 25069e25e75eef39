/** Sentences on a simulated series and study: technique, findings, what is normal. */
import type { Plane } from './acquire.js';
import type { Finding } from './patient.js';
import { hasAgent, type Protocol, type Technique } from './protocol.js';
import type { Stream } from './random.js';

const TECHNIQUE_WORDS: Record<Technique, readonly string[]> = {
  se: ['spin echo'],
  tse: ['turbo spin echo', 'fast spin echo'],
  'single-shot': ['single-shot fast spin echo', 'HASTE'],
  tirm: ['short tau inversion recovery'],
  flair: ['fluid-attenuated inversion recovery'],
  mprage: ['3D gradient echo', 'MPRAGE'],
  flash: ['gradient echo'],
  vibe: ['3D spoiled gradient echo', 'VIBE'],
  'dixon-in': ['in-phase gradient echo'],
  'dixon-opposed': ['opposed-phase gradient echo'],
  trufi: ['balanced steady-state free precession', 'TrueFISP'],
  medic: ['multi-echo gradient echo'],
  epi: ['echo planar imaging'],
};

const WEIGHTING: Record<Protocol['contrast'], readonly string[]> = {
  T1w: ['T1-weighted', 'T1'],
  'T1w+C': ['contrast-enhanced T1-weighted', 'post-contrast T1'],
  T2w: ['T2-weighted', 'T2'],
  PDw: ['proton density-weighted', 'PD'],
  FLAIR: ['FLAIR'],
  STIR: ['STIR'],
  'T2*w': ['T2*-weighted'],
  bSSFP: ['balanced steady-state'],
  DWI: ['diffusion-weighted', 'DWI'],
  ADC: ['ADC'],
};

export interface SeriesFacts {
  readonly protocol: Protocol;
  readonly plane: Plane;
  readonly bodyPartName: string;
  readonly tesla: number;
  readonly thicknessMm: number;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** One sentence on how the series was taken. */
export function techniqueSentence(f: SeriesFacts, s: Stream): string {
  const { protocol: p, plane, bodyPartName: part } = f;
  const weight = s.choice(WEIGHTING[p.contrast]);
  const how = s.choice(TECHNIQUE_WORDS[p.technique]);
  const fat = p.fatSat === true && p.contrast !== 'ADC' && p.contrast !== 'DWI';
  const field = `${f.tesla} T`;
  const mm = `${Math.round(f.thicknessMm * 10) / 10} mm`;
  const b = p.contrast === 'DWI' ? ` (b = ${p.b ?? 800} s/mm²)` : '';
  if (p.contrast === 'ADC') {
    return s.choice([
      `${capital(plane)} ADC map of the ${part} at ${field}, ${mm} slices.`,
      `Apparent diffusion coefficient map of the ${part}, ${plane}, ${field}.`,
    ]);
  }
  return s.choice([
    `${capital(plane)} ${fat ? 'fat-suppressed ' : ''}${weight} ${how}${b} of the ${part} at ${field}, ${mm} slices.`,
    `${capital(part)} MRI, ${plane} ${weight}${fat ? ' with fat suppression' : ''}${b}.`,
    `${capital(weight)} images of the ${part} in the ${plane} plane${fat ? ', fat-saturated' : ''}${b}, ${field}, slice thickness ${mm}.`,
    `${capital(how)}${b}, ${weight}${fat ? ', fat-suppressed' : ''}, ${plane}, ${part}.`,
  ]);
}

/** Sentences on findings, one wording each, and sometimes one on what is normal. */
export function findingSentences(
  findings: readonly Finding[],
  normal: readonly string[],
  s: Stream,
): string[] {
  const out = findings.map(({ sentences }) => s.choice(sentences));
  if (s.chance(findings.length > 1 ? 0.25 : 0.55)) out.push(s.choice(normal));
  return out;
}

/** The report of a study, in the usual sections. */
export function studyReport(
  bodyPartName: string,
  series: readonly SeriesFacts[],
  findings: readonly Finding[],
  normal: readonly string[],
  s: Stream,
): string {
  const taken = series.map(({ protocol: p, plane }) => {
    const fat = p.fatSat === true && p.contrast !== 'ADC' && p.contrast !== 'DWI';
    return `${plane} ${WEIGHTING[p.contrast][0]!}${fat ? ' with fat suppression' : ''}`;
  });
  const agent = series.some(({ protocol }) => hasAgent(protocol))
    ? ' Gadolinium-based contrast agent was given.'
    : '';
  const found = findings.map(({ sentences }) => s.choice(sentences));
  const rest = s.shuffle(normal).slice(0, 2);
  const impression = findings.map(({ sentences }) => sentences[sentences.length - 1]!);
  return [
    `Technique: MRI of the ${bodyPartName}: ${taken.join(', ')}.${agent}`,
    `Findings: ${[...found, ...rest].join(' ')}`,
    `Impression: ${impression.join(' ')}`,
  ].join('\n');
}
