import { describe, expect, it } from 'vitest';
import { chanceRecall, retrieval } from '../../src/evaluate/retrieval.js';

const unit = (angle: number): Float32Array => Float32Array.of(Math.cos(angle), Math.sin(angle));

describe('retrieval', () => {
  it('finds a perfect model perfect and counts ranks otherwise', () => {
    const vectors = [0, 0.5, 1, 1.5].map(unit);
    const perfect = retrieval(vectors, vectors, (q, c) => q === c, [1, 2]);
    expect(perfect.recall).toEqual({ 1: 1, 2: 1 });
    expect(perfect.medianRank).toBe(1);
    expect(perfect.chance[1]).toBeCloseTo(0.25, 12);
    // Every query points at its neighbour: 0→0.5, 0.5→1, 1→1.5, and the last one past the end, so at itself.
    const shifted = retrieval([0.5, 1, 1.5, 2].map(unit), vectors, (q, c) => q === c, [1, 2, 3]);
    expect(shifted.recall[1]).toBe(0.25);
    expect(shifted.recall[3]).toBe(1);
  });

  it('gives nothing to a model that says the same of everything', () => {
    const same = Array.from({ length: 20 }, () => unit(1));
    expect(retrieval(same, same, (q, c) => q === c).recall).toEqual({ 1: 0, 5: 0, 10: 0 });
  });

  it('counts any candidate that says the same as right', () => {
    const vectors = [0, 0.1, 2].map(unit);
    expect(retrieval([unit(0.08)], vectors, (_, c) => c < 2, [1]).recall[1]).toBe(1);
  });

  it('knows chance: 1 - C(n-p, k) / C(n, k)', () => {
    expect(chanceRecall(100, 1, 10)).toBeCloseTo(0.1, 12);
    expect(chanceRecall(5, 2, 2)).toBeCloseTo(1 - 3 / 10, 12);
    expect(chanceRecall(3, 1, 10)).toBe(1);
  });
});
