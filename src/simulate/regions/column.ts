/** The vertebral column from C3 to the coccyx, in the torso frame (origin at the body of L3, RAS mm). */
import type { AnatomyBuilder } from '../anatomy.js';
import type { Stream } from '../random.js';

export interface Vertebra {
  readonly name: string;
  /** Centre of the body. */
  readonly y: number;
  readonly z: number;
  /** Half width, half depth, half height of the body. */
  readonly half: readonly [number, number, number];
  /** Forward tilt in degrees: the way the column runs here. */
  readonly tilt: number;
}

/** [name, y, z, half width, half depth, half height] of an average adult. */
const STANDARD = [
  ['C5', 4, 418, 12, 8, 6.5],
  ['C6', 2, 401, 13, 8.5, 6.5],
  ['C7', -3, 384, 14, 9, 7],
  ['T1', -11, 366, 15, 9.5, 8],
  ['T2', -19, 347, 14.5, 10, 8.5],
  ['T3', -26, 327, 14, 10.5, 9],
  ['T4', -31, 306, 14, 11.5, 9],
  ['T5', -34, 284, 14, 12, 9.5],
  ['T6', -35, 261, 14.5, 13, 10],
  ['T7', -34.5, 237, 15, 13.5, 10],
  ['T8', -33, 212, 16, 14, 10.5],
  ['T9', -29, 186, 16.5, 14.5, 11],
  ['T10', -24, 159, 17.5, 14.5, 11.5],
  ['T11', -18, 131, 18.5, 15, 12],
  ['T12', -12, 101.5, 20, 15.5, 12.5],
  ['L1', -6, 69, 21, 16, 13.5],
  ['L2', -2, 35, 22, 16.5, 13.5],
  ['L3', 0, 0, 23, 17, 13.5],
  ['L4', -1, -35, 24, 17.5, 13.5],
  ['L5', -8, -69, 25.5, 18, 13.5],
  ['S1', -25, -100, 27, 15.5, 13.5],
  ['S2', -45, -123, 21, 11, 11.5],
  ['S3', -58, -145, 17, 8.5, 10],
  ['S4', -64, -165, 14, 6.5, 9],
  ['S5', -62, -182, 11, 5, 8],
  ['coccyx', -54, -199, 6, 4, 9],
] as const;

/** The column of one person: lumbar and thoracic curves vary. */
export function drawColumn(s: Stream): Vertebra[] {
  const lordosis = s.vary(0, 2.5);
  const kyphosis = s.vary(0, 3);
  const scoliosis = s.vary(1, 0.04);
  const at = STANDARD.map(([name, y, z, w, d, h]) => {
    const lumbar = z < 110 && z > -90 ? Math.cos(((z - 10) / 100) * 1.4) : 0;
    const thoracic = z > 110 ? Math.sin(((z - 110) / 290) * Math.PI) : 0;
    return {
      name,
      y: y + lordosis * lumbar - kyphosis * thoracic,
      z,
      half: [w * scoliosis, d * scoliosis, h] as const,
    };
  });
  return at.map((v, n) => {
    const [p, q] = [at[Math.max(0, n - 1)]!, at[Math.min(at.length - 1, n + 1)]!];
    return { ...v, tilt: (Math.atan2(q.y - p.y, p.z - q.z) * 180) / Math.PI };
  });
}

export interface ColumnOptions {
  /** Names of the vertebrae above the discs that have lost their water. */
  readonly degenerate?: ReadonlySet<string>;
  /** Share of its height that a vertebral body has lost, by name. */
  readonly collapsed?: ReadonlyMap<string, number>;
  /** Only what lies between these heights, mm. */
  readonly from?: number;
  readonly to?: number;
}

/** Unit vectors of a vertebra's own frame: forward, and up along the column. */
function frame(v: Vertebra): { at: (x: number, forward: number, up: number) => [number, number, number] } {
  const t = (v.tilt * Math.PI) / 180;
  const [c, s] = [Math.cos(t), Math.sin(t)];
  return { at: (x, f, u) => [x, v.y + f * c - u * s, v.z + f * s + u * c] };
}

/** Bodies, discs, canal with cord and roots, and posterior elements. */
export function column(b: AnatomyBuilder, vertebrae: readonly Vertebra[], o: ColumnOptions = {}): void {
  const [low, high] = [o.from ?? -260, o.to ?? 440];
  const bone = b.structure('cortical bone', 'cortical bone');
  const marrow = b.structure('vertebral marrow', 'red marrow');
  const fat = b.structure('epidural fat', 'fat');
  const csf = b.structure('cerebrospinal fluid', 'csf');
  const ligament = b.structure('spinal ligament', 'ligament', { fat: 0.2 });
  const seen = vertebrae.filter(({ z }) => z >= low - 40 && z <= high + 40);
  // Behind the bodies: ligaments and fat first, then bone, then the canal.
  for (const v of seen) {
    const { at } = frame(v);
    const [w, d, h] = v.half;
    const sacral = v.z < -90;
    const canal = -d - 9;
    b.tube(ligament, [
      [...at(0, canal - 16, h), 3],
      [...at(0, canal - 16, -h - 8), 3],
    ]);
    for (const side of v.z > -130 ? [-1, 1] : []) {
      b.tube(bone, [
        [...at(side * w * 0.62, -d + 3, h * 0.35), sacral ? 5 : 4.8],
        [...at(side * w * 0.66, -d - 12, h * 0.2), 5],
      ]);
      b.tube(bone, [
        [...at(side * w * 0.66, -d - 12, h * 0.7), 5.5],
        [...at(side * w * 0.6, -d - 17, -h * 1.1), 5.5],
      ]);
      b.tube(marrow, [
        [...at(side * w * 0.66, -d - 12, h * 0.6), 3.8],
        [...at(side * w * 0.6, -d - 17, -h * 1.0), 3.8],
      ]);
      b.tube(bone, [
        [...at(side * w * 0.6, -d - 15, 0), 4],
        [...at(0, -d - 24, -h * 0.5), 4],
      ]);
      if (!sacral) {
        b.tube(bone, [
          [...at(side * w * 0.7, -d - 9, 2), 4],
          [...at(side * w * 1.55, -d - 12, 4), 3],
        ]);
        b.tube(marrow, [
          [...at(side * w * 0.62, -d + 1, h * 0.35), 3.6],
          [...at(side * w * 0.66, -d - 9, h * 0.25), 3.4],
        ]);
      }
    }
    const reach = v.z > 80 ? [-34, -1.6] : sacral ? [-18, -0.4] : [-36, -0.6];
    if (v.z > -150) {
      b.ellipsoid(bone, at(0, -d - 24 + reach[0]! * 0.4, reach[1]! * h), [3.8, -reach[0]! * 0.62, 9], {
        rotate: [v.tilt + (v.z > 80 ? 28 : 6), 0, 0],
        square: 0.4,
      });
      b.ellipsoid(marrow, at(0, -d - 24 + reach[0]! * 0.4, reach[1]! * h), [2.4, -reach[0]! * 0.55, 7.4], {
        rotate: [v.tilt + (v.z > 80 ? 28 : 6), 0, 0],
        square: 0.4,
      });
    }
  }
  const line = seen.filter(({ z }) => z > -170);
  const behind = (v: Vertebra, extra: number): [number, number, number] =>
    frame(v).at(0, -v.half[1] - extra, 0);
  const width = (v: Vertebra): number =>
    v.z < -90 ? Math.max(3, 8 + (v.z + 90) * 0.07) : v.z > 380 ? 8 : 8.2;
  b.tube(
    fat,
    line.map((v) => [...behind(v, 11), width(v) + 1.2] as const),
  );
  b.tube(
    csf,
    line.filter(({ z }) => z > -140).map((v) => [...behind(v, 8.6), width(v)] as const),
  );
  roots(b, line, behind);
  const disc = b.structure('disc annulus', 'disc annulus');
  const nucleus = b.structure('disc nucleus', 'disc nucleus');
  const dry = b.structure('degenerate disc', 'degenerate disc');
  // Discs first, reaching into the rounded edges of the bodies; then bodies; then what lies inside the discs.
  const cores: (() => void)[] = [];
  seen.forEach((v, n) => {
    const w = seen[n + 1];
    if (!w || v.z < -110) return;
    const gap = Math.hypot(v.y - w.y, v.z - w.z) - v.half[2] - w.half[2];
    const centre = [0, (v.y + w.y) / 2, (v.z + w.z) / 2] as const;
    const rotate = [(v.tilt + w.tilt) / 2, 0, 0] as const;
    const r = [v.half[0] * 1.01, v.half[1] * 1.04, gap / 2] as const;
    b.ellipsoid(disc, centre, [r[0], r[1], r[2] + 4], { rotate, square: 0.9 });
    const inner = [r[0] * 0.74, r[1] * 0.68, r[2] * 0.85] as const;
    const core = o.degenerate?.has(v.name) ? dry : nucleus;
    cores.push(() => b.ellipsoid(core, centre, inner, { rotate, square: 0.4 }));
  });
  for (const v of seen) body(b, v, o.collapsed?.get(v.name) ?? 0);
  for (const paint of cores) paint();
}

function body(b: AnatomyBuilder, v: Vertebra, lost: number): void {
  const bone = b.structure('cortical bone', 'cortical bone');
  const marrow = b.structure('vertebral marrow', 'red marrow');
  const { at } = frame(v);
  const [w, d, h] = v.half;
  const height = h * (1 - lost);
  const centre = at(0, 0, -h * lost);
  const options = { rotate: [v.tilt, 0, 0] as const, square: 1 };
  b.ellipsoid(bone, centre, [w, d, height], options);
  b.ellipsoid(marrow, centre, [w - 1.1, d - 1.1, height - 1.1], options);
  // A slightly hollow waist, filled by fat and vessels; the basivertebral vein enters from behind.
  b.tube(b.structure('basivertebral vein', 'slow blood', { flow: 0 }), [
    [...at(0, -d, -h * lost), 2],
    [...at(0, -d * 0.35, -h * lost), 0.7],
  ]);
}

/** Cord down to L1 and the roots of the cauda equina in the back of the sac below. */
function roots(
  b: AnatomyBuilder,
  line: readonly Vertebra[],
  behind: (v: Vertebra, extra: number) => [number, number, number],
): void {
  const cord = b.structure('spinal cord', 'cord');
  const root = b.structure('nerve root', 'nerve');
  const upper = line.filter(({ z }) => z > 60);
  const radius = (v: Vertebra): number =>
    v.name === 'L1' ? 1.8 : v.name === 'T12' ? 4.4 : v.z > 370 ? 5 : 3.8;
  b.tube(
    cord,
    upper.map((v) => [...behind(v, 8.8), radius(v)] as const),
  );
  const lower = line.filter(({ z }) => z < 90 && z > -140);
  for (const [dx, dy, r] of [
    [-4.2, 12, 0.9],
    [-2.2, 13, 0.9],
    [0, 13.2, 0.9],
    [2.2, 13, 0.9],
    [4.2, 12, 0.9],
    [-5, 9.5, 0.7],
    [5, 9.5, 0.7],
  ] as const) {
    b.tube(
      root,
      lower.map((v) => {
        const [x, y, z] = behind(v, v.z > 50 ? 9.5 : dy);
        return [x + (v.z > 50 ? dx * 0.4 : dx), y, z, r] as const;
      }),
    );
  }
  // Roots leave through the foramina, each in a little fat.
  const fat = b.structure('epidural fat', 'fat');
  for (const v of line) {
    if (v.z < -80) continue;
    const [, d, h] = v.half;
    const { at } = frame(v);
    for (const side of [-1, 1]) {
      b.tube(fat, [
        [...at(side * 9, -d - 7, -h * 0.7), 4],
        [...at(side * 22, -d - 4, -h * 1.0), 4.5],
      ]);
      b.tube(root, [
        [...at(side * 7, -d - 8, -h * 0.2), 1.3],
        [...at(side * 18, -d - 5, -h * 0.8), 2.4],
        [...at(side * 34, -d + 6, -h * 2), 1.8],
      ]);
    }
  }
}
