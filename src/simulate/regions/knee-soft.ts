/** Skin, fat, muscles and vessels around the knee, and the mirror that makes a left knee of a right one. */
import type { AnatomyBuilder } from '../anatomy.js';
import type { Traits } from '../patient.js';
import type { Stream } from '../random.js';

/** Mirrors for the left side: every position is given for a right knee. */
export class Knee {
  constructor(
    readonly b: AnatomyBuilder,
    private readonly x: 1 | -1,
  ) {}

  at([x, y, z]: readonly [number, number, number]): [number, number, number] {
    return [this.x * x, y, z];
  }

  ball(
    id: number,
    centre: readonly [number, number, number],
    radii: readonly [number, number, number],
    o: {
      rotate?: readonly [number, number, number];
      square?: number;
      over?: readonly number[];
      clip?: readonly {
        point: readonly [number, number, number];
        normal: readonly [number, number, number];
      }[];
      rough?: { cell: number; amount: number };
    } = {},
  ): void {
    const { rotate, clip, ...rest } = o;
    this.b.ellipsoid(id, this.at(centre), radii, {
      ...rest,
      ...(rotate ? { rotate: [rotate[0], this.x * rotate[1], this.x * rotate[2]] as const } : {}),
      ...(clip ? { clip: clip.map((c) => ({ point: this.at(c.point), normal: this.at(c.normal) })) } : {}),
    });
  }

  tube(
    id: number,
    points: readonly (readonly [number, number, number, number])[],
    over?: readonly number[],
  ): void {
    this.b.tube(
      id,
      points.map(([x, y, z, r]) => [this.x * x, y, z, r] as const),
      over,
    );
  }

  loft(
    id: number,
    sections: readonly (readonly [number, number, number, number, number])[],
    o: { square?: number; inset?: number; over?: readonly number[] } = {},
  ): void {
    this.b.loft(
      id,
      sections.map(([z, x, y, rx, ry]) => [z, this.x * x, y, rx, ry] as const),
      o,
    );
  }
}

/** The leg without its joint. */
export function softTissue(k: Knee, traits: Traits, s: Stream): void {
  const { b } = k;
  const skin = b.structure('skin', 'skin');
  const fat = b.structure('subcutaneous fat', 'fat');
  const muscle = b.structure('muscle', 'muscle');
  const t = 3 + 10 * traits.fat + (traits.sex === 'F' ? 2 : 0);
  const leg = (grow: number): (readonly [number, number, number, number, number])[] => [
    [-220, 0, -26, 44 + grow, 48 + grow],
    [-110, 0, -24, 50 + grow, 54 + grow],
    [-50, 0, -8, 48 + grow * 0.8, 52 + grow * 0.6],
    [0, 0, -4, 52 + grow * 0.8, 56 + grow * 0.5],
    [45, 0, -4, 54 + grow, 60 + grow * 0.8],
    [130, 0, 4, 62 + grow, 66 + grow],
    [220, 0, 8, 70 + grow, 72 + grow],
  ];
  k.loft(skin, leg(t + 1.6), { square: 0.1 });
  k.loft(fat, leg(t), { square: 0.1 });
  b.pattern(b.structure('fascia', 'ligament'), [fat], { kind: 'sheet', cell: 22, level: 0.02 });
  const deep = b.structure('deep fat', 'fat');
  k.loft(deep, leg(0), { square: 0.1 });
  const inside = [deep];
  const belly = (sections: readonly (readonly [number, number, number, number, number])[]): void => {
    k.loft(muscle, sections, { over: inside, square: 0.2 });
  };
  const w = s.vary(1.14, 0.05) * (traits.sex === 'M' ? 1.06 : 0.97);
  // Vastus medialis, vastus lateralis, the hamstrings behind, gastrocnemius and popliteus below.
  belly([
    [8, -34, 20, 4, 8],
    [50, -40, 16, 19 * w, 26 * w],
    [220, -36, 22, 34 * w, 40 * w],
  ]);
  belly([
    [36, 36, 22, 5, 8],
    [80, 40, 18, 20 * w, 28 * w],
    [220, 38, 24, 32 * w, 40 * w],
  ]);
  belly([
    [60, 0, 30, 8, 7],
    [220, 0, 46, 30 * w, 22 * w],
  ]);
  belly([
    [-40, -34, -38, 5, 5],
    [20, -36, -42, 12 * w, 15 * w],
    [220, -30, -44, 26 * w, 24 * w],
  ]);
  belly([
    [-30, 40, -26, 4, 5],
    [30, 36, -38, 12 * w, 14 * w],
    [220, 32, -44, 22 * w, 24 * w],
  ]);
  belly([
    [-220, -20, -52, 25 * w, 24 * w],
    [-70, -22, -46, 22 * w, 17 * w],
    [0, -24, -40, 13 * w, 10 * w],
    [26, -24, -34, 5, 5],
  ]);
  belly([
    [-220, 22, -52, 24 * w, 24 * w],
    [-70, 22, -46, 21 * w, 17 * w],
    [0, 24, -40, 12 * w, 10 * w],
    [26, 24, -34, 5, 5],
  ]);
  belly([
    [-220, 2, -26, 34 * w, 22],
    [-70, 2, -24, 28 * w, 13],
    [-34, 4, -24, 16, 7],
  ]);
  belly([
    [-220, 32, 6, 20, 26],
    [-60, 34, 2, 12, 18],
    [-36, 34, 4, 5, 8],
  ]);
  b.pattern(b.structure('intermuscular fat', 'fat'), [muscle], { kind: 'sheet', cell: 24, level: 0.03 });
  const artery = b.structure('popliteal artery', 'blood');
  const vein = b.structure('popliteal vein', 'slow blood');
  k.tube(artery, [
    [-2, -36, 220, 3.6],
    [0, -36, 20, 3.4],
    [2, -38, -40, 3.2],
    [4, -40, -220, 2.6],
  ]);
  k.tube(vein, [
    [4, -44, 220, 5],
    [3, -44, 20, 4.8],
    [2, -46, -60, 4.4],
    [2, -46, -220, 3],
  ]);
  k.tube(b.structure('tibial nerve', 'nerve'), [
    [8, -52, 160, 3.6],
    [6, -52, 0, 3.2],
    [4, -50, -120, 3],
  ]);
  k.tube(vein, [
    [-46, -18, 220, 1.8],
    [-52, -20, 0, 1.8],
    [-46, -10, -220, 1.8],
  ]);
}
