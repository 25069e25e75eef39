/** Head: scalp, skull, brain and face, in an MNI-like frame (origin at the anterior commissure, RAS mm). */
import { AnatomyBuilder } from '../anatomy.js';
import type { Finding, Traits } from '../patient.js';
import type { Protocol } from '../protocol.js';
import type { Stream } from '../random.js';
import type { Clip } from '../shapes.js';
import { cerebellum, cerebrum } from './cerebrum.js';
import { face } from './face.js';
import { brainFindings } from './head-findings.js';
import type { Scene } from './region.js';

/** Centre of the examined volume in the MNI-like frame. */
const CENTRE = [0, -16, 4] as const;

const PROTOCOLS: readonly Protocol[] = [
  {
    contrast: 'T2w',
    technique: 'tse',
    planes: ['axial', 'axial', 'coronal'],
    fov: [210, 240],
    thickness: [3, 5],
    cover: 140,
  },
  {
    contrast: 'FLAIR',
    technique: 'flair',
    planes: ['axial', 'axial', 'coronal', 'sagittal'],
    fov: [215, 240],
    thickness: [3, 5],
    cover: 140,
  },
  {
    contrast: 'T1w',
    technique: 'mprage',
    planes: ['sagittal', 'sagittal', 'axial'],
    fov: [230, 256],
    thickness: [1, 2.5],
    cover: 165,
  },
  {
    contrast: 'T1w',
    technique: 'se',
    planes: ['sagittal', 'axial'],
    fov: [215, 240],
    thickness: [3, 5],
    cover: 140,
  },
  {
    contrast: 'T1w+C',
    technique: 'se',
    planes: ['axial', 'coronal'],
    fov: [215, 240],
    thickness: [3, 5],
    cover: 140,
    weight: 0.8,
  },
  {
    contrast: 'DWI',
    technique: 'epi',
    planes: ['axial'],
    fov: [220, 240],
    thickness: [4, 5],
    cover: 140,
    fatSat: true,
    b: 1000,
  },
  {
    contrast: 'ADC',
    technique: 'epi',
    planes: ['axial'],
    fov: [220, 240],
    thickness: [4, 5],
    cover: 140,
    fatSat: true,
    b: 1000,
    weight: 0.6,
  },
  {
    contrast: 'T2*w',
    technique: 'flash',
    planes: ['axial'],
    fov: [215, 235],
    thickness: [4, 5],
    cover: 140,
    weight: 0.4,
  },
  {
    contrast: 'PDw',
    technique: 'tse',
    planes: ['axial'],
    fov: [215, 240],
    thickness: [3, 5],
    cover: 140,
    weight: 0.3,
  },
];

export function head(traits: Traits, stream: Stream): Scene {
  const s = stream.child('head');
  const size = traits.size ** 0.6;
  const scale = [s.vary(size, 0.02), s.vary(size, 0.02), s.vary(size, 0.02)] as const;
  const turn = [s.vary(0, 4), s.vary(0, 2), s.vary(0, 2.5)] as const;
  const b = new AnatomyBuilder(s, {
    scale,
    turn,
    shift: [-CENTRE[0] * scale[0], -CENTRE[1] * scale[1], -CENTRE[2] * scale[2]],
    bend: 3.2,
  });
  const old = Math.max(0, (traits.age - 45) / 40);
  softTissue(b, traits);
  face(b);
  skull(b);
  brain(b, s, old);
  vessels(b);
  const findings: Finding[] = brainFindings(b, s.child('findings'), traits, old);
  return {
    anatomy: b.build(),
    bodyPart: 'BRAIN',
    bodyPartName: 'brain',
    findings,
    normal: [
      'The midline structures are not displaced.',
      'The basal cisterns are open.',
      'The orbits and paranasal sinuses are unremarkable.',
      'Normal flow voids of the large vessels at the base of the skull.',
    ],
    centre: [0, 0, s.uniform(-6, 6)],
    protocols: PROTOCOLS,
  };
}

function softTissue(b: AnatomyBuilder, traits: Traits): void {
  const skin = b.structure('skin', 'skin');
  const fat = b.structure('subcutaneous fat', 'fat');
  const muscle = b.structure('muscle', 'muscle');
  const thick = 2.5 + 3 * traits.fat;
  const shell = (id: number, inset: number): void => {
    b.ellipsoid(id, [0, -15, 4], [78 - inset, 100 - inset, 88 - inset]);
    b.loft(
      id,
      [
        [-124, 0, 22, 34, 36],
        [-108, 0, 34, 47, 48],
        [-84, 0, 30, 58, 55],
        [-55, 0, 20, 66, 66],
        [-20, 0, 2, 72, 82],
        [0, 0, -10, 73, 92],
      ],
      { square: 0.25, inset },
    );
    b.loft(
      id,
      [
        [-200, 0, -36, 60, 60],
        [-110, 0, -36, 56, 58],
        [-70, 0, -38, 62, 62],
        [-20, 0, -30, 70, 72],
      ],
      { inset },
    );
    b.tube(id, [
      [0, 82, -22, 9 - inset * 0.6],
      [0, 100, -48, 11 - inset * 0.6],
    ]);
    for (const side of [-1, 1])
      b.ellipsoid(id, [side * 74, -22, -34], [8 - inset * 0.6, 15 - inset, 27 - inset]);
  };
  shell(skin, 0);
  shell(fat, 2);
  shell(muscle, 2 + thick);
  // Under the vault there is little muscle: temporalis at the sides, fat elsewhere.
  b.ellipsoid(fat, [0, -15, 4], [76, 97.5, 85.5], { over: [muscle], clip: [above(14)] });
  for (const side of [-1, 1]) {
    b.ellipsoid(muscle, [side * 70, 14, -4], [6, 32, 40], { over: [fat] });
    b.ellipsoid(fat, [side * 46, 40, -66], [11, 20, 18]);
    b.ellipsoid(b.structure('parotid gland', 'gland'), [side * 58, -12, -70], [11, 15, 20]);
    b.ellipsoid(muscle, [side * 54, 14, -76], [7, 15, 24]);
  }
  // Fat between the muscles of the neck.
  b.pattern(fat, [muscle], {
    kind: 'sheet',
    cell: 26,
    level: 0.06,
    box: [
      [-80, -110, -220],
      [80, 120, -40],
    ],
  });
}

function above(z: number): Clip {
  return { point: [0, 0, z], normal: [0, 0, -1] };
}

/** Bone around the brain: outer table, marrow (diploe), inner table; and the bones of the base. */
function skull(b: AnatomyBuilder): void {
  const bone = b.structure('cortical bone', 'cortical bone');
  const diploe = b.structure('diploe', 'yellow marrow');
  const csf = b.structure('cerebrospinal fluid', 'csf');
  const base: Clip[] = [above(-29)];
  const vault = (id: number, grow: number): void => {
    b.ellipsoid(id, [0, -15, 8], [69.5 + grow, 90 + grow, 73 + grow], { clip: base });
  };
  vault(bone, 7);
  vault(diploe, 5.2);
  vault(bone, 2.4);
  for (const side of [-1, 1]) {
    // Petrous bone with air cells.
    b.ellipsoid(bone, [side * 42, -28, -38], [24, 11, 11], { rotate: [0, 0, side * -35] });
    b.ellipsoid(b.structure('mastoid air cells', 'air'), [side * 60, -40, -44], [7, 10, 14]);
    b.ellipsoid(b.structure('labyrinth', 'csf'), [side * 36, -27, -36], [5, 2.5, 2.5]);
  }
  b.pattern(bone, b.ids('mastoid air cells'), { kind: 'sheet', cell: 5, level: 0.2 });
  for (const side of [-1, 1]) b.ellipsoid(bone, [side * 44, -16, -18], [27, 49, 30]);
  b.ellipsoid(b.structure('sphenoid marrow', 'red marrow', { fat: 0.7 }), [0, 4, -36], [22, 14, 9]);
  b.ellipsoid(bone, [0, -62, -34], [60, 42, 34]);
  b.tube(bone, [
    [0, -2, -30, 8.5],
    [0, -20, -60, 8],
  ]);
  b.tube(b.structure('clivus marrow', 'red marrow', { fat: 0.6 }), [
    [0, -2, -31, 6.5],
    [0, -19, -57, 6],
  ]);
  // The inside.
  b.ellipsoid(csf, [0, -15, 8], [69.5, 90, 73], { clip: [above(-22)] });
  for (const side of [-1, 1]) b.ellipsoid(csf, [side * 44, -16, -18], [24, 46, 27]);
  b.ellipsoid(csf, [0, -64, -34], [56, 37, 30]);
  b.ellipsoid(csf, [0, -26, -34], [30, 16, 24]);
  b.ellipsoid(csf, [0, 2, -14], [17, 15, 9]);
  // Spine below.
  const disc = b.structure('intervertebral disc', 'disc annulus');
  b.tube(disc, [
    [0, -24, -78, 8],
    [0, -30, -200, 8],
  ]);
  b.tube(bone, [
    [0, -22, -70, 6],
    [0, -26, -86, 9],
  ]);
  for (let n = 0; n < 6; n++) {
    const at: readonly [number, number, number] = [0, -26 - n * 0.8, -92 - n * 19];
    b.ellipsoid(bone, at, [11, 9.5, 8], { square: 0.6 });
    b.ellipsoid(b.structure('vertebral marrow', 'red marrow'), at, [9.8, 8.3, 6.8], { square: 0.6 });
    b.ellipsoid(bone, [0, -72, at[2] - 6], [3.5, 11, 4.5]);
    for (const side of [-1, 1]) {
      b.ellipsoid(bone, [side * 17, -42, at[2]], [7, 8, 7]);
      b.ellipsoid(b.structure('vertebral marrow', 'red marrow'), [side * 17, -42, at[2]], [5, 6, 5]);
    }
  }
  b.ellipsoid(b.structure('vertebral marrow', 'red marrow'), [0, -24, -78], [5, 5, 9]);
  b.tube(csf, [
    [0, -42, -56, 13],
    [0, -46, -80, 9.5],
    [0, -48, -200, 8.5],
  ]);
}

function brain(b: AnatomyBuilder, s: Stream, old: number): void {
  const csf = b.structure('cerebrospinal fluid', 'csf');
  const grey = b.structure('grey matter', 'grey matter');
  const white = b.structure('white matter', 'white matter');
  const options = { grey, white, csf, furrow: 0.45 + 0.75 * old, ribbon: s.vary(2.9, 0.15) };
  b.custom(undefined, (cover) => cerebrum(cover, options, s.child('folds')));
  b.ellipsoid(csf, [0, -64, -33], [54, 33.5, 27.5], { over: [grey, white], clip: [tent(-4)] });
  b.ellipsoid(csf, [0, -26, -26], [17, 18, 22], { over: [grey, white], clip: [tent(-14)] });
  b.custom(undefined, (cover) => cerebellum(cover, options, s.child('folia')));
  const stem = b.structure('brainstem', 'white matter', { t1: [760, 980], t2: [80, 76] });
  b.ellipsoid(stem, [0, -24, -13], [14, 9.5, 9]);
  b.ellipsoid(stem, [0, -25, -30], [15, 11.5, 13]);
  for (const side of [-1, 1]) {
    b.tube(stem, [
      [side * 9, -18, -14, 5],
      [side * 16, -10, -2, 6],
    ]);
    b.tube(stem, [
      [side * 13, -30, -32, 6],
      [side * 22, -48, -36, 6],
    ]);
  }
  b.tube(stem, [
    [0, -34, -42, 9],
    [0, -42, -58, 6.5],
  ]);
  b.tube(b.structure('spinal cord', 'cord'), [
    [0, -42, -58, 6],
    [0, -46, -80, 5.5],
    [0, -48, -200, 5],
  ]);
  b.ellipsoid(csf, [0, -43, -33], [6.5, 4.5 + old, 11]);
  // Deep grey matter.
  const basal = b.structure('basal ganglia', 'deep grey');
  const pallidum = b.structure('pallidum', 'pallidum');
  const thalamus = b.structure('thalamus', 'deep grey', { t1: [900, 1200], t2: [80, 74] });
  for (const side of [-1, 1]) {
    b.ellipsoid(basal, [side * 14, 13, 8], [6, 11, 9], { over: [white] });
    b.tube(
      basal,
      [
        [side * 15, 6, 15, 5],
        [side * 20, -18, 22, 3],
        [side * 27, -32, 14, 2],
      ],
      [white, basal],
    );
    b.ellipsoid(basal, [side * 26, 2, 1], [5.5, 15, 10.5], { rotate: [0, 0, side * 8] });
    b.ellipsoid(pallidum, [side * 19, -2, -1], [4, 9, 6.5], { rotate: [0, 0, side * 18] });
    b.ellipsoid(thalamus, [side * 11, -19, 8], [9.5, 15, 9], { rotate: [0, 0, side * 20] });
    b.ellipsoid(grey, [side * 25, -20, -15], [6, 18, 5], { rotate: [-12, 0, side * -8] });
    b.ellipsoid(grey, [side * 22, -3, -18], [7, 8, 8]);
  }
  b.ellipsoid(b.structure('red nucleus', 'pallidum'), [-5, -22, -9], [2.5, 2.5, 3]);
  b.ellipsoid(b.structure('red nucleus', 'pallidum'), [5, -22, -9], [2.5, 2.5, 3]);
}

/** Keeps what lies below the tentorium, a tent that falls to the sides and to the back; `top` is its height. */
function tent(top: number): Clip {
  return { point: [0, -45, top], normal: [0, -0.42, 1] };
}

function vessels(b: AnatomyBuilder): void {
  const blood = b.structure('vessel', 'blood');
  const sinus = b.structure('venous sinus', 'slow blood', { flow: 0.85 });
  const arc = Array.from({ length: 11 }, (_, n) => {
    const angle = ((20 + n * 16.5) * Math.PI) / 180;
    return [0, -15 + 90 * Math.cos(angle), 8 + 73 * Math.sin(angle), 1.2 + n * 0.22] as const;
  });
  b.tube(sinus, arc);
  for (const side of [-1, 1]) {
    b.tube(sinus, [
      [0, -102, -8, 3.2],
      [side * 30, -94, -18, 3],
      [side * 52, -62, -24, 3.2],
      [side * 50, -46, -44, 3.5],
      [side * 34, -36, -62, 4],
      [side * 32, -20, -110, 5],
      [side * 32, -20, -200, 6],
    ]);
    b.tube(blood, [
      [side * 26, -8, -200, 3.2],
      [side * 26, -4, -80, 2.6],
      [side * 24, -8, -50, 2.4],
      [side * 10, 2, -30, 2.2],
      [side * 11, 5, -17, 2],
      [side * 24, 4, -15, 1.6],
      [side * 38, 2, -10, 1.4],
    ]);
    b.tube(blood, [
      [side * 10, 6, -15, 1.3],
      [side * 1.6, 20, -8, 1.2],
      [side * 1.4, 38, 8, 1.1],
      [side * 1.4, 20, 34, 0.9],
    ]);
    b.tube(blood, [
      [side * 2, -14, -14, 1.2],
      [side * 18, -22, -12, 1.2],
      [side * 22, -46, -4, 1],
    ]);
  }
  b.tube(blood, [
    [0, -24, -56, 1.7],
    [0, -12, -34, 1.6],
    [0, -11, -16, 1.6],
  ]);
  b.ellipsoid(b.structure('pituitary gland', 'pituitary'), [0, 3, -23], [6, 5, 3.4]);
  b.tube(b.structure('pituitary gland', 'pituitary'), [
    [0, 3, -21, 1.2],
    [0, 0, -12, 1],
  ]);
  b.tube(b.structure('optic nerve', 'nerve'), [
    [-6, 8, -15.5, 2],
    [0, 4, -14, 2.2],
    [6, 8, -15.5, 2],
  ]);
}
