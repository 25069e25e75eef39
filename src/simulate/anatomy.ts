/** An anatomy: structures with tissues, the shapes that place them, and the way from the patient to their frame. */
import type { Vec3 } from '../volume/volume.js';
import { NoiseField } from './noise.js';
import type { Stream } from './random.js';
import {
  capsule,
  type Cover,
  ellipsoid,
  type EllipsoidOptions,
  loft,
  type Matrix3,
  type Pattern,
  pattern,
  rotation,
  type Section,
  type Shape,
} from './shapes.js';
import { type Tissue, type TissueName, TISSUES } from './tissue.js';

/** A rule of simulation was broken by the input. */
export class SimulationError extends Error {
  override readonly name = 'SimulationError';
}

export interface Structure {
  /** The value in label volumes. */
  readonly id: number;
  /** e.g. "left kidney cortex"; the same in every patient. */
  readonly name: string;
  readonly tissue: Tissue;
}

/** One smooth wave of displacement, mm. */
interface Wave {
  readonly k: Vec3;
  readonly phase: number;
  readonly amount: Vec3;
}

export interface Anatomy {
  readonly structures: readonly Structure[];
  readonly shapes: readonly Shape[];
  readonly noise: NoiseField;
  /** p in RAS mm of the patient goes to matrix · p + offset, then the waves displace it. */
  readonly matrix: Matrix3;
  readonly offset: Vec3;
  readonly waves: readonly Wave[];
  /** No wave moves a point by more than this, mm. */
  readonly reach: number;
}

export interface Frame {
  /** How much larger than the standard anatomy along R, A, S. */
  readonly scale: Vec3;
  /** Degrees about x, y, z by which the patient lies turned. */
  readonly turn: Vec3;
  /** Where the standard origin lies in the patient's RAS, mm. */
  readonly shift: Vec3;
  /** Size of the smooth individual deformation, mm. */
  readonly bend: number;
}

/** Collects structures and shapes in painting order; region modules fill it. */
export class AnatomyBuilder {
  readonly structures: Structure[] = [{ id: 0, name: 'air', tissue: TISSUES.air }];
  readonly shapes: Shape[] = [];
  readonly noise: NoiseField;
  private readonly byName = new Map<string, number>([['air', 0]]);
  private readonly everything: Cover = new Uint8Array(256).fill(1);
  private salt = 0;

  constructor(
    readonly stream: Stream,
    readonly frame: Frame,
  ) {
    this.noise = new NoiseField(stream.child('noise'));
  }

  /** A length of real millimetres in the standard frame (by the mean scale): for things whose size is reported. */
  mm(length: number): number {
    const [a, b, c] = this.frame.scale;
    return length / Math.cbrt(a * b * c);
  }

  /**
   * Id of the structure of that name, made on first use. Each patient's relaxation times and density differ from
   * the table by a few percent; `change` sets values outright.
   */
  structure(name: string, tissueName: TissueName, change: Partial<Tissue> = {}): number {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const id = this.structures.length;
    if (id > 255) throw new SimulationError('internal: an anatomy has at most 255 structures');
    const base = TISSUES[tissueName];
    const s = this.stream.child('tissue', tissueName);
    const [f1, f2, fd] = [s.vary(1, 0.03), s.vary(1, 0.04), s.vary(1, 0.02)];
    const tissue: Tissue = {
      ...base,
      t1: [base.t1[0] * f1, base.t1[1] * f1],
      t2: [base.t2[0] * f2, base.t2[1] * f2],
      pd: Math.min(1, base.pd * fd),
      ...change,
    };
    this.structures.push({ id, name, tissue });
    this.byName.set(name, id);
    return id;
  }

  /** Ids of structures that exist under these names; unknown names are an error. */
  ids(...names: readonly string[]): number[] {
    return names.map((name) => {
      const id = this.byName.get(name);
      if (id === undefined) throw new SimulationError(`internal: no structure is named "${name}"`);
      return id;
    });
  }

  private cover(over: readonly number[] | undefined): Cover {
    if (over === undefined) return this.everything;
    const cover = new Uint8Array(256);
    for (const id of over) cover[id] = 1;
    return cover;
  }

  ellipsoid(
    id: number,
    centre: Vec3,
    radii: Vec3,
    options: EllipsoidOptions & { over?: readonly number[] } = {},
  ): this {
    this.shapes.push(ellipsoid(id, this.cover(options.over), this.noise, centre, radii, options));
    return this;
  }

  /** A tube through points [x, y, z, radius]. */
  tube(
    id: number,
    points: readonly (readonly [number, number, number, number])[],
    over?: readonly number[],
  ): this {
    const cover = this.cover(over);
    for (let i = 1; i < points.length; i++) {
      const [a, b] = [points[i - 1]!, points[i]!];
      this.shapes.push(capsule(id, cover, [a[0], a[1], a[2]], [b[0], b[1], b[2]], a[3], b[3]));
    }
    return this;
  }

  loft(
    id: number,
    sections: readonly Section[],
    options: { axis?: 'x' | 'y' | 'z'; square?: number; inset?: number; over?: readonly number[] } = {},
  ): this {
    const cover = this.cover(options.over);
    this.shapes.push(loft(id, cover, sections, options.axis, options.square, options.inset));
    return this;
  }

  pattern(id: number, over: readonly number[], p: Pattern): this {
    this.shapes.push(pattern(id, this.cover(over), this.noise, ++this.salt, p));
    return this;
  }

  /** A shape of its own kind; `make` gets the cover that `over` stands for. */
  custom(over: readonly number[] | undefined, make: (cover: Cover) => Shape): this {
    this.shapes.push(make(this.cover(over)));
    return this;
  }

  build(): Anatomy {
    const { scale, turn, shift, bend } = this.frame;
    const r = rotation(...turn);
    // Patient to standard frame: undo the shift, the turn (transpose), then the scale.
    const matrix = [0, 1, 2].map((i) => [0, 1, 2].map((j) => r[j]![i]! / scale[i]!)) as unknown as Matrix3;
    const offset = matrix.map((row) => -(row[0] * shift[0] + row[1] * shift[1] + row[2] * shift[2]));
    const s = this.stream.child('waves');
    const waves: Wave[] = [];
    for (const [length, share] of [
      [260, 0.45],
      [170, 0.35],
      [110, 0.2],
      [70, 0.1],
      [48, 0.06],
    ] as const) {
      const k = [s.normal(), s.normal(), s.normal()];
      const norm = (2 * Math.PI) / length / Math.hypot(...k);
      const a = [s.normal(), s.normal(), s.normal()];
      const size = (share * bend) / Math.max(1, Math.hypot(...a) / 1.5);
      waves.push({
        k: k.map((v) => v * norm) as unknown as Vec3,
        phase: s.uniform(0, 2 * Math.PI),
        amount: a.map((v) => v * size) as unknown as Vec3,
      });
    }
    const reach = waves.reduce((sum, { amount }) => sum + Math.hypot(...amount), 0);
    return {
      structures: this.structures,
      shapes: this.shapes,
      noise: this.noise,
      matrix,
      offset: offset as unknown as Vec3,
      waves,
      reach,
    };
  }
}
