/** Pelvis of both sexes; in men often as an examination of the prostate, in women of the uterus. */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Finding, type Side, sign, type Traits } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';
import { aortaAndCava, bowelFilling } from './abdomen-organs.js';
import { column, drawColumn } from './column.js';
import { femaleFindings, maleFindings } from './pelvis-findings.js';
import { hipBones, HIP, pelvicMuscles, thighs } from './pelvis-frame.js';
import { bladderAndRectum, prostate, type ProstateSize, uterus } from './pelvis-organs.js';
import { drawFindings, type Scene, sizeText } from './region.js';
import { backMuscles, drawTorso, torsoBuilder, trunkWall } from './torso.js';

const SMALL = [160, 210] as const;
const LARGE = [340, 400] as const;

const ORGAN: readonly Protocol[] = [
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['axial', 'axial', 'sagittal', 'coronal'],
    fov: SMALL,
    thickness: [3, 3.6],
    cover: 78,
  },
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['sagittal', 'coronal'],
    fov: SMALL,
    thickness: [3, 3.6],
    cover: 78,
  },
  {
    contrast: 'DWI',
    technique: 'epi',
    planes: ['axial'],
    fov: [200, 240],
    thickness: [3, 4],
    cover: 78,
    fatSat: true,
    b: 1000,
  },
  {
    contrast: 'ADC',
    technique: 'epi',
    planes: ['axial'],
    fov: [200, 240],
    thickness: [3, 4],
    cover: 78,
    fatSat: true,
    b: 1000,
  },
  { contrast: 'T1w', technique: 'tse', planes: ['axial'], fov: [200, 360], thickness: [3.5, 5], cover: 100 },
  {
    contrast: 'T1w+C',
    technique: 'vibe',
    planes: ['axial'],
    fov: [200, 260],
    thickness: [3, 3.6],
    cover: 80,
    fatSat: true,
    weight: 0.6,
  },
];

const WIDE: readonly Protocol[] = [
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['axial', 'coronal', 'sagittal'],
    fov: LARGE,
    thickness: [4, 5.5],
    cover: 180,
  },
  {
    contrast: 'T1w',
    technique: 'tse',
    planes: ['axial', 'coronal'],
    fov: LARGE,
    thickness: [4, 5.5],
    cover: 180,
  },
  {
    contrast: 'STIR',
    technique: 'tirm',
    planes: ['coronal', 'axial'],
    fov: LARGE,
    thickness: [4, 5.5],
    cover: 180,
  },
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['axial', 'sagittal'],
    fov: [240, 320],
    thickness: [4, 5],
    cover: 150,
    fatSat: true,
    weight: 0.5,
  },
  {
    contrast: 'DWI',
    technique: 'epi',
    planes: ['axial'],
    fov: LARGE,
    thickness: [5, 6],
    cover: 180,
    fatSat: true,
    b: 800,
    weight: 0.6,
  },
  {
    contrast: 'T1w+C',
    technique: 'vibe',
    planes: ['axial'],
    fov: LARGE,
    thickness: [3, 4],
    cover: 160,
    fatSat: true,
    weight: 0.6,
  },
];

export function pelvis(traits: Traits, stream: Stream): Scene {
  const s = stream.child('pelvis');
  const male = traits.sex === 'M';
  const organ = s.chance(male ? 0.62 : 0.5);
  const b = torsoBuilder(traits, s, organ ? { y: 16, z: male ? -197 : -166 } : { y: 4, z: -172 }, 4);
  const torso = drawTorso(traits, s.child('torso'));
  const f = s.child('findings');
  const side: Side = f.chance(0.5) ? 'left' : 'right';
  const common = drawFindings(
    f,
    {
      'hip effusion': organ ? 0.02 : 0.16,
      necrosis: organ ? 0.02 : 0.12,
      'bladder tumour': 0.08,
      node: 0.08,
      'rectal tumour': 0.07,
      'bone metastases': 0.07,
    },
    1,
  );
  trunkWall(b, torso);
  thighs(b, torso);
  pelvicMuscles(b, traits, s.child('muscle'));
  bowelFilling(b, s.child('bowel'));
  backMuscles(b, traits, s.child('back'));
  hipBones(b);
  column(b, drawColumn(s.child('column')), { to: -20 });
  aortaAndCava(b);
  const size: ProstateSize = { gland: f.vary(1, 0.06), transition: f.uniform(0.9, 1.05) };
  const plan = male ? maleFindings(f, traits, size) : femaleFindings(f, traits);
  const bladder = bladderAndRectum(b, s.child('bladder'), {
    sex: traits.sex,
    lift: male ? 26 * (plan.size.gland - 1) : 0,
  });
  if (male) prostate(b, s.child('prostate'), plan.size);
  else uterus(b, traits, s.child('uterus'), plan.uterus);
  const findings: Finding[] = plan.paint(b, side);
  if (common.has('hip effusion')) findings.push(hipEffusion(b, side));
  if (common.has('necrosis')) findings.push(necrosis(b, f, side));
  if (common.has('bladder tumour')) findings.push(bladderTumour(b, f, side, bladder));
  if (common.has('node')) findings.push(node(b, f, side));
  if (common.has('rectal tumour')) findings.push(rectalTumour(b, f));
  if (common.has('bone metastases')) findings.push(boneMetastases(b, f));
  if (findings.length === 0) {
    findings.push({
      name: 'normal',
      sentences: male
        ? [
            'Normal prostate and pelvis.',
            'No suspicious lesion of the prostate.',
            'Prostate of normal size with a bright peripheral zone.',
          ]
        : [
            'Normal uterus and ovaries.',
            'No mass of the uterus or the ovaries.',
            'Unremarkable female pelvis.',
          ],
    });
  }
  const name = organ ? (male ? 'prostate' : 'uterus') : male ? 'male pelvis' : 'female pelvis';
  return {
    anatomy: b.build(),
    bodyPart: organ ? (male ? 'PROSTATE' : 'UTERUS') : 'PELVIS',
    bodyPartName: name,
    findings,
    normal: [
      'No free pelvic fluid.',
      'No enlarged pelvic lymph nodes.',
      male ? 'The seminal vesicles are unremarkable.' : 'The cervix is unremarkable.',
      'The urinary bladder is smoothly outlined.',
    ].filter((_, n) => !(n === 1 && common.has('node')) && !(n === 3 && common.has('bladder tumour'))),
    centre: [0, 0, s.uniform(-5, 5)],
    protocols: organ ? ORGAN : WIDE,
  };
}

function hipEffusion(b: AnatomyBuilder, side: Side): Finding {
  const x = sign(side);
  b.ellipsoid(
    b.structure('hip effusion', 'effusion'),
    [x * (HIP[0] + 12), HIP[1] + 16, HIP[2] - 10],
    [24, 14, 22],
    {
      over: b.ids(
        'pelvic muscle',
        'pelvic fat',
        'muscle',
        'thigh muscle',
        'intermuscular fat',
        'hip cartilage',
        'hip joint fluid',
        'psoas muscle',
      ),
    },
  );
  return {
    name: `${side} hip effusion`,
    structure: 'hip effusion',
    side,
    sentences: [`Joint effusion of the ${side} hip.`, `Fluid in the ${side} hip joint.`],
  };
}

function necrosis(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const x = sign(side);
  const over = b.ids('femoral marrow', 'femoral red marrow');
  const at = [x * (HIP[0] - 2), HIP[1] + 5, HIP[2] + 11] as const;
  b.ellipsoid(b.structure('marrow oedema', 'marrow oedema'), [x * HIP[0], HIP[1], HIP[2] - 2], [20, 20, 24], {
    over,
  });
  b.ellipsoid(b.structure('femoral head necrosis', 'ligament'), at, [16, 15, 11], {
    over: [...over, ...b.ids('marrow oedema')],
  });
  b.ellipsoid(b.structure('femoral marrow', 'yellow marrow'), at, [13, 12, 8.5], {
    over: b.ids('femoral head necrosis'),
  });
  return {
    name: `${side} femoral head necrosis`,
    structure: 'femoral head necrosis',
    side,
    sentences: [
      `Osteonecrosis of the ${side} femoral head${s.chance(0.5) ? ' with surrounding marrow oedema' : ''}.`,
      `Avascular necrosis of the ${side} hip.`,
    ],
  };
}

function bladderTumour(
  b: AnatomyBuilder,
  s: Stream,
  side: Side,
  bladder: { centre: [number, number, number]; radii: [number, number, number] },
): Finding {
  const mm = s.uniform(14, 34);
  const r = b.mm(mm / 2);
  const [x, y, z] = bladder.centre;
  b.ellipsoid(
    b.structure('bladder tumour', 'bladder tumour'),
    [x + sign(side) * (bladder.radii[0] - r * 0.7), y, z],
    [r, r, r],
    {
      over: b.ids('urinary bladder', 'bladder wall'),
      rough: { cell: 8, amount: 0.25 },
    },
  );
  return {
    name: `${side} bladder tumour`,
    structure: 'bladder tumour',
    side,
    sentences: [
      `${sizeText(mm)} tumour of the ${side} wall of the urinary bladder.`,
      `Papillary mass of the bladder on the ${side}, ${sizeText(mm)}.`,
    ],
  };
}

function node(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const mm = s.uniform(14, 26);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('lymph node', 'solid mass'), [sign(side) * 52, 22, -148], [r * 0.8, r, r]);
  return {
    name: `${side} iliac lymph node`,
    structure: 'lymph node',
    side,
    sentences: [
      `Enlarged ${side} iliac lymph node, ${sizeText(mm)}.`,
      `${sizeText(mm)} lymph node at the ${side} pelvic wall.`,
    ],
  };
}

function rectalTumour(b: AnatomyBuilder, s: Stream): Finding {
  const mm = s.uniform(28, 52);
  b.ellipsoid(
    b.structure('rectal tumour', 'solid mass', { adc: 0.85 }),
    [3, -34, -172],
    [15, 14, b.mm(mm / 2)],
    {
      over: b.ids('rectal wall', 'rectal content', 'bowel gas', 'pelvic fat', 'visceral fat'),
      rough: { cell: 9, amount: 0.25 },
    },
  );
  return {
    name: 'rectal tumour',
    structure: 'rectal tumour',
    sentences: [
      `Tumour of the rectum, ${sizeText(mm)} long.`,
      `Rectal cancer with a length of ${sizeText(mm)}.`,
    ],
  };
}

function boneMetastases(b: AnatomyBuilder, s: Stream): Finding {
  const id = b.structure('pelvic bone metastasis', 'marrow metastasis');
  const over = b.ids('pelvic marrow', 'femoral marrow', 'vertebral marrow', 'femoral red marrow');
  for (let n = 0; n < 9; n++) {
    const r = b.mm(s.uniform(6, 14));
    const x = (n % 2 ? 1 : -1) * s.uniform(40, 100);
    b.ellipsoid(id, [x, s.uniform(-40, 30), s.uniform(-190, -80)], [r, r, r], { over });
  }
  b.ellipsoid(id, [s.uniform(-12, 12), -34, -108], [12, 12, 12], { over });
  return {
    name: 'pelvic bone metastases',
    structure: 'pelvic bone metastasis',
    sentences: [
      'Multiple bone metastases of the pelvis.',
      'Disseminated focal lesions of the pelvic bones, consistent with metastases.',
    ],
  };
}
