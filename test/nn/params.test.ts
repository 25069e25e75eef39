import { describe, expect, it } from 'vitest';
import { Graph, GraphError } from '../../src/graph/index.js';
import { embedding, layerNorm, linear, Params, type Scope } from '../../src/nn/index.js';

const model = (graph: Graph, scope: Scope): void => {
  const x = graph.input('x', 'float32', [2, 300]);
  const h = linear(scope.child('a'), x, 400);
  linear(scope.child('b'), layerNorm(scope.child('norm'), h), 3, { bias: false, init: { normal: 0.5 } });
  scope.param('temperature', [], { constant: 2.5 });
};

describe('Params', () => {
  const params = Params.collect(model);

  it('lays tensors out one after another in the order of use', () => {
    expect(params.slices.map(({ name, offset, shape, decay }) => ({ name, offset, shape, decay }))).toEqual([
      { name: 'a.weight', offset: 0, shape: [300, 400], decay: true },
      { name: 'a.bias', offset: 120000, shape: [400], decay: false },
      { name: 'norm.scale', offset: 120400, shape: [400], decay: false },
      { name: 'norm.bias', offset: 120800, shape: [400], decay: false },
      { name: 'b.weight', offset: 121200, shape: [400, 3], decay: true },
      { name: 'temperature', offset: 122400, shape: [], decay: false },
    ]);
    expect(params.size).toBe(122401);
    const mask = params.decayMask();
    expect(mask.reduce((a, b) => a + b)).toBe(120000 + 1200);
    expect([mask[119999], mask[120000], mask[121200], mask[122400]]).toEqual([1, 0, 1, 0]);
  });

  it('starts from truncated normals, zeros, ones and constants', () => {
    const flat = params.initialize(5);
    const weight = flat.subarray(0, 120000);
    const mean = weight.reduce((a, b) => a + b) / weight.length;
    const variance = weight.reduce((a, b) => a + (b - mean) ** 2, 0) / weight.length;
    // A normal distribution cut at ±2σ has variance σ² (1 - 4 φ(2) / (2 Φ(2) - 1)) = 0.7737 σ².
    expect(Math.abs(mean)).toBeLessThan(4 * (0.02 / Math.sqrt(120000)));
    expect(variance / (0.02 * 0.02)).toBeCloseTo(0.7737, 2);
    expect(weight.reduce((a, b) => Math.max(a, Math.abs(b)), 0)).toBeLessThanOrEqual(Math.fround(0.04));
    expect(new Set(flat.subarray(120000, 120400))).toEqual(new Set([0]));
    expect(new Set(flat.subarray(120400, 120800))).toEqual(new Set([1]));
    expect(flat[122400]).toBe(2.5);
  });

  it('repeats for one seed and differs for another, by tensor', () => {
    expect(params.initialize(5)).toEqual(params.initialize(5));
    const [five, six] = [params.initialize(5), params.initialize(6)];
    expect(five.subarray(0, 10)).not.toEqual(six.subarray(0, 10));
    const longer = Params.collect((graph, scope) => {
      scope.param('first', [7], { normal: 1 });
      model(graph, scope);
    });
    expect(longer.initialize(5).subarray(7)).toEqual(five);
  });

  it('shares a tensor asked for twice, and refuses another shape or a name it does not know', () => {
    const twice = Params.collect((_, scope) => {
      expect(scope.param('w', [2, 2], 'ones')).toBe(scope.param('w', [2, 2], 'ones'));
    });
    expect(twice.size).toBe(4);
    const graph = new Graph();
    const scope = twice.bind(graph.input('params', 'float32', [4]));
    expect(scope.param('w', [2, 2], 'ones')).toBe(scope.param('w', [2, 2], 'ones'));
    expect(() => scope.param('w', [4], 'ones')).toThrow('param: "w" is [2, 2] in the layout, got [4]');
    expect(() => embedding(scope.child('e'), graph.input('i', 'int64', [1]), 3, 2)).toThrow(GraphError);
    expect(() => twice.bind(graph.input('short', 'float32', [3]))).toThrow(/must be \[4\]/);
  });
});
