/** Chest: lungs, heart and mediastinum. */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Finding, type Side, sign, type Traits } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';
import { aortaAndCava, solidOrgans } from './abdomen-organs.js';
import { column, drawColumn } from './column.js';
import { drawFindings, type Scene, sizeText } from './region.js';
import { lungs, mediastinum } from './thorax.js';
import { backMuscles, drawTorso, ribs, sectionAt, torsoBuilder, trunkWall, type Torso } from './torso.js';

const FOV = [360, 420] as const;
const PROTOCOLS: readonly Protocol[] = [
  {
    contrast: 'T2w',
    technique: 'single-shot',
    planes: ['axial', 'coronal'],
    fov: FOV,
    thickness: [5, 6],
    cover: 230,
  },
  {
    contrast: 'T1w',
    technique: 'vibe',
    planes: ['axial', 'coronal'],
    fov: FOV,
    thickness: [3, 5],
    cover: 230,
    fatSat: true,
  },
  {
    contrast: 'T1w+C',
    technique: 'vibe',
    planes: ['axial'],
    fov: FOV,
    thickness: [3, 5],
    cover: 230,
    fatSat: true,
    weight: 0.7,
  },
  {
    contrast: 'bSSFP',
    technique: 'trufi',
    planes: ['coronal', 'axial', 'sagittal'],
    fov: FOV,
    thickness: [5, 6],
    cover: 220,
  },
  {
    contrast: 'T1w',
    technique: 'tse',
    planes: ['axial', 'coronal'],
    fov: FOV,
    thickness: [5, 6],
    cover: 230,
    weight: 0.6,
  },
  {
    contrast: 'STIR',
    technique: 'tirm',
    planes: ['coronal', 'axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 220,
    weight: 0.7,
  },
  {
    contrast: 'DWI',
    technique: 'epi',
    planes: ['axial'],
    fov: FOV,
    thickness: [5, 6],
    cover: 230,
    fatSat: true,
    b: 800,
    weight: 0.5,
  },
];

export function chest(traits: Traits, stream: Stream): Scene {
  const s = stream.child('chest');
  const b = torsoBuilder(traits, s, { y: 4, z: 244 });
  const torso = drawTorso(traits, s.child('torso'));
  const f = s.child('findings');
  const drawn = drawFindings(
    f,
    {
      'pleural effusion': 0.28,
      'lung mass': 0.22,
      'both effusions': 0.08,
      nodules: 0.12,
      cardiomegaly: 0.16,
      'pericardial effusion': 0.1,
      'mediastinal mass': 0.12,
      pneumonia: 0.14,
      'hiatal hernia': 0.08,
      goitre: 0.06,
    },
    2,
  );
  const side: Side = f.chance(0.5) ? 'left' : 'right';
  trunkWall(b, torso);
  lungs(b, torso);
  if (traits.sex === 'F') breasts(b, torso, traits, s.child('breast'));
  const findings: Finding[] = [];
  if (drawn.has('pneumonia')) findings.push(pneumonia(b, f, side));
  if (drawn.has('lung mass')) findings.push(lungMass(b, f, side));
  if (drawn.has('nodules')) findings.push(nodules(b, f));
  if (drawn.has('pleural effusion') && !drawn.has('both effusions')) {
    const large = f.chance(0.5);
    effusion(b, side, large ? f.uniform(0.75, 1) : f.uniform(0.3, 0.5));
    findings.push({
      name: `${side} pleural effusion`,
      structure: 'pleural effusion',
      side,
      sentences: [
        `${large ? 'Large' : 'Small'} pleural effusion on the ${side}.`,
        `${large ? 'Marked' : 'Minor'} ${side}-sided pleural effusion.`,
        `Pleural fluid on the ${side} side${large ? ' with compression of the lower lobe' : ''}.`,
      ],
    });
  }
  if (drawn.has('both effusions')) {
    effusion(b, 'left', f.uniform(0.4, 0.8));
    effusion(b, 'right', f.uniform(0.4, 0.8));
    findings.push({
      name: 'bilateral pleural effusion',
      structure: 'pleural effusion',
      sentences: ['Bilateral pleural effusions.', 'Pleural effusion on both sides.'],
    });
  }
  const wide = drawn.has('cardiomegaly');
  const fluid = drawn.has('pericardial effusion');
  solidOrgans(b, traits, s.child('organs'));
  mediastinum(b, s.child('heart'), {
    scale: wide ? f.uniform(1.14, 1.22) : 1,
    effusion: fluid ? f.uniform(7, 12) : 0,
  });
  aortaAndCava(b);
  thyroid(b, drawn.has('goitre') ? 1.9 : 1);
  ribs(b, torso);
  backMuscles(b, traits, s.child('muscle'));
  column(b, drawColumn(s.child('column')), { from: 80, to: 440 });
  if (drawn.has('mediastinal mass')) findings.push(mediastinalMass(b, f));
  if (drawn.has('hiatal hernia')) findings.push(hernia(b, f));
  if (wide) {
    findings.push({
      name: 'cardiomegaly',
      structure: 'myocardium',
      sentences: ['The heart is enlarged.', 'Cardiomegaly.', 'Global enlargement of the heart.'],
    });
  }
  if (fluid) {
    findings.push({
      name: 'pericardial effusion',
      structure: 'pericardial fluid',
      sentences: ['Pericardial effusion.', 'Circumferential fluid in the pericardial sac.'],
    });
  }
  if (drawn.has('goitre')) {
    findings.push({
      name: 'goitre',
      structure: 'thyroid gland',
      sentences: ['Enlarged thyroid gland.', 'Goitre reaching the upper mediastinum.'],
    });
  }
  if (findings.length === 0) {
    findings.push({
      name: 'normal',
      sentences: [
        'Normal chest.',
        'No pleural effusion and no lung mass.',
        'Lungs, heart and mediastinum are unremarkable.',
      ],
    });
  }
  return {
    anatomy: b.build(),
    bodyPart: 'CHEST',
    bodyPartName: 'chest',
    findings,
    normal: [
      'No enlarged mediastinal lymph nodes.',
      'The thoracic aorta is of normal calibre.',
      'The central airways are open.',
      'No destruction of the ribs or of the thoracic spine.',
    ],
    centre: [0, 0, s.uniform(-12, 8)],
    protocols: PROTOCOLS,
  };
}

function breasts(b: AnatomyBuilder, t: Torso, traits: Traits, s: Stream): void {
  const skin = b.structure('skin', 'skin');
  const fat = b.structure('subcutaneous fat', 'fat');
  const gland = b.structure('breast gland', 'breast gland');
  const size = s.vary(1, 0.14) + traits.fat * 0.35;
  const dense = Math.max(0.02, 0.35 - Math.max(0, traits.age - 35) * 0.007 + s.vary(0, 0.06));
  const [, , cy, , ry] = sectionAt(t.wall, 232);
  const outside = b.ids('air', 'skin', 'subcutaneous fat');
  for (const side of [-1, 1]) {
    const at = [side * 74, cy + ry * 0.86 + t.fatMm * 0.4, 226] as const;
    b.ellipsoid(skin, at, [58 * size, 46 * size, 56 * size], { over: outside });
    b.ellipsoid(fat, at, [58 * size - 2, 46 * size - 2, 56 * size - 2], { over: outside });
    const inner = b.structure('breast fat', 'fat');
    b.ellipsoid(inner, [at[0], at[1] + 4, at[2]], [40 * size, 34 * size, 40 * size], { over: [fat] });
    b.pattern(gland, [inner], { kind: 'blob', cell: 13, level: 0.28 - dense });
  }
}

/** Fluid in the back of the chest of somebody lying down, and along the side. */
function effusion(b: AnatomyBuilder, side: Side, amount: number): void {
  const id = b.structure('pleural effusion', 'effusion');
  const x = sign(side);
  const over = b.ids(`${side} lung`, 'lung vessel', 'diaphragm');
  const level = -72 + 62 * amount;
  b.ellipsoid(id, [x * 74, level - 60, 178], [92, 64, 116 * (0.6 + 0.4 * amount)], { over });
  b.ellipsoid(id, [x * 140, -10, 140], [26, 70 * amount, 70], { over });
}

function pneumonia(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const lower = s.chance(0.6);
  const id = b.structure('consolidation', 'oedema', { pd: 0.8, t2: [110, 100], mottle: 0.15, uptake: 0.4 });
  b.ellipsoid(id, [sign(side) * 82, lower ? -30 : 20, lower ? 205 : 295], [46, 40, 44], {
    over: b.ids(`${side} lung`, 'lung vessel'),
    rough: { cell: 20, amount: 0.5 },
  });
  const lobe = lower ? 'lower' : 'upper';
  return {
    name: `${side} pneumonia`,
    structure: 'consolidation',
    side,
    sentences: [
      `Consolidation of the ${side} ${lobe} lobe, in keeping with pneumonia.`,
      `Pneumonic infiltrate in the ${lobe} lobe of the ${side} lung.`,
    ],
  };
}

function lungMass(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const upper = s.chance(0.55);
  const mm = s.uniform(26, 68);
  const r = b.mm(mm / 2);
  const at = [
    sign(side) * s.uniform(64, 92),
    s.uniform(-20, 26),
    upper ? s.uniform(276, 306) : s.uniform(212, 232),
  ] as const;
  b.ellipsoid(b.structure('lung tumour', 'solid mass'), at, [r, r, r], {
    over: b.ids(`${side} lung`, 'lung vessel'),
    rough: { cell: 11, amount: 0.28 },
  });
  const lobe = upper ? 'upper' : 'lower';
  return {
    name: `${side} lung mass`,
    structure: 'lung tumour',
    side,
    sentences: [
      `${sizeText(mm)} mass in the ${side} ${lobe} lobe, suspicious for lung cancer.`,
      `Tumour of the ${side} lung, ${lobe} lobe, ${sizeText(mm)}.`,
      `Solid mass of ${sizeText(mm)} in the ${lobe} lobe of the ${side} lung.`,
    ],
  };
}

function nodules(b: AnatomyBuilder, s: Stream): Finding {
  const id = b.structure('lung nodule', 'solid mass');
  const over = b.ids('left lung', 'right lung', 'lung vessel');
  for (let n = 0; n < 10 + s.int(8); n++) {
    const r = b.mm(s.uniform(4, 10));
    b.ellipsoid(
      id,
      [(n % 2 ? 1 : -1) * s.uniform(50, 115), s.uniform(-60, 60), s.uniform(190, 320)],
      [r, r, r],
      { over },
    );
  }
  return {
    name: 'lung nodules',
    structure: 'lung nodule',
    sentences: [
      'Multiple pulmonary nodules on both sides, consistent with metastases.',
      'Numerous lung metastases.',
      'Several round nodules in both lungs.',
    ],
  };
}

function mediastinalMass(b: AnatomyBuilder, s: Stream): Finding {
  const mm = s.uniform(36, 80);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('mediastinal mass', 'solid mass'), [s.uniform(-12, 12), 56, 288], [r, r * 0.7, r], {
    over: b.ids(
      'mediastinal fat',
      'left lung',
      'right lung',
      'lung vessel',
      'visceral fat',
      'superior vena cava',
    ),
    rough: { cell: 16, amount: 0.2 },
  });
  return {
    name: 'mediastinal mass',
    structure: 'mediastinal mass',
    sentences: [
      `Anterior mediastinal mass, ${sizeText(mm)}.`,
      `${sizeText(mm)} mass in the anterior mediastinum, thymoma or lymphoma.`,
    ],
  };
}

function hernia(b: AnatomyBuilder, s: Stream): Finding {
  const mm = s.uniform(36, 60);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('hiatal hernia', 'bowel wall'), [-16, -2, 186], [r, r * 0.8, r]);
  b.ellipsoid(b.structure('hernia content', 'bowel fluid'), [-16, -2, 186], [r - 4, r * 0.8 - 4, r - 4]);
  return {
    name: 'hiatal hernia',
    structure: 'hiatal hernia',
    sentences: [`Hiatal hernia of ${sizeText(mm)}.`, 'Sliding hiatal hernia behind the heart.'],
  };
}

function thyroid(b: AnatomyBuilder, size: number): void {
  const id = b.structure('thyroid gland', 'thyroid');
  for (const side of [-1, 1]) {
    b.ellipsoid(
      id,
      [side * (12 + 5 * size), 2, 398 - 14 * (size - 1)],
      [8 * size, 9 * size, 22 * Math.sqrt(size)],
    );
  }
  b.ellipsoid(id, [0, 6, 392], [16, 4 * size, 7 * size]);
}
