/** Organs of the abdomen in the torso frame (origin at the body of L3, RAS mm). */
import type { AnatomyBuilder } from '../anatomy.js';
import { type Side, sign, type Traits } from '../patient.js';
import type { Stream } from '../random.js';

/** Small bowel in the fat in front, and the colon as a frame around it. */
export function bowelFilling(b: AnatomyBuilder, s: Stream): void {
  const fat = b.ids('visceral fat');
  const wall = b.structure('bowel wall', 'bowel wall');
  const content = b.structure('bowel content', 'bowel content');
  const fluid = b.structure('bowel fluid', 'bowel fluid');
  const gas = b.structure('bowel gas', 'air');
  b.pattern(b.structure('mesenteric vessel', 'slow blood'), fat, {
    kind: 'filament',
    cell: 30,
    level: 0.055,
    box: [
      [-90, 0, -150],
      [90, 100, 90],
    ],
  });
  // Small bowel: wandering tubes, each loop over the last.
  for (let n = 0; n < 9; n++) {
    let at: [number, number, number] = [s.uniform(-60, 60), s.uniform(40, 80), s.uniform(-130, 20)];
    let heading = s.uniform(0, 2 * Math.PI);
    const inside = s.choice([content, content, fluid, wall]);
    const loop: [number, number, number, number][] = [];
    for (let m = 0; m < 9; m++) {
      loop.push([...at, s.uniform(9, 13)]);
      heading += s.uniform(-1.3, 1.3);
      const next = [
        at[0] + 26 * Math.cos(heading),
        at[1] + s.uniform(-10, 10),
        at[2] + 24 * Math.sin(heading),
      ];
      if (Math.abs(next[0]!) > 72 || next[2]! > 34 || next[2]! < -145) heading += Math.PI * 0.7;
      at = [
        Math.max(-74, Math.min(74, next[0]!)),
        Math.max(34, Math.min(88, next[1]!)),
        Math.max(-146, Math.min(36, next[2]!)),
      ];
    }
    const free = [...fat, wall, content, fluid, ...b.ids('mesenteric vessel')];
    b.tube(wall, loop, free);
    b.tube(
      inside,
      loop.map(([x, y, z, r]) => [x, y, z, r - 2.6]),
      [...free],
    );
  }
  // Colon, from the right lower corner round to the left.
  const colon = [
    [92, 14, -95, 20],
    [98, 4, -40, 19],
    [96, 8, 20, 18],
    [84, 40, 36, 18],
    [40, 72, 14, 17],
    [-10, 76, 8, 16],
    [-60, 62, 34, 17],
    [-98, 10, 76, 17],
    [-104, -4, 20, 15],
    [-102, 0, -50, 14],
    [-88, 14, -105, 14],
    [-52, 4, -128, 13],
    [-20, -8, -138, 13],
  ] as const;
  b.tube(wall, colon);
  b.tube(
    content,
    colon.map(([x, y, z, r]) => [x, y, z, r - 2.5] as const),
  );
  b.pattern(gas, [content], { kind: 'blob', cell: 26, level: s.uniform(0.2, 0.4) });
}

/** Aorta and inferior vena cava with their branches to the kidneys, the liver and the legs. */
export function aortaAndCava(b: AnatomyBuilder): void {
  const artery = b.structure('aorta', 'blood');
  const vein = b.structure('inferior vena cava', 'slow blood');
  const wall = b.structure('vessel wall', 'bowel wall');
  const aorta = [
    [-16, 4, 200, 11.5],
    [-10, 10, 150, 11],
    [-6, 22, 60, 9.5],
    [-7, 29, -10, 9],
    [-5, 27, -42, 8.5],
  ] as const;
  const cava = [
    [22, 34, 172, 12],
    [22, 26, 110, 11.5],
    [19, 27, 20, 10.5],
    [17, 27, -40, 10.5],
    [10, 24, -58, 10.5],
  ] as const;
  b.tube(
    wall,
    aorta.map(([x, y, z, r]) => [x, y, z, r + 1.5] as const),
  );
  b.tube(artery, aorta);
  b.tube(vein, cava);
  b.tube(artery, [
    [-6, 32, 76, 4],
    [-4, 48, 66, 3.6],
    [-2, 56, 10, 3],
  ]);
  b.tube(vein, [
    [12, 54, 0, 5],
    [10, 44, 64, 6],
    [34, 34, 86, 6.5],
    [50, 30, 98, 6],
  ]);
  b.tube(vein, [
    [10, 40, 70, 5],
    [-30, 18, 88, 4.5],
    [-78, -18, 104, 4],
  ]);
  for (const side of [-1, 1]) {
    b.tube(artery, [
      [-6, 24, 52, 3],
      [side * 44, -14, 48, 2.8],
    ]);
    b.tube(vein, [
      [18, 28, 52, 5],
      [side * 46, -8, 46, 4.5],
    ]);
    b.tube(artery, [
      [-5, 27, -42, 6],
      [side * 26, 14, -80, 5.5],
      [side * 56, 22, -120, 5],
      [side * 74, 62, -190, 5],
      [side * 78, 66, -260, 5],
    ]);
    b.tube(vein, [
      [10, 22, -56, 8],
      [side * 24, 4, -86, 7],
      [side * 52, 12, -126, 6.5],
      [side * 64, 56, -190, 6.5],
      [side * 68, 58, -260, 6.5],
    ]);
  }
}

export interface OrganOptions {
  /** Fat share of the liver: about 0.03 healthy, 0.25 in steatosis. */
  readonly liverFat?: number;
  readonly spleenScale?: number;
  /** Side whose renal pelvis is dilated. */
  readonly hydronephrosis?: Side;
}

/** Size and place of the kidney of a side: centre, radii and turn about the axes. */
export function kidney(side: Side): {
  centre: [number, number, number];
  radii: [number, number, number];
  rotate: [number, number, number];
} {
  const x = sign(side);
  return {
    centre: [x * 60, -20, side === 'right' ? 40 : 52],
    radii: [25, 23, 53],
    rotate: [10, x * -12, x * -28],
  };
}

/** Liver, gallbladder, spleen, stomach, pancreas, adrenals and kidneys. */
export function solidOrgans(b: AnatomyBuilder, traits: Traits, s: Stream, o: OrganOptions = {}): void {
  const fat = b.ids('visceral fat');
  liver(b, s.child('liver'), fat, o.liverFat ?? 0.03);
  kidneys(b, s.child('kidneys'), o.hydronephrosis);
  const spleen = b.structure('spleen', 'spleen');
  const k = o.spleenScale ?? s.vary(1, 0.08);
  b.ellipsoid(spleen, [-90, -22, 122 - (k - 1) * 30], [34 * k, 50 * k, 46 * k], {
    rotate: [20, 0, -25],
    over: [...fat, ...b.ids('liver')],
  });
  b.ellipsoid(b.structure('splenic hilum fat', 'fat'), [-68, 4, 112], [20, 24, 24], { over: [spleen] });
  const stomachWall = b.structure('stomach wall', 'bowel wall');
  const stomach = [
    [-52, -4, 148, 26],
    [-62, 16, 118, 31],
    [-50, 48, 82, 24],
    [-18, 66, 60, 20],
    [20, 54, 58, 14],
    [40, 36, 70, 11],
  ] as const;
  const free = [...fat, ...b.ids('liver', 'spleen', 'splenic hilum fat')];
  b.tube(stomachWall, stomach, free);
  b.tube(
    b.structure('stomach content', s.chance(0.4) ? 'bowel fluid' : 'bowel content'),
    stomach.map(([x, y, z, r]) => [x, y, z, r - 4.5] as const),
    [stomachWall],
  );
  b.ellipsoid(b.structure('bowel gas', 'air'), [-60, 34, 136], [20, 16, 16], {
    over: b.ids('stomach content'),
  });
  const duodenum = [
    [42, 32, 68, 12],
    [54, 14, 48, 12],
    [46, 12, 16, 12],
    [4, 36, 10, 10],
  ] as const;
  b.tube(b.structure('bowel wall', 'bowel wall'), duodenum);
  b.tube(
    b.structure('bowel content', 'bowel content'),
    duodenum.map(([x, y, z, r]) => [x, y, z, r - 3] as const),
  );
  const pancreas = b.structure('pancreas', 'pancreas', { fat: 0.08 + 0.2 * traits.fat });
  b.tube(pancreas, [
    [36, 26, 50, 13],
    [26, 36, 64, 11],
    [0, 44, 76, 8.5],
    [-36, 18, 92, 10],
    [-66, -12, 102, 8],
  ]);
  b.tube(b.structure('pancreatic duct', 'bile'), [
    [34, 26, 52, 1.2],
    [0, 44, 76, 1],
    [-60, -8, 100, 0.8],
  ]);
  const adrenal = b.structure('adrenal gland', 'adrenal');
  for (const side of [-1, 1]) {
    b.tube(adrenal, [
      [side * 36, -6, 106, 2.4],
      [side * 32, 2, 94, 2.6],
      [side * 42, -12, 88, 2],
    ]);
  }
}

function liver(b: AnatomyBuilder, s: Stream, over: readonly number[], liverFat: number): void {
  const id = b.structure('liver', 'liver', { fat: liverFat });
  const left = s.vary(1, 0.1);
  const low = s.vary(0, 7);
  b.ellipsoid(id, [66, 4, 116], [86, 92, 56], { over, square: 0.2 });
  b.ellipsoid(id, [84, -2, 74 + low], [44, 62, 56], { over });
  b.ellipsoid(id, [-6, 48, 126], [74 * left, 44, 34], { over, rotate: [0, -14, 0] });
  // Fat of the hilum, of the falciform ligament and of the gallbladder bed; the vena cava's groove.
  const gap = b.structure('hilar fat', 'fat');
  b.ellipsoid(gap, [22, 12, 76], [30, 34, 24], { over: [id] });
  b.tube(
    gap,
    [
      [14, 96, 96, 3],
      [18, 56, 104, 3],
      [26, 28, 96, 6],
    ],
    [id],
  );
  const vein = b.structure('hepatic vein', 'slow blood');
  const portal = b.structure('portal vein', 'slow blood');
  for (const to of [
    [110, -30, 128],
    [84, 44, 132],
    [24, 64, 138],
    [120, 10, 112],
  ] as const) {
    const mid = [
      (22 + to[0]) / 2 + s.vary(0, 5),
      (28 + to[1]) / 2 + s.vary(0, 5),
      (158 + to[2]) / 2,
    ] as const;
    b.tube(
      vein,
      [
        [22, 30, 160, 5],
        [...mid, 3.6],
        [...to, 1.6],
      ],
      [id],
    );
  }
  for (const to of [
    [116, -38, 92],
    [112, 26, 96],
    [104, 0, 60],
    [92, -44, 120],
    [-30, 56, 124],
    [70, 52, 110],
  ] as const) {
    const start = to[0] < 0 ? ([24, 44, 106] as const) : ([64, 16, 100] as const);
    b.tube(
      portal,
      [
        [46, 30, 96, 5.5],
        [...start, 4.4],
        [
          (start[0] + to[0]) / 2,
          (start[1] + to[1]) / 2 + s.vary(0, 5),
          (start[2] + to[2]) / 2 + s.vary(0, 5),
          3,
        ],
        [...to, 1.4],
      ],
      [id],
    );
  }
  const wall = b.structure('gallbladder wall', 'bowel wall');
  const full = s.vary(1, 0.12);
  const place = [50, 48, 66] as const;
  b.ellipsoid(wall, place, [15 * full, 19 * full, 29 * full], { rotate: [-25, 15, 0] });
  b.ellipsoid(b.structure('gallbladder', 'bile'), place, [13 * full, 17 * full, 27 * full], {
    rotate: [-25, 15, 0],
  });
  b.tube(b.structure('bile duct', 'bile'), [
    [42, 32, 92, 2.2],
    [38, 28, 70, 2.4],
    [42, 22, 48, 2],
  ]);
}

function kidneys(b: AnatomyBuilder, s: Stream, dilated: Side | undefined): void {
  const cortex = { left: 'left kidney cortex', right: 'right kidney cortex' } as const;
  for (const side of ['left', 'right'] as const) {
    const { centre, radii, rotate } = kidney(side);
    const k = s.vary(1, 0.06);
    const r = radii.map((v) => v * k) as [number, number, number];
    const grown = [r[0] + 9, r[1] + 9, r[2] + 10] as const;
    b.ellipsoid(b.structure('perirenal fat', 'fat'), centre, grown, {
      rotate,
      over: b.ids('liver', 'visceral fat'),
    });
    const outer = b.structure(cortex[side], 'kidney cortex');
    const medulla = b.structure(`${side} kidney medulla`, 'kidney medulla');
    const sinus = b.structure('renal sinus fat', 'fat');
    const pelvis = b.structure('renal pelvis', 'urine');
    b.ellipsoid(outer, centre, r, { rotate });
    // Pyramids: an inner zone, cut by columns of cortex.
    b.ellipsoid(medulla, centre, [r[0] - 6, r[1] - 6, r[2] - 7], { rotate, over: [outer] });
    b.pattern(outer, [medulla], { kind: 'sheet', cell: 14, level: 0.12 });
    const x = sign(side);
    const wide = dilated === side ? 1.7 : 0.6;
    b.ellipsoid(sinus, [centre[0] - x * 7, centre[1] + 4, centre[2]], [15, 11, 26], {
      rotate,
      over: [outer, medulla],
    });
    b.ellipsoid(sinus, [centre[0] - x * 20, centre[1] + 9, centre[2]], [10, 9, 17], {
      rotate,
      over: [outer, medulla],
    });
    for (const dz of [-18, 0, 18]) {
      b.tube(
        pelvis,
        [
          [centre[0] - x * 14, centre[1] + 6, centre[2] + dz * 0.3, 3.4 * wide],
          [centre[0] - x * 2, centre[1] + 2, centre[2] + dz, 3.6 * wide],
        ],
        [sinus, outer, medulla],
      );
    }
    b.tube(pelvis, [
      [centre[0] - x * 14, centre[1] + 6, centre[2], 4.6 * wide],
      [centre[0] - x * 24, centre[1] + 10, centre[2] - 12, 3.2 * wide],
      [x * 36, 8, -10, 1.6 * wide],
    ]);
  }
}
