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

const T1 = wordSet(
  't1 t1w t1wi t1c t1ce t1gd t1n t1km t1post t1pre t1flair mprage mp2rage memprage bravo spgr fspgr irfspgr vibe starvibe ' +
    'twistvibe lava thrive ethrive vibrant quick3d inphase outphase opposed opp dixon mdixon ideal flex grasp disco tigre psir',
);
/** T1 words that say so themselves; the rest only suggest it, and yield to an explicit T2 or PD. */
const T1_PLAIN = wordSet('t1 t1w t1wi t1c t1ce t1gd t1n t1km t1post t1pre t1flair');
const T2 = wordSet('t2 t2w t2wi haste ssfse sshtse mrcp');
const T2_PLAIN = wordSet('t2 t2w t2wi');
const T2STAR = wordSet('t2star t2s t2starw medic me2d me3d merge mffe adage hemo heme');
const PD = wordSet('pd pdw pdwi dp');
/** Balanced sequences, whatever weighting their name adds: their contrast is T2 over T1. */
const BALANCED = wordSet('trufi fiesta bffe btfe truefisp bssfp trufisp balanced ciss cosmic basg tfi');
const GRADIENT = wordSet('gre ffe fgre fe fl2d fl3d flash mffe fe2d fe3d gr');
const AGENT = wordSet(AGENT_WORDS);
const GADOLINIUM = wordSet('gd gado gad gadolinium postcontrast lge mde');
const NO_AGENT = wordSet(NO_AGENT_WORDS);
const FLAIR = wordSet('flair t2flair t2f darkfluid dafl fastflair');
/** Calibrations, field maps, exchange and stiffness maps, and mixed weightings that no class here stands for. */
const NO_CLASS = wordSet(
  'calibration b1map apt cest pdff ff elastography stiffness dess wats zte ozteo petra ute',
);

/** Rules in order; the first whose words (one of them) are present decides. */
const NAMED: readonly (readonly [Contrast, ReadonlySet<string>])[] = [
  ['ADC', wordSet('adc apparent')],
  ['FA', wordSet('fa colfa fractional aniso anisotropy')],
  ['T1map', wordSet('t1map molli shmolli')],
  ['T2map', wordSet('t2map r2star')],
  ['SWI', wordSet('swi swip minip venobold swan fsbb bsi qsm')],
  ['ASL', wordSet('asl pcasl pasl casl')],
  ['BOLD', wordSet('bold fmri rsfmri')],
  [
    'DWI',
    wordSet(
      'dwi dwibs dw isodwi diff diffusion difusion difusao diffusione diffusie dti hardi trace tracew resolve bval calcbval',
    ),
  ],
  ['DCE', wordSet('dce ktrans')],
  ['PWI', wordSet('perf perfusion dsc pwi cbf cbv mtt ttp tmax relcbf relcbv')],
  [
    'MRA',
    wordSet('tof mra mrv angio angiography angiographie angiografia pca inhance qiss tricks trak s3di fbi'),
  ],
];

export interface JudgedContrast {
  readonly contrast: Contrast;
  /** 0 to 1; 0 where the contrast is unknown. */
  readonly confidence: number;
}

/**
 * Share of right answers by what decided, from the first measurements on the labelled series in test/fixtures/text
 * (docs/text.md), rounded.
 */
const SURE = {
  imageType: 0.98,
  /** The series' own words name the weighting ("T2", "FLAIR", "ADC"). */
  named: 0.95,
  /** They name a sequence that is nearly always used for one ("VIBE", "HASTE"). */
  implied: 0.9,
  /** Only the protocol or the file name does. */
  elsewhere: 0.9,
  bValue: 0.9,
  timing: 0.85,
  /** Weighting by words, timing of another. */
  contradicted: 0.6,
  /** T1 of which nothing says that it is without agent: sites often leave an agent unsaid. */
  unmarked: 0.85,
  /** T1 after an agent that only the header's agent field mentions: the series may be from before it. */
  agentField: 0.8,
} as const;

/**
 * The weighting: words first, because a site's naming is more reliable than a rule on timing; then timing;
 * "unknown" where neither decides. "T1w+C" is T1-weighted after a contrast agent. The confidence says by what it was
 * decided, and is lower where words and timing disagree.
 */
export function judgeContrast(evidence: ContrastEvidence): JudgedContrast {
  // Whether an agent was given is for the series' own words: a protocol's name speaks for the whole visit.
  const terms = evidence.texts.find((text) => text.length > 0) ?? [];
  const timing = byTiming(evidence);
  let found = judged(byImageType(evidence), SURE.imageType);
  for (const [at, text] of evidence.texts.entries()) {
    if (found !== null) break;
    const said = byWords(text, evidence);
    if (said === null) continue;
    const sure = said.named ? SURE.named : SURE.implied;
    found = judged(said.contrast, at === 0 ? sure : Math.min(sure, SURE.elsewhere));
    if (found !== null && contradicts(found.contrast, timing))
      found = judged(found.contrast, SURE.contradicted);
  }
  if (evidence.bValue !== null && evidence.bValue > 0) found ??= judged('DWI', SURE.bValue);
  if (timing !== 'unknown') found ??= judged(timing, SURE.timing);
  if (found === null)
    return terms.some((term) => GADOLINIUM.has(term))
      ? { contrast: 'T1w+C', confidence: SURE.implied }
      : { contrast: 'unknown', confidence: 0 };
  if (found.contrast === 'unknown') return { contrast: 'unknown', confidence: 0 };
  if (found.contrast !== 'T1w') return found;
  const agent = agentOf(terms, evidence.agent);
  if (agent === null) {
    const marked = terms.some((term) => NO_AGENT.has(term));
    return marked ? found : { ...found, confidence: Math.min(found.confidence, SURE.unmarked) };
  }
  return { contrast: 'T1w+C', confidence: Math.min(found.confidence, agent) };
}

/** judgeContrast without its confidence. */
export function contrastOf(evidence: ContrastEvidence): Contrast {
  return judgeContrast(evidence).contrast;
}

function judged(contrast: Contrast | null, confidence: number): JudgedContrast | null {
  return contrast === null ? null : { contrast, confidence };
}

/** Whether a spin-echo weighting by words has the timing of another one. Inversion may be missing from a header. */
function contradicts(said: Contrast, timing: Contrast): boolean {
  const plain = ['T1w', 'T2w', 'PDw', 'FLAIR', 'STIR', 'T2*w'];
  if (!plain.includes(said) || !plain.includes(timing) || said === timing) return false;
  if (said === 'FLAIR' || said === 'STIR') return timing === 'T1w';
  return !(said === 'T2w' && timing === 'T2*w') && !(said === 'T2*w' && timing === 'T2w');
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

interface Said {
  readonly contrast: Contrast;
  /** Whether the weighting itself is named, not only a sequence that usually has it. */
  readonly named: boolean;
}

/** What words say; "unknown" where they say that the image is of no class here, null where they say nothing. */
function byWords(terms: readonly string[], evidence: ContrastEvidence): Said | null {
  const { inversionTimeMs, scanningSequence, echoTimeMs } = evidence;
  const has = (words: ReadonlySet<string>): boolean => terms.some((term) => words.has(term));
  const one = (word: string): boolean => terms.includes(word);
  const pair = (a: string, b: string): boolean => terms.some((term, i) => term === a && terms[i + 1] === b);
  const named = (contrast: Contrast): Said => ({ contrast, named: true });
  const implied = (contrast: Contrast): Said => ({ contrast, named: false });

  // Siemens names DESS t2_de3d.
  if (one('de3d')) return named('unknown');
  if (one('map') || one('mapping')) {
    if (has(T2STAR)) return named('T2map');
    if (has(T1_PLAIN)) return named('T1map');
    if (has(T2_PLAIN)) return named('T2map');
  }
  if (one('pha') && (one('swi') || one('swan'))) return named('phase');
  // Venous BOLD is Philips' early susceptibility-weighted imaging.
  if (pair('ven', 'bold')) return named('SWI');
  if (pair('average', 'dc')) return named('ADC');
  if (pair('quick', '3d') && !has(T2_PLAIN) && !has(PD)) return implied('T1w');
  if (has(wordSet('eadc exponential'))) return named('DWI');
  for (const [contrast, words] of NAMED) if (has(words)) return named(contrast);
  if (terms.some((term) => /^b\d+$/.test(term))) return named('DWI');
  if (has(wordSet('twist disco twistvibe grasp')) && has(wordSet('dyn dynamic'))) return implied('DCE');
  if (has(wordSet('resting rest')) && has(wordSet('ep2d epi'))) return named('BOLD');
  // Reduced-field diffusion of GE and Siemens.
  if (has(wordSet('focus zoomit muse'))) return implied('DWI');
  if (one('ce') && (one('fl3d') || one('flash'))) return implied('MRA');
  if (one('flow') && has(wordSet('fl2d fl3d'))) return named('phase');
  if (has(wordSet('velocity')) || (pair('pc', 'flow') && !has(T2_PLAIN))) return named('phase');

  const plainT1 = has(T1_PLAIN);
  if (one('dir') && !plainT1) return named('DIR');
  if (has(FLAIR) || pair('dark', 'fluid') || one('t1flair')) return named(plainT1 ? 'T1w' : 'FLAIR');
  if (one('stir')) return named('STIR');
  // Siemens' TIRM is a FLAIR or a STIR by its inversion time.
  if (one('tirm'))
    return inversionTimeMs === null ? implied('STIR') : named(inversionTimeMs > 1000 ? 'FLAIR' : 'STIR');
  if (has(BALANCED) || (one('ssfp') && !one('echo'))) return named('bSSFP');
  const gradient = has(GRADIENT) || (scanningSequence.includes('GR') && !scanningSequence.includes('SE'));
  if (has(T2STAR)) return named('T2*w');
  const plain = [plainT1, has(T2_PLAIN), has(PD) || pair('proton', 'density')];
  if (plain.filter(Boolean).length > 1) return dualEcho(echoTimeMs, plain);
  if (plain[0]) return named('T1w');
  if (plain[1]) return named(gradient ? 'T2*w' : 'T2w');
  if (plain[2]) return named('PDw');
  if (has(NO_CLASS)) return named('unknown');
  if (one('twist')) return implied('MRA');
  // "phase" alone also numbers the phases of a dynamic series.
  if (has(wordSet('pha fieldmap venc'))) return named('phase');
  if (has(T2)) return implied('T2w');
  if (one('cine')) return implied('bSSFP');
  if (has(T1)) return implied('T1w');
  if (one('template') && one('mni152')) return implied('T1w');
  return null;
}

/** One description for both echoes of a dual-echo series ("PD/T2"): the echo time tells which this is. */
function dualEcho(echoTimeMs: number | null, [t1, t2, pd]: readonly boolean[]): Said | null {
  if (echoTimeMs === null) return null;
  if (t2 && pd) return { contrast: echoTimeMs < 50 ? 'PDw' : 'T2w', named: true };
  if (t1 && t2) return { contrast: echoTimeMs < 40 ? 'T1w' : 'T2w', named: false };
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

/**
 * How sure it is that an agent was given; null where none was. Words of the description decide; the header's agent
 * field counts only when they are silent.
 */
function agentOf(terms: readonly string[], agent: string): number | null {
  // "sin" is Spanish for without, and short for left in Italian.
  const without = terms.some(
    (term, i) => NO_AGENT.has(term) && (term !== 'sin' || AGENT.has(terms[i + 1] ?? '')),
  );
  if (without) return null;
  if (terms.some((term) => AGENT.has(term))) return SURE.named;
  return SAYS_NO.test(agent) ? null : SURE.agentField;
}
