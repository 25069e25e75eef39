/** Diseases of the prostate and of the uterus and ovaries, and the sentences that report them. */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Finding, type Side, sign, type Traits } from '../patient.js';
import type { Stream } from '../random.js';
import { FUNDUS, OVARY, PROSTATE_CENTRE, prostateRadii, type ProstateSize } from './pelvis-organs.js';
import { drawFindings, sizeText } from './region.js';

/** What is drawn before the organs are painted, and how the lesions are painted after. */
export interface PelvicPlan {
  readonly size: ProstateSize;
  readonly uterus: { readonly thickLining?: boolean };
  readonly paint: (b: AnatomyBuilder, side: Side) => Finding[];
}

export function maleFindings(s: Stream, traits: Traits, normal: ProstateSize): PelvicPlan {
  const old = Math.max(0, (traits.age - 45) / 40);
  const drawn = drawFindings(
    s,
    {
      hyperplasia: 0.1 + 0.45 * old,
      'peripheral cancer': 0.12 + 0.3 * old,
      'transition cancer': 0.06 + 0.12 * old,
      prostatitis: 0.1,
    },
    2,
  );
  const large = drawn.has('hyperplasia');
  const size = large ? { gland: s.uniform(1.22, 1.55), transition: s.uniform(1.22, 1.36) } : normal;
  const [rx, ry, rz] = prostateRadii(size);
  const [, cy] = PROSTATE_CENTRE;
  const cz = PROSTATE_CENTRE[2] + (rz - 20) * 0.9;
  const paint = (b: AnatomyBuilder, side: Side): Finding[] => {
    const out: Finding[] = [];
    if (large) {
      const volume =
        Math.round((4.19 * rx * ry * rz * b.frame.scale[0] * b.frame.scale[1] * b.frame.scale[2]) / 5000) * 5;
      out.push({
        name: 'enlarged prostate',
        structure: 'transition zone',
        sentences: [
          `Enlarged prostate with a volume of about ${volume} ml and nodular hyperplasia of the transition zone.`,
          `Benign prostatic hyperplasia, volume ${volume} ml.`,
          'The prostate is enlarged and protrudes into the bladder.',
        ],
      });
    }
    if (drawn.has('prostatitis') && !drawn.has('peripheral cancer')) out.push(prostatitis(b));
    if (drawn.has('peripheral cancer')) out.push(peripheralCancer(b, s, side, [rx, ry, rz], cy, cz));
    if (drawn.has('transition cancer')) out.push(transitionCancer(b, s, side, [rx, ry, rz], cy, cz));
    return out;
  };
  return { size, uterus: {}, paint };
}

function prostatitis(b: AnatomyBuilder): Finding {
  b.pattern(b.structure('prostatitis', 'prostate stroma', { adc: 1.3 }), b.ids('peripheral zone'), {
    kind: 'blob',
    cell: 12,
    level: 0.02,
  });
  return {
    name: 'prostatitis',
    structure: 'prostatitis',
    sentences: [
      'Patchy low signal of the peripheral zone on both sides, in keeping with prostatitis.',
      'Diffuse inflammatory changes of the peripheral zone.',
    ],
  };
}

function peripheralCancer(
  b: AnatomyBuilder,
  s: Stream,
  side: Side,
  [rx, ry, rz]: [number, number, number],
  cy: number,
  cz: number,
): Finding {
  const level = s.choice(['base', 'mid-gland', 'apex'] as const);
  const mm = s.uniform(9, 20);
  const r = b.mm(mm / 2);
  const dz = { base: 0.5, 'mid-gland': 0, apex: -0.5 }[level] * rz;
  const shrink = level === 'mid-gland' ? 1 : 0.84;
  const at = [sign(side) * rx * 0.58 * shrink, cy - ry * 0.56 * shrink, cz + dz] as const;
  b.ellipsoid(b.structure('peripheral zone cancer', 'prostate cancer'), at, [r, r * 0.75, r], {
    over: b.ids('peripheral zone', 'peripheral zone septum', 'prostate capsule'),
    rough: { cell: 6, amount: 0.2 },
  });
  return {
    name: `${side} peripheral zone lesion`,
    structure: 'peripheral zone cancer',
    side,
    sentences: [
      `${sizeText(mm)} lesion in the ${side} peripheral zone at the ${level} with low T2 signal and restricted diffusion, PI-RADS ${mm > 15 ? 5 : 4}.`,
      `Suspicious focus of the ${side} peripheral zone, ${level}, ${sizeText(mm)}.`,
      `Prostate cancer in the ${side} peripheral zone measuring ${sizeText(mm)}.`,
    ],
  };
}

function transitionCancer(
  b: AnatomyBuilder,
  s: Stream,
  side: Side,
  [rx, ry]: [number, number, number],
  cy: number,
  cz: number,
): Finding {
  const mm = s.uniform(13, 26);
  const r = b.mm(mm / 2);
  b.ellipsoid(
    b.structure('transition zone cancer', 'prostate cancer'),
    [sign(side) * rx * 0.3, cy + ry * 0.55, cz],
    [r, r * 0.7, r],
    {
      over: b.ids(
        'transition zone',
        'prostate nodule',
        'stromal tissue',
        'anterior stroma',
        'surgical capsule',
      ),
      rough: { cell: 8, amount: 0.2 },
    },
  );
  return {
    name: `${side} transition zone lesion`,
    structure: 'transition zone cancer',
    side,
    sentences: [
      `Lenticular lesion of ${sizeText(mm)} in the ${side} anterior transition zone with homogeneous low T2 signal.`,
      `Suspicious lesion in the ${side} transition zone, ${sizeText(mm)}.`,
    ],
  };
}

export function femaleFindings(s: Stream, traits: Traits): PelvicPlan {
  const active = traits.age < 50;
  const drawn = drawFindings(
    s,
    {
      fibroid: active ? 0.34 : 0.2,
      'ovarian cyst': active ? 0.26 : 0.12,
      endometrioma: active ? 0.16 : 0,
      lining: active ? 0.05 : 0.24,
      'cervical cancer': 0.1,
      'free fluid': active ? 0.12 : 0.03,
    },
    2,
  );
  const paint = (b: AnatomyBuilder, side: Side): Finding[] => {
    const out: Finding[] = [];
    if (drawn.has('free fluid')) out.push(freeFluid(b));
    if (drawn.has('lining')) {
      out.push({
        name: 'thick endometrium',
        structure: 'endometrium',
        sentences: [
          'Thickened endometrium.',
          'The endometrium is markedly thickened, suspicious for carcinoma.',
        ],
      });
    }
    if (drawn.has('fibroid')) out.push(fibroid(b, s));
    if (drawn.has('ovarian cyst')) out.push(ovarianCyst(b, s, side));
    if (drawn.has('endometrioma') && !drawn.has('ovarian cyst')) out.push(endometrioma(b, s, side));
    if (drawn.has('cervical cancer')) out.push(cervicalCancer(b, s));
    return out;
  };
  return { size: { gland: 1, transition: 1 }, uterus: { thickLining: drawn.has('lining') }, paint };
}

function freeFluid(b: AnatomyBuilder): Finding {
  b.ellipsoid(b.structure('free fluid', 'effusion'), [0, -16, -166], [34, 15, 20], {
    over: b.ids('pelvic fat', 'visceral fat'),
  });
  return {
    name: 'free pelvic fluid',
    structure: 'free fluid',
    sentences: ['Free fluid in the pouch of Douglas.', 'Some free fluid behind the uterus.'],
  };
}

function fibroid(b: AnatomyBuilder, s: Stream): Finding {
  const mm = s.uniform(24, 72);
  const r = b.mm(mm / 2);
  const place = s.choice(['fundal', 'anterior wall', 'posterior wall'] as const);
  const [x, y, z] = FUNDUS;
  const shift = { fundal: [0, 8, 18], 'anterior wall': [4, 22, -8], 'posterior wall': [-4, -18, 6] }[
    place
  ] as [number, number, number];
  const grow = Math.max(0, (r - 14) * 0.6) / 22;
  const at = [x + shift[0], y + shift[1] * (1 + grow), z + shift[2] * (1 + grow)] as const;
  b.ellipsoid(b.structure('fibroid', 'fibroid'), at, [r, r, r]);
  b.pattern(b.structure('fibroid whorl', 'fibroid', { t2: [60, 52] }), b.ids('fibroid'), {
    kind: 'sheet',
    cell: 9,
    level: 0.12,
  });
  return {
    name: `uterine fibroid ${place}`,
    structure: 'fibroid',
    sentences: [
      `Uterine fibroid of ${sizeText(mm)}, ${place}.`,
      `${sizeText(mm)} leiomyoma of the uterus (${place}), dark on T2.`,
      `Enlarged uterus with a fibroid measuring ${sizeText(mm)}.`,
    ],
  };
}

function ovarianCyst(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const mm = s.uniform(28, 76);
  const r = b.mm(mm / 2);
  b.ellipsoid(
    b.structure('ovarian cyst', 'cyst'),
    [sign(side) * (OVARY[0] + r * 0.3), OVARY[1] + 4, OVARY[2] + r * 0.4],
    [r, r * 0.9, r],
  );
  return {
    name: `${side} ovarian cyst`,
    structure: 'ovarian cyst',
    side,
    sentences: [
      `Cyst of the ${side} ovary, ${sizeText(mm)}.`,
      `${sizeText(mm)} simple ovarian cyst on the ${side}.`,
      `${side === 'left' ? 'Left' : 'Right'} adnexal cyst measuring ${sizeText(mm)}.`,
    ],
  };
}

function endometrioma(b: AnatomyBuilder, s: Stream, side: Side): Finding {
  const mm = s.uniform(24, 60);
  const r = b.mm(mm / 2);
  b.ellipsoid(
    b.structure('endometrioma', 'haematoma', { t2: [60, 45] }),
    [sign(side) * (OVARY[0] + r * 0.2), OVARY[1], OVARY[2] + r * 0.3],
    [r, r * 0.9, r],
  );
  return {
    name: `${side} endometrioma`,
    structure: 'endometrioma',
    side,
    sentences: [
      `Endometrioma of the ${side} ovary, ${sizeText(mm)}, bright on T1.`,
      `${sizeText(mm)} haemorrhagic cyst of the ${side} ovary, in keeping with endometriosis.`,
    ],
  };
}

function cervicalCancer(b: AnatomyBuilder, s: Stream): Finding {
  const mm = s.uniform(22, 46);
  const r = b.mm(mm / 2);
  b.ellipsoid(
    b.structure('cervical cancer', 'solid mass', { adc: 0.85, t2: [105, 95] }),
    [0, 2, -182],
    [r, r * 0.8, r],
    {
      over: b.ids(
        'cervical stroma',
        'cervical canal',
        'myometrium',
        'vaginal wall',
        'pelvic fat',
        'junctional zone',
      ),
      rough: { cell: 9, amount: 0.2 },
    },
  );
  return {
    name: 'cervical cancer',
    structure: 'cervical cancer',
    sentences: [
      `Tumour of the uterine cervix, ${sizeText(mm)}.`,
      `Cervical carcinoma measuring ${sizeText(mm)} with restricted diffusion.`,
    ],
  };
}
