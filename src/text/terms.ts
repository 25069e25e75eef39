/** The closed vocabulary of imaging terms: what may survive of a description, and what each word says. */

export type Plane = 'axial' | 'coronal' | 'sagittal' | 'oblique';

export interface BodyPart {
  /** Defined term of DICOM PS3.16 CID 4 (Annex L), upper case. */
  readonly code: string;
  /** How a sentence says it; the first is the usual one. */
  readonly names: readonly string[];
  /** Lower-case words and two-word phrases of descriptions, accents removed, in several languages. */
  readonly words: string;
  /** The wider region it belongs to, where there is one. */
  readonly within?: string;
}

/**
 * Specific parts before wide ones: the first that a description names wins. HEAD is written BRAIN, because in MR the
 * two stand for the same examination and a filter should find both; other parts of the head have entries of their own.
 */
export const BODY_PARTS: readonly BodyPart[] = [
  {
    code: 'PROSTATE',
    names: ['prostate'],
    words: 'prostate prostata prostaat prostatic prostat mpprostate',
    within: 'PELVIS',
  },
  {
    code: 'UTERUS',
    names: ['uterus', 'female pelvis'],
    words: 'uterus uterine endometrium cervix gyn ovary ovaries ovar utero',
    within: 'PELVIS',
  },
  { code: 'RECTUM', names: ['rectum'], words: 'rectum rectal rektum recto retto', within: 'PELVIS' },
  { code: 'BLADDER', names: ['bladder'], words: 'bladder harnblase vejiga vessie', within: 'PELVIS' },
  {
    code: 'SELLA',
    names: ['pituitary gland', 'sella'],
    words: 'pituitary sella hypophyse hypophysis hipofisis hypofyse ipofisi',
    within: 'BRAIN',
  },
  {
    code: 'IAC',
    names: ['internal auditory canal'],
    words: 'iac iacs cpa felsenbein rocher rochers',
    within: 'BRAIN',
  },
  { code: 'ORBIT', names: ['orbits'], words: 'orbit orbits orbita orbite orbitas', within: 'BRAIN' },
  { code: 'TMJ', names: ['temporomandibular joint'], words: 'tmj kiefergelenk atm', within: 'BRAIN' },
  {
    code: 'BRAIN',
    names: ['brain', 'head'],
    words:
      'brain head skull cerebral hippocampus kopf schadel schaedel neurocranium hirn gehirn cerveau crane encephale ' +
      'encefalo cerebro craneo cranio hersenen hoofd cabeza cabeca beyin tete cerebrum neuro brats icbm',
  },
  {
    code: 'CSPINE',
    names: ['cervical spine'],
    words: 'cspine cervical hws cwk ccolumna cervicale rachicervical',
    within: 'SPINE',
  },
  {
    code: 'TSPINE',
    names: ['thoracic spine'],
    words: 'tspine thoracic bws twk dorsale dorsal dspine toracica',
    within: 'SPINE',
  },
  {
    code: 'LSPINE',
    names: ['lumbar spine'],
    words: 'lspine lumbar lws lwk lumbosacral lombaire lombare lumbal lombar lsspine',
    within: 'SPINE',
  },
  { code: 'SSPINE', names: ['sacrum'], words: 'sacrum sacral sspine sacroiliac isg sij', within: 'SPINE' },
  {
    code: 'SPINE',
    names: ['spine'],
    words: 'spine spinal columna colonna coluna rachis wirbelsaule wirbelsaeule wervelkolom rachide myelon',
  },
  {
    code: 'NECK',
    names: ['neck'],
    words: 'neck carotid carotids larynx thyroid hals nasopharynx pharynx cuello pescoco collo parotid',
  },
  {
    code: 'HEART',
    names: ['heart'],
    words:
      'heart cardiac myocardium herz coeur cuore corazon coracao cmr cardio lge lvot rvot ventricle 2ch 3ch 4ch',
    within: 'CHEST',
  },
  {
    code: 'BREAST',
    names: ['breast'],
    words: 'breast breasts mamma mammae mama mammella brust borst',
    within: 'CHEST',
  },
  {
    code: 'LIVER',
    names: ['liver'],
    words: 'liver hepatic leber lever foie higado fegato figado karaciger hepato',
    within: 'ABDOMEN',
  },
  {
    code: 'PANCREAS',
    names: ['pancreas'],
    words: 'pancreas pancreatic pankreas mrcp biliary bile',
    within: 'ABDOMEN',
  },
  {
    code: 'KIDNEY',
    names: ['kidneys'],
    words: 'kidney kidneys renal niere nieren rein reins rinon nier nieren adrenal',
    within: 'ABDOMEN',
  },
  {
    code: 'WHOLEBODY',
    names: ['whole body'],
    words: 'wholebody ganzkorper ganzkoerper',
  },
  {
    code: 'ABDOMEN',
    names: ['abdomen'],
    words:
      'abdomen abdominal abd bauch oberbauch buik addome abdome enterography bowel enteroclysis abdomenpelvis',
  },
  {
    code: 'CHEST',
    names: ['chest'],
    words: 'chest thorax torax lung lungs mediastinum poumon pulmonary lunge toraks',
  },
  {
    code: 'HIP',
    names: ['hip'],
    words: 'hip hips hufte huefte hanche cadera anca quadril heup kalca',
  },
  { code: 'KNEE', names: ['knee'], words: 'knee knees knie genou rodilla ginocchio joelho diz patella' },
  {
    code: 'ANKLE',
    names: ['ankle'],
    words: 'ankle ankles osg sprunggelenk cheville tobillo caviglia tornozelo enkel hindfoot',
  },
  {
    code: 'FOOT',
    names: ['foot'],
    words: 'foot forefoot fuss vorfuss pied piede voet toes calcaneus',
  },
  {
    code: 'SHOULDER',
    names: ['shoulder'],
    words: 'shoulder shoulders schulter epaule hombro spalla ombro schouder omuz',
  },
  { code: 'ELBOW', names: ['elbow'], words: 'elbow ellbogen ellenbogen coude codo gomito cotovelo elleboog' },
  {
    code: 'WRIST',
    names: ['wrist'],
    words: 'wrist handgelenk poignet muneca polso punho pols carpal',
  },
  { code: 'HAND', names: ['hand'], words: 'hand hands finger fingers thumb daumen' },
  { code: 'THIGH', names: ['thigh'], words: 'thigh thighs oberschenkel cuisse femur femoral', within: 'LEG' },
  { code: 'CALF', names: ['lower leg'], words: 'calf tibia fibula unterschenkel mollet', within: 'LEG' },
  { code: 'LEG', names: ['leg'], words: 'leg legs' },
  { code: 'ARM', names: ['upper arm'], words: 'humerus oberarm' },
  { code: 'FOREARM', names: ['forearm'], words: 'forearm unterarm' },
  {
    code: 'PELVIS',
    names: ['pelvis'],
    words: 'pelvis pelvic becken bassin bacino pelvi bekken pelve perineal fistula',
  },
];

/** Two words in a row that name a part neither names alone. */
export const BODY_PHRASES: Readonly<Record<string, string>> = {
  'c spine': 'CSPINE',
  't spine': 'TSPINE',
  'd spine': 'TSPINE',
  'l spine': 'LSPINE',
  'ls spine': 'LSPINE',
  'cervical spine': 'CSPINE',
  'thoracic spine': 'TSPINE',
  'lumbar spine': 'LSPINE',
  'whole body': 'WHOLEBODY',
  'ganz korper': 'WHOLEBODY',
  'corps entier': 'WHOLEBODY',
  'lower leg': 'CALF',
  'upper arm': 'ARM',
  'si joint': 'SSPINE',
  'si joints': 'SSPINE',
  'auditory canal': 'IAC',
};

/** Words of planes in descriptions. The plane of a series comes from its geometry; these only survive in descriptions. */
export const PLANE_WORDS: Readonly<Record<Plane, string>> = {
  axial:
    'ax axi axial axials tra trans transv transverse transversal tr axiale assiale aksiyel aksiyal transversaal',
  coronal: 'cor coronal koronal coro frontal coronale coronaal kor',
  sagittal: 'sag sagittal saggital sagital sagitale sagittale sagittaal sagitt',
  oblique: 'obl oblique paraaxial paracoronal parasagittal paracor parasag oblic',
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
    'trufi fiesta bffe btfe truefisp bssfp ssfp trufisp balanced ciss bfe',
  ],
  [
    'spoiled gradient echo',
    'vibe starvibe lava thrive ethrive vibrant quick3d quick spgr fspgr flash fl2d fl3d sgre',
  ],
  ['spoiled gradient echo', 'fsp tigre disco twist twistvibe grasp'],
  ['echo planar imaging', 'ep2d epi ep resolve muse ep3d rsepi readout zoomit focus ssepi'],
  [
    'gradient echo',
    'gre ffe tfe medic merge fgre ge gr fe qgre mffe swan fsbb dess me3d fe2d fe3d mgre fame',
  ],
  ['spin echo', 'se se2d se3d'],
];

/** Words that name a weighting or a map; contrast.ts says what each means. */
export const CONTRAST_WORDS =
  't1 t1w t1wi t1c t1ce t1gd t1n t1km t1post t1pre t2 t2w t2wi t2f t2star t2s t2starw pd pdw pdwi dp proton density ' +
  'flair dark fluid darkfluid dafl stir dir t1flair t2flair dwi dwibs diff diffusion dti hardi tensor trace ' +
  'tracew adc apparent eadc fa colfa bval isotropic calc swi swip minip venobold qsm mag magnitude phase pha tof mra mrv ' +
  'angio angiography pca inhance qiss asl pcasl pasl casl perf perfusion dsc pwi cbf cbv mtt ttp tmax relcbf relcbv dce ktrans ' +
  'bold fmri rest resting task mtc mt map mapping molli shmolli t1map t2map t2starmap mrcp cine tagging dixon mdixon ideal ' +
  'flex water fat inphase outphase opposed opp in out inout wat wip uni inv1 inv2 hemo heme b0 b50 b100 b200 b400 b500 ' +
  'b600 b800 b1000 b1200 b1400 b1500 b2000 fieldmap flow venc';

/** Fat suppression, contrast agent and other qualifiers worth keeping in a description. */
export const FAT_SUPPRESSION_WORDS =
  'fs fatsat fatsup fsat fatsuppressed spair spir stir we waterexc chess aspir fatsatur sat fettsatt fett special wfs ' +
  'mdixonw fsw fatsep';
export const AGENT_WORDS =
  'gd gado gad gadolinium gadovist dotarem km postcontrast post contrast ce ceflair kontrast enhanced t1c t1ce t1gd t1km ' +
  't1post arterial portal venous delayed hbp hepatobiliary gadavist multihance eovist primovist kontrastmittel';
export const NO_AGENT_WORDS =
  'pre nativ native nativo precontrast without ohne plain unenhanced sans sin noncontrast t1pre';
export const QUALIFIER_WORDS =
  '2d 3d 4d iso isotropic hr hires highres high res resolution loc localizer localiser localizador scout survey aahead 3plane ' +
  'bh breath hold trig triggered nav resp gated dyn dynamic dynamics ref reference thin thick slab sub subtraction mip mpr ' +
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

/** `word` as a run of vocabulary words without rest ("t2tsesag" → t2 tse sag), longest first; null where there is none. */
function segment(word: string): string[] | null {
  if (word === '') return [];
  for (let length = Math.min(word.length, 14); length >= 2; length--) {
    const head = word.slice(0, length);
    if (!VOCABULARY.has(head)) continue;
    const rest = segment(word.slice(length));
    if (rest) return [head, ...rest];
  }
  return null;
}

/**
 * One written word as the vocabulary words it holds. Words glued together are taken apart only where a digit (as in
 * T1, 3D) or an inner capital shows that they are not a name: "Cortes" must not become "cor".
 */
function known(word: string): string[] {
  const lower = fold(word);
  if (VOCABULARY.has(lower)) return [lower];
  const pieces = word.split(/(?<=\p{Ll})(?=\p{Lu})/u);
  if (pieces.length > 1) return pieces.flatMap(known);
  const trimmed = lower.replace(/^\d+(?=[a-z])|(?<=[a-z])\d+$/g, '');
  if (trimmed !== lower && VOCABULARY.has(trimmed)) return [trimmed];
  if (!/\d/.test(lower)) return [];
  // "t2w" and "tse2d1": a counter may end a glued word.
  return segment(lower) ?? segment(lower.replace(/\d+$/, '')) ?? [];
}

/**
 * The imaging terms of a free text in order, everything else (names, numbers, dates, identifiers) dropped; single
 * letters, which may be initials, stay only in "C spine" and its like.
 * "T2*" is written t2star and "+C", "+ Gd", "+KM" postcontrast.
 */
export function imagingTerms(text: string): string[] {
  return text
    .replace(/(t2)w?\s*\*/gi, '$1star ')
    .replace(/\+\s*(?:c|k|gd|km|gad\w*|contrast)(?![\p{L}])/giu, ' postcontrast ')
    .replace(/(?<![\p{L}\p{N}])C\+/gu, ' postcontrast ')
    .replace(/(?<![\p{L}\p{N}])da-fl(?![\p{L}\p{N}])/giu, ' darkfluid ')
    .replace(/\bw\/o\b/gi, ' without ')
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean)
    .flatMap(known)
    .filter((term, i, terms) => term.length > 1 || terms[i + 1] === 'spine');
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

/** The table entry of a code; undefined for UNKNOWN and for codes outside the table. */
export function bodyPart(code: string): BodyPart | undefined {
  return BODY_PARTS.find((part) => part.code === code);
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
