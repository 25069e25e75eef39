/** Injuries and wear of the knee, and the sentences that report them. Positions are those of a right knee. */
import type { Finding, Side, Traits } from '../patient.js';
import type { Stream } from '../random.js';
import type { Knee } from './knee-soft.js';
import { drawFindings, sizeText } from './region.js';

type KneeFinding =
  | 'effusion'
  | 'medial meniscus'
  | 'lateral meniscus'
  | 'acl'
  | 'pcl'
  | 'oedema'
  | 'cyst'
  | 'arthrosis'
  | 'prepatellar bursitis'
  | 'enchondroma';

export interface KneePlan {
  readonly drawn: ReadonlySet<KneeFinding>;
  /** 0 none to 1 large. */
  readonly effusion: number;
  readonly cartilageMm: number;
}

/** What this knee has; drawn first, because the bones and the fluid depend on it. */
export function planKnee(s: Stream, traits: Traits): KneePlan {
  const old = Math.max(0, (traits.age - 45) / 40);
  const drawn = drawFindings<KneeFinding>(
    s,
    {
      effusion: 0.34,
      'medial meniscus': 0.3,
      'lateral meniscus': 0.14,
      acl: 0.2 - 0.15 * old,
      pcl: 0.08,
      oedema: 0.24,
      cyst: 0.16,
      arthrosis: 0.04 + 0.4 * old,
      'prepatellar bursitis': 0.08,
      enchondroma: 0.07,
    },
    3,
  );
  const effusion = drawn.has('effusion') ? s.uniform(0.6, 1) : s.uniform(0, 0.18);
  return { drawn, effusion, cartilageMm: drawn.has('arthrosis') ? s.uniform(0.4, 0.9) : s.vary(2.4, 0.2) };
}

export function kneeFindings(k: Knee, s: Stream, plan: KneePlan, side: Side): Finding[] {
  const { drawn } = plan;
  const out: Finding[] = [];
  if (drawn.has('effusion')) {
    out.push({
      name: 'knee effusion',
      structure: 'joint fluid',
      sentences: [
        `Marked joint effusion of the ${side} knee.`,
        'Large effusion distending the suprapatellar recess.',
        'Joint effusion.',
      ],
    });
  }
  if (drawn.has('medial meniscus')) out.push(tear(k, 'medial', s));
  if (drawn.has('lateral meniscus')) out.push(tear(k, 'lateral', s));
  if (drawn.has('acl')) {
    out.push({
      name: 'anterior cruciate ligament tear',
      structure: 'torn anterior cruciate ligament',
      sentences: [
        'Complete tear of the anterior cruciate ligament.',
        'The anterior cruciate ligament is swollen and discontinuous: rupture.',
        'ACL tear.',
      ],
    });
  }
  if (drawn.has('pcl')) {
    out.push({
      name: 'posterior cruciate ligament tear',
      structure: 'torn posterior cruciate ligament',
      sentences: [
        'Tear of the posterior cruciate ligament.',
        'Thickened posterior cruciate ligament with high signal: PCL tear.',
      ],
    });
  }
  if (drawn.has('oedema')) out.push(oedema(k, s));
  if (drawn.has('cyst')) out.push(popliteal(k, s));
  if (drawn.has('arthrosis')) out.push(arthrosis(k, s));
  if (drawn.has('prepatellar bursitis')) {
    k.ball(k.b.structure('prepatellar bursa', 'effusion'), [0, 49, 22], [22, 5, 24], {
      over: k.b.ids('subcutaneous fat', 'deep fat', 'skin', 'fascia', 'tendon'),
    });
    out.push({
      name: 'prepatellar bursitis',
      structure: 'prepatellar bursa',
      sentences: ['Prepatellar bursitis.', 'Fluid in the bursa in front of the patella.'],
    });
  }
  if (drawn.has('enchondroma')) {
    const mm = s.uniform(18, 36);
    const r = k.b.mm(mm / 2);
    k.ball(
      k.b.structure('enchondroma', 'cartilage', { t2: [190, 170], adc: 2 }),
      [s.vary(0, 3), 2, 66],
      [r * 0.5, r * 0.5, r],
      {
        over: k.b.ids('femoral marrow'),
        rough: { cell: 6, amount: 0.35 },
      },
    );
    out.push({
      name: 'enchondroma',
      structure: 'enchondroma',
      sentences: [
        `Enchondroma of the distal femur, ${sizeText(mm)}.`,
        `${sizeText(mm)} lobulated cartilaginous lesion of the distal femur.`,
      ],
    });
  }
  if (out.length === 0) {
    out.push({
      name: 'normal',
      sentences: [
        `Normal ${side} knee.`,
        'Menisci, ligaments and cartilage are intact.',
        'No internal derangement of the knee.',
      ],
    });
  }
  return out;
}

function tear(k: Knee, which: 'medial' | 'lateral', s: Stream): Finding {
  const x = which === 'medial' ? -1 : 1;
  const horn = s.choice(['posterior', 'posterior', 'anterior'] as const);
  const y = horn === 'posterior' ? -26 : 13;
  k.ball(k.b.structure('meniscal tear', 'synovial fluid'), [x * 24, y, -0.2], [12, 9, 1.5], {
    rotate: [horn === 'posterior' ? 18 : -18, 0, 0],
    over: k.b.ids('meniscus'),
  });
  return {
    name: `${which} meniscal tear`,
    structure: 'meniscal tear',
    sentences: [
      `Tear of the ${horn} horn of the ${which} meniscus.`,
      `Horizontal tear of the ${which} meniscus, ${horn} horn, reaching the articular surface.`,
      `${which === 'medial' ? 'Medial' : 'Lateral'} meniscal tear.`,
    ],
  };
}

function oedema(k: Knee, s: Stream): Finding {
  const place = s.choice([
    ['medial femoral condyle', [-22, -4, 24], 'femoral marrow'],
    ['lateral femoral condyle', [23, 2, 24], 'femoral marrow'],
    ['medial tibial plateau', [-20, -4, -16], 'tibial marrow'],
    ['lateral tibial plateau', [20, -6, -16], 'tibial marrow'],
    ['patella', [2, 37, 34], 'patellar marrow'],
  ] as const);
  const [name, at, marrow] = place;
  const r = s.uniform(12, 19);
  k.ball(k.b.structure('marrow oedema', 'marrow oedema'), at, [r, r, r], {
    over: k.b.ids(marrow),
    rough: { cell: 10, amount: 0.4 },
  });
  return {
    name: `marrow oedema ${name}`,
    structure: 'marrow oedema',
    sentences: [
      `Bone marrow oedema of the ${name}.`,
      `Bone bruise in the ${name}.`,
      `Contusion of the ${name} with marrow oedema.`,
    ],
  };
}

function popliteal(k: Knee, s: Stream): Finding {
  const mm = s.uniform(26, 62);
  const r = k.b.mm(mm / 2);
  const id = k.b.structure('popliteal cyst', 'effusion');
  k.ball(id, [-26, -52, -2 - r * 0.4], [r * 0.45, r * 0.38, r], { rotate: [0, 0, 20] });
  k.tube(id, [
    [-26, -52, 6, 4],
    [-22, -38, 8, 2.5],
  ]);
  return {
    name: 'popliteal cyst',
    structure: 'popliteal cyst',
    sentences: [
      `Popliteal cyst, ${sizeText(mm)}.`,
      `Baker cyst of ${sizeText(mm)} behind the medial condyle.`,
    ],
  };
}

function arthrosis(k: Knee, s: Stream): Finding {
  const bone = k.b.structure('osteophyte', 'yellow marrow', { fat: 0.6 });
  for (const x of [-1, 1]) {
    k.tube(bone, [
      [x * 37, -14, 8, 3.4],
      [x * 38, 8, 8, 3.4],
    ]);
    k.tube(bone, [
      [x * 39, -14, -8, 3.2],
      [x * 39, 6, -8, 3.2],
    ]);
  }
  k.ball(k.b.structure('subchondral oedema', 'marrow oedema'), [-22, -4, 8], [12, 14, 7], {
    over: k.b.ids('femoral marrow'),
    rough: { cell: 8, amount: 0.4 },
  });
  k.ball(k.b.structure('subchondral cyst', 'cyst'), [-22 + s.vary(0, 3), -2, -12], [4, 4.5, 4], {
    over: k.b.ids('tibial marrow'),
  });
  return {
    name: 'osteoarthritis',
    structure: 'osteophyte',
    sentences: [
      'Osteoarthritis with loss of cartilage and osteophytes.',
      'Advanced gonarthrosis with thinned cartilage and subchondral cysts.',
      'Degenerative changes of the knee with osteophytes.',
    ],
  };
}
