/** Which weighting an MR series has, from what its header and names say, or else from its timing. */
import { AGENT_WORDS, NO_AGENT_WORDS, wordSet } from './terms.js';

/** What decides the weighting. Times in ms, angle in degrees, b in s/mm²; null where the source does not say. */
export interface ContrastEvidence {
  /**
   * Imaging terms in order, one list a text, the most telling first: series description, protocol, file name. The
   * first list that names a weighting decides, because a protocol's name is often left over from another.
   */
  readonly texts: readonly (readonly string[])[];
  /** DICOM Image Type values, upper case. */
  readonly imageType: readonly string[];
  /** DICOM Scanning Sequence values: SE, IR, GR, EP, RM. */
  readonly scanningSequence: readonly string[];
  readonly echoTimeMs: number | null;
  readonly repetitionTimeMs: number | null;
  readonly inversionTimeMs: number | null;
  readonly flipAngleDeg: number | null;
  readonly bValue: number | null;
  /** Contrast/Bolus Agent (0018,0010). */
  readonly agent: string;
}

const T1 = wordSet(
  't1 t1w t1wi t1c t1ce t1gd t1n t1km t1post t1pre t1flair mprage mp2rage memprage bravo spgr fspgr irfspgr vibe starvibe ' +
    'twistvibe lava thrive ethrive vibrant quick3d inphase outphase opposed opp dixon mdixon ideal flex grasp disco tigre',
);
/** T1 words that say so themselves; the rest only suggest it, and yield to an explicit T2 or PD. */
const T1_PLAIN = wordSet('t1 t1w t1wi t1c t1ce t1gd t1n t1km t1post t1pre t1flair');
const T2 = wordSet('t2 t2w t2wi haste ssfse sshtse mrcp ciss');
const T2_PLAIN = wordSet('t2 t2w t2wi');
const T2STAR = wordSet('t2star t2s t2starw medic merge hemo heme');
const PD = wordSet('pd pdw pdwi dp');
const GRADIENT = wordSet('gre ffe fgre fe fl2d fl3d flash mffe fe2d fe3d gr');
const AGENT = wordSet(AGENT_WORDS);
const GADOLINIUM = wordSet('gd gado gad gadolinium postcontrast');
const NO_AGENT = wordSet(NO_AGENT_WORDS);

/** Rules in order; the first whose words (one of them) are present decides. */
const NAMED: readonly (readonly [string, ReadonlySet<string>])[] = [
  ['ADC', wordSet('adc apparent')],
  ['FA', wordSet('fa colfa')],
  ['T1map', wordSet('t1map molli shmolli')],
  ['T2map', wordSet('t2map')],
  ['SWI', wordSet('swi swip minip venobold swan fsbb qsm')],
  ['ASL', wordSet('asl pcasl pasl casl')],
  ['BOLD', wordSet('bold fmri')],
  ['DWI', wordSet('dwi dwibs diff diffusion dti hardi trace tracew resolve bval')],
  ['DCE', wordSet('dce ktrans')],
  ['PWI', wordSet('perf perfusion dsc pwi cbf cbv mtt ttp tmax relcbf relcbv')],
  ['MRA', wordSet('tof mra mrv angio angiography pca inhance qiss')],
];

/** All values that contrastOf can give, "unknown" last. */
export const CONTRASTS = [
  'T1w',
  'T1w+C',
  'T2w',
  'T2*w',
  'PDw',
  'FLAIR',
  'STIR',
  'DIR',
  'DWI',
  'ADC',
  'FA',
  'SWI',
  'MRA',
  'PWI',
  'DCE',
  'ASL',
  'BOLD',
  'bSSFP',
  'T1map',
  'T2map',
  'phase',
  'unknown',
] as const;
export type Contrast = (typeof CONTRASTS)[number];

/**
 * The weighting: words first, because a site's naming is more reliable than a rule on timing; then timing;
 * "unknown" where neither decides. "T1w+C" is T1-weighted after a contrast agent.
 */
export function contrastOf(evidence: ContrastEvidence): Contrast {
  // Whether an agent was given is for the series' own words: a protocol's name speaks for the whole visit.
  const terms = evidence.texts.find((text) => text.length > 0) ?? [];
  let base = byImageType(evidence);
  for (const text of evidence.texts) base ??= byWords(text, evidence);
  if (base === null && evidence.bValue !== null && evidence.bValue > 0) base = 'DWI';
  base ??= byTiming(evidence);
  if (base === 'unknown' && terms.some((term) => GADOLINIUM.has(term))) return 'T1w+C';
  return base === 'T1w' && hasAgent(terms, evidence.agent) ? 'T1w+C' : base;
}

function byImageType({ imageType }: ContrastEvidence): Contrast | null {
  if (imageType.some((value) => /^(ADC|ADC_UNSPECIFIED)$/.test(value))) return 'ADC';
  if (imageType.some((value) => /^(FA|FRACTIONAL_ANISOTROPY|COLFA)$/.test(value))) return 'FA';
  if (imageType.some((value) => /^(PHASE|P|PHASE MAP|PHASE_MAP)$/.test(value))) return 'phase';
  if (imageType.some((value) => /^(T1 MAP|T1_MAP)$/.test(value))) return 'T1map';
  if (imageType.some((value) => /^(T2 MAP|T2_MAP)$/.test(value))) return 'T2map';
  if (imageType.some((value) => /^(TRACEW|DIFFUSION)$/.test(value))) return 'DWI';
  if (imageType.some((value) => /^(SWI|MINIP)$/.test(value))) return 'SWI';
  if (imageType.includes('ASL')) return 'ASL';
  return null;
}

function byWords(terms: readonly string[], evidence: ContrastEvidence): Contrast | null {
  const { inversionTimeMs, scanningSequence, echoTimeMs } = evidence;
  const has = (words: ReadonlySet<string>): boolean => terms.some((term) => words.has(term));
  const one = (word: string): boolean => terms.includes(word);
  const pair = (a: string, b: string): boolean => terms.some((term, i) => term === a && terms[i + 1] === b);

  if (one('map') || one('mapping')) {
    if (has(T2STAR)) return 'T2map';
    if (has(T1_PLAIN)) return 'T1map';
    if (has(T2_PLAIN)) return 'T2map';
  }
  for (const [contrast, words] of NAMED) if (has(words)) return contrast as Contrast;
  if (terms.some((term) => /^b\d+$/.test(term))) return 'DWI';

  const plainT1 = has(T1_PLAIN);
  if (one('dir') && !plainT1) return 'DIR';
  const darkFluid = has(wordSet('flair t2flair t2f darkfluid dafl')) || pair('dark', 'fluid');
  if (darkFluid || one('t1flair')) return plainT1 ? 'T1w' : 'FLAIR';
  if (one('stir')) return 'STIR';
  // Siemens' TIRM is a FLAIR or a STIR by its inversion time.
  if (one('tirm')) return inversionTimeMs !== null && inversionTimeMs > 1000 ? 'FLAIR' : 'STIR';
  const gradient = has(GRADIENT) || (scanningSequence.includes('GR') && !scanningSequence.includes('SE'));
  if (has(T2STAR)) return 'T2*w';
  const plain = [plainT1, has(T2_PLAIN), has(PD) || pair('proton', 'density')];
  if (plain.filter(Boolean).length > 1) return dualEcho(echoTimeMs, plain);
  if (plain[0]) return 'T1w';
  if (plain[1]) return gradient && !has(wordSet('trufi fiesta bffe btfe ssfp')) ? 'T2*w' : 'T2w';
  if (plain[2]) return 'PDw';
  // "phase" alone also numbers the phases of a dynamic series.
  if (has(wordSet('pha fieldmap venc'))) return 'phase';
  if (has(T2)) return 'T2w';
  if (has(wordSet('trufi fiesta bffe btfe truefisp bssfp trufisp ssfp balanced cine'))) return 'bSSFP';
  if (has(T1)) return 'T1w';
  if (one('template') && one('mni152')) return 'T1w';
  return null;
}

/** One description for both echoes of a dual-echo series ("PD/T2"): the echo time tells which this is. */
function dualEcho(echoTimeMs: number | null, [t1, t2, pd]: readonly boolean[]): Contrast | null {
  if (t2 && pd) return echoTimeMs === null ? null : echoTimeMs < 50 ? 'PDw' : 'T2w';
  if (t1 && t2 && echoTimeMs !== null) return echoTimeMs < 40 ? 'T1w' : 'T2w';
  return null;
}

/** From timing alone: the usual bounds of clinical protocols at 1.5 and 3 T, with the gaps between them left "unknown". */
function byTiming(evidence: ContrastEvidence): Contrast {
  const { echoTimeMs: te, repetitionTimeMs: tr, inversionTimeMs: ti, flipAngleDeg: flip } = evidence;
  const sequence = evidence.scanningSequence;
  if (te === null || tr === null) return 'unknown';
  const spin = sequence.includes('SE');
  const gradient = sequence.includes('GR') && !spin;
  if (ti !== null && ti > 0 && (spin || sequence.includes('IR')) && !gradient) {
    if (ti >= 1500 && te >= 60) return 'FLAIR';
    if (ti >= 90 && ti <= 280) return 'STIR';
  }
  if (gradient) {
    if (sequence.includes('EP')) return te >= 15 ? 'T2*w' : 'unknown';
    if (te >= 12) return 'T2*w';
    if (ti !== null && ti >= 400 && tr < 3000) return 'T1w';
    if (tr < 50 && te < 8 && flip !== null) return flip >= 9 ? (flip > 35 ? 'unknown' : 'T1w') : 'unknown';
    if (tr >= 50 && tr <= 500 && te < 12 && flip !== null && flip >= 50) return 'T1w';
    return 'unknown';
  }
  if (sequence.includes('EP')) return te >= 50 && tr >= 1500 ? 'T2w' : 'unknown';
  if (te <= 35 && tr <= 1000) return 'T1w';
  if (te >= 60 && tr >= 1500) return 'T2w';
  if (te <= 40 && tr >= 1800) return 'PDw';
  return 'unknown';
}

const SAYS_NO = /^\s*(no|none|non|nein|without|ohne|n\/?a|0|null|nil|-+)?\s*$/i;

/** Words of the description decide; the header's agent field counts only when they are silent. */
function hasAgent(terms: readonly string[], agent: string): boolean {
  if (terms.some((term) => NO_AGENT.has(term))) return false;
  if (terms.some((term) => AGENT.has(term))) return true;
  return !SAYS_NO.test(agent);
}
