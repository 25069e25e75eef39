import { describe, expect, it } from 'vitest';
import { layOut } from '../../src/evaluate/map.js';
import { Random } from '../../src/volume/random.js';

/** Three groups of 20 vectors around three axes, of any length. */
function groups(): Float32Array[] {
  const random = new Random(4);
  return Array.from({ length: 60 }, (_, n) => {
    const scale = random.uniform(0.5, 20);
    return Float32Array.from(
      { length: 24 },
      (__, d) => scale * ((d === n % 3 ? 3 : 0) + 0.3 * random.normal()),
    );
  });
}

describe('layOut', () => {
  it('puts vectors of one direction together, whatever their length', () => {
    const places = layOut(groups())!;
    expect(places).toHaveLength(60);
    for (const { x, y } of places)
      for (const v of [x, y]) {
        expect(v).toBeGreaterThanOrEqual(0);
        expect(v).toBeLessThanOrEqual(1);
      }
    const nearest = places.map(({ x, y }, n) => {
      const far = places.map((p, m) => (m === n ? Infinity : Math.hypot(p.x - x, p.y - y)));
      return far.indexOf(Math.min(...far));
    });
    expect(nearest.filter((m, n) => m % 3 === n % 3)).toHaveLength(60);
  });

  it('gives the same map for the same seed, and another for another', () => {
    const [a, b, c] = [layOut(groups(), 1), layOut(groups(), 1), layOut(groups(), 2)];
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  it('makes no map of a handful, and one without gaps of equal vectors', () => {
    expect(layOut(groups().slice(0, 7))).toBeNull();
    const same = layOut(Array.from({ length: 12 }, () => Float32Array.of(1, 2, 3)))!;
    expect(same.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))).toBe(true);
  });
});
