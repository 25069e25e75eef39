/** The body parts that descriptions name, in several languages. */

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
    words:
      'uterus uterine endometrium cervix gyn ovary ovaries ovar utero ovaire gebarmutter baarmoeder vagina',
    within: 'PELVIS',
  },
  {
    code: 'RECTUM',
    names: ['rectum'],
    words: 'rectum rectal rektum recto retto rectale anorectal endeldarm',
    within: 'PELVIS',
  },
  {
    code: 'BLADDER',
    names: ['bladder'],
    words: 'bladder harnblase vejiga vessie vescica blaas bexiga',
    within: 'PELVIS',
  },
  {
    code: 'SELLA',
    names: ['pituitary gland', 'sella'],
    words: 'pituitary sella hypophyse hypophysis hipofisis hypofyse ipofisi hipofise ipofisaria turcica',
    within: 'BRAIN',
  },
  {
    code: 'IAC',
    names: ['internal auditory canal'],
    words:
      'iac iacs cpa felsenbein rocher rochers brughoek conduits khbw kleinhirnbruckenwinkel mastoid ear innenohr',
    within: 'BRAIN',
  },
  {
    code: 'ORBIT',
    names: ['orbits'],
    words: 'orbit orbits orbita orbite orbitas orbital eye eyes augen augenhohle',
    within: 'BRAIN',
  },
  { code: 'TMJ', names: ['temporomandibular joint'], words: 'tmj kiefergelenk atm', within: 'BRAIN' },
  {
    code: 'BRAIN',
    names: ['brain', 'head'],
    words:
      'brain head skull cerebral hippocampus kopf schadel schaedel neurocranium hirn gehirn cerveau crane encephale ' +
      'encefalo cerebro craneo cranio hersenen hoofd cabeza cabeca beyin tete cerebrum neuro brats icbm cow circleofwillis cerebellum craniale cranien cranienne cerebrale cerebrales encefalico encephalique kranial schadels headbrain',
  },
  {
    code: 'CSPINE',
    names: ['cervical spine'],
    words:
      'cspine cervical hws cwk ccolumna cervicale rachicervical halswirbelsaule halswirbelsaeule cervicales cervicaal',
    within: 'SPINE',
  },
  {
    code: 'TSPINE',
    names: ['thoracic spine'],
    words:
      'tspine thoracic bws twk dorsale dorsal dspine toracica brustwirbelsaule brustwirbelsaeule dorsales thoracique thoracale dorsolombaire',
    within: 'SPINE',
  },
  {
    code: 'LSPINE',
    names: ['lumbar spine'],
    words:
      'lspine lumbar lws lwk lumbosacral lombaire lombare lumbal lombar lsspine lendenwirbelsaule lendenwirbelsaeule lumbale lumbares lombaires lombosacrale lumbosacra lombosacra lombosacree lumbosacral lumbalis',
    within: 'SPINE',
  },
  {
    code: 'SSPINE',
    names: ['sacrum'],
    words:
      'sacrum sacral sspine sacroiliac isg sij iliosakralgelenk iliosakralgelenke sacroiliaque sacroiliaques sacroiliacas sacroiliaca sacroiliache sig coccyx kreuzbein steissbein',
    within: 'SPINE',
  },
  {
    code: 'SPINE',
    names: ['spine'],
    words:
      'spine spinal aaspine columna colonna coluna rachis wirbelsaule wirbelsaeule wervelkolom rachide myelon ctspine tlspine wirbel espinha espina vertebral vertebrale vertebrali',
  },
  {
    code: 'FACE',
    names: ['face'],
    words: 'face facial nnh sinuses paranasal gesicht gesichtsschadel visage jaw mandible maxilla',
    within: 'BRAIN',
  },
  {
    code: 'SCROTUM',
    names: ['scrotum'],
    words: 'scrotum scrotal testis testes testicle hoden',
    within: 'PELVIS',
  },
  { code: 'AORTA', names: ['aorta'], words: 'aorta aortic aorte aortique', within: 'CHEST' },
  {
    code: 'CLAVICLE',
    names: ['clavicle'],
    words: 'clavicle clavicula klavikula schlusselbein sternoclavicular',
  },
  {
    code: 'NECK',
    names: ['neck'],
    words:
      'neck carotid carotids larynx thyroid hals nasopharynx pharynx cuello pescoco collo parotid carotides carotide karotis halsgefasse tsa submandibular thyroide schilddruse tiroides hypopharynx oropharynx tongue nek cou',
  },
  {
    code: 'HEART',
    names: ['heart'],
    words:
      'heart cardiac myocardium herz coeur cuore corazon coracao cmr cardio lge lvot rvot ventricle 2ch 3ch 4ch cardiaque cardiaco cardiaca kardio chamber chambers',
    within: 'CHEST',
  },
  {
    code: 'BREAST',
    names: ['breast'],
    words: 'breast breasts vibrant mamma mammae mama mammella brust borst seins borsten',
    within: 'CHEST',
  },
  {
    code: 'LIVER',
    names: ['liver'],
    words: 'liver hepatic leber lever foie higado fegato figado karaciger hepato hepatique hepatico epatico',
    within: 'ABDOMEN',
  },
  {
    code: 'PANCREAS',
    names: ['pancreas'],
    words:
      'pancreas pancreatic pankreas mrcp biliary bile pancreatico bauchspeicheldruse gallenwege biliaire biliaires cholangio cholangiopancreatography',
    within: 'ABDOMEN',
  },
  {
    code: 'KIDNEY',
    names: ['kidneys'],
    words:
      'kidney kidneys renal niere nieren rein reins rinon nier nieren adrenal rinones reni rins urography',
    within: 'ABDOMEN',
  },
  {
    code: 'WHOLEBODY',
    names: ['whole body'],
    words: 'wholebody ganzkorper ganzkoerper ganzkorperbild',
  },
  {
    code: 'ABDOMEN',
    names: ['abdomen'],
    words:
      'abdomen abdominal abd bauch oberbauch buik addome abdome enterography bowel enteroclysis abdomenpelvis oberbauchs unterbauch enterographie enterografie enterografia spleen stomach gallbladder colon chestabdomen chestabdpelvis ventre',
  },
  {
    code: 'CHEST',
    names: ['chest'],
    words:
      'chest thorax torax lung lungs mediastinum poumon pulmonary lunge toraks thoracica brustkorb pulmon polmone longen rib sternum esophagus',
  },
  {
    code: 'HIP',
    names: ['hip'],
    words:
      'hip hips hufte huefte hanche cadera anca quadril heup kalca huftgelenk hueftgelenk huftgelenke caderas hanches',
  },
  {
    code: 'KNEE',
    names: ['knee'],
    words:
      'knee knees knie genou rodilla ginocchio joelho diz patella kniegelenk kniegelenke kniegelenks genoux rodillas joelhos meniscus',
  },
  {
    code: 'ANKLE',
    names: ['ankle'],
    words:
      'ankle ankles osg sprunggelenk cheville tobillo caviglia tornozelo enkel hindfoot achilles achillessehne',
  },
  {
    code: 'FOOT',
    names: ['foot'],
    words: 'foot forefoot fuss vorfuss pied piede voet toes calcaneus toe mittelfuss fusswurzel',
  },
  {
    code: 'SHOULDER',
    names: ['shoulder'],
    words:
      'shoulder shoulders schulter epaule hombro spalla ombro schouder omuz schultergelenk schultergelenks epaules scapula',
  },
  { code: 'ELBOW', names: ['elbow'], words: 'elbow ellbogen ellenbogen coude codo gomito cotovelo elleboog' },
  {
    code: 'WRIST',
    names: ['wrist'],
    words: 'wrist handgelenk poignet muneca polso punho pols carpal polsgewricht',
  },
  { code: 'HAND', names: ['hand'], words: 'hand hands finger fingers thumb daumen mano hande' },
  {
    code: 'THIGH',
    names: ['thigh'],
    words: 'thigh thighs oberschenkel cuisse femur femoral coscia muslo coxa dij',
    within: 'LEG',
  },
  {
    code: 'CALF',
    names: ['lower leg'],
    words: 'calf tibia fibula unterschenkel mollet pantorrilla polpaccio kuit',
    within: 'LEG',
  },
  { code: 'LEG', names: ['leg'], words: 'leg legs beine bein jambe pierna gamba runoff' },
  { code: 'ARM', names: ['upper arm'], words: 'humerus oberarm' },
  { code: 'FOREARM', names: ['forearm'], words: 'forearm unterarm' },
  {
    code: 'PELVIS',
    names: ['pelvis'],
    words:
      'pelvis pelvic becken bassin bacino pelvi bekken pelve perineal fistula kleines beckens pelvien pelvienne pelvico pelvica bacia',
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
  'psir lge': 'HEART',
  'lge psir': 'HEART',
  'tree biliary': 'PANCREAS',
  'angle pontocerebellar': 'IAC',
};

/** The table entry of a code; undefined for UNKNOWN and for codes outside the table. */
export function bodyPart(code: string): BodyPart | undefined {
  return BODY_PARTS.find((part) => part.code === code);
}
