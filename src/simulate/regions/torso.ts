/** The trunk's wall: skin, fat, muscle, ribs, in the torso frame (origin at the body of L3, RAS mm). */
import { AnatomyBuilder, type Frame } from '../anatomy.js';
import type { Traits } from '../patient.js';
import type { Stream } from '../random.js';
import type { Section } from '../shapes.js';

export interface Torso {
  /** Outside of the muscular wall. */
  readonly wall: readonly Section[];
  /** Thickness of the fat under the skin in mm. */
  readonly fatMm: number;
}

/** Where along the column a region is centred, and where in front of it. */
export interface Place {
  readonly y: number;
  readonly z: number;
}

/** A builder whose frame puts `place` of the torso at the patient's origin. */
export function torsoBuilder(traits: Traits, s: Stream, place: Place, bend = 6): AnatomyBuilder {
  const scale = [
    s.vary(traits.size, 0.025) * (traits.sex === 'F' ? 0.97 : 1.02),
    s.vary(traits.size, 0.025),
    s.vary(traits.size, 0.02),
  ] as const;
  const frame: Frame = {
    scale,
    turn: [s.vary(0, 2), s.vary(0, 1.5), s.vary(0, 2.5)],
    shift: [0, -place.y * scale[1], -place.z * scale[2]],
    bend,
  };
  return new AnatomyBuilder(s, frame);
}

/** Draws the outline of a person. */
export function drawTorso(traits: Traits, s: Stream): Torso {
  const f = traits.fat;
  const female = traits.sex === 'F';
  const waist = s.vary(1, 0.025) + (f - 0.4) * 0.12;
  const belly = 14 * f + s.vary(0, 3);
  return {
    wall: [
      [-236, 0, -6, 154, 92],
      [-190, 0, -8, 158, 96],
      [-130, 0, -8, female ? 156 : 150, 94],
      [-80, 0, 2 + belly * 0.4, 142 * waist, 88 + belly * 0.4],
      [10, 0, 12 + belly * 0.6, (female ? 122 : 132) * waist, 86 + belly * 0.6],
      [100, 0, 10 + belly * 0.4, 138 * (0.5 + waist * 0.5), 94 + belly * 0.4],
      [200, 0, 6, 148, 99],
      [280, 0, 2, 150, 94],
      [330, 0, -6, 138, 76],
      [365, 0, -14, 104, 58],
      [392, 0, -16, 60, 50],
      [450, 0, -8, 54, 52],
    ],
    fatMm: (female ? 7 : 4) + 26 * f * s.vary(1, 0.12),
  };
}

export const CAVITY_INSET = 12;

/** Sections moved outward by `grow` mm, more in front and behind than at the sides. */
function grown(sections: readonly Section[], grow: number): Section[] {
  return sections.map(([z, x, y, rx, ry]) => {
    // Little fat over the shoulders and the neck.
    const g = z > 340 ? grow * 0.35 : z > 240 ? grow * 0.6 : grow;
    return [z, x, y + g * 0.12, rx + g * 0.85, ry + g];
  });
}

/** Skin, fat, muscular wall and the fat inside of it; the regions paint their organs over the last. */
export function trunkWall(b: AnatomyBuilder, t: Torso): void {
  const skin = b.structure('skin', 'skin');
  const fat = b.structure('subcutaneous fat', 'fat');
  const muscle = b.structure('muscle', 'muscle');
  const inner = b.structure('visceral fat', 'fat');
  const square = 0.22;
  b.loft(skin, grown(t.wall, t.fatMm + 2), { square });
  shoulders(b, skin, 2 + t.fatMm * 0.4);
  b.loft(fat, grown(t.wall, t.fatMm), { square });
  shoulders(b, fat, t.fatMm * 0.4);
  b.pattern(b.structure('fascia', 'ligament'), [fat], { kind: 'sheet', cell: 30, level: 0.015 });
  b.loft(muscle, t.wall, { square });
  shoulders(b, muscle, 0);
  const bone = b.structure('cortical bone', 'cortical bone');
  const marrow = b.structure('humeral marrow', 'yellow marrow');
  for (const side of [-1, 1]) {
    for (const [id, less] of [
      [bone, 0],
      [marrow, 3],
    ] as const) {
      b.tube(id, [
        [side * 166, -12, 318, 23 - less],
        [side * 180, -12, 300, 15 - less],
        [side * 194, -12, 240, 12.5 - less * 1.6],
        [side * 204, -12, 90, 12 - less * 1.6],
      ]);
      b.tube(id, [
        [side * 138, -22, 330, 8 - less * 0.6],
        [side * 142, -34, 300, 8 - less * 0.6],
        [side * 96, -76, 270, 5 - less * 0.6],
        [side * 92, -78, 200, 4 - less * 0.6],
      ]);
    }
  }
  b.pattern(b.structure('intermuscular fat', 'fat'), [muscle], { kind: 'sheet', cell: 34, level: 0.035 });
  b.loft(
    inner,
    t.wall.filter(([z]) => z <= 365),
    { square, inset: CAVITY_INSET },
  );
}

function shoulders(b: AnatomyBuilder, id: number, grow: number): void {
  for (const side of [-1, 1]) {
    b.tube(id, [
      [side * 70, -14, 352, 34 + grow],
      [side * 158, -12, 322, 40 + grow],
      [side * 196, -12, 250, 40 + grow],
      [side * 206, -12, 100, 38 + grow],
    ]);
  }
}

/** Erector spinae, quadratus and psoas, with fat between them and fatty streaks in the old. */
export function backMuscles(b: AnatomyBuilder, traits: Traits, s: Stream): void {
  const muscle = b.structure('back muscle', 'muscle');
  const fat = b.structure('intermuscular fat', 'fat');
  const wasted = Math.max(0, (traits.age - 50) / 60);
  for (const side of [-1, 1]) {
    const k = s.vary(1, 0.04);
    b.loft(fat, [
      [-150, side * 22, -72, 24, 17],
      [-60, side * 33, -52, 37, 25],
      [40, side * 36, -50, 38, 25],
      [120, side * 34, -58, 36, 20],
      [330, side * 28, -68, 26, 14],
    ]);
    b.loft(
      muscle,
      [
        [-140, side * 18, -74, 15 * k, 9],
        [-60, side * 20, -53, 17 * k, 18 * k],
        [40, side * 19, -50, 15 * k, 17 * k],
        [130, side * 16, -58, 13 * k, 13 * k],
        [330, side * 15, -66, 12 * k, 10 * k],
      ],
      { square: 0.3 },
    );
    b.loft(
      muscle,
      [
        [-110, side * 40, -66, 14 * k, 10],
        [-40, side * 51, -50, 17 * k, 19 * k],
        [40, side * 52, -48, 18 * k, 19 * k],
        [130, side * 46, -58, 19 * k, 13 * k],
        [330, side * 42, -66, 15 * k, 9 * k],
      ],
      { square: 0.3 },
    );
    b.loft(muscle, [
      [-60, side * 76, -34, 14, 9],
      [60, side * 62, -34, 14, 8],
    ]);
    const psoas = b.structure('psoas muscle', 'muscle');
    const p = s.vary(1, 0.06) * (traits.sex === 'M' ? 1.08 : 0.9);
    b.loft(psoas, [
      [75, side * 29, -8, 6, 9],
      [30, side * 36, -4, 12 * p, 15 * p],
      [-40, side * 46, 4, 20 * p, 20 * p],
      [-100, side * 58, 18, 21 * p, 20 * p],
      [-160, side * 72, 40, 19 * p, 15 * p],
      [-215, side * 84, 40, 17 * p, 14 * p],
    ]);
  }
  b.pattern(fat, [muscle], { kind: 'sheet', cell: 11, level: 0.015 + 0.16 * wasted });
}

/** Twelve pairs of ribs, each a loop that falls from the column to the front. */
export function ribs(b: AnatomyBuilder, t: Torso, from = 40): void {
  const bone = b.structure('cortical bone', 'cortical bone');
  const marrow = b.structure('rib marrow', 'red marrow');
  const cartilage = b.structure('costal cartilage', 'disc annulus');
  for (let n = 0; n < 12; n++) {
    const top = 368 - n * 24.5;
    const fall = n < 2 ? 30 : 62;
    const sweep = n > 9 ? 1.5 - (n - 10) * 0.4 : n > 7 ? 2.1 : 2.55;
    for (const side of [-1, 1]) {
      const points = Array.from({ length: 9 }, (_, m) => {
        const a = 0.22 + (m / 8) * sweep;
        const z = top - 6 - fall * (1 - Math.cos(a * 0.95)) * 0.6;
        const [, , cy, rx, ry] = sectionAt(t.wall, z);
        const inset = 7;
        return [side * (rx - inset) * Math.sin(a), cy - (ry - inset) * Math.cos(a), z] as const;
      });
      if (top < from) continue;
      b.tube(
        bone,
        points.map(([x, y, z]) => [x, y, z, 4.4] as const),
      );
      b.tube(
        marrow,
        points.map(([x, y, z]) => [x, y, z, 2.9] as const),
      );
      const last = points[8]!;
      if (n < 7)
        b.tube(cartilage, [
          [...last, 4],
          [side * 16, sectionAt(t.wall, last[2])[2] + sectionAt(t.wall, last[2])[4] - 8, last[2] + 14, 4],
        ]);
    }
  }
  const front = (z: number): number => sectionAt(t.wall, z)[2] + sectionAt(t.wall, z)[4] - 7;
  const sternum = [185, 220, 260, 300, 325].map((z) => [0, front(z), z, 7] as const);
  b.tube(bone, sternum);
  b.tube(
    b.structure('sternal marrow', 'red marrow'),
    sternum.map(([x, y, z]) => [x, y, z, 5.5] as const),
  );
}

/** The wall's section at a height, interpolated as a loft does. */
export function sectionAt(sections: readonly Section[], z: number): Section {
  const above = sections.findIndex(([along]) => along >= z);
  if (above <= 0) return sections[above === 0 ? 0 : sections.length - 1]!;
  const [p, q] = [sections[above - 1]!, sections[above]!];
  const t = (z - p[0]) / (q[0] - p[0]);
  const f = t * t * (3 - 2 * t);
  return [
    z,
    p[1] + f * (q[1] - p[1]),
    p[2] + f * (q[2] - p[2]),
    p[3] + f * (q[3] - p[3]),
    p[4] + f * (q[4] - p[4]),
  ];
}
