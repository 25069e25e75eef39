/** Organs of the chest in the torso frame (origin at the body of L3, RAS mm). */
import type { AnatomyBuilder } from '../anatomy.js';
import { sign } from '../patient.js';
import type { Stream } from '../random.js';
import type { Section } from '../shapes.js';
import { CAVITY_INSET, sectionAt, type Torso } from './torso.js';

/** Top of each half of the diaphragm. */
export const DOME = { right: 172, left: 160 } as const;

/** Air-filled lungs down to the diaphragm, with vessels; below them the fat of the abdomen stays. */
export function lungs(b: AnatomyBuilder, t: Torso): void {
  const fat = b.structure('visceral fat', 'fat');
  for (const side of ['right', 'left'] as const) {
    const x = sign(side);
    const lung = b.structure(`${side} lung`, 'lung');
    const sections = [70, 110, 150, 200, 250, 290, 315, 335, 350, 362, 368].map((z): Section => {
      const [, , cy, rx, ry] = sectionAt(t.wall, z);
      const apex = Math.max(0, z - 280) / 90;
      const inset = CAVITY_INSET + 2 + 34 * apex * apex;
      const width = (rx - inset - 14) / 2;
      return [z, x * (14 + width), cy - 4, Math.max(3, width), Math.max(3, ry - inset * (1 - 0.4 * apex))];
    });
    b.loft(lung, sections, { square: 0.45, over: [fat] });
    b.pattern(b.structure('lung vessel', 'slow blood'), [lung], { kind: 'filament', cell: 24, level: 0.1 });
    // The diaphragm's dome, muscle over the fat of the abdomen.
    const [rx, ry, rz] = [side === 'right' ? 80 : 76, 92, side === 'right' ? 92 : 86];
    const at = [x * 62, 6, DOME[side] - rz] as const;
    const dome = [lung, ...b.ids('lung vessel')];
    b.ellipsoid(b.structure('diaphragm', 'muscle'), at, [rx + 2, ry + 2, rz + 2], {
      over: dome,
      square: 0.2,
    });
    b.ellipsoid(fat, at, [rx, ry, rz], { over: [...dome, ...b.ids('diaphragm')], square: 0.2 });
  }
}

export interface HeartOptions {
  /** Linear size against the average. */
  readonly scale?: number;
  /** Thickness of fluid around it, mm. */
  readonly effusion?: number;
}

/** Fat of the mediastinum, heart, great vessels, airways and gullet. */
export function mediastinum(b: AnatomyBuilder, s: Stream, o: HeartOptions = {}): void {
  const fat = b.structure('mediastinal fat', 'fat');
  const lung = b.ids('right lung', 'left lung', 'lung vessel', 'visceral fat');
  b.loft(
    fat,
    [
      [165, -8, 30, 46, 62],
      [220, -8, 30, 34, 66],
      [260, -2, 20, 24, 66],
      [310, 0, 4, 26, 58],
      [365, 0, -10, 34, 40],
    ],
    { over: lung },
  );
  const k = (o.scale ?? 1) * s.vary(1, 0.03);
  const c = [-24, 42, 205] as const;
  const p = (x: number, y: number, z: number): [number, number, number] => [
    c[0] + x * k,
    c[1] + y * k,
    c[2] + z * k,
  ];
  const r = (...v: [number, number, number]): [number, number, number] => [v[0] * k, v[1] * k, v[2] * k];
  const rotate = [-28, 30, 28] as const;
  // Chambers: [centre, radii of the outside, thickness of the wall, blood].
  const right = b.structure('right heart blood', 'slow blood');
  const left = b.structure('left heart blood', 'slow blood');
  const chambers = [
    [p(6, 15, -6), r(40, 26, 35), 3.5, right, rotate],
    [p(-18, -4, -4), r(40, 31, 31), 11, left, rotate],
    [p(42, -4, 4), r(25, 25, 32), 2.5, right, [0, 0, 0]],
    [p(14, -36, 14), r(33, 20, 24), 2.5, left, [0, 0, 0]],
  ] as const;
  const around = (id: number, grow: number, over?: readonly number[]): void => {
    for (const [at, [x, y, z], , , turn] of chambers) {
      b.ellipsoid(id, at, [x + grow, y + grow, z + grow], { rotate: turn, ...(over ? { over } : {}) });
    }
  };
  const fluid = o.effusion ?? 0;
  around(fat, fluid + 7, lung);
  around(b.structure('pericardial fluid', 'effusion'), fluid + 2.8);
  around(b.structure('epicardial fat', 'fat'), 2.5);
  const muscle = b.structure('myocardium', 'myocardium');
  for (const [at, [x, y, z], wall, blood, turn] of chambers) {
    b.ellipsoid(muscle, at, [x, y, z], { rotate: turn });
    b.ellipsoid(blood, at, [x - wall, y - wall, z - wall], { rotate: turn });
  }
  b.ellipsoid(muscle, p(-24, -12, -4), r(4, 4, 8), { rotate });
  b.ellipsoid(muscle, p(-20, 6, -6), r(4, 4, 8), { rotate });
  for (const x of [-1, 1]) {
    b.tube(left, [
      [...p(14 + x * 24, -40, 16), 7],
      [...p(14 + x * 52, -46, 18), 6],
      [...p(14 + x * 78, -50, 8), 3],
    ]);
  }
  greatVessels(b, p);
  airways(b);
}

function greatVessels(
  b: AnatomyBuilder,
  p: (x: number, y: number, z: number) => [number, number, number],
): void {
  const artery = b.structure('aorta', 'blood');
  const vein = b.structure('superior vena cava', 'slow blood');
  const trunk = b.structure('pulmonary artery', 'blood');
  b.tube(trunk, [
    [...p(-2, 16, 22), 13],
    [-16, 30, 252, 13],
    [-14, 8, 264, 12],
    [10, 0, 262, 11],
    [52, -12, 252, 8],
    [84, -22, 236, 4],
  ]);
  b.tube(trunk, [
    [-14, 8, 264, 11],
    [-44, -14, 266, 9],
    [-78, -26, 250, 4.5],
  ]);
  b.tube(artery, [
    [...p(6, 0, 18), 14],
    [20, 28, 258, 15],
    [16, 18, 292, 14],
    [-6, -6, 304, 13],
    [-24, -28, 292, 12.5],
    [-24, -28, 260, 12],
    [-20, -10, 200, 11.5],
    [-12, 6, 160, 11],
  ]);
  for (const [x, y] of [
    [14, 14],
    [-2, 4],
    [-16, -8],
  ] as const) {
    b.tube(artery, [
      [x, y, 300, 5],
      [x * 1.6, y - 8, 340, 4.4],
      [x * 2.4, y - 10, 420, 3.6],
    ]);
  }
  b.tube(vein, [
    [...p(46, 0, 26), 11],
    [32, 16, 280, 10],
    [26, 18, 318, 8],
    [34, 6, 350, 6],
    [38, -2, 430, 6],
  ]);
  b.tube(vein, [
    [28, 18, 316, 6],
    [-14, 26, 322, 6],
    [-38, 4, 350, 6],
    [-40, -2, 430, 6],
  ]);
  b.tube(vein, [
    [22, 34, 170, 12],
    [...p(44, -6, -16), 13],
  ]);
}

function airways(b: AnatomyBuilder): void {
  const wall = b.structure('airway wall', 'cortical bone');
  const air = b.structure('airway', 'air');
  const tree = [
    [
      [0, -4, 440, 9],
      [0, -10, 340, 9],
      [2, -18, 276, 9],
    ],
    [
      [2, -18, 276, 8],
      [34, -26, 254, 6.5],
      [58, -30, 236, 4.5],
    ],
    [
      [2, -18, 276, 8],
      [-34, -26, 250, 6],
      [-56, -32, 232, 4],
    ],
  ] as const;
  for (const branch of tree) {
    b.tube(
      wall,
      branch.map(([x, y, z, r]) => [x, y, z, r + 1.5] as const),
    );
  }
  for (const branch of tree) b.tube(air, branch);
  b.tube(b.structure('oesophagus', 'muscle'), [
    [-4, -20, 430, 7],
    [-4, -30, 300, 7],
    [-6, -10, 210, 7.5],
    [-16, 8, 160, 8],
    [-40, 4, 146, 9],
  ]);
}
