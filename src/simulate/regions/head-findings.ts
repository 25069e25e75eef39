/** Ventricles and diseases of the brain, and the sentences that report them. */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Finding, type Side, sign, type Traits } from '../patient.js';
import type { Stream } from '../random.js';
import { drawFindings, sizeText } from './region.js';

const LOBES = {
  frontal: [34, 30, 30],
  parietal: [34, -48, 42],
  temporal: [42, -18, -18],
  occipital: [24, -76, 14],
} as const;
type Lobe = keyof typeof LOBES;

/** Paints ventricles and lesions; returns what a reader would report. */
export function brainFindings(b: AnatomyBuilder, s: Stream, traits: Traits, old: number): Finding[] {
  const drawn = drawFindings(
    s,
    {
      lesions: 0.2 + 0.4 * old,
      'wide ventricles': 0.05 + 0.4 * old,
      glioma: 0.16,
      meningioma: 0.14,
      infarct: 0.1 + 0.1 * old,
      metastases: 0.08,
      'arachnoid cyst': 0.08,
      adenoma: 0.07,
      schwannoma: 0.08,
      sinus: 0.14,
      lacune: 0.06 + 0.12 * old,
    },
    2,
  );
  const side: Side = s.chance(0.5) ? 'left' : 'right';
  const wide = drawn.has('wide ventricles');
  ventricles(b, s, (wide ? s.uniform(1.6, 2.1) : s.uniform(0.75, 1.05) + 0.3 * old) * s.vary(1, 0.05));
  const out: Finding[] = [];
  if (wide) {
    out.push({
      name: 'enlarged ventricles',
      sentences: [
        'The lateral ventricles are enlarged.',
        'Dilatation of the lateral and third ventricles.',
        'Ventricular enlargement beyond what is expected for age.',
      ],
    });
  }
  if (drawn.has('lesions')) out.push(whiteMatterLesions(b, s));
  if (drawn.has('glioma')) out.push(glioma(b, s, side));
  if (drawn.has('meningioma')) out.push(meningioma(b, s, side));
  if (drawn.has('infarct')) out.push(infarct(b, s, side));
  if (drawn.has('metastases')) out.push(metastases(b, s));
  if (drawn.has('arachnoid cyst')) out.push(arachnoidCyst(b, s, side));
  if (drawn.has('adenoma')) out.push(adenoma(b, s));
  if (drawn.has('schwannoma')) out.push(schwannoma(b, s, side));
  if (drawn.has('sinus')) out.push(sinusitis(b, s, side));
  if (drawn.has('lacune')) out.push(lacune(b, s, side));
  if (out.length === 0) {
    const sentences = [
      'Normal appearance of the brain for age.',
      'No focal lesion of the brain parenchyma.',
      `Unremarkable brain at the age of ${traits.age}.`,
    ];
    out.push({ name: 'normal', sentences });
  }
  return out;
}

function ventricles(b: AnatomyBuilder, s: Stream, size: number): void {
  const csf = b.structure('ventricle', 'csf');
  for (const side of [-1, 1]) {
    const k = size * s.vary(1, 0.06);
    const out = 0.8 + 0.2 * k;
    const x = (v: number): number => side * v * out;
    b.tube(csf, [
      [x(6), 34, 2, 2 * k],
      [x(8), 22, 9, 4.6 * k],
      [x(8), 4, 17, 4.4 * k],
      [x(12), -22, 21, 4.4 * k],
      [x(22), -40, 18, 6.2 * k],
      [x(25), -60, 9, 4 * k],
      [x(23), -78, 5, 1.2 * k],
    ]);
    b.tube(csf, [
      [x(24), -40, 14, 5.2 * k],
      [x(31), -30, -7, 2.6 * k],
      [x(30), -10, -17, 1.8 * k],
    ]);
    b.tube(b.structure('choroid plexus', 'mucosa'), [
      [x(13), -24, 17, 1.2],
      [x(22), -40, 15, 2.4],
    ]);
  }
  b.ellipsoid(csf, [0, -12, -1], [1.3 * size + 0.4, 14, 10]);
  b.tube(b.structure('fornix', 'white matter'), [
    [0, 2, 2, 1.5],
    [0, -6, 12, 2],
    [0, -24, 15, 2.2],
  ]);
}

/** A place in a lobe, in the MNI-like frame, some millimetres off its centre. */
function inLobe(s: Stream, lobe: Lobe, side: Side): [number, number, number] {
  const [x, y, z] = LOBES[lobe];
  return [sign(side) * s.vary(x, 3), s.vary(y, 4), s.vary(z, 4)];
}

function whiteMatterLesions(b: AnatomyBuilder, s: Stream): Finding {
  const id = b.structure('white matter lesion', 'white matter lesion');
  const over = b.ids('white matter', 'basal ganglia');
  const many = s.chance(0.5);
  const count = many ? 22 + s.int(14) : 5 + s.int(5);
  for (let n = 0; n < count; n++) {
    const x = s.uniform(14, 36) * (s.chance(0.5) ? 1 : -1);
    const y = s.uniform(-60, 36);
    const r = b.mm(s.uniform(1.6, many ? 5 : 3.6));
    b.ellipsoid(id, [x, y, s.uniform(16, 42)], [r, r * s.uniform(0.8, 1.6), r], {
      over,
      rough: { cell: 4, amount: 0.3 },
    });
  }
  if (many) {
    for (const side of [-1, 1]) {
      b.ellipsoid(id, [side * 13, 32, 8], [7, 7, 7], { over, rough: { cell: 5, amount: 0.35 } });
      b.ellipsoid(id, [side * 27, -54, 18], [7, 9, 7], { over, rough: { cell: 5, amount: 0.35 } });
    }
  }
  const word = many ? 'Numerous' : 'A few';
  return {
    name: many ? 'many white matter lesions' : 'few white matter lesions',
    structure: 'white matter lesion',
    sentences: [
      `${word} hyperintense white matter lesions on both sides.`,
      `${word} T2 and FLAIR hyperintense foci in the periventricular and deep white matter.`,
      many
        ? 'Multiple periventricular white matter lesions, some confluent.'
        : 'Scattered small white matter lesions.',
    ],
  };
}

function glioma(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const lobe = s.choice(Object.keys(LOBES) as Lobe[]);
  const at = inLobe(s, lobe, side);
  const mm = s.uniform(22, 46);
  const r = b.mm(mm / 2);
  const over = b.ids('white matter', 'grey matter', 'cerebrospinal fluid');
  const rough = { cell: 12, amount: 0.22 };
  b.ellipsoid(b.structure('oedema', 'oedema'), at, [r * 1.6, r * 1.9, r * 1.6], {
    over: b.ids('white matter'),
    rough: { cell: 16, amount: 0.4 },
  });
  const inside = [...over, ...b.ids('oedema', 'ventricle', 'basal ganglia')];
  b.ellipsoid(b.structure('brain tumour', 'brain tumour'), at, [r, r, r], { over: inside, rough });
  b.ellipsoid(b.structure('tumour necrosis', 'necrosis'), at, [r * 0.6, r * 0.55, r * 0.6], {
    over: b.ids('brain tumour'),
    rough,
  });
  const size = sizeText(mm);
  return {
    name: `${side} ${lobe} tumour`,
    structure: 'brain tumour',
    side,
    sentences: [
      `${size} mass in the ${side} ${lobe} lobe with central necrosis and surrounding oedema.`,
      `Large ${side} ${lobe} tumour, ${size}, with vasogenic oedema.`,
      `Intra-axial tumour of the ${side} ${lobe} lobe measuring ${size}, with perifocal oedema.`,
    ],
  };
}

function meningioma(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const places = { frontal: [46, 38, 36], parietal: [54, -40, 38], temporal: [60, -12, -8] } as const;
  const place = s.choice(Object.keys(places) as (keyof typeof places)[]);
  const [x, y, z] = places[place];
  const mm = s.uniform(16, 38);
  const r = b.mm(mm / 2);
  const over = b.ids('white matter', 'grey matter', 'cerebrospinal fluid');
  const at = [sign(side) * x, y, z] as const;
  b.ellipsoid(b.structure('oedema', 'oedema'), at, [r * 1.5, r * 1.5, r * 1.5], {
    over: b.ids('white matter'),
    rough: { cell: 14, amount: 0.4 },
  });
  b.ellipsoid(b.structure('compressed sulcus', 'csf'), at, [r + 1.2, r + 1.2, r + 1.2], {
    over: [...over, ...b.ids('oedema')],
  });
  b.ellipsoid(b.structure('meningioma', 'meningioma'), at, [r, r, r], {
    over: [...over, ...b.ids('oedema', 'compressed sulcus')],
  });
  const size = sizeText(mm);
  return {
    name: `${side} ${place} meningioma`,
    structure: 'meningioma',
    side,
    sentences: [
      `${size} extra-axial mass over the ${side} ${place} convexity, in keeping with a meningioma.`,
      `Dural-based ${side} ${place} meningioma, ${size}.`,
      `Well-defined extra-axial lesion on the ${side}, ${place} region, ${size}, typical of meningioma.`,
    ],
  };
}

function infarct(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const x = sign(side);
  b.ellipsoid(b.structure('infarct', 'infarct'), [x * 48, s.uniform(-22, 4), 14], [26, 30, 22], {
    over: b.ids('white matter', 'grey matter', 'basal ganglia'),
    rough: { cell: 18, amount: 0.3 },
  });
  return {
    name: `${side} infarct`,
    structure: 'infarct',
    side,
    sentences: [
      `Acute infarct in the territory of the ${side} middle cerebral artery with restricted diffusion.`,
      `Restricted diffusion in the ${side} middle cerebral artery territory: acute ischaemia.`,
      `Recent ischaemic stroke of the ${side} hemisphere.`,
    ],
  };
}

function metastases(b: AnatomyBuilder, s: Stream): Finding {
  const id = b.structure('brain metastasis', 'brain tumour');
  const over = b.ids('white matter', 'grey matter', 'cerebrospinal fluid', 'basal ganglia');
  const count = 4 + s.int(5);
  for (let n = 0; n < count; n++) {
    const at = inLobe(s, s.choice(Object.keys(LOBES) as Lobe[]), n % 2 === 0 ? 'left' : 'right');
    const place = [at[0] + s.vary(0, 5), at[1] + s.vary(0, 9), at[2] + s.vary(0, 8)] as const;
    const r = b.mm(s.uniform(4, 9));
    b.ellipsoid(b.structure('oedema', 'oedema'), place, [r * 2, r * 2, r * 1.8], {
      over: b.ids('white matter'),
      rough: { cell: 10, amount: 0.4 },
    });
    b.ellipsoid(id, place, [r, r, r], { over: [...over, ...b.ids('oedema')] });
    if (r > 6)
      b.ellipsoid(b.structure('tumour necrosis', 'necrosis'), place, [r * 0.5, r * 0.5, r * 0.5], {
        over: [id],
      });
  }
  return {
    name: 'brain metastases',
    structure: 'brain metastasis',
    sentences: [
      'Multiple brain metastases in both hemispheres with perifocal oedema.',
      'Several round masses in both cerebral hemispheres with oedema, suspicious for metastases.',
      'Disseminated cerebral metastases.',
    ],
  };
}

function arachnoidCyst(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const mm = s.uniform(24, 42);
  const r = b.mm(mm / 2);
  b.ellipsoid(b.structure('arachnoid cyst', 'csf'), [sign(side) * 44, 20, -16], [r * 0.8, r, r * 0.9], {
    over: b.ids('white matter', 'grey matter', 'cerebrospinal fluid'),
  });
  return {
    name: `${side} arachnoid cyst`,
    structure: 'arachnoid cyst',
    side,
    sentences: [
      `Arachnoid cyst of the ${side} middle cranial fossa, ${sizeText(mm)}.`,
      `${sizeText(mm)} cyst with fluid signal in front of the ${side} temporal pole.`,
      `${side === 'left' ? 'Left' : 'Right'} temporal arachnoid cyst.`,
    ],
  };
}

function adenoma(b: AnatomyBuilder, s: Stream): Finding {
  const mm = s.uniform(14, 30);
  const r = b.mm(mm / 2);
  b.ellipsoid(
    b.structure('pituitary tumour', 'solid mass', { uptake: 0.6 }),
    [0, 3, -22 + r * 0.6],
    [r * 0.9, r * 0.8, r],
  );
  return {
    name: 'pituitary adenoma',
    structure: 'pituitary tumour',
    sentences: [
      `Pituitary macroadenoma, ${sizeText(mm)}, with suprasellar extension.`,
      `Sellar and suprasellar mass of ${sizeText(mm)}.`,
      `Enlarged pituitary gland with a ${sizeText(mm)} adenoma.`,
    ],
  };
}

function schwannoma(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const mm = s.uniform(10, 26);
  const r = b.mm(mm / 2);
  const x = sign(side);
  const id = b.structure('vestibular schwannoma', 'solid mass', { uptake: 1.1 });
  b.ellipsoid(id, [x * (18 + r * 0.4), -30, -36], [r, r * 0.9, r * 0.9]);
  b.tube(id, [
    [x * 20, -30, -36, 3.5],
    [x * 33, -28, -36, 3],
  ]);
  return {
    name: `${side} vestibular schwannoma`,
    structure: 'vestibular schwannoma',
    side,
    sentences: [
      `Mass of the ${side} cerebellopontine angle, ${sizeText(mm)}, extending into the internal auditory canal.`,
      `${side === 'left' ? 'Left' : 'Right'} vestibular schwannoma, ${sizeText(mm)}.`,
      `Vestibular schwannoma on the ${side} side measuring ${sizeText(mm)}.`,
    ],
  };
}

function sinusitis(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const x = sign(side);
  b.ellipsoid(
    b.structure('sinus fluid', 'mucosa', { t2: [350, 300], t1: [2000, 2300] }),
    [x * 25, 50, -60],
    [13, 16, 16],
  );
  b.ellipsoid(b.structure('airway', 'air'), [x * 25, 56, -52], [8, 8, 6 * s.uniform(0.6, 1)]);
  return {
    name: `${side} maxillary sinusitis`,
    structure: 'sinus fluid',
    side,
    sentences: [
      `Fluid and mucosal swelling in the ${side} maxillary sinus.`,
      `Opacified ${side} maxillary sinus.`,
      `Sinusitis of the ${side} maxillary sinus.`,
    ],
  };
}

function lacune(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const r = b.mm(s.uniform(4, 6.5));
  b.ellipsoid(
    b.structure('lacune', 'csf'),
    [sign(side) * s.uniform(22, 27), s.uniform(-4, 8), 4],
    [r, r * 1.2, r],
  );
  return {
    name: `${side} lacune`,
    structure: 'lacune',
    side,
    sentences: [
      `Old lacunar infarct of the ${side} basal ganglia.`,
      `Small cystic defect in the ${side} lentiform nucleus after lacunar infarction.`,
      `Lacune in the ${side} basal ganglia, ${sizeText(r * 2)}.`,
    ],
  };
}
