/** Knee of either side; the frame is that of a right knee (lateral is +x), mirrored for the left. */
import { AnatomyBuilder } from '../anatomy.js';
import type { Side, Traits } from '../patient.js';
import { sign } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';
import { Knee, softTissue } from './knee-soft.js';
import { kneeFindings, type KneePlan, planKnee } from './knee-findings.js';
import type { Scene } from './region.js';

const FOV = [150, 180] as const;
const PROTOCOLS: readonly Protocol[] = [
  {
    contrast: 'PDw',
    technique: 'tse',
    planes: ['sagittal', 'coronal', 'axial'],
    fov: FOV,
    thickness: [2.5, 3.5],
    cover: 96,
    fatSat: true,
  },
  {
    contrast: 'PDw',
    technique: 'tse',
    planes: ['coronal', 'sagittal'],
    fov: FOV,
    thickness: [2.5, 3.5],
    cover: 96,
    fatSat: true,
  },
  {
    contrast: 'T1w',
    technique: 'tse',
    planes: ['coronal', 'sagittal'],
    fov: FOV,
    thickness: [2.5, 3.5],
    cover: 96,
  },
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['sagittal', 'axial', 'coronal'],
    fov: FOV,
    thickness: [2.5, 3.5],
    cover: 96,
  },
  {
    contrast: 'PDw',
    technique: 'tse',
    planes: ['sagittal'],
    fov: FOV,
    thickness: [2.5, 3.5],
    cover: 96,
    weight: 0.6,
  },
  {
    contrast: 'STIR',
    technique: 'tirm',
    planes: ['coronal', 'sagittal'],
    fov: FOV,
    thickness: [3, 3.5],
    cover: 96,
    weight: 0.6,
  },
  {
    contrast: 'T2*w',
    technique: 'medic',
    planes: ['axial', 'coronal'],
    fov: FOV,
    thickness: [2.5, 3.5],
    cover: 96,
    weight: 0.4,
  },
];

export function knee(traits: Traits, stream: Stream): Scene {
  const s = stream.child('knee');
  const side: Side = s.chance(0.5) ? 'left' : 'right';
  const size = traits.size * s.vary(1, 0.025) * (traits.sex === 'M' ? 1.03 : 0.96);
  const b = new AnatomyBuilder(s, {
    scale: [size, size * s.vary(1, 0.02), size * s.vary(1, 0.02)],
    turn: [s.vary(0, 4), s.vary(0, 2), s.vary(0, 6)],
    shift: [0, 0, 0],
    bend: 2.2,
  });
  const k = new Knee(b, sign(side));
  const f = s.child('findings');
  const plan = planKnee(f, traits);
  softTissue(k, traits, s);
  effusion(k, plan);
  bones(k, plan);
  ligaments(k, plan);
  const findings = kneeFindings(k, f, plan, side);
  return {
    anatomy: b.build(),
    bodyPart: 'KNEE',
    bodyPartName: `${side} knee`,
    laterality: side,
    findings,
    normal: [
      'The collateral ligaments are intact.',
      'The quadriceps and patellar tendons are intact.',
      plan.drawn.has('pcl')
        ? 'The lateral collateral ligament is intact.'
        : 'The posterior cruciate ligament is intact.',
      'No loose body.',
    ],
    centre: [0, s.uniform(-6, 2), s.uniform(-4, 8)],
    protocols: PROTOCOLS,
  };
}

/** Fluid of the joint: a film always, bulging into the bursa above the patella where there is an effusion. */
function effusion(k: Knee, plan: KneePlan): void {
  const { b } = k;
  const fluid = b.structure('joint fluid', 'synovial fluid');
  const e = plan.effusion;
  const over = b.ids('deep fat', 'muscle', 'subcutaneous fat', 'intermuscular fat');
  if (e > 0.2) {
    k.ball(fluid, [0, 32 + e * 2, 52], [26 + 10 * e, 5 + 8 * e, 26 + 10 * e], { over });
    for (const side of [-1, 1])
      k.ball(fluid, [side * 32, 20, 22], [6 + 6 * e, 14 + 6 * e, 18 + 6 * e], { over });
  }
  k.ball(fluid, [0, 2, 0], [41 + 3 * e, 31 + 3 * e, 3.4 + 6 * e], { over });
  // Between the condyles lies more fat and synovium than fluid.
  k.ball(b.structure('notch fat', 'fat'), [0, -6, 0], [11, 30, 5 - 3 * e], { over: [fluid] });
  k.ball(b.structure('infrapatellar fat pad', 'fat', { mottle: 0.08 }), [0, 36, -6], [28, 17, 25], {
    over: [...over, fluid],
    rotate: [12, 0, 0],
  });
  b.pattern(b.structure('fat pad vessel', 'slow blood', { flow: 0.3 }), b.ids('infrapatellar fat pad'), {
    kind: 'filament',
    cell: 9,
    level: 0.13,
  });
}

function bones(k: Knee, plan: KneePlan): void {
  const { b } = k;
  const bone = b.structure('cortical bone', 'cortical bone');
  const femur = b.structure('femoral marrow', 'yellow marrow');
  const tibia = b.structure('tibial marrow', 'yellow marrow');
  const other = b.structure('patellar marrow', 'yellow marrow');
  const cartilage = b.structure('cartilage', 'cartilage');
  const c = plan.cartilageMm;
  const condyle = (id: number, grow: number): void => {
    // Medial condyle longer, lateral broader; the trochlea in front joins them.
    k.ball(id, [-23, -9, 24], [15 + grow, 30 + grow, 22.5 + grow], { square: 0.15 });
    k.ball(id, [23, -8, 24], [16 + grow, 30 + grow, 21.5 + grow], { square: 0.15 });
    k.ball(id, [0, 6, 34], [31 + grow, 20 + grow, 22 + grow], { square: 0.25 });
  };
  // Cartilage: a coat over the lower and front faces, thicker than the bone by its depth.
  condyle(cartilage, c);
  const shaft = (id: number, less: number): void => {
    k.loft(id, [
      [30, 0, 0, 37 - less, 19 - less],
      [62, 0, 4, 27 - less * 1.2, 17 - less],
      [100, 0, 6, 17 - less * 2, 15 - less * 2],
      [220, 0, 8, 14.5 - less * 3.4, 14.5 - less * 3.4],
    ]);
  };
  const notch = { over: [bone, femur, cartilage] };
  shaft(bone, 0);
  condyle(bone, 0);
  shaft(femur, 1.3);
  condyle(femur, -1.2);
  const gap = b.structure('notch fat', 'fat');
  k.ball(gap, [0, -16, 14], [9.5, 24, 19], notch);
  const e = plan.effusion;
  k.ball(b.structure('joint fluid', 'synovial fluid'), [0, -10, 6], [5 + 3 * e, 10 + 8 * e, 7 + 6 * e], {
    over: [gap],
  });
  // Physeal scar.
  k.ball(b.structure('physeal scar', 'ligament'), [0, 0, 47], [33, 19, 0.9], { over: [femur] });
  // Tibia.
  const plateau = (id: number, less: number, top: number): void => {
    k.loft(
      id,
      [
        [-220, -4, 2, 13 - less * 3.6, 15 - less * 3.6],
        [-90, -3, 0, 17 - less * 2.4, 18 - less * 2.4],
        [-45, -1, 0, 28 - less * 1.2, 23 - less * 1.2],
        [-18, 0, -3, 39 - less, 27 - less],
        [top, 0, -4, 39.5 - less, 27 - less],
      ],
      { square: 0.35 },
    );
  };
  for (const side of [-1, 1]) {
    k.ball(cartilage, [side * 20, -4, -5.5], [18, 22, 3 + c], {
      clip: [{ point: [0, 0, -5], normal: [0, 0, -1] }],
    });
  }
  plateau(bone, 0, -5);
  plateau(tibia, 1.2, -6.4);
  for (const side of [-1, 1]) {
    k.tube(bone, [
      [side * 5, -8, -8, 5],
      [side * 4.5, -8, -1, 2.4],
    ]);
    k.tube(tibia, [
      [side * 5, -8, -9, 4],
      [side * 4.5, -8, -3, 1.4],
    ]);
  }
  k.tube(bone, [
    [4, 22, -30, 8],
    [4, 22, -44, 8],
  ]);
  k.tube(tibia, [
    [4, 20, -28, 7.5],
    [4, 20, -44, 7.4],
  ]);
  k.ball(b.structure('physeal scar', 'ligament'), [0, -3, -26], [36, 25, 0.9], { over: [tibia] });
  // Fibula.
  const fibula = (id: number, less: number): void => {
    k.ball(id, [37, -20, -27], [11 - less, 12 - less, 12 - less]);
    k.tube(id, [
      [38, -20, -34, 8 - less * 1.4],
      [38, -20, -70, 6.4 - less * 2],
      [36, -18, -220, 6.4 - less * 2],
    ]);
  };
  fibula(bone, 0);
  fibula(other, 1.4);
  // Patella.
  k.ball(cartilage, [1, 33.5, 33], [20, 8.5, 17], { rotate: [6, 0, 0], square: 0.2 });
  k.ball(bone, [1, 37, 34], [22, 9.5, 21], { rotate: [6, 0, 0], square: 0.25 });
  k.ball(other, [1, 37, 34], [20.6, 8.2, 19.6], { rotate: [6, 0, 0], square: 0.25 });
}

function ligaments(k: Knee, plan: KneePlan): void {
  const { b } = k;
  const tendon = b.structure('tendon', 'tendon');
  const ligament = b.structure('ligament', 'ligament');
  for (const x of [-8, 0, 8]) {
    k.tube(tendon, [
      [x, 41, 18, 3],
      [x * 0.7 + 1, 40, -6, 2.8],
      [x * 0.5 + 3, 30, -36, 2.8],
    ]);
    k.tube(tendon, [
      [x, 42, 52, 3.4],
      [x, 40, 80, 3],
      [x, 46, 160, 2.4],
    ]);
  }
  for (const y of [-10, -4, 2, 8]) {
    k.tube(ligament, [
      [-41, y, 30, 1.6],
      [-41.5, y, 4, 1.6],
      [-37, y + 2, -48, 1.4],
    ]);
  }
  k.tube(ligament, [
    [42, -6, 26, 2],
    [43, -12, 2, 2],
    [40, -20, -22, 2.2],
  ]);
  for (const y of [4, 10]) {
    k.tube(ligament, [
      [44, y, 60, 1.6],
      [45, y, 10, 1.6],
      [36, y + 4, -16, 1.6],
    ]);
  }
  // Menisci: C-shaped wedges, cut from flat rings.
  const meniscus = b.structure('meniscus', 'meniscus');
  for (const side of [-1, 1] as const) {
    const [cx, ry] = side < 0 ? [-19, 24] : [20, 20];
    const r = side < 0 ? 20 : 19;
    const points = Array.from({ length: 13 }, (_, n) => {
      const a = -2.45 + (n / 12) * 4.9;
      return [cx + side * r * Math.cos(a), -5 + ry * Math.sin(a), -0.2, a < -0.6 ? 4.4 : 3.6] as const;
    });
    k.tube(
      meniscus,
      points,
      b.ids('joint fluid', 'deep fat', 'cartilage', 'notch fat', 'infrapatellar fat pad'),
    );
    // The inner edge is sharp: cartilage and fluid come back in the middle.
    k.tube(
      meniscus,
      points.map(([x, y, z]) => [cx + (x - cx) * 0.82, -5 + (y + 5) * 0.82, z, 2] as const),
      b.ids('joint fluid', 'cartilage', 'notch fat'),
    );
  }
  const acl = plan.drawn.has('acl')
    ? b.structure('torn anterior cruciate ligament', 'torn ligament')
    : ligament;
  for (const y of [-3, 0, 3]) {
    k.tube(acl, [
      [-2, 10 + y * 0.8, -3, plan.drawn.has('acl') ? 3.4 : 2],
      [5, -8 + y, 12, plan.drawn.has('acl') ? 4 : 2.1],
      [9, -20 + y, 27, 2.2],
    ]);
  }
  const pcl = plan.drawn.has('pcl')
    ? b.structure('torn posterior cruciate ligament', 'torn ligament')
    : ligament;
  k.tube(pcl, [
    [-7, -2, 22, 4.4],
    [-4, -18, 19, 4.6],
    [-1, -28, 6, 4.4],
    [0, -31, -14, 4],
  ]);
}
