import { describe, expect, it } from 'vitest';
import { principalAxes } from '../../src/tasks/classify/principal.js';
import { allViews, intensityView, INTENSITY_WIDTH, viewWidths } from '../../src/tasks/classify/views.js';
import { Random } from '../../src/volume/random.js';
import type { TokenSet } from '../../src/volume/tokens.js';

/** Two tokens of 2³ samples: a ramp along x (0, 1), the second moved by 0.5; the last sample was not measured. */
function ramp(): TokenSet {
  const patches = Float32Array.from({ length: 16 }, (_, p) => (p % 2) + (p >= 8 ? 0.5 : 0));
  const measured = new Uint8Array(16).fill(1);
  measured[15] = 0;
  const positions = Float32Array.of(0, 0, 0, 16, 0, -32);
  return {
    count: 2,
    patchMm: 16,
    samples: 2,
    patches,
    measured,
    valid: Float32Array.of(1, 0.875),
    positions,
  };
}

describe('intensityView', () => {
  it('counts, averages and compares neighbours of the measured samples', () => {
    const view = intensityView(ramp());
    expect(view).toHaveLength(INTENSITY_WIDTH);
    // Bins of a quarter from -2: values 0 and 0.5 four times each, 1 four times, 1.5 three times.
    expect([8, 10, 12, 14].map((bin) => view[bin]! * 15)).toEqual(
      [4, 4, 4, 3].map((n) => expect.closeTo(n, 5) as number),
    );
    const values = [0, 0.5, 1].flatMap((x) => [x, x, x, x]).concat(1.5, 1.5, 1.5);
    const mean = values.reduce((sum, x) => sum + x) / 15;
    const moment = (power: number): number => values.reduce((sum, x) => sum + (x - mean) ** power, 0) / 15;
    expect(view[16]).toBeCloseTo(mean, 6);
    expect(view[17]).toBeCloseTo(Math.sqrt(moment(2)), 6);
    expect(view[18]).toBeCloseTo(moment(3) / moment(2) ** 1.5, 5);
    expect(view[19]).toBeCloseTo(moment(4) / moment(2) ** 2, 5);
    // One apart along x: 1 everywhere; along y and z: nothing; two apart there is no neighbour.
    expect([...view.slice(20, 26)]).toEqual([1, 0, 0, 0, 0, 0]);
    expect([...view.slice(26)].map((x) => x.toFixed(2))).toEqual(['0.16', '0.00', '0.32', '0.02']);
  });
});

describe('allViews', () => {
  it('lays the summary, the spread, most and least of the tokens, and intensities side by side', () => {
    const features = { summary: Float32Array.of(1, 2, 3, 4), tokens: Float32Array.of(1, 5, 3, -5) };
    const all = allViews(features, ramp());
    expect(all).toHaveLength(viewWidths(2).reduce((sum, width) => sum + width));
    expect([...all.slice(0, 10)]).toEqual([1, 2, 3, 4, 1, 5, 3, 5, 1, -5]);
    expect([...all.slice(10)]).toEqual([...intensityView(ramp())]);
  });
});

describe('principalAxes', () => {
  it('finds the axes along which cases were spread', () => {
    const random = new Random(3);
    const spreads = [5, 3, 1, 0.1, 0.1, 0.1];
    // Axes of a rotation in the planes (0, 1) and (2, 3) by 30 degrees.
    const [c, s] = [Math.cos(Math.PI / 6), Math.sin(Math.PI / 6)];
    const rows = Array.from({ length: 4000 }, () => {
      const x = spreads.map((spread) => spread * random.normal());
      return Float64Array.of(
        c * x[0]! - s * x[1]!,
        s * x[0]! + c * x[1]!,
        c * x[2]! - s * x[3]!,
        s * x[2]! + c * x[3]!,
        x[4]!,
        x[5]!,
      );
    });
    const { axes, variances } = principalAxes(rows, 3);
    expect([...variances].map((v, n) => v / spreads[n]! ** 2)).toEqual(
      [1, 1, 1].map((x) => expect.closeTo(x, 1) as number),
    );
    const truth = [
      [c, s, 0, 0],
      [-s, c, 0, 0],
      [0, 0, c, s],
    ];
    axes.forEach((axis, n) => {
      const along = truth[n]!.reduce((sum, x, d) => sum + x * axis[d]!, 0);
      expect(Math.abs(along)).toBeGreaterThan(0.999);
    });
  });

  it.each([
    ['the cases of a plane, of which there are fewer than features', 2],
    ['nothing in cases that do not differ', 0],
  ])('spans %s', (_, rank) => {
    const random = new Random(4);
    const spanning = Array.from({ length: rank }, () =>
      Float64Array.from({ length: 30 }, () => random.normal()),
    );
    const rows = Array.from({ length: 7 }, () => {
      const row = new Float64Array(30);
      for (const axis of spanning) {
        const share = random.normal();
        axis.forEach((x, d) => (row[d]! += share * x));
      }
      return row;
    });
    const { axes, variances } = principalAxes(rows, 5);
    expect([axes.length, variances.length]).toEqual([rank, rank]);
    const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, d) => sum + x * b[d]!, 0);
    for (const [a, one] of axes.entries())
      for (const [b, other] of axes.entries()) expect(dot(one, other)).toBeCloseTo(a === b ? 1 : 0, 9);
    for (const row of rows) {
      const along = axes.reduce((sum, axis) => sum + dot(row, axis) ** 2, 0);
      expect(along).toBeCloseTo(dot(row, row), 9);
    }
  });
});
