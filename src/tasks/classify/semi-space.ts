/** The spaces in which the members of the semi-supervised committee look at a case; labels play no part in them. */
import { principalAxes } from './principal.js';
import { standardisation } from './logistic.js';

/** What one member sees: some of the features, along their principal axes. */
interface Sight {
  /** [dim] each, of unit length over standardised features. */
  readonly axes: readonly Float64Array[];
  /** Of each axis: 1, or less for axes along which cases vary much; scaled to {@link TOTAL_VARIANCE}. */
  readonly factors: Float64Array;
}

/** A linear map of one member: logits of a case in its sight. */
export interface Linear {
  /** [classes][axes] */
  readonly weights: readonly Float64Array[];
  readonly bias: Float64Array;
}

/** Diseases lie along more axes than contrasts and planes do; each costs time. */
const MOST_AXES = 128;
/** Axes are taken from no more cases than this. */
const MOST_CASES = 1000;
/** Of a member's features together, so that one penalty suits them all: that of 384 standardised features. */
const TOTAL_VARIANCE = 384;
/** Added to variances relative to their mean before whitening, so that axes of little variance do not drown in noise. */
const TOKEN_RIDGE = 1;
/** Less for all views together: a small lesion shows along axes of little variance. */
const RIDGE = 0.3;

export class SemiSpace {
  private readonly seen = new WeakMap<Float32Array, readonly Float64Array[]>();

  private constructor(
    /** Of all features; a block's together have a variance of 1. */
    readonly mean: Float64Array,
    readonly scale: Float64Array,
    private readonly sights: readonly Sight[],
  ) {}

  /**
   * Of three views (see `allViews`): the summary and the intensities as they are, the tokens and all views together
   * whitened (what varies much among all cases, as scanners and anatomy do, counts for less: the shrunken pooled
   * covariance of linear discriminant analysis, which needs no labels where classes are a small part of the variance). A
   * single view is taken as it is.
   * @param blocks widths of the views.
   */
  static of(cases: readonly Float32Array[], blocks: readonly number[]): SemiSpace {
    const { mean, scale } = standardisation(cases);
    let at = 0;
    const ranges = blocks.map((width) => [at, (at += width)] as const);
    for (const [from, to] of ranges)
      for (let d = from; d < to; d++) scale[d]! /= Math.sqrt(Math.max(1, to - from));
    const step = Math.max(1, Math.ceil(cases.length / MOST_CASES));
    const rows = cases.filter((_, n) => n % step === 0).map((row) => standard(row, mean, scale));
    const sights = ranges.map((range, n) => sightOf(rows, range, n === 1 ? TOKEN_RIDGE : undefined));
    if (ranges.length > 1) sights.push(sightOf(rows, [0, mean.length], RIDGE));
    return new SemiSpace(mean, scale, sights);
  }

  get members(): number {
    return this.sights.length;
  }

  /** What each member sees of a case. */
  see(features: Float32Array): readonly Float64Array[] {
    const known = this.seen.get(features);
    if (known) return known;
    const row = standard(features, this.mean, this.scale);
    const out = this.sights.map(({ axes, factors }) =>
      Float64Array.from(axes, (axis, a) => {
        let sum = 0;
        for (let d = 0; d < row.length; d++) sum += row[d]! * axis[d]!;
        return sum * factors[a]!;
      }),
    );
    this.seen.set(features, out);
    return out;
  }

  /** A member's map as one on standardised features: [classes][dim]. */
  unfold(member: number, { weights }: Linear): Float64Array[] {
    const { axes, factors } = this.sights[member]!;
    return weights.map((row) => {
      const out = new Float64Array(this.mean.length);
      axes.forEach((axis, a) => {
        const share = row[a]! * factors[a]!;
        for (let d = 0; d < out.length; d++) out[d]! += share * axis[d]!;
      });
      return out;
    });
  }
}

const standard = (row: Float32Array, mean: Float64Array, scale: Float64Array): Float64Array =>
  Float64Array.from(mean, (m, d) => (row[d]! - m) * scale[d]!);

function sightOf(
  rows: readonly Float64Array[],
  [from, to]: readonly [number, number],
  ridge?: number,
): Sight {
  const { axes, variances } = principalAxes(
    rows.map((row) => row.subarray(from, to)),
    MOST_AXES,
  );
  const typical = variances.reduce((sum, v) => sum + v, 0) / Math.max(1, variances.length);
  const factors = variances.map((v) => (ridge === undefined ? 1 : 1 / Math.sqrt(v / typical + ridge)));
  const total = variances.reduce((sum, v, a) => sum + v * factors[a]! ** 2, 0);
  const unit = total > 0 ? Math.sqrt(TOTAL_VARIANCE / total) : 0;
  const dim = rows[0]?.length ?? 0;
  return {
    axes: axes.map((axis) => {
      const whole = new Float64Array(dim);
      whole.set(axis, from);
      return whole;
    }),
    factors: factors.map((f) => f * unit),
  };
}
