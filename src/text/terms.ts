/** The closed vocabulary of imaging terms: what may survive of a description, and what each word says. */
import { BODY_PARTS, BODY_PHRASES } from './body-parts.js';

export type Plane = 'axial' | 'coronal' | 'sagittal' | 'oblique';

/** Words of planes in descriptions. The plane of a series comes from its geometry; these only survive in descriptions. */
export const PLANE_WORDS: Readonly<Record<Plane, string>> = {
  axial:
    'ax axi axial axials oax tra trans transv transverse transversal tr axiale axiales axiaal assiale assiali aksiyel aksiyal transversaal ' +
    'transversale transversales',
  coronal: 'cor coronal ocor koronal coro frontal frontale coronale coronales coronali coronaal kor koronar',
  sagittal:
    'sag sagittal osag saggital sagital sagitale sagitales sagittale sagittales sagittali sagittaal sagitt',
  oblique: 'obl ob oblique paraaxial paracoronal parasagittal paracor parasag oblic',
};

/** Sequence families: [phrase of a sentence, words of Siemens, GE, Philips, Canon, United Imaging and Hitachi]. */
export const SEQUENCE_WORDS: readonly (readonly [string, string])[] = [
  ['magnetization-prepared gradient echo', 'mprage mp2rage memprage bravo irfspgr tfl turboflash mpgr'],
  ['single-shot turbo spin echo', 'haste ssfse sshtse ssh sshot sstse ssfs fase h2d'],
  [
    'variable-flip-angle 3D turbo spin echo',
    'space spc cube vista view brainview spineview mvox isofse matrix 3dfse',
  ],
  ['radial turbo spin echo', 'blade propeller multivane jet radar arms'],
  ['turbo spin echo', 'tse fse frfse fsexl frfsexl tirm tse3d tse2d rst fse2d fse3d'],
  [
    'balanced steady-state free precession',
    'trufi fiesta bffe btfe truefisp bssfp ssfp trufisp balanced ciss bfe cosmic basg tfi',
  ],
  [
    'spoiled gradient echo',
    'vibe starvibe lava thrive ethrive vibrant quick3d quick spgr fspgr flash fl2d fl3d sgre',
  ],
  ['spoiled gradient echo', 'fsp tigre disco twist twistvibe grasp tricks trak'],
  ['echo planar imaging', 'ep2d epi ep resolve muse ep3d rsepi readout zoomit focus ssepi'],
  [
    'gradient echo',
    'gre ffe tfe medic merge fgre ge gr fe qgre mffe swan fsbb dess me2d me3d fe2d fe3d mgre fame adage wats presto',
  ],
  ['spin echo', 'se se2d se3d'],
];

/** Words that name a weighting or a map; contrast.ts says what each means. */
export const CONTRAST_WORDS =
  't1 t1w t1wi t1c t1ce t1gd t1n t1km t1post t1pre t2 t2w t2wi t2f t2star t2s t2starw pd pdw pdwi dp proton density ' +
  'flair dark fluid darkfluid dafl stir dir t1flair t2flair dwi dwibs diff diffusion dti hardi tensor trace ' +
  'tracew calcbval adc apparent eadc exponential fa colfa bval isotropic calc swi swip minip venobold qsm mag magnitude phase pha tof mra mrv ' +
  'angio angiography pca inhance qiss asl pcasl pasl casl perf perfusion dsc pwi cbf cbv mtt ttp tmax relcbf relcbv dce ktrans ' +
  'bold fmri rest resting task mtc mt map mapping molli shmolli t1map t2map t2starmap mrcp cine tagging dixon mdixon ideal ' +
  'flex water fat inphase outphase opposed opp in out inout wat wip uni inv1 inv2 hemo heme b0 b50 b100 b200 b400 b500 ' +
  'b600 b800 b1000 b1200 b1400 b1500 b2000 fieldmap flow venc velocity blood dw isodwi difusion difusao diffusione diffusie ' +
  'average dc fractional aniso anisotropy lge mde psir bsi ven tricks trak twistmra angiographie angiografia s3di fbi rsfmri ' +
  'fastflair r2star quick dess de3d zte ozteo petra ute apt cest calibration b1map pdff ff fraction elastography stiffness';

/** Fat suppression, contrast agent and other qualifiers worth keeping in a description. */
export const FAT_SUPPRESSION_WORDS =
  'fs fatsat fatsup fsat fatsuppressed spair spir stir we waterexc chess aspir fatsatur sat fettsatt fett special wfs ' +
  'mdixonw fsw fatsep';
export const AGENT_WORDS =
  'gd gado gad gadolinium gadovist dotarem km postcontrast post contrast ce ceflair kontrast enhanced t1c t1ce t1gd t1km ' +
  'injection inj contraste contrasto mdc art arteriell arterieel arteriel arteriosa venoso portalvenous ' +
  't1post arterial portal venous delayed hbp hepatobiliary gadavist multihance eovist primovist kontrastmittel';
export const NO_AGENT_WORDS =
  'pre nativ native nativo precontrast without ohne plain unenhanced sans sin senza sem zonder noncontrast t1pre';
export const QUALIFIER_WORDS =
  '2d 3d 4d iso isotropic hr hires highres high res resolution loc localizer localiser localizador scout survey aahead 3plane ' +
  'bh breath hold trig triggered rtr nav resp gated dyn dynamic dynamics ref reference thin thick slab sub subtraction mip mpr ' +
  'reformat left right links rechts bilateral lt rt upper lower both protocol routine clinical axis short long sax lax ' +
  'with fast ultrafast turbo spin echo gradient inversion recovery weighted image images sequence template mni152 map mean ' +
  'early late phase1 phase2 dyndist mrt mri mr irm rm lesion tumor screening spoiled ir';

const split = (words: string): string[] => words.toLowerCase().split(' ').filter(Boolean);

export const wordSet = (words: string): ReadonlySet<string> => new Set(split(words));

/** word → index into BODY_PARTS. */
const bodyWords = new Map<string, number>();
BODY_PARTS.forEach((part, at) => {
  for (const word of [part.code.toLowerCase(), ...split(part.words)]) {
    if (!bodyWords.has(word)) bodyWords.set(word, at);
  }
});

const VOCABULARY: ReadonlySet<string> = new Set([
  ...bodyWords.keys(),
  ...Object.keys(BODY_PHRASES).flatMap(split),
  ...Object.values(PLANE_WORDS).flatMap(split),
  ...SEQUENCE_WORDS.flatMap(([, words]) => split(words)),
  ...split(CONTRAST_WORDS),
  ...split(FAT_SUPPRESSION_WORDS),
  ...split(AGENT_WORDS),
  ...split(NO_AGENT_WORDS),
  ...split(QUALIFIER_WORDS),
]);

/** Lower case, accents removed, ß and œ spelt out. */
export function fold(text: string): string {
  return text
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/ß/g, 'ss')
    .replace(/[œŒ]/g, 'oe')
    .toLowerCase();
}

/** Numbers between glued words that say nothing: matrix sizes, acceleration ("p2"), slice counts. */
const FILLER = /^(?:p\d|\d+)/;
/** A b-value; of other numbers nothing is kept, because they may be an identifier's. */
const B_VALUE = /^b\d{1,4}(?!\d)/;

function isBValue(term: string): boolean {
  return /^b\d{1,4}$/.test(term) && Number(term.slice(1)) % 50 === 0;
}

/**
 * `word` as a run of vocabulary words without rest but numbers ("t2tsesag320p2" → t2 tse sag), longest first; null where
 * there is none.
 */
function segment(word: string): string[] | null {
  if (word === '') return [];
  for (let length = Math.min(word.length, 18); length >= 2; length--) {
    const head = word.slice(0, length);
    if (!VOCABULARY.has(head)) continue;
    const rest = segment(word.slice(length));
    if (rest) return [head, ...rest];
  }
  const value = B_VALUE.exec(word)?.[0];
  if (value !== undefined && isBValue(value)) {
    const rest = segment(word.slice(value.length));
    if (rest) return [value, ...rest];
  }
  const filler = (/^b\d{5,}/.exec(word) ?? FILLER.exec(word))?.[0];
  return filler === undefined ? null : segment(word.slice(filler.length));
}

/** What Siemens' inline processing appends to a name; glued to it where an archive took the underscores out. */
const APPENDED = /^(.*?)(adc|tracew|calcbval)(?:dfc)?(?:mix)?$/;

/**
 * One written word as the vocabulary words it holds. Words glued together are taken apart only where a digit (as in
 * T1, 3D) or an inner capital shows that they are not a name: "Cortes" must not become "cor".
 */
function known(word: string): string[] {
  const lower = fold(word);
  if (VOCABULARY.has(lower) || isBValue(lower)) return [lower];
  const appended = APPENDED.exec(lower);
  if (appended !== null && appended[1] !== '' && /[A-Z]{3}$/.test(word))
    return [...known(word.slice(0, appended[1]!.length)), appended[2]!];
  // AxT2, DWIAll, MPRAGEadni.
  const pieces = word.split(/(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u);
  const run = /^(\p{Lu}{3,})\p{Ll}+$/u.exec(word)?.[1];
  if (run !== undefined && VOCABULARY.has(fold(run))) return [fold(run)];
  if (pieces.length > 1) return pieces.flatMap(known);
  // "TR2500" and "FA10" are a repetition time and a flip angle, not transverse and anisotropy.
  if (/^(?:tr|fa)\d+$/.test(lower)) return [];
  const prefixed = /^[sv](t[12]w|pdw)$/.exec(lower)?.[1];
  if (prefixed !== undefined) return [prefixed];
  const trimmed = lower.replace(/^\d+(?=[a-z])|(?<=[a-z])\d+$/g, '');
  if (trimmed !== lower && VOCABULARY.has(trimmed)) return [trimmed];
  if (/^b\d{3,4}t$/.test(lower) && isBValue(lower.slice(0, -1))) return [lower.slice(0, -1)];
  return /\d/.test(lower) ? (segment(lower) ?? []) : [];
}

/**
 * The imaging terms of a free text in order, everything else (names, numbers, dates, identifiers) dropped; single
 * letters, which may be initials, stay only in "C spine" and its like.
 * "T2*" is written t2star and "+C", "+ Gd", "+KM" postcontrast.
 */
export function imagingTerms(text: string): string[] {
  return (
    text
      .replace(/(t2|r2)w?\s*\*/gi, '$1star ')
      .replace(/(?<![\p{L}\p{N}])T-([12])(?![\p{L}\p{N}])/gu, 'T$1')
      .replace(/(?<!\p{L})min[\s_]*ip(?!\p{L})/giu, ' minip ')
      .replace(/\+\s*(?:c|k|gd|km|gad\w*|contrast)(?![\p{L}])/giu, ' postcontrast ')
      .replace(/(?<![\p{L}\p{N}])C\+/gu, ' postcontrast ')
      // At the end of a name: "t1_vibe_fs_tra_C", "t1_se_tra POS", "-CONT".
      .replace(/(?<=[\p{L}\p{N}][-_ ])(?:C|p[oó]s|cont)\s*$/iu, ' postcontrast ')
      .replace(/(?<![\p{L}\p{N}])(?:da|dark)[-_ ]fl(?![\p{L}\p{N}])/giu, ' darkfluid ')
      // Long and short TR, TE.
      .replace(/(?<!\p{L})(?:long|short)[-_ ]?T[RE](?!\p{L})/giu, ' ')
      .replace(/\bw\/o\b/gi, ' without ')
      .split(/[^\p{L}\p{N}]+/u)
      .filter(Boolean)
      .flatMap(known)
      .filter((term, i, terms) => term.length > 1 || terms[i + 1] === 'spine')
  );
}

/** Code of the most specific body part that the terms name, or null. */
export function bodyPartOf(terms: readonly string[]): string | null {
  let best = BODY_PARTS.length;
  terms.forEach((term, i) => {
    const phrase = BODY_PHRASES[`${terms[i - 1] ?? ''} ${term}`];
    const at = phrase ? BODY_PARTS.findIndex(({ code }) => code === phrase) : bodyWords.get(term);
    if (at !== undefined && at < best) best = at;
  });
  return BODY_PARTS[best]?.code ?? null;
}

const planeWords = (Object.entries(PLANE_WORDS) as [Plane, string][]).map(([plane, words]) => ({
  plane,
  words: wordSet(words),
}));

/** The plane that the terms name; "oblique" where they say so beside one; null where they name none or several. */
export function planeOf(terms: readonly string[]): Plane | null {
  const named = planeWords.filter(({ words }) => terms.some((term) => words.has(term)));
  const tilted = named.find(({ plane }) => plane === 'oblique');
  return tilted?.plane ?? (named.length === 1 ? named[0]!.plane : null);
}

const MANUFACTURERS: readonly (readonly [RegExp, string])[] = [
  [/siemens/i, 'Siemens'],
  [/\bge\b|general electric|ge medical/i, 'GE'],
  [/philips|marconi|picker/i, 'Philips'],
  [/canon|toshiba/i, 'Canon'],
  [/uih|united imaging/i, 'UIH'],
  [/hitachi|fujifilm/i, 'Fujifilm'],
  [/hyperfine/i, 'Hyperfine'],
  [/bruker/i, 'Bruker'],
  [/esaote/i, 'Esaote'],
  [/neusoft/i, 'Neusoft'],
  [/mindray/i, 'Mindray'],
  [/paramed/i, 'Paramed'],
  [/precess/i, 'Simulated'],
];

/** A maker's usual short name; "unknown" for one that is not in the table, because the field is free text. */
export function manufacturerOf(text: string | undefined): string {
  return MANUFACTURERS.find(([pattern]) => pattern.test(text ?? ''))?.[1] ?? 'unknown';
}
