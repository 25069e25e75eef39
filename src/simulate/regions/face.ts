/** The face: sinuses, nose, jaw, airway and orbits, in the MNI-like frame of the head. */
import type { AnatomyBuilder } from '../anatomy.js';

/** Paints the face over the soft tissue of the head. */
export function face(b: AnatomyBuilder): void {
  const bone = b.structure('cortical bone', 'cortical bone');
  const marrow = b.structure('marrow', 'yellow marrow');
  const mucosa = b.structure('mucosa', 'mucosa');
  const airway = b.structure('airway', 'air');
  const fat = b.structure('subcutaneous fat', 'fat');
  const muscle = b.structure('muscle', 'muscle');
  b.ellipsoid(bone, [0, 46, -54], [32, 32, 28], { square: 0.3 });
  b.ellipsoid(muscle, [0, 44, -54], [29, 29, 25]);
  for (const side of [-1, 1]) b.ellipsoid(fat, [side * 27, 30, -56], [5, 12, 20]);
  const cavity = (centre: readonly [number, number, number], r: readonly [number, number, number]): void => {
    b.ellipsoid(mucosa, centre, [r[0] + 1.2, r[1] + 1.2, r[2] + 1.2], { square: 0.4 });
    b.ellipsoid(airway, centre, r, { square: 0.4 });
  };
  for (const side of [-1, 1]) cavity([side * 25, 50, -60], [12, 15, 15]);
  cavity([0, 48, -33], [10, 24, 11]);
  cavity([0, 6, -38], [12, 12, 9]);
  b.ellipsoid(airway, [0, 80, -6], [17, 4, 9], { over: [bone, fat, muscle] });
  cavity([0, 56, -64], [11, 30, 15]);
  b.ellipsoid(mucosa, [0, 56, -58], [1.6, 30, 22]);
  for (const side of [-1, 1]) {
    b.tube(mucosa, [
      [side * 6, 76, -68, 3.2],
      [side * 6, 34, -68, 3.2],
    ]);
    b.tube(mucosa, [
      [side * 6, 72, -58, 2.4],
      [side * 6, 36, -58, 2.4],
    ]);
  }
  b.pattern(bone, [airway], {
    kind: 'sheet',
    cell: 9,
    level: 0.07,
    box: [
      [-11, 24, -46],
      [11, 74, -20],
    ],
  });
  b.ellipsoid(bone, [0, 52, -82], [24, 30, 3]);
  b.ellipsoid(muscle, [0, 44, -102], [22, 34, 17]);
  b.pattern(fat, [muscle], {
    kind: 'sheet',
    cell: 9,
    level: 0.1,
    box: [
      [-22, 12, -118],
      [22, 74, -88],
    ],
  });
  const jaw = [
    [-50, 6, -58, 5],
    [-47, 14, -92, 6.5],
    [-32, 52, -108, 6.5],
    [-13, 74, -112, 7],
    [13, 74, -112, 7],
    [32, 52, -108, 6.5],
    [47, 14, -92, 6.5],
    [50, 6, -58, 5],
  ] as const;
  b.tube(bone, jaw);
  b.tube(
    marrow,
    jaw.map(([x, y, z, r]) => [x, y, z, r - 2.2]),
  );
  b.tube(bone, [
    [-22, 62, -88, 4.5],
    [-10, 78, -90, 4.5],
    [10, 78, -90, 4.5],
    [22, 62, -88, 4.5],
  ]);
  b.tube(airway, [
    [0, 20, -62, 8],
    [0, 4, -76, 7],
    [0, 0, -100, 6],
    [0, -4, -150, 7],
    [0, -6, -200, 8],
  ]);
  const vitreous = b.structure('vitreous body', 'vitreous humour');
  for (const side of [-1, 1]) {
    b.ellipsoid(bone, [side * 29, 46, -31], [20, 32, 20]);
    b.ellipsoid(fat, [side * 29, 47, -31], [18, 30, 18]);
    b.ellipsoid(b.structure('sclera', 'tendon'), [side * 32, 61, -32], [13.2, 13.2, 13.2]);
    b.ellipsoid(vitreous, [side * 32, 61, -32], [12.2, 12.2, 12.2]);
    b.ellipsoid(b.structure('lens', 'lens'), [side * 32.5, 69.5, -32], [4.8, 2.4, 4.8]);
    b.tube(b.structure('optic nerve', 'nerve'), [
      [side * 31, 49, -32, 2.2],
      [side * 20, 24, -26, 2.2],
      [side * 6, 8, -17, 2.2],
    ]);
    for (const [dx, dz] of [
      [12, 0],
      [-12, 0],
      [0, 12],
      [0, -12],
    ] as const) {
      b.tube(muscle, [
        [side * 32 + dx, 58, -32 + dz, 1.6],
        [side * (29 - 4) + dx * 0.9, 38, -30 + dz * 0.9, 2.4],
        [side * 16, 16, -27, 1.2],
      ]);
    }
  }
}
