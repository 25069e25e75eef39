/** Upper abdomen. */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Finding, type Side, sign, type Traits } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';
import { aortaAndCava, bowelFilling, kidney, solidOrgans } from './abdomen-organs.js';
import { column, drawColumn } from './column.js';
import { hipBones } from './pelvis-frame.js';
import { drawFindings, type Scene, sizeText } from './region.js';
import { lungs, mediastinum } from './thorax.js';
import { backMuscles, drawTorso, ribs, torsoBuilder, trunkWall } from './torso.js';

const FOV = [340, 400] as const;
const PROTOCOLS: readonly Protocol[] = [
  {
    contrast: 'T2w',
    technique: 'single-shot',
    planes: ['axial', 'coronal', 'coronal'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
  },
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
    fatSat: true,
  },
  {
    contrast: 'T1w',
    technique: 'vibe',
    planes: ['axial', 'axial', 'coronal'],
    fov: FOV,
    thickness: [3, 5],
    cover: 190,
    fatSat: true,
  },
  {
    contrast: 'T1w+C',
    technique: 'vibe',
    planes: ['axial', 'coronal'],
    fov: FOV,
    thickness: [3, 5],
    cover: 190,
    fatSat: true,
  },
  {
    contrast: 'T1w',
    technique: 'dixon-in',
    planes: ['axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
    weight: 0.6,
  },
  {
    contrast: 'T1w',
    technique: 'dixon-opposed',
    planes: ['axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
    weight: 0.6,
  },
  {
    contrast: 'bSSFP',
    technique: 'trufi',
    planes: ['coronal', 'axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
    weight: 0.6,
  },
  {
    contrast: 'DWI',
    technique: 'epi',
    planes: ['axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
    fatSat: true,
    b: 800,
  },
  {
    contrast: 'ADC',
    technique: 'epi',
    planes: ['axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 190,
    fatSat: true,
    b: 800,
    weight: 0.5,
  },
];

export function abdomen(traits: Traits, stream: Stream): Scene {
  const s = stream.child('abdomen');
  const b = torsoBuilder(traits, s, { y: 14, z: 72 });
  const torso = drawTorso(traits, s.child('torso'));
  const f = s.child('findings');
  const drawn = drawFindings(
    f,
    {
      'liver lesion': 0.26,
      'liver cyst': 0.14,
      metastases: 0.12,
      haemangioma: 0.12,
      'renal cyst': 0.26,
      'renal mass': 0.12,
      hydronephrosis: 0.12,
      splenomegaly: 0.12,
      ascites: 0.1,
      gallstones: 0.14,
      steatosis: 0.1 + 0.2 * traits.fat,
      'pancreatic cyst': 0.08,
    },
    3,
  );
  const side: Side = f.chance(0.5) ? 'left' : 'right';
  trunkWall(b, torso);
  lungs(b, torso);
  mediastinum(b, s.child('heart'));
  solidOrgans(b, traits, s.child('organs'), {
    liverFat: drawn.has('steatosis') ? f.uniform(0.18, 0.3) : 0.03,
    ...(drawn.has('splenomegaly') ? { spleenScale: f.uniform(1.3, 1.5) } : {}),
    ...(drawn.has('hydronephrosis') ? { hydronephrosis: side } : {}),
  });
  bowelFilling(b, s.child('bowel'));
  hipBones(b);
  if (drawn.has('ascites')) ascites(b);
  aortaAndCava(b);
  ribs(b, torso, 20);
  backMuscles(b, traits, s.child('muscle'));
  column(b, drawColumn(s.child('column')), { from: -80, to: 230 });
  const findings: Finding[] = [];
  const add = (name: Parameters<typeof drawn.has>[0], make: () => Finding): void => {
    if (drawn.has(name)) findings.push(make());
  };
  add('liver lesion', () => liverMass(b, f));
  add('liver cyst', () => liverCyst(b, f));
  add('haemangioma', () => haemangioma(b, f));
  add('metastases', () => metastases(b, f));
  add('renal cyst', () => renalCyst(b, f, side));
  add('renal mass', () => renalMass(b, f, side));
  add('hydronephrosis', () => ({
    name: `${side} hydronephrosis`,
    structure: 'renal pelvis',
    side,
    sentences: [
      `Dilated collecting system of the ${side} kidney.`,
      `Hydronephrosis on the ${side} side.`,
      `Moderate ${side} hydronephrosis with a dilated renal pelvis.`,
    ],
  }));
  add('splenomegaly', () => ({
    name: 'splenomegaly',
    structure: 'spleen',
    sentences: ['Splenomegaly.', 'The spleen is enlarged.', 'Markedly enlarged spleen without focal lesion.'],
  }));
  add('ascites', () => ({
    name: 'ascites',
    structure: 'ascites',
    sentences: [
      'Ascites around the liver and the spleen.',
      'Free fluid in the upper abdomen.',
      'Moderate ascites.',
    ],
  }));
  add('gallstones', () => gallstones(b, f));
  add('steatosis', () => ({
    name: 'hepatic steatosis',
    structure: 'liver',
    sentences: [
      'Diffuse hepatic steatosis with signal loss on opposed-phase images.',
      'Fatty liver.',
      'Marked steatosis of the liver.',
    ],
  }));
  add('pancreatic cyst', () => pancreaticCyst(b, f));
  if (findings.length === 0) {
    findings.push({
      name: 'normal',
      sentences: [
        'Normal upper abdominal organs.',
        'No focal lesion of the liver, the spleen, the pancreas or the kidneys.',
        'Unremarkable MRI of the upper abdomen.',
      ],
    });
  }
  return {
    anatomy: b.build(),
    bodyPart: 'ABDOMEN',
    bodyPartName: 'abdomen',
    findings,
    normal: [
      'The bile ducts are not dilated.',
      'Aorta and inferior vena cava of normal calibre.',
      'No enlarged lymph nodes.',
      'The adrenal glands are normal.',
    ],
    centre: [0, 0, s.uniform(-10, 10)],
    protocols: PROTOCOLS,
  };
}

/** Places in the liver, with the words for them. */
const LIVER_PLACES = [
  ['right', 'segment VII', [104, -34, 122]],
  ['right', 'segment VI', [100, -26, 72]],
  ['right', 'segment VIII', [92, 30, 132]],
  ['right', 'segment V', [92, 36, 84]],
  ['left', 'segment IV', [38, 62, 116]],
  ['left', 'segment II', [-24, 58, 130]],
] as const;

function inLiver(s: Stream): { lobe: string; segment: string; at: [number, number, number] } {
  const [lobe, segment, [x, y, z]] = s.choice(LIVER_PLACES);
  return { lobe, segment, at: [s.vary(x, 4), s.vary(y, 4), s.vary(z, 4)] };
}

function liverIds(b: AnatomyBuilder): number[] {
  return b.ids('liver', 'hepatic vein', 'portal vein');
}

function liverMass(b: AnatomyBuilder, s: Stream): Finding {
  const { lobe, segment, at } = inLiver(s);
  const mm = s.uniform(20, 55);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('liver mass', 'solid mass', { t1: [850, 1100] }), at, [r, r, r], {
    over: liverIds(b),
    rough: { cell: 14, amount: 0.15 },
  });
  return {
    name: `${lobe} liver mass`,
    structure: 'liver mass',
    sentences: [
      `${sizeText(mm)} solid mass in the ${lobe} lobe of the liver, ${segment}.`,
      `Focal liver lesion in ${segment} measuring ${sizeText(mm)}, suspicious for hepatocellular carcinoma.`,
      `Mass in liver ${segment}, ${sizeText(mm)}.`,
    ],
  };
}

function liverCyst(b: AnatomyBuilder, s: Stream): Finding {
  const { lobe, segment, at } = inLiver(s);
  const mm = s.uniform(16, 50);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('liver cyst', 'cyst'), at, [r, r, r], { over: liverIds(b) });
  return {
    name: `${lobe} liver cyst`,
    structure: 'liver cyst',
    sentences: [
      `Simple cyst of ${sizeText(mm)} in the ${lobe} lobe of the liver.`,
      `${sizeText(mm)} hepatic cyst in ${segment}, very bright on T2.`,
      `Liver cyst, ${segment}, ${sizeText(mm)}.`,
    ],
  };
}

function haemangioma(b: AnatomyBuilder, s: Stream): Finding {
  const { lobe, segment, at } = inLiver(s);
  const mm = s.uniform(16, 45);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('liver haemangioma', 'haemangioma'), at, [r, r * 0.9, r], {
    over: liverIds(b),
    rough: { cell: 12, amount: 0.18 },
  });
  return {
    name: `${lobe} liver haemangioma`,
    structure: 'liver haemangioma',
    sentences: [
      `${sizeText(mm)} haemangioma in ${segment} of the liver.`,
      `Lobulated T2 hyperintense lesion of the ${lobe} liver lobe, ${sizeText(mm)}, typical of haemangioma.`,
    ],
  };
}

function metastases(b: AnatomyBuilder, s: Stream): Finding {
  const id = b.structure('liver metastasis', 'metastasis');
  for (let n = 0; n < 7 + s.int(6); n++) {
    const { at } = inLiver(s);
    const r = b.mm(s.uniform(5, 15));
    b.ellipsoid(id, [at[0] + s.vary(0, 8), at[1] + s.vary(0, 9), at[2] + s.vary(0, 7)], [r, r, r], {
      over: liverIds(b),
    });
  }
  return {
    name: 'liver metastases',
    structure: 'liver metastasis',
    sentences: [
      'Multiple liver metastases in both lobes.',
      'Numerous round focal lesions of the liver with restricted diffusion, consistent with metastases.',
      'Disseminated hepatic metastases.',
    ],
  };
}

function renalCyst(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const { centre } = kidney(side);
  const mm = s.uniform(18, 62);
  const r = b.mm(mm / 2);
  const pole = s.choice(['upper', 'lower'] as const);
  const x = sign(side);
  const at = [
    centre[0] + x * (10 + r * 0.55),
    centre[1] - 4,
    centre[2] + (pole === 'upper' ? 30 : -30),
  ] as const;
  b.ellipsoid(b.structure('renal cyst', 'cyst'), at, [r, r, r]);
  return {
    name: `${side} renal cyst`,
    structure: 'renal cyst',
    side,
    sentences: [
      `Simple cyst of the ${side} kidney, ${pole} pole, ${sizeText(mm)}.`,
      `${sizeText(mm)} cortical cyst at the ${pole} pole of the ${side} kidney.`,
      `${side === 'left' ? 'Left' : 'Right'} renal cyst measuring ${sizeText(mm)}.`,
    ],
  };
}

function renalMass(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const { centre } = kidney(side);
  const mm = s.uniform(25, 60);
  const r = b.mm(mm / 2);
  const x = sign(side);
  b.ellipsoid(
    b.structure('renal mass', 'solid mass'),
    [centre[0] + x * (8 + r * 0.4), centre[1] - 2, centre[2] + 4],
    [r, r, r],
    {
      rough: { cell: 15, amount: 0.15 },
    },
  );
  return {
    name: `${side} renal mass`,
    structure: 'renal mass',
    side,
    sentences: [
      `Solid mass of the ${side} kidney, ${sizeText(mm)}, suspicious for renal cell carcinoma.`,
      `${sizeText(mm)} tumour of the ${side} kidney.`,
      `${side === 'left' ? 'Left' : 'Right'} renal tumour measuring ${sizeText(mm)}.`,
    ],
  };
}

function ascites(b: AnatomyBuilder): void {
  const id = b.structure('ascites', 'effusion');
  const fat = b.ids('visceral fat', 'perirenal fat');
  b.ellipsoid(id, [100, 6, 84], [52, 84, 96], { over: fat });
  b.ellipsoid(id, [-100, 0, 90], [40, 80, 80], { over: fat });
  b.ellipsoid(id, [0, 88, 60], [70, 22, 60], { over: fat });
}

function gallstones(b: AnatomyBuilder, s: Stream): Finding {
  const stone = b.structure('gallstone', 'cortical bone');
  const over = b.ids('gallbladder');
  for (let n = 0; n < 3 + s.int(4); n++) {
    const r = b.mm(s.uniform(3, 6.5));
    b.ellipsoid(stone, [50 + s.vary(0, 4), 44 + s.vary(0, 4), 52 + s.vary(0, 6)], [r, r, r], { over });
  }
  return {
    name: 'gallstones',
    structure: 'gallstone',
    sentences: [
      'Multiple gallstones.',
      'Cholecystolithiasis.',
      'Several filling defects in the gallbladder: stones.',
    ],
  };
}

function pancreaticCyst(b: AnatomyBuilder, s: Stream): Finding {
  const tail = s.chance(0.5);
  const mm = s.uniform(14, 38);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('pancreatic cyst', 'cyst'), tail ? [-58, -2, 98] : [34, 30, 54], [r, r * 0.9, r]);
  const where = tail ? 'tail' : 'head';
  return {
    name: `pancreatic cyst ${where}`,
    structure: 'pancreatic cyst',
    sentences: [
      `Cystic lesion of ${sizeText(mm)} in the ${where} of the pancreas.`,
      `${sizeText(mm)} pancreatic cyst, ${where}.`,
    ],
  };
}
