/** Bladder, rectum, prostate, uterus and ovaries, in the torso frame (origin at L3, RAS mm). */
import type { AnatomyBuilder } from '../anatomy.js';
import type { Traits } from '../patient.js';
import type { Stream } from '../random.js';

/** Bladder and rectum; returns the bladder's centre and half sizes. */
export function bladderAndRectum(
  b: AnatomyBuilder,
  s: Stream,
  o: { sex: 'M' | 'F'; lift: number },
): { centre: [number, number, number]; radii: [number, number, number] } {
  const wall = b.structure('bladder wall', 'muscle', { t2: [50, 45], uptake: 0.4 });
  const urine = b.structure('urinary bladder', 'urine');
  const fill = s.uniform(0.75, 1.3);
  const centre: [number, number, number] = [
    0,
    o.sex === 'M' ? 32 : 46,
    (o.sex === 'M' ? -162 : -178) + 12 * (fill - 1) + o.lift,
  ];
  const radii: [number, number, number] = [36 * Math.sqrt(fill), 27 * Math.sqrt(fill), 23 * fill];
  b.ellipsoid(wall, centre, radii, { square: 0.15 });
  const thick = fill > 1 ? 3 : 4.5;
  b.ellipsoid(urine, centre, [radii[0] - thick, radii[1] - thick, radii[2] - thick], { square: 0.15 });
  const rectalWall = b.structure('rectal wall', 'bowel wall');
  const sigma = [
    [-62, 20, -128, 11],
    [-30, 4, -118, 12],
    [4, -16, -122, 12],
    [0, -30, -142, 14],
    [2, -38, -166, 15],
    [0, -24, -190, 14],
    [0, -14, -208, 10],
  ] as const;
  b.tube(rectalWall, sigma);
  b.tube(
    b.structure('rectal content', 'bowel content'),
    sigma.map(([x, y, z, r]) => [x, y, z, r - 4] as const),
  );
  b.pattern(b.structure('bowel gas', 'air'), b.ids('rectal content'), {
    kind: 'blob',
    cell: 24,
    level: s.uniform(0.1, 0.5),
  });
  b.tube(b.structure('anal sphincter', 'muscle'), [
    [0, -10, -214, 10],
    [0, -18, -240, 11],
  ]);
  b.tube(b.structure('anal canal', 'mucosa'), [
    [0, -10, -212, 3],
    [0, -18, -240, 2.4],
  ]);
  return { centre, radii };
}

export interface ProstateSize {
  /** Linear size of the gland and, beyond it, of the transition zone. */
  readonly gland: number;
  readonly transition: number;
}

export const PROSTATE_CENTRE = [0, 20, -201] as const;

/** Half sizes of the gland for a size, mm. */
export function prostateRadii(size: ProstateSize): [number, number, number] {
  return [24.5 * size.gland, 16.5 * size.gland, 20 * size.gland];
}

export function prostate(b: AnatomyBuilder, s: Stream, size: ProstateSize): void {
  const [cx, cy] = PROSTATE_CENTRE;
  const [rx, ry, rz] = prostateRadii(size);
  // A large gland grows upwards, into the bladder.
  const cz = PROSTATE_CENTRE[2] + (rz - 20) * 0.9;
  const fat = b.structure('periprostatic fat', 'fat');
  b.ellipsoid(fat, [cx, cy, cz], [rx + 8, ry + 6, rz + 4], { over: b.ids('pelvic fat', 'pelvic muscle') });
  b.pattern(b.structure('venous plexus', 'seminal vesicle'), [fat], {
    kind: 'filament',
    cell: 7,
    level: 0.22,
  });
  const capsule = b.structure('prostate capsule', 'ligament');
  b.ellipsoid(capsule, [cx, cy, cz], [rx + 1, ry + 1, rz + 1], { square: 0.12 });
  const peripheral = b.structure('peripheral zone', 'peripheral zone');
  b.ellipsoid(peripheral, [cx, cy, cz], [rx, ry, rz], { square: 0.12 });
  b.pattern(b.structure('peripheral zone septum', 'prostate stroma'), [peripheral], {
    kind: 'sheet',
    cell: 6,
    level: 0.05,
  });
  const t = size.transition;
  const transition = b.structure('transition zone', 'transition zone');
  const inGland = [peripheral, ...b.ids('peripheral zone septum')];
  const at = [cx, cy + 4.2 * size.gland, cz + 3 * size.gland] as const;
  const r = [rx * 0.62 * t, ry * 0.66 * Math.min(t, 1.16), rz * 0.76 * Math.min(1.18, t)] as const;
  b.ellipsoid(b.structure('surgical capsule', 'prostate stroma'), at, [r[0] + 0.9, r[1] + 0.9, r[2] + 0.9], {
    over: inGland,
  });
  b.ellipsoid(transition, at, r, { over: [...inGland, ...b.ids('surgical capsule')] });
  b.pattern(b.structure('prostate nodule', 'prostate nodule'), [transition], {
    kind: 'blob',
    cell: 9,
    level: t > 1.15 ? 0.02 : 0.3,
  });
  b.pattern(b.structure('stromal tissue', 'prostate stroma'), [transition, ...b.ids('prostate nodule')], {
    kind: 'sheet',
    cell: 10,
    level: t > 1.15 ? 0.09 : 0.06,
  });
  b.ellipsoid(
    b.structure('anterior stroma', 'prostate stroma'),
    [cx, cy + ry * 0.9, cz],
    [rx * 0.5, ry * 0.26, rz * 0.8],
    {
      over: [transition, ...inGland, ...b.ids('prostate nodule', 'stromal tissue')],
    },
  );
  b.tube(b.structure('urethra', 'mucosa'), [
    [cx, cy + 4, cz + rz * 0.8, 1.8],
    [cx, cy + 1, cz - 2, 2.2],
    [cx, cy + 5, cz - rz, 2],
    [cx, cy + 10, cz - rz - 22, 2],
  ]);
  const vesicle = b.structure('seminal vesicle wall', 'muscle');
  const inside = b.structure('seminal vesicle', 'seminal vesicle');
  for (const side of [-1, 1]) {
    const tube = [
      [side * 4, cy - 13, cz + rz + 1, 5],
      [side * 17, cy - 15, cz + rz + 8, 6.5 * s.vary(1, 0.1)],
      [side * 32, cy - 17, cz + rz + 15, 5.5],
    ] as const;
    b.tube(vesicle, tube);
    b.tube(
      inside,
      tube.map(([x, y, z, r0]) => [x, y, z, r0 - 0.8] as const),
    );
  }
  b.pattern(vesicle, [inside], { kind: 'sheet', cell: 5, level: 0.14 });
  const cavernous = b.structure('corpus cavernosum', 'slow blood', { flow: 0.1, mottle: 0.05 });
  for (const side of [-1, 1]) {
    b.tube(cavernous, [
      [side * 34, 8, -236, 6],
      [side * 9, 50, -226, 8],
      [side * 8, 84, -238, 9],
      [side * 8, 98, -272, 9],
    ]);
  }
  b.tube(cavernous, [
    [0, 22, -230, 9],
    [0, 52, -238, 7],
    [0, 80, -252, 6],
  ]);
}

export const FUNDUS = [0, 38, -136] as const;
const CERVIX = [0, 2, -178] as const;

export function uterus(
  b: AnatomyBuilder,
  traits: Traits,
  s: Stream,
  o: { thickLining?: boolean } = {},
): void {
  const active = traits.age < 50;
  const k = active ? s.vary(1, 0.07) : s.vary(0.76, 0.05);
  const myometrium = b.structure('myometrium', 'myometrium');
  const junction = b.structure('junctional zone', 'junctional zone');
  const lining = b.structure('endometrium', 'endometrium');
  const lean = s.vary(0, 7);
  const fundus = [lean, FUNDUS[1], CERVIX[2] + (FUNDUS[2] - CERVIX[2]) * k] as const;
  const body = [
    [...CERVIX, 12.5 * k],
    [lean * 0.4, 15, -164, 17 * k],
    [...fundus, 26 * k],
  ] as const;
  b.tube(myometrium, body);
  b.pattern(b.structure('myometrial vessel', 'slow blood', { flow: 0 }), [myometrium], {
    kind: 'filament',
    cell: 9,
    level: 0.12,
  });
  const cavity = (id: number, low: number, high: number): void => {
    b.tube(id, [
      [lean * 0.2, 9, -171, low],
      [lean * 0.9, fundus[1] - 2, fundus[2] + 0.5, high],
    ]);
  };
  const thick = o.thickLining ? 2.6 : active ? s.uniform(0.8, 1.5) : 0.5;
  cavity(junction, 6 * k, (7 + 3 * thick) * k);
  cavity(lining, 1.2 + thick * 0.6, 1.5 + 3.2 * thick);
  b.tube(b.structure('cervical stroma', 'cervix'), [
    [0, 8, -172, 11 * k],
    [0, -1, -188, 12.5 * k],
  ]);
  b.tube(b.structure('cervical canal', 'endometrium'), [
    [0, 9, -171, 2],
    [0, -1, -190, 2.6],
  ]);
  const vagina = b.structure('vaginal wall', 'muscle', { t2: [60, 55], uptake: 0.4 });
  for (const [y, z] of [
    [0, -196],
    [6, -206],
    [12, -216],
    [18, -226],
    [24, -236],
  ] as const) {
    b.ellipsoid(vagina, [0, y, z], [17, 6, 8], { rotate: [-30, 0, 0] });
  }
  b.ellipsoid(b.structure('vaginal mucosa', 'mucosa'), [0, 12, -214], [13, 1.6, 26], { rotate: [-30, 0, 0] });
  b.tube(b.structure('urethra', 'mucosa'), [
    [0, 40, -204, 4],
    [0, 36, -234, 4],
  ]);
  ovaries(b, s, active);
}

export const OVARY = [44, 10, -140] as const;

function ovaries(b: AnatomyBuilder, s: Stream, active: boolean): void {
  const stroma = b.structure('ovary', 'ovary stroma');
  const follicle = b.structure('ovarian follicle', 'cyst');
  for (const side of [-1, 1]) {
    const k = active ? s.vary(1, 0.08) : 0.65;
    const [x, y, z] = [side * s.vary(OVARY[0], 3), s.vary(OVARY[1], 4), s.vary(OVARY[2], 4)];
    b.ellipsoid(stroma, [x, y, z], [11 * k, 16 * k, 14 * k]);
    if (!active) continue;
    for (let n = 0; n < 7; n++) {
      const r = s.uniform(2, 4.4);
      const angle = (n / 7) * 2 * Math.PI;
      b.ellipsoid(
        follicle,
        [x + s.uniform(-4, 4), y + 10 * Math.cos(angle), z + 9 * Math.sin(angle)],
        [r, r, r],
      );
    }
  }
}
