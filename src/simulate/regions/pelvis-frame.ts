/** Bones, joints and muscles of the pelvis and the upper thighs, in the torso frame (origin at L3, RAS mm). */
import type { AnatomyBuilder } from '../anatomy.js';
import type { Traits } from '../patient.js';
import type { Stream } from '../random.js';
import type { Torso } from './torso.js';

/** Centre of the femoral head of the right side. */
export const HIP = [90, 12, -178] as const;

/** Thighs hang on below the trunk's wall. */
export function thighs(b: AnatomyBuilder, t: Torso): void {
  const grow = t.fatMm;
  const layers = [
    ['skin', 'skin', grow + 2],
    ['subcutaneous fat', 'fat', grow],
    ['thigh muscle', 'muscle', 0],
  ] as const;
  for (const [name, tissue, g] of layers) {
    const id = b.structure(name, tissue);
    const over = b.ids('air', 'skin', 'subcutaneous fat', ...(g === 0 ? ['muscle', 'visceral fat'] : []));
    for (const side of [-1, 1]) {
      b.loft(
        id,
        [
          [-420, side * 84, 4, 62 + g, 64 + g],
          [-255, side * 84, 2, 72 + g * 0.9, 78 + g],
          [-215, side * 98, 4, 58 + g * 0.9, 74 + g],
          [-165, side * 118, 4, 30 + g * 0.9, 60 + g],
        ],
        { over, square: 0.15 },
      );
    }
  }
  // What lies between the thighs, below the pelvis.
  b.ellipsoid(b.structure('perineal fat', 'fat'), [0, 0, -236], [34, 62, 26], { over: b.ids('air', 'skin') });
  b.pattern(b.structure('intermuscular fat', 'fat'), b.ids('thigh muscle'), {
    kind: 'sheet',
    cell: 38,
    level: 0.05,
  });
}

/** Hip bones, sacroiliac joints, femora. */
export function hipBones(b: AnatomyBuilder): void {
  const bone = b.structure('cortical bone', 'cortical bone');
  const marrow = b.structure('pelvic marrow', 'red marrow', { fat: 0.6 });
  const yellow = b.structure('femoral marrow', 'yellow marrow');
  const cartilage = b.structure('hip cartilage', 'cartilage');
  for (const [id, less] of [
    [bone, 0],
    [marrow, 1.8],
  ] as const) {
    for (const side of [-1, 1]) {
      b.ellipsoid(id, [side * 78, 2, -92], [9 - less, 58 - less, 46 - less], {
        rotate: [0, side * 18, side * -34],
      });
      b.ellipsoid(id, [side * 26, -52, -126], [20 - less, 12 - less, 20 - less]);
      b.ellipsoid(id, [side * 46, -46, -108], [13 - less, 24 - less, 30 - less], {
        rotate: [0, 0, side * -34],
      });
      b.tube(id, [
        [side * 66, -8, -118, 13 - less],
        [side * 84, 8, -150, 22 - less],
        [side * 84, 2, -176, 25 - less],
        [side * 74, -22, -208, 14 - less],
        [side * 62, -30, -236, 14 - less],
      ]);
      b.tube(id, [
        [side * 78, 30, -174, 14 - less],
        [side * 46, 50, -184, 9 - less],
        [side * 14, 58, -198, 10 - less],
        [side * 16, 50, -214, 8 - less],
        [side * 56, -20, -240, 9 - less],
      ]);
    }
  }
  b.ellipsoid(b.structure('symphysis', 'disc annulus'), [0, 58, -202], [4, 9, 17]);
  for (const side of [-1, 1]) {
    const [x, y, z] = [side * HIP[0], HIP[1], HIP[2]];
    // Joint: cartilage around the head, a film of fluid, then the head.
    b.ellipsoid(cartilage, [x, y, z], [26.5, 26.5, 26.5]);
    b.ellipsoid(b.structure('hip joint fluid', 'synovial fluid'), [x, y, z], [25, 25, 25], {
      over: [cartilage],
      clip: [{ point: [x, y, z + 12], normal: [0, 0, 1] }],
    });
    for (const [id, less, shaft] of [
      [bone, 0, 0],
      [yellow, 1.4, 3.6],
    ] as const) {
      b.ellipsoid(id, [x, y, z], [23.6 - less, 23.6 - less, 23.6 - less]);
      b.tube(id, [
        [x, y, z, 17 - less * 1.4],
        [x + side * 36, y - 8, z - 24, 17 - less * 1.4],
      ]);
      b.ellipsoid(id, [x + side * 47, y - 18, z - 20], [15 - less, 19 - less, 24 - less]);
      b.tube(id, [
        [x + side * 40, y - 10, z - 38, 18 - shaft],
        [x + side * 32, y - 4, z - 90, 15 - shaft],
        [x + side * 24, y - 2, z - 240, 14 - shaft],
      ]);
    }
    // Red marrow stays in the neck of the femur.
    b.ellipsoid(
      b.structure('femoral red marrow', 'red marrow', { fat: 0.62 }),
      [x + side * 22, y - 4, z - 16],
      [14, 10, 12],
      {
        over: [yellow],
        rough: { cell: 10, amount: 0.3 },
      },
    );
  }
}

/** Fat of the pelvis and the muscles outside and inside of its bones. */
export function pelvicMuscles(b: AnatomyBuilder, traits: Traits, s: Stream): void {
  const fat = b.structure('pelvic fat', 'fat');
  const muscle = b.structure('pelvic muscle', 'muscle');
  const wall = b.ids('muscle', 'visceral fat');
  b.loft(
    fat,
    [
      [-240, 0, -6, 146, 84],
      [-130, 0, -8, 140, 84],
      [-110, 0, -8, 136, 80],
    ],
    { over: wall, square: 0.3 },
  );
  const over = [fat, ...wall, ...b.ids('thigh muscle', 'intermuscular fat', 'subcutaneous fat')];
  const k = (traits.sex === 'M' ? 1.05 : 0.95) * s.vary(1, 0.04);
  const belly = (
    centre: readonly [number, number, number],
    radii: readonly [number, number, number],
    rotate: readonly [number, number, number] = [0, 0, 0],
  ): void => {
    for (const side of [-1, 1]) {
      b.ellipsoid(
        muscle,
        [side * centre[0], centre[1], centre[2]],
        [radii[0] * k, radii[1] * k, radii[2] * k],
        { rotate: [rotate[0], side * rotate[1], side * rotate[2]], over },
      );
    }
  };
  belly([72, -66, -168], [62, 23, 74], [0, 28, 30]);
  belly([118, -6, -112], [17, 52, 52], [0, 16, -30]);
  belly([98, -10, -118], [12, 36, 40], [0, 16, -34]);
  belly([130, 26, -160], [12, 26, 56], [0, 0, -30]);
  belly([68, 22, -92], [15, 42, 50], [0, 18, -36]);
  belly([58, 4, -184], [13, 38, 38], [0, 8, -12]);
  belly([66, 44, -216], [30, 14, 18], [0, 0, 20]);
  belly([44, 46, -262], [24, 26, 60], [0, 14, 0]);
  belly([108, 58, -240], [22, 20, 80], [0, 0, 0]);
  belly([96, 74, -200], [13, 12, 60], [0, -14, 0]);
  belly([132, 34, -280], [24, 26, 80], [0, 0, 0]);
  belly([92, -42, -300], [30, 26, 80], [0, 0, 0]);
  belly([56, -24, -300], [26, 26, 70], [0, 0, 0]);
  for (const side of [-1, 1]) {
    b.tube(
      muscle,
      [
        [side * 20, -52, -138, 9],
        [side * 70, -40, -160, 11],
        [side * 124, -10, -184, 6],
      ],
      over,
    );
  }
  // Levator ani: a funnel, a few millimetres thick.
  const floor = { point: [0, 0, -190], normal: [0, 0, 1] } as const;
  b.ellipsoid(muscle, [0, 2, -186], [43, 44, 46], { over: [fat, ...wall], clip: [floor] });
  b.ellipsoid(fat, [0, 2, -184], [39, 40, 43], { over: [muscle], clip: [floor] });
  const vessel = b.structure('pelvic vessel', 'slow blood', { flow: 0.4 });
  b.pattern(vessel, [fat], { kind: 'filament', cell: 24, level: 0.085 });
  // Mesorectum: fat in a thin fascia.
  const fascia = b.structure('mesorectal fascia', 'ligament');
  b.ellipsoid(fascia, [0, -28, -170], [32, 25, 44], { over: [fat, vessel] });
  b.ellipsoid(fat, [0, -28, -170], [31, 24, 43], { over: [fascia] });
  b.ellipsoid(b.structure('ischioanal fat', 'fat'), [36, -30, -226], [16, 24, 20], { over: [muscle, fat] });
  b.ellipsoid(b.structure('ischioanal fat', 'fat'), [-36, -30, -226], [16, 24, 20], { over: [muscle, fat] });
}
