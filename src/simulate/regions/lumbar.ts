/** Lumbar spine. */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Finding, type Side, sign, type Traits } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';
import { aortaAndCava, bowelFilling, solidOrgans } from './abdomen-organs.js';
import { column, drawColumn, type Vertebra } from './column.js';
import { hipBones } from './pelvis-frame.js';
import { drawFindings, type Scene, sizeText } from './region.js';
import { backMuscles, drawTorso, torsoBuilder, trunkWall } from './torso.js';

const PROTOCOLS: readonly Protocol[] = [
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['sagittal'],
    fov: [260, 320],
    thickness: [3, 4.5],
    cover: 64,
    backCoil: true,
  },
  {
    contrast: 'T1w',
    technique: 'tse',
    planes: ['sagittal'],
    fov: [260, 320],
    thickness: [3, 4.5],
    cover: 64,
    backCoil: true,
  },
  {
    contrast: 'STIR',
    technique: 'tirm',
    planes: ['sagittal', 'sagittal', 'coronal'],
    fov: [270, 320],
    thickness: [3.5, 4.5],
    cover: 68,
    backCoil: true,
  },
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['axial'],
    fov: [180, 220],
    thickness: [3.5, 4.5],
    cover: 110,
    backCoil: true,
  },
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['coronal'],
    fov: [280, 340],
    thickness: [4, 5],
    cover: 100,
    weight: 0.4,
  },
  {
    contrast: 'T1w',
    technique: 'tse',
    planes: ['axial'],
    fov: [180, 220],
    thickness: [3.5, 4.5],
    cover: 110,
    backCoil: true,
    weight: 0.5,
  },
  {
    contrast: 'T1w+C',
    technique: 'tse',
    planes: ['sagittal'],
    fov: [260, 320],
    thickness: [3, 4.5],
    cover: 64,
    backCoil: true,
    fatSat: true,
    weight: 0.3,
  },
];

export function lumbar(traits: Traits, stream: Stream): Scene {
  const s = stream.child('lumbar');
  const place = { y: -12, z: -16 };
  const b = torsoBuilder(traits, s, place, 4);
  const torso = drawTorso(traits, s.child('torso'));
  trunkWall(b, torso);
  solidOrgans(b, traits, s.child('organs'));
  bowelFilling(b, s.child('bowel'));
  hipBones(b);
  aortaAndCava(b);
  backMuscles(b, traits, s.child('muscle'));
  const f = s.child('findings');
  const old = Math.max(0, (traits.age - 35) / 50);
  const drawn = drawFindings(
    f,
    {
      herniation: 0.34,
      fracture: 0.06 + 0.25 * old,
      metastases: 0.1,
      stenosis: 0.05 + 0.25 * old,
      haemangioma: 0.1,
      slip: 0.0,
    },
    2,
  );
  const vertebrae = drawColumn(s.child('column'));
  const degenerate = new Set<string>();
  for (const name of ['L1', 'L2', 'L3', 'L4', 'L5']) {
    if (f.chance(0.08 + 0.6 * old)) degenerate.add(name);
  }
  const broken = f.choice(['T12', 'L1', 'L2', 'L3', 'L4'] as const);
  const lost = f.uniform(0.3, 0.55);
  const level = f.choice(['L3', 'L4', 'L4', 'L5', 'L5'] as const);
  if (drawn.has('herniation') || drawn.has('stenosis')) degenerate.add(level);
  column(b, vertebrae, {
    degenerate,
    collapsed: drawn.has('fracture') ? new Map([[broken, lost]]) : new Map(),
    from: -200,
    to: 190,
  });
  const at = (name: string): [Vertebra, Vertebra] => {
    const n = vertebrae.findIndex((v) => v.name === name);
    return [vertebrae[n]!, vertebrae[n + 1]!];
  };
  const findings: Finding[] = [];
  if (drawn.has('herniation')) findings.push(herniation(b, f, at(level)));
  if (drawn.has('stenosis') && !drawn.has('herniation')) findings.push(stenosis(b, at(level)));
  if (drawn.has('fracture')) findings.push(fracture(b, f, at(broken)[0], lost));
  if (drawn.has('metastases')) findings.push(metastases(b, f, vertebrae));
  if (drawn.has('haemangioma')) findings.push(haemangioma(b, f, vertebrae));
  const dry = [...degenerate].map(discName);
  if (dry.length > 0) {
    findings.push({
      name: 'disc degeneration',
      structure: 'degenerate disc',
      sentences: [
        `Degenerate disc${dry.length > 1 ? 's' : ''} with loss of signal at ${dry.join(', ')}.`,
        `Disc desiccation at ${dry.join(', ')}.`,
      ],
    });
  }
  if (findings.length === 0) {
    findings.push({
      name: 'normal',
      sentences: [
        'Normal lumbar spine.',
        'Lumbar discs of normal height and signal.',
        'No disc herniation and no fracture.',
      ],
    });
  }
  return {
    anatomy: b.build(),
    bodyPart: 'LSPINE',
    bodyPartName: 'lumbar spine',
    findings,
    normal: [
      'The conus medullaris lies at L1.',
      'Normal lumbar lordosis.',
      'The paravertebral muscles are symmetrical.',
    ],
    centre: [0, 0, s.uniform(-8, 8)],
    protocols: PROTOCOLS,
  };
}

function discName(above: string): string {
  return above === 'L5' ? 'L5/S1' : `${above}/L${Number(above[1]) + 1}`;
}

/** Middle of the back edge of the disc between two vertebrae. */
function discBack([v, w]: [Vertebra, Vertebra]): [number, number, number] {
  return [0, (v.y + w.y) / 2 - v.half[1] - 0.5, (v.z + w.z) / 2];
}

function herniation(b: AnatomyBuilder, s: Stream, pair: [Vertebra, Vertebra]): Finding {
  const [, y, z] = discBack(pair);
  const side: Side = s.chance(0.5) ? 'left' : 'right';
  const central = s.chance(0.3);
  const mm = s.uniform(6, 11);
  const id = b.structure('disc herniation', 'degenerate disc');
  const x = central ? 0 : sign(side) * 7;
  b.ellipsoid(id, [x, y - b.mm(mm) * 0.35, z - 2], [b.mm(6.5), b.mm(mm) * 0.75, b.mm(6)]);
  const disc = discName(pair[0].name);
  const where = central ? 'central' : `${side} paracentral`;
  return {
    name: central ? `disc herniation ${disc}` : `${side} disc herniation ${disc}`,
    structure: 'disc herniation',
    ...(central ? {} : { side }),
    sentences: [
      `${where[0]!.toUpperCase()}${where.slice(1)} disc herniation at ${disc}, ${sizeText(mm)}, narrowing the spinal canal.`,
      `Disc extrusion ${disc}, ${where}, with compression of the thecal sac.`,
      central
        ? `Central disc protrusion at ${disc}.`
        : `Disc herniation ${disc} on the ${side} side compressing the nerve root.`,
    ],
  };
}

function stenosis(b: AnatomyBuilder, pair: [Vertebra, Vertebra]): Finding {
  const [, y, z] = discBack(pair);
  const thick = b.structure('thick ligamentum flavum', 'ligament');
  for (const side of [-1, 1]) b.ellipsoid(thick, [side * 8, y - 11, z], [5.5, 8, 9]);
  b.ellipsoid(b.structure('disc bulge', 'degenerate disc'), [0, y, z], [15, 4.5, 5]);
  const disc = discName(pair[0].name);
  return {
    name: `spinal stenosis ${disc}`,
    structure: 'thick ligamentum flavum',
    sentences: [
      `Spinal canal stenosis at ${disc} with thickened ligamenta flava.`,
      `Narrow spinal canal ${disc} due to disc bulge and facet hypertrophy.`,
      `Marked central stenosis at level ${disc}.`,
    ],
  };
}

function fracture(b: AnatomyBuilder, s: Stream, v: Vertebra, lost: number): Finding {
  const fresh = s.chance(0.6);
  if (fresh) {
    b.ellipsoid(
      b.structure('marrow oedema', 'marrow oedema'),
      [0, v.y, v.z - v.half[2] * lost],
      [v.half[0], v.half[1], v.half[2]],
      {
        over: b.ids('vertebral marrow'),
      },
    );
  }
  const percent = Math.round(lost * 10) * 10;
  return {
    name: `fracture ${v.name}`,
    ...(fresh ? { structure: 'marrow oedema' } : {}),
    sentences: [
      `Compression fracture of ${v.name} with loss of height of about ${percent} percent${fresh ? ' and marrow oedema' : ''}.`,
      fresh
        ? `Recent vertebral fracture ${v.name} with bone marrow oedema.`
        : `Old vertebral fracture ${v.name} without marrow oedema.`,
      `Collapsed vertebral body ${v.name}.`,
    ],
  };
}

function metastases(b: AnatomyBuilder, s: Stream, vertebrae: readonly Vertebra[]): Finding {
  const id = b.structure('vertebral metastasis', 'marrow metastasis');
  const over = b.ids('vertebral marrow');
  const seen = vertebrae.filter(({ z }) => z < 110 && z > -110);
  for (const v of s.shuffle(seen).slice(0, 3 + s.int(3))) {
    const r = b.mm(s.uniform(6, 13));
    b.ellipsoid(id, [s.uniform(-10, 10), v.y + s.uniform(-6, 6), v.z + s.uniform(-4, 4)], [r, r, r], {
      over,
      rough: { cell: 8, amount: 0.25 },
    });
  }
  return {
    name: 'vertebral metastases',
    structure: 'vertebral metastasis',
    sentences: [
      'Multiple bone metastases of the lumbar vertebrae.',
      'Several focal marrow lesions with low T1 signal, suspicious for metastases.',
      'Metastatic disease of the lumbar spine.',
    ],
  };
}

function haemangioma(b: AnatomyBuilder, s: Stream, vertebrae: readonly Vertebra[]): Finding {
  const v = s.choice(vertebrae.filter(({ name }) => /^L[1-4]$/.test(name)));
  const r = b.mm(s.uniform(6, 9.5));
  const id = b.structure('vertebral haemangioma', 'haemangioma', { fat: 0.65 });
  b.ellipsoid(id, [s.uniform(-7, 7), v.y + s.uniform(-3, 3), v.z], [r, r, r], {
    over: b.ids('vertebral marrow'),
  });
  return {
    name: `haemangioma ${v.name}`,
    structure: 'vertebral haemangioma',
    sentences: [
      `Haemangioma of the vertebral body ${v.name}, ${sizeText(2 * r)}.`,
      `${v.name} vertebral haemangioma, bright on T1 and T2.`,
    ],
  };
}
